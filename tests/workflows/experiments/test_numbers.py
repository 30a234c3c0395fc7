"""A number is given once: clones without tags, pruned tags, and what brings the tags back."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import copy_template
from tests.helpers import Clock, Repo, copy_tree, run

pytestmark = pytest.mark.usefixtures("quick")  # git starts the drivers


def log(repo: Repo, run_id: str, lr: float) -> None:
    values = (run_id, f"2030-01-01 00:00:0{len(run_id) % 10}", lr, 0.9)
    with closing(sqlite3.connect(repo / "results/experiments.db")) as db, db:
        db.execute(
            "INSERT INTO predictions (track_id, timestamp, lr, f1) VALUES (?, ?, ?, ?)", values
        )


def row(repo: Repo, version: str) -> tuple[str, ...]:
    with closing(sqlite3.connect(repo / ".xexp/registry.db")) as db:
        sql = "SELECT text, run FROM experiments WHERE version = ?"
        return tuple(db.execute(sql, (version,)).fetchone())


@pytest.fixture(scope="session")
def pushed_template(set_up_template: Path, sealed: Path) -> Path:
    """Set up, two experiments, of which the first is pushed to ``origin``."""
    clock = Clock()
    folder = sealed / "pushed-template"
    made = copy_template(set_up_template, folder)
    made.git("init", "-q", "--bare", "../origin.git")
    made.git("remote", "add", "origin", "../origin.git")
    made.xexp("tag", "-m", "one").good()
    made.git("push", "-q", "-u", "origin", "main")
    made.xexp("push").good()
    clock.tick()
    log(made, "second", 0.3)
    made.xexp("tag", "-m", "two", "--label", "keep").good()
    return folder


@pytest.fixture
def pushed(pushed_template: Path, tmp_path: Path, clock: Clock) -> Repo:
    """A private copy of it, and of ``origin``."""
    clock.tick(120)
    copy_tree(pushed_template / "origin.git", tmp_path / "origin.git")
    return copy_template(pushed_template, tmp_path)


def clone(origin: Repo, folder: Path, *args: str) -> Repo:
    url = f"file://{origin.path.parent / 'origin.git'}"
    run("git", "clone", "-q", *args, url, str(folder), cwd=folder.parent).good()
    made = Repo(folder)
    made.xexp("init").good()
    made.dvc("pull")
    return made


@pytest.mark.parametrize("args", [("--no-tags",), ("--depth", "1", "--no-tags")])
def test_a_clone_without_tags_gives_the_next_number(
    pushed: Repo, tmp_path: Path, args: tuple[str, ...]
) -> None:
    ci = clone(pushed, tmp_path / "ci", *args)
    assert ci.xexp("--json").good().json()["untagged"] == ["e0.1.0"]
    assert "no tag     e0.1.0" in ci.xexp().good().out
    assert ci.xexp("--json").good().json()["next"] == "git xexp registry restore-tags"
    refused = ci.xexp("tag", "e0.1.0", "--all")
    assert refused.code == 128 and "e0.1.0 exists already" in refused.err
    log(ci, "third", 0.4)
    done = ci.xexp("tag", "--all", "-m", "three").good()
    assert ci.tags == ["e0.2.0"]
    assert "git xexp registry restore-tags" in done.err
    assert "e0.2.0  minor: no tag here to compare with" in done.out
    assert row(ci, "e0.1.0")[0] == "one"


def test_a_tag_that_was_pruned_keeps_its_number(pushed: Repo) -> None:
    pushed.git("fetch", "-q", "--prune", "origin", "+refs/tags/*:refs/tags/*")
    assert pushed.tags == ["e0.1.0"]
    assert "no tag     e0.2.0" in pushed.xexp().good().out
    log(pushed, "third", 0.4)
    pushed.xexp("tag", "--all", "-m", "three").good()
    assert pushed.tags == ["e0.1.0", "e0.3.0"]
    assert row(pushed, "e0.2.0")[0] == "two"


def test_a_number_of_another_branch_is_taken(pushed: Repo) -> None:
    pushed.git("branch", "side")
    pushed.git("reset", "-q", "--hard", "HEAD~1")
    pushed.git("tag", "-d", "e0.2.0")
    pushed.dvc("checkout", "--force")
    log(pushed, "third", 0.4)
    pushed.xexp("tag", "--all", "-m", "three").good()
    assert pushed.tags == ["e0.1.0", "e0.3.0"]


def test_restored_tags_say_what_the_lost_ones_said(pushed: Repo) -> None:
    whole = pushed.xexp("explore", "list", "--json").good().json()
    ends = {name: pushed.git("rev-parse", f"{name}^{{commit}}") for name in pushed.tags}
    oid = pushed.git("rev-parse", "e0.1.0")
    pushed.git("tag", "-d", "e0.1.0", "e0.2.0")
    done = pushed.xexp("registry", "restore-tags").good()
    assert done.out == "fetched   e0.1.0\nmade      e0.2.0\n"
    assert pushed.git("rev-parse", "e0.1.0") == oid
    assert {name: pushed.git("rev-parse", f"{name}^{{commit}}") for name in pushed.tags} == ends
    assert pushed.xexp("explore", "list", "--json").good().json() == whole
    again = pushed.xexp("registry", "restore-tags", "--json").good()
    assert again.json() == {"fetched": [], "made": [], "lost": []}
    pushed.xexp("undo", "--force").good()
    assert pushed.tags == []


def test_tags_are_made_again_without_a_remote(pushed: Repo) -> None:
    pushed.git("tag", "-d", "e0.1.0", "e0.2.0")
    pushed.git("remote", "set-url", "origin", "../nowhere")
    refused = pushed.xexp("registry", "restore-tags")
    assert refused.code == 128 and "--no-fetch" in refused.err
    assert pushed.tags == []
    assert pushed.xexp("registry", "restore-tags", "--no-fetch", "--json").good().json() == {
        "fetched": [], "made": ["e0.1.0", "e0.2.0"], "lost": [],
    }  # fmt: skip


def test_a_shallow_clone_makes_only_tags_of_commits_that_it_has(
    pushed: Repo, tmp_path: Path
) -> None:
    pushed.git("push", "-q", "origin", "main")
    pushed.dvc("push")
    ci = clone(pushed, tmp_path / "ci", "--depth", "1", "--no-tags")
    done = ci.xexp("registry", "restore-tags", "--no-fetch", "--json").good()
    assert done.json() == {"fetched": [], "made": ["e0.2.0"], "lost": ["e0.1.0"]}
    assert ci.git("rev-parse", "e0.2.0^{commit}") == ci.head


def test_push_sends_nothing_when_a_number_is_taken(pushed: Repo, tmp_path: Path) -> None:
    other = clone(pushed, tmp_path / "other")
    log(other, "theirs", 0.5)
    other.xexp("tag", "--all", "-m", "theirs").good()
    other.xexp("push").good()
    before = other.git("ls-remote", "origin")
    stored = sorted(path for path in (tmp_path / "remote").rglob("*"))
    refused = pushed.xexp("push")
    assert refused.code == 1
    assert "not pushed: origin has another e0.2.0" in refused.err
    assert pushed.git("ls-remote", "origin") == before
    assert sorted(path for path in (tmp_path / "remote").rglob("*")) == stored


def test_rebuild_keeps_what_only_the_registry_has(pushed: Repo) -> None:
    def dump() -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(pushed / ".xexp/registry.db")) as db:
            tables = ("experiments", "params", "metrics", "labels", "artifacts")
            return [(t, *r) for t in tables for r in db.execute(f"SELECT * FROM {t}")]

    before = dump()
    pushed.git("tag", "-f", "-a", "e0.2.0", "-m", "the second, in better words", "e0.2.0^{}")
    done = pushed.xexp("registry", "rebuild").good()
    assert done.out.startswith("restored  e0.2.0\n")
    after = dump()
    assert after[0] == before[0]
    assert after[2:] == before[2:]
    assert after[1][2] == "the second, in better words"
    assert after[1][4:] == before[1][4:]
    assert "0 restored" in pushed.xexp("registry", "rebuild").good().out


def test_rebuild_takes_what_a_tag_adds_and_keeps_the_rest(pushed: Repo) -> None:
    message = (
        'better | words\n\n[xexp]\nschema = 1\nlabels = ["new"]\n[metrics]\nf1 = 0.5\nacc = 0.7\n'
    )
    pushed.git("tag", "-f", "-a", "-F", "-", "e0.2.0", "e0.2.0^{}", stdin=message)
    pushed.xexp("registry", "rebuild").good()
    with closing(sqlite3.connect(pushed / ".xexp/registry.db")) as db:
        sql = "SELECT name, value FROM metrics WHERE version = 'e0.2.0'"
        metrics = dict(db.execute(sql))
        labels = {label for (label,) in db.execute("SELECT label FROM labels")}
    assert (metrics["f1"], metrics["acc"]) == (0.5, 0.7)
    assert labels == {"keep", "new"}
    assert row(pushed, "e0.2.0")[1] == "second"
