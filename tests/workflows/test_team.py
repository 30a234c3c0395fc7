"""Three clones of one project, used in any order and killed at any moment: nothing that was ever
logged is lost.

A model of the team keeps what each member logged and tagged; after every step the clone must agree,
and when all have pulled and pushed at the end, every clone and the remote hold everything.
``XEXP_TEST_STEPS=300 XEXP_TEST_EXAMPLES=5`` is a longer run.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from gitxexp.repository.operation import OpLog
from gitxexp.repository.repository import Project
from gitxexp.storage.git import Git
from tests.conftest import copy_template
from tests.helpers import Clock, Done, Repo, copy_tree, dies, run

pytestmark = pytest.mark.usefixtures("quick")  # git starts the drivers

DB = "results/experiments.db"
MODEL = "models/production/model.bin"
ROWS = 2
UP_TO_DATE = "Data and pipelines are up to date."
NAMES = ("ann", "bob", "cleo")
#: What a member does, as often as it is named.
ACTS = [
    "train",
    "train",
    "train",
    "tag",
    "tag",
    "tag",
    "push",
    "push",
    "pull",
    "pull",
    "pull",
    "undo",
    "die",
    "die",
    "beside",
    "by_hand",
    "careless",
    "careless",
    "careless",
]
#: What a colleague does who does not think of the others.
CARELESS = (
    "amend", "rebase", "tag_again", "lose_tag", "copy_database", "forget_checkout", "collect_garbage",
    "stash", "detach", "clone_shallow", "remove_worktree", "pick",
)  # fmt: skip
#: What is running when somebody dies.
DEADLY = (("tag", "--all", "-m", "killed"), ("push",), ("pull",), ("undo", "--yes"),
          ("merge", "origin/main", "--only", "results"))  # fmt: skip
MOMENTS = ((OpLog, "record"), (OpLog, "amend"), (OpLog, "finish"), (Path, "replace"), (os, "replace"),
           (Git, "raw"))  # fmt: skip


@pytest.fixture(scope="session")
def team_template(trained_template: Path, sealed: Path) -> Path:
    """``repo`` (ann) with e0.1.0 pushed to ``origin``; ``bob`` and ``cleo`` are clones with data."""
    Clock().tick(600)
    folder = sealed / "team-template"
    ann = copy_template(trained_template, folder)
    ann.xexp("init").good()
    ann.commit("set up")
    ann.git("init", "-q", "--bare", "-b", "main", "../origin")
    ann.git("remote", "add", "origin", "../origin")
    ann.git("push", "-q", "-u", "origin", "main")
    ann.xexp("tag", "-m", "first").good()
    ann.xexp("push").good()
    for name in NAMES[1:]:
        run("git", "clone", "-q", "origin", name, cwd=folder).good()
        clone = Repo(folder / name)
        clone.xexp("init").good()
        clone.dvc("pull", "-q")
    return folder


class Team(RuleBasedStateMachine):
    """What each member logged, and what the tags must hold."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.count = 0
        self.sound = False  #: whether every step so far was
        self.logged: dict[str, list[str]] = {name: [] for name in NAMES}
        self.logged["everybody"] = []  #: on the branch of the remote, of a clone that is gone
        self.models: dict[str, bytes] = {}  #: run → the model that it wrote
        self.rates: dict[str, float] = {}
        self.tags: dict[str, tuple[str, str]] = {}  #: object and name → run, pointer to the model

    @initialize(seed=st.integers(1, 2**32))
    def clone(self, seed: int) -> None:
        # Chosen by a generator of its own: hypothesis begins with the simplest steps, over and over.
        self.random = random.Random(seed)
        place = Path(self.folder.name)
        for name in ("repo", "remote", "origin", *NAMES[1:]):
            copy_tree(self.template / name, place / name)
        self.repos = {"ann": Repo(place / "repo"), **{n: Repo(place / n) for n in NAMES[1:]}}
        for repo in self.repos.values():
            repo.git("remote", "set-url", "origin", "../origin")
            repo.git("update-index", "-q", "--refresh")

    def teardown(self) -> None:
        try:
            if self.sound:
                self.everybody_agrees()
        finally:
            self.folder.cleanup()

    # -- what members do -----------------------------------------------------------------------

    @rule()
    def act(self) -> None:
        who, what = self.random.choice(NAMES), self.random.choice(ACTS)
        note(f"{who}: {what}")
        self.sound = False
        getattr(self, what)(who)

    def train(self, who: str) -> None:
        self.count += 1
        lr = self.random.choice((0.01, 0.1, 0.3))
        repo, name = self.repos[who], f"{who}-{self.count}"
        repo.write("params.yaml", f"model: softmax\nlr: {lr}\nepochs: 3\n")
        with closing(sqlite3.connect(repo / DB)) as db, db:
            for step in range(ROWS):
                values = (name, f"2031-01-01 00:{self.count:02d}:0{step}", "softmax", lr, 0.5)
                columns = "track_id, timestamp, model, lr, f1"
                db.execute(f"INSERT INTO predictions ({columns}) VALUES (?, ?, ?, ?, ?)", values)
        self.rates[name] = lr
        self.models[name] = f"weights of {name}".encode()
        repo.write(MODEL, self.models[name])
        self.logged[who].append(name)

    def tag(self, who: str) -> None:
        repo = self.repos[who]
        self.clock.tick()
        before = repo.refs(), repo.git("status", "--porcelain")
        done = self.told(repo, "tag", "--all", "-m", f"by {who}")
        if done.code:
            assert (repo.refs(), repo.git("status", "--porcelain")) == before, done.err
        if "--bring-rows" in done.err:
            self.told(repo, "tag", "--all", "--bring-rows", "-m", f"by {who}")

    def push(self, who: str) -> None:
        repo = self.repos[who]
        done = self.told(repo, "push")
        if "--renumber" in done.err:
            word = done.err.partition("--renumber ")[2].split()[0]
            self.told(repo, "tag", "--renumber", word)

    def pull(self, who: str) -> None:
        repo = self.repos[who]
        if repo.git("status", "--porcelain", "-uno"):
            return
        self.clock.tick()
        self.told(repo, "pull")
        if (repo / ".git/MERGE_HEAD").exists():
            run("git", "checkout", "--ours", "--", "params.yaml", cwd=repo.path)
            run("git", "add", "params.yaml", cwd=repo.path)
            run("git", "checkout", "--ours", "--", f"{MODEL}.dvc", cwd=repo.path)
            run("git", "add", f"{MODEL}.dvc", cwd=repo.path)
            self.told(repo, "conflicts", "resolve", "--ours")
            if run("git", "commit", "-q", "--no-edit", cwd=repo.path).code:
                repo.git("merge", "--abort")
            run("dvc", "checkout", "-q", MODEL, cwd=repo.path)

    def die(self, who: str) -> None:
        """Killed at some moment; then the member goes on at once, or trains first."""
        repo = self.repos[who]
        words = self.random.choice(DEADLY)
        if words == ("pull",) and repo.git("status", "--porcelain", "-uno"):
            return
        self.clock.tick()
        moment = self.random.randint(1, 60)
        code = dies(*words, cwd=repo.path, moment=moment, around=MOMENTS)
        works = self.random.random() < 0.5
        note(f"  {' '.join(words)} at {moment}: exit {code}{', then trains' if works else ''}")
        assert code in (0, 1, 128, -signal.SIGKILL)
        if works:
            self.train(who)
        self.clock.tick()
        getattr(self, words[0])(who)

    def merge(self, who: str) -> None:
        """The rows that the others pushed, without their commits."""
        self.told(self.repos[who], "merge", "origin/main", "--only", "results")

    def beside(self, who: str) -> None:
        """An experiment in a worktree of its own, its rows merged back."""
        repo, self.count = self.repos[who], self.count + 1
        name = f"side{self.count}"
        if repo.git("status", "--porcelain", "-uno"):
            return
        if self.told(repo, "worktree", "new", name).code:
            return
        tree = Repo(repo.path.parent / f"exp-{name}", repo.remote)
        self.repos["beside"], self.logged["beside"] = tree, []
        self.train("beside")
        self.clock.tick()
        done = self.told(tree, "tag", "--all", "-m", name)
        merged = self.told(repo, "merge", name, "--only", "results")
        if not merged.code:
            self.logged[who] += self.logged["beside"]
        del self.repos["beside"], self.logged["beside"]
        if done.code or merged.code:
            return
        self.told(repo, "worktree", "remove", name)

    def by_hand(self, who: str) -> None:
        """As a colleague does it who never heard of git xexp."""
        repo = self.repos[who]
        if (repo / ".git/MERGE_HEAD").exists() or run("git", "diff", "--quiet", cwd=repo.path).code:
            return
        repo.dvc_add(DB, MODEL)
        self.clock.tick()
        run("git", "commit", "-qam", "work", cwd=repo.path)
        repo.dvc("push", "-q")
        run("git", "push", "-q", cwd=repo.path)

    # -- what a careless member does -----------------------------------------------------------

    def careless(self, who: str) -> None:
        how = self.random.choice(CARELESS)
        repo = self.repos[who]
        note(f"  {how}")
        if not self.unfinished(repo):
            self.clock.tick()
            getattr(self, how)(who, repo)

    def unfinished(self, repo: Repo) -> bool:
        return (repo / ".git/MERGE_HEAD").exists() or (repo / ".git/rebase-merge").exists()

    def tried(self, repo: Repo, *args: str) -> Done:
        done = run("git", *args, cwd=repo.path)
        note(f"  {repo.path.name}: git {' '.join(args)}: exit {done.code}\n{done.err}")
        return done

    def is_clean(self, repo: Repo) -> bool:
        """Nothing was trained that is not tagged."""
        return not repo.git("status", "--porcelain", "-uno") and UP_TO_DATE in repo.dvc("status")

    def amend(self, who: str, repo: Repo) -> None:
        """The last commit in other words, and over what the others have."""
        self.tried(repo, "commit", "-q", "--amend", "--only", "-m", "other words")
        self.tried(repo, "push", "-q", "--force-with-lease")

    def rebase(self, who: str, repo: Repo) -> None:
        if repo.git("status", "--porcelain", "-uno"):
            return
        if self.tried(repo, "pull", "-q", "--rebase").code:
            self.told(repo)
            self.told(repo, "tag", "--all", "-m", "within a rebase")
            self.tried(repo, "rebase", "--abort")

    def tag_again(self, who: str, repo: Repo) -> None:
        """A description put right, as one does with git."""
        name = self.random.choice(repo.tags)
        self.tried(repo, "tag", "-f", "-a", "-m", "better words", name, f"{name}^{{}}")
        if self.random.random() < 0.5:
            self.tried(repo, "push", "-q", "-f", "origin", f"refs/tags/{name}")

    def lose_tag(self, who: str, repo: Repo) -> None:
        """Deleted here, and perhaps there; the registry brings it back."""
        name = self.random.choice(repo.tags)
        if name not in repo.git("tag", "--merged").split():
            return
        self.tried(repo, "tag", "-d", name)
        if self.random.random() < 0.3:
            self.tried(repo, "push", "-q", "origin", f":refs/tags/{name}")
        if name in versions_in_registry(repo):
            assert name in self.told(repo).out
        if self.random.random() < 0.5:
            self.told(repo, "registry", "restore-tags")

    def copy_database(self, who: str, repo: Repo) -> None:
        """The database of another clone in place of one's own."""
        other = self.repos[self.random.choice([name for name in NAMES if name != who])]
        if not self.is_clean(repo):
            return
        mine, known = (repo / DB).read_bytes(), repo.tags
        (repo / DB).write_bytes((other / DB).read_bytes())
        self.tag(who)
        for name in set(repo.tags) - set(known):  # a run that came so is taken for one's own
            run_id = run_of(repo, name)
            if run_id not in self.logged[who]:
                self.models.pop(run_id, None)
        there = counts(repo.path)
        if any(there.get(name) != ROWS for name in self.logged[who]):
            (repo / DB).write_bytes(mine)  # refused: then one's own is put back

    def forget_checkout(self, who: str, repo: Repo) -> None:
        """The commits and not the outputs; then on with the work."""
        if repo.git("status", "--porcelain", "-uno"):
            return
        if self.tried(repo, "pull", "-q", "--no-rebase", "--no-edit").code:
            self.tried(repo, "merge", "--abort")
        if self.random.random() < 0.7:
            self.train(who)
        self.tag(who)

    def collect_garbage(self, who: str, repo: Repo) -> None:
        if self.is_clean(repo) and not self.told(repo, "push", "--all").code:
            run("dvc", "gc", "-w", "-f", "-q", cwd=repo.path)
            self.tried(repo, "gc", "-q", "--prune=now")

    def stash(self, who: str, repo: Repo) -> None:
        self.train(who)
        stashed = not self.tried(repo, "stash", "-q").code
        self.tried(repo, "pull", "-q", "--no-rebase", "--no-edit")
        if self.unfinished(repo):
            self.tried(repo, "merge", "--abort")
        if stashed and self.tried(repo, "stash", "pop", "-q").code:
            self.tried(repo, "checkout", "--theirs", "--", "params.yaml")
            self.tried(repo, "reset", "-q")
            self.tried(repo, "stash", "drop", "-q")
        self.tag(who)

    def detach(self, who: str, repo: Repo) -> None:
        """A commit that no branch has, and back to the branch by its tag."""
        if not self.is_clean(repo):
            return
        repo.git("checkout", "-q", "--detach")
        self.train(who)
        done = self.told(repo, "tag", "--all", "-m", "detached")
        name = repo.git("tag", "--points-at", "HEAD").strip()
        repo.git("checkout", "-q", "-f", "main")
        self.told(repo)
        if not done.code:
            repo.dvc("checkout", "-q")
            self.told(repo, "merge", name, "--commit").good()

    def clone_shallow(self, who: str, repo: Repo) -> None:
        """A runner that has one commit and no tag."""
        place, self.count = repo.path.parent / "runner", self.count + 1
        origin = (place.parent / "origin").as_uri()
        run(
            "git", "clone", "-q", "--depth", "1", "--no-tags", origin, place, cwd=place.parent
        ).good()
        runner = Repo(place, repo.remote)
        self.told(runner, "init")
        runner.dvc("pull", "-q")
        before = runner.git("rev-parse", "HEAD")
        self.repos["runner"], self.logged["runner"] = runner, []
        self.train("runner")
        self.told(runner, "tag", "--all", "-m", "by a runner", "--push")
        pushed = runner.git("ls-remote", "origin", "refs/heads/main").split()[0]
        if pushed not in before and pushed == runner.git("rev-parse", "HEAD").strip():
            self.logged["everybody"] += self.logged["runner"]
        del self.repos["runner"], self.logged["runner"]
        run("rm", "-rf", place, cwd=place.parent).good()

    def remove_worktree(self, who: str, repo: Repo) -> None:
        """``rm -rf`` of a tree whose run is tagged, and the name used again."""
        name, self.count = f"gone{self.count}", self.count + 1
        if self.told(repo, "worktree", "new", name).code:
            return
        tree = Repo(repo.path.parent / f"exp-{name}", repo.remote)
        self.repos["beside"], self.logged["beside"] = tree, []
        self.train("beside")
        done = self.told(tree, "tag", "--all", "-m", name)
        run("rm", "-rf", tree.path, cwd=repo.path).good()
        del self.repos["beside"]
        names = self.logged.pop("beside")
        self.told(repo)
        self.told(repo, "worktree", "list")
        if not done.code and not self.told(repo, "merge", f"exp/{name}", "--only", "results").code:
            self.logged[who] += names

    def pick(self, who: str, repo: Repo) -> None:
        """The last commit of another branch, or the own one taken back and brought again."""
        if not self.is_clean(repo) or len(repo.git("rev-list", "HEAD").split()) < 4:
            return
        if self.tried(repo, "revert", "--no-edit", "HEAD").code:
            self.tried(repo, "revert", "--abort")
            self.tried(repo, "merge", "--abort")
            return
        self.told(repo)
        if self.tried(repo, "revert", "--no-edit", "HEAD").code:
            self.tried(repo, "revert", "--abort")
            self.tried(repo, "reset", "-q", "--hard", "HEAD~1")

    def undo(self, who: str) -> None:
        self.told(self.repos[who], "undo", "--yes")

    def told(self, repo: Repo, *args: str) -> Done:
        done = repo.xexp(*args)
        note(f"  {repo.path.name}: {' '.join(args)}: exit {done.code}\n{done.err}")
        assert done.code in (0, 1, 128) and "Traceback" not in done.err, done.err
        return done

    # -- what must hold ------------------------------------------------------------------------

    @invariant()
    def every_row_is_there_once(self) -> None:
        for who, names in self.logged.items():
            if who not in self.repos:
                continue
            rows = counts(self.repos[who].path)
            wrong = {name: rows.get(name, 0) for name in names if rows.get(name, 0) != ROWS}
            for tree in self.repos[who].path.parent.glob(
                "exp-*"
            ):  # an undone merge leaves it there
                wrong = {
                    name: n for name, n in wrong.items() if n or counts(tree).get(name) != ROWS
                }
            assert not wrong, f"{who}: {wrong}"
            assert all(count == ROWS for name, count in rows.items() if "-lr-" not in name), rows

    @invariant()
    def tags_hold_what_ran(self) -> None:
        for repo in self.repos.values():
            tags = repo.git(
                "for-each-ref", "--format=%(objectname) %(refname:short)", "refs/tags/e*"
            )
            for line in tags.splitlines():
                name, pointer = self.held_by(repo, line)
                if name in self.models:
                    assert md5(self.models[name]) in pointer, f"{line} is of {name}"
        self.sound = True

    def held_by(self, repo: Repo, tag: str) -> tuple[str, str]:
        """The run that a tag ("OBJECT NAME") names and its pointer to the model, read once."""
        if tag not in self.tags:
            name = tag.split()[1]
            run_id = run_of(repo, name)
            pointer = repo.git("show", f"{name}:{MODEL}.dvc") if run_id else ""
            self.tags[tag] = run_id, pointer
        return self.tags[tag]

    def everybody_agrees(self) -> None:
        """At the end of the week all tag, pull and push: every clone holds all that there is."""
        for _ in range(3):
            for who, repo in self.repos.items():
                same = UP_TO_DATE in repo.dvc("status")
                if not same or repo.git("status", "--porcelain", "-uno"):
                    self.tag(who)
                self.pull(who)
                self.push(who)
        there = self.repos["ann"].git("ls-remote", "--tags", "--refs", "origin")
        for who, repo in self.repos.items():
            tags = repo.git("for-each-ref", "--format=%(objectname)%09%(refname)", "refs/tags/")
            assert sorted(tags.splitlines()) == sorted(there.splitlines()), who
            known = versions_in_registry(repo)
            assert set(repo.git("tag", "--merged").split()) <= known <= set(repo.tags), who
            log = Project.open(repo.path).log
            assert not any(map(log.operations, ("running", "undoing", "redoing"))), who
            assert not list((repo / ".git/xexp").glob("merge-*")), who
            for version in repo.tags:
                shown = repo.xexp("explore", "show", version, "--json").good().json()
                if shown["run"] not in self.models:
                    continue
                repo.xexp("get", version, MODEL, "-o", "got.bin", "-f").good()
                assert (repo / "got.bin").read_bytes() == self.models[shown["run"]], version
                assert shown["params"]["lr"] == self.rates[shown["run"]], version
                (repo / "got.bin").unlink()
                with closing(sqlite3.connect(repo / DB)) as db:
                    sql = "SELECT count(*) FROM predictions WHERE track_id = ?"
                    assert db.execute(sql, (shown["run"],)).fetchone() == (ROWS,), version


def counts(tree: Path) -> dict[str, int]:
    """How many rows of each run there are."""
    with closing(sqlite3.connect(tree / DB)) as db:
        return dict(db.execute("SELECT track_id, count(*) FROM predictions GROUP BY 1").fetchall())


def run_of(repo: Repo, tag: str) -> str:
    """The run that a tag names; "" for a tag by hand."""
    message = repo.git("for-each-ref", "--format=%(contents)", f"refs/tags/{tag}")
    return message.partition('\nrun = "')[2].partition('"')[0]


def versions_in_registry(repo: Repo) -> set[str]:
    with closing(sqlite3.connect(repo / ".xexp/registry.db")) as db:
        return {version for (version,) in db.execute("SELECT version FROM experiments")}


def md5(data: bytes) -> str:
    import hashlib

    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_a_week_of_three_clones(team_template: Path) -> None:
    machine = type("Machine", (Team,), {"template": team_template})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(os.environ.get("XEXP_TEST_EXAMPLES", "1")),
            stateful_step_count=int(os.environ.get("XEXP_TEST_STEPS", "35")),
            deadline=None,
            derandomize="XEXP_TEST_STEPS" not in os.environ,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
