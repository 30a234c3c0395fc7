"""Every ``--json`` document of the program, printed by real commands: what :mod:`test_json` checks."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import WITHOUT_XETRACK, Done, Repo, sql, xexp_inside
from tests.workflows.models.model_tools import content
from tests.workflows.sweeps.sweep_tools import TRAINING, trainable
from tests.workflows.worktrees.worktree_tools import tree_of

DB = "results/experiments.db"


class Scenes:
    """Documents by the heading that describes them in the manual."""

    def __init__(self) -> None:
        self.found: dict[str, list[Any]] = {}

    def keep(self, heading: str, done: Done, code: int = 0) -> Any:
        """Note one command's document; it must be the whole of standard output."""
        assert done.code == code, f"{heading}: exit {done.code}\n{done.out}\n{done.err}"
        document = done.json()
        self.found.setdefault(heading, []).append(document)
        return document


def of_models(scenes: Scenes, repo: Repo) -> None:
    """Read, tag, promote, push, prune, undo: on ``modelled``."""

    def run(heading: str, *words: str, code: int = 0) -> Any:
        return scenes.keep(heading, repo.xexp(*(words or heading.split()), "--json"), code)

    mate = Repo(repo.path.parent / "mate", repo.remote)
    repo.git("clone", "-q", ".", "../mate")
    run("tag --suggest")
    run("tag --dry-run")
    run("candidates list")
    run("promote --dry-run", "promote", "--best", "f1", "--dry-run", "--yes")
    run("promote", "promote", "--best", "f1", "--yes", "-m", "best")
    run("promote --history")
    repo.write("params.yaml", "model: softmax\nlr: 1.0\nepochs: 3\nnew: 1\n")
    repo.write("train.py", "pass\n")
    run("tag", "tag", "-a", "-m", "second", "-l", "good")
    run("", "--json")
    run("explore list")
    run("explore list --columns", "explore", "list", "--columns", "version,f1,lr")
    of_runs(scenes, repo)
    run("explore list --runs")
    run("explore columns")
    run("explore plot", "explore", "plot", "f1", "--by", "lr", "--runs", "--x", "lr")
    run("explore plot", "explore", "plot", "loss", "--x", "step", "--by", "lr")
    run("explore plot", "explore", "plot", "predictions.loss", "--log-x")
    run("explore show", "explore", "show", "e0.1.0")
    run("explore show", "explore", "show", repo.tags[-1])
    run("explore diff", "explore", "diff", "e0.1.0", repo.tags[-1], "--code")
    run("explore diff", "explore", "diff", "e0.1.0")
    run("explore diff A B C", "explore", "diff", "e0.1.0", repo.tags[-1], "e0.1.0")
    run("explore verify", code=1)
    run("sql", "sql", "SELECT version, name, value FROM metrics")
    run("sql --schema")
    run("push --dry-run")
    run("prune", "prune", "--keep", "0", "--dry-run")
    run("prune", "prune", "--keep", "0", "--push", "--yes")
    run("push")
    scenes.keep(
        "pull", mate.xexp("pull", "--json"), 1
    )  # the last commit has no tag, so nobody pushed it
    model = repo.write("more.bin", content("more"))
    run("candidates add", "candidates", "add", str(model), "--run", "run-lr-0.01")
    model.unlink()
    run("get", "get", "e0.1.0", "data/train.csv", "-o", "copy.csv")
    run("prune --cache", "prune", "--cache", "--dry-run")
    run("undo")
    run("redo")
    run("undo")
    run("log")
    of_registry(scenes, repo)
    repo.git("tag", "-d", "e0.1.0")
    run("registry restore-tags")
    run("registry rebuild")


#: Logs a row as xetrack lays them out, and writes a metrics file.
LOG = """
import pathlib, sqlite3
model = pathlib.Path("models/production/model.bin")
model.unlink()
model.write_bytes(b"other weights")
db = sqlite3.connect("results/experiments.db")
row = "blue-moon-1", "2030-01-01 00:00:00", 0.5
db.execute("INSERT INTO predictions (track_id, timestamp, f1) VALUES (?, ?, ?)", row)
db.commit()
open("metrics.json", "w").write('{"f1": 0.5}')
"""


def of_runs(scenes: Scenes, repo: Repo) -> None:
    """A run that is tagged, and one that fails."""
    scenes.keep("run", repo.xexp("run", "--json", "--", "false"), 1)
    scenes.keep("run", repo.xexp("run", "--json", "--", "sh", "-c", "echo no; exit 3"), 3)
    done = scenes.keep("run", repo.xexp("run", "--json", "--", sys.executable, "-c", LOG))
    scenes.keep("explore log", repo.xexp("explore", "log", done["id"], "--json"))
    write = "open('metrics.json', 'w').write('{\"f1\": 0.25}')\n" + "\n".join(LOG.splitlines()[1:5])
    words = ("--json", "--", sys.executable, "-c", write)
    scenes.keep("rerun", repo.xexp("rerun", done["id"], "--rtol", "0.5", *words))
    site = repo.path.parent / "site"  # a package more than then
    (site / "extra-1.0.dist-info").mkdir(parents=True)
    os.environ["PYTHONPATH"] += f"{os.pathsep}{site}"
    scenes.keep("rerun", repo.xexp("rerun", done["id"], "--keep", *words), 1)


def of_registry(scenes: Scenes, repo: Repo) -> None:
    """Labels, descriptions, deletion: on what :func:`of_models` left."""

    def run(heading: str, *words: str) -> Any:
        return scenes.keep(heading, repo.xexp(*words, "--json"))

    run("registry label", "label", "e0.1.0", "+later,kept", "-none")
    run("registry list", "registry", "list")
    run("registry show", "registry", "show", "e0.1.0")
    (repo / "idea.json").write_text('{"lr": 5, "net": {"width": 1}, "tags": ["a"]}')
    (made,) = run("registry import", "registry", "import", "idea.json")
    run("registry show", "registry", "show", made["config_hash"])
    run("registry export", "export", "e0.1.0", "idea.json")
    (repo / "idea.json").unlink()
    repo.xexp("undo").good()
    run("registry show", "registry", "show", repo.tags[-1])
    row = f"z,0.1,0.8,{repo.head}\ny,0.1,0.8,\n"
    (repo / "more.csv").write_text(f"run_id,lr,f1,git_commit\n{row}")
    run("import", "import", "csv", "more.csv", "--tag")
    run("registry compare", "registry", "compare", "e0.1.0", repo.tags[-1])
    repo.xexp("undo", "2").good()
    (repo / "more.csv").unlink()
    store = of_mlflow(repo.path.parent / "mlruns")
    run("import", "import", f"mlflow:{store}", "--models")
    repo.xexp("undo", "2").good()
    run("registry search", "search", "later", "softmax")
    run("registry describe", "describe", "e0.1.0", "-m", "in other words")
    run("explore show", "show", "e0.1.0")
    run("registry delete --dry-run", "delete", "e0.1.0", "--dry-run")
    run("registry delete", "delete", "e0.1.0", "--force")
    repo.xexp("undo").good()


def of_mlflow(store: Path) -> Path:
    """A store of MLflow with one run that logged a model."""
    run = store / "0/4fb1"
    files = {
        "0/meta.yaml": "name: Default\n",
        "0/4fb1/meta.yaml": "run_id: 4fb1\nstart_time: 1700000000000\nstatus: 3\n",
        "0/4fb1/params/lr": "0.5",
        "0/4fb1/metrics/f1": "1700000000000 0.7 0\n",
        "0/4fb1/artifacts/model/MLmodel": "flavors: {}\n",
    }
    for name, text in files.items():
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_text(text)
    (run / "artifacts/model/model.bin").write_bytes(content("logged"))
    return store


def of_trees(scenes: Scenes, repo: Repo) -> None:
    """Worktrees and the merge drivers, on ``trained``."""

    def run(heading: str, *words: str, code: int = 0) -> Any:
        return scenes.keep(heading, repo.xexp(*(words or heading.split()), "--json"), code)

    run("init", "init", "--dry-run")
    run("init")
    repo.commit("set up")
    repo.xexp("tag", "-m", "first").good()
    run("drivers status")
    run("drivers uninstall")
    run("check", "check", "--only", "drivers-missing", "--fix")
    run("drivers uninstall")
    run("drivers install")
    repo.xexp("drivers", "install").good()
    repo.commit("drivers")
    run("worktree new", "worktree", "new", "a")
    run("worktree list")
    (tree_of(repo) / "notes").write_text("mine")
    run("worktree remove", "worktree", "remove", "a", code=1)
    run("worktree remove", "worktree", "remove", "a", "--force")
    repo.xexp("worktree", "new", "b").good()
    shutil.rmtree(tree_of(repo, "b").path)
    run("worktree prune")
    run("explore checkout", "explore", "checkout", "e0.1.0")
    run("explore checkout", "explore", "checkout", "e0.1.0")
    run("explore worktrees")
    run("prune --worktrees", "prune", "--explore", "--dry-run")
    run("explore cleanup")
    run("setup")
    run("setup", "setup", "--check", code=1)
    run("setup", "setup", "--uninstall")


def of_sweeps(scenes: Scenes, repo: Repo) -> None:
    """A sweep of three, one of which fails, on ``set_up``."""
    trainable(repo)
    words = ("sweep", "-S", "lr=0.1,0.01", "-S", "seed=7,13", "-j", "2")

    def run(heading: str, *words: str, code: int = 0) -> Any:
        return scenes.keep(heading, repo.xexp(*words, "--json"), code)

    repo.commit("trainable")
    for options in ((), ("--tag",)):
        done = repo.xexp(*words, *options, "--json", "--", *TRAINING)
        assert done.code == 1, done.err
        lines = [json.loads(line) for line in done.out.splitlines()]
        scenes.found.setdefault("sweep", []).extend(lines)
        planned = repo.xexp(*words, "--dry-run", "--json", "--", *TRAINING)
        scenes.keep("sweep --dry-run", planned)
    run("sweep --status", "sweep", "--status")
    run("sweep --list", "sweep", "--list")


def of_merges(scenes: Scenes, repo: Repo, folder: Path) -> None:
    """Databases that git tracks: merge, diff, check, conflicts; and plain files."""

    def run(heading: str, *words: str, code: int = 0) -> Any:
        return scenes.keep(heading, repo.xexp(*(words or heading.split()), "--json"), code)

    sql(repo / "runs.db", "CREATE TABLE runs (id TEXT PRIMARY KEY, f1 REAL, blob BLOB)",
        "INSERT INTO runs VALUES ('base', 0.1, x'00ff'), ('gone', 1, NULL)")  # fmt: skip
    repo.xexp("init", "--no-dvc").good()
    repo.git("config", "xexp.results.databases", "runs.db")
    repo.commit("base")
    for name, value in (("other", 0.2), ("third", 0.3), ("fourth", 0.4)):
        repo.git("switch", "-q", "-c", name, "main")
        sql(repo / "runs.db", f"UPDATE runs SET f1 = {value} WHERE id = 'base'",
            f"INSERT INTO runs VALUES ('{name}', 0.5, NULL)")  # fmt: skip
        repo.commit(name)
    repo.git("switch", "-q", "main")
    sql(repo / "runs.db", "INSERT INTO runs VALUES ('mine', 0.7, NULL)",
        "UPDATE runs SET f1 = 0.9 WHERE id = 'base'",
        "DELETE FROM runs WHERE id = 'gone'", "CREATE TABLE extra (a)")  # fmt: skip
    repo.commit("mine")
    run("diff", "diff", "main", "other")
    run("diff", "diff", "other")
    run("merge", "merge", "other", code=1)
    run("rebase", "rebase", "other", "--key", "id", "--dry-run")
    run("merge", "merge", "other", "--on-conflict", "ours")
    repo.commit("merged")
    files = [folder / "a.db", folder / "b.db"]
    sql(files[0], "CREATE TABLE t (k TEXT PRIMARY KEY, learning_rate REAL, n INTEGER)",
        "INSERT INTO t VALUES ('a', 1, 1)")  # fmt: skip
    sql(files[1], "CREATE TABLE t (k TEXT PRIMARY KEY, learningrate REAL, n REAL)",
        "CREATE TABLE only_there (x)", "INSERT INTO t VALUES ('b', 1, 0.5)")  # fmt: skip
    scenes.keep("merge", xexp_inside("merge", *files, "-o", "all.db", "--json", cwd=folder))
    repo.git("merge", "-q", "--no-edit", "-s", "ours", "fourth")
    run("check", "check", "--merge", "HEAD~1", code=1)
    sql(repo / "odd.db", "CREATE TABLE runs (run_id TEXT, timestamp TEXT, f1 REAL)",
        "INSERT INTO runs VALUES ('one', '2026-01-01 10:00:00', 1.5)")  # fmt: skip
    repo.git("config", "xexp.check.ignore", "metric-out-of-range@runs: on purpose")
    run("check", "check", "odd.db", "--only", "metric-out-of-range,leak")
    repo.git("config", "--unset", "xexp.check.ignore")
    run("check", "check", "odd.db", code=1)
    (repo / "odd.db").unlink()
    repo.git("config", "merge.conflictStyle", "merge")
    repo.xexp("drivers", "install").good()
    from tests.helpers import run as command

    assert command("git", "merge", "third", cwd=repo.path).code == 1
    run("conflicts")
    run("conflicts resolve", "conflicts", "resolve", "--ours")


def of_team(scenes: Scenes, repo: Repo) -> None:
    """One number given by two clones, on ``set_up``."""
    repo.dvc("push")
    repo.git("clone", "-q", ".", "../mate")
    mate = Repo(repo.path.parent / "mate", repo.remote)
    mate.xexp("init").good()
    mate.dvc("pull")
    repo.xexp("tag", "-m", "ours").good()
    mate.xexp("tag", "-m", "mine").good()
    scenes.keep("tag --renumber", mate.xexp("tag", "--renumber", "e0.1.0", "--json"))


def of_demo(scenes: Scenes, folder: Path) -> None:
    """The demo."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", WITHOUT_XETRACK, prepend=os.pathsep)
        scenes.keep("demo", xexp_inside("demo", "demo", "--scene", "tag", "--json", cwd=folder))
