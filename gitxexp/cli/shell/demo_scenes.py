"""Scenes of ``git xexp demo --scene NAME``: one subject each, in a repository with one experiment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gitxexp.cli.shell import demo
from gitxexp.cli.shell.demo import Say, Shell


def run_scene(name: str, directory: Path | None, say: Say) -> Path:
    """Make a repository with one experiment in ``directory`` and play a scene in it; its path.

    Raises XexpError as :func:`gitxexp.cli.shell.demo.run_demo`.
    """
    folder = demo.empty_folder(directory)
    project = folder / "project"
    for path in (project, folder / "storage"):
        path.mkdir()
    say("(making a repository with one experiment)")
    demo.first_experiment(Shell(project, lambda _line: None))
    SCENES[name].play(Shell(project, say))
    say("")
    say(f"cd {demo.quoted(str(project))}")
    return project


class Scene:
    """What a scene shows, and the function that types its commands."""

    def __init__(self, summary: str, play: Callable[[Shell], None]) -> None:
        self.summary = summary
        self.play = play


def _tag(shell: Shell) -> None:
    shell.title("Change a parameter, train, and tag: what changed decides the version")
    demo.change(shell, {"lr": "0.02"})
    shell.run("python", "train.py")
    shell.run("git", "xexp", "tag", "--all", "--suggest")
    shell.run("git", "xexp", "tag", "--all", "-m", "a larger step")
    shell.title("Everything about the experiment is in its tag")
    shell.run("git", "tag", "--list", "e*", "-n1")
    shell.run("git", "xexp", "explore", "diff", "e0.1.0", "e0.2.0")
    shell.title("Not what you wanted? Undo")
    shell.run("git", "xexp", "undo")
    shell.run("git", "xexp", "redo")


def _worktree(shell: Shell) -> None:
    shell.title("An experiment in its own folder, on its own branch, with the data shared")
    shell.run("git", "xexp", "worktree", "new", "wide")
    other = _in_worktree(shell, "wide")
    demo.change(other, {"model": "mlp", "hidden": "16"})
    other.run("python", "train.py")
    other.run("git", "xexp", "tag", "--all", "--name", "wide", "-m", "a hidden layer")
    shell.say("$ cd ../project")
    shell.run("git", "xexp", "worktree", "list")
    shell.title("Merge its rows, then remove it: remove first checks that nothing is lost")
    shell.run("git", "xexp", "merge", "wide", "--only", "results", "--commit")
    shell.run("git", "xexp", "worktree", "remove", "wide", "--push")


def _in_worktree(shell: Shell, name: str) -> Shell:
    shell.say(f"$ cd ../exp-{name}")
    return Shell(shell.folder.parent / f"exp-{name}", shell.say)


def _merge(shell: Shell) -> None:
    shell.title("Two branches log runs into one database")
    shell.run("git", "xexp", "worktree", "new", "fast")
    other = _in_worktree(shell, "fast")
    demo.change(other, {"lr": "0.1"})
    other.run("git", "xexp", "run", "-a", "-m", "a larger step", "--", "python", "train.py")
    shell.say("$ cd ../project")
    demo.change(shell, {"epochs": "6"})
    shell.run("git", "xexp", "run", "-a", "-m", "trains longer", "--", "python", "train.py")
    shell.title("git merge combines their rows; here the model of this branch stays")
    shell.run("git", "merge", "--quiet", "--no-edit", "-X", "ours", "exp/fast")
    shell.run("git", "xexp", "diff", "HEAD^1", "HEAD", "--stat")
    shell.run("git", "xexp", "explore", "list", "--runs")


def _sweep(shell: Shell) -> None:
    shell.title("Six configurations, two at a time; the best run is tagged with its own files")
    shell.run("git", "xexp", "sweep", "-S", "lr=0.01,0.1,0.5", "-S", "epochs=5,10", "-j", "2",
              "--tag", "-m", "best of six", "--", "python", "train.py")  # fmt: skip
    shell.title("The same command runs only what is new")
    shell.run("git", "xexp", "sweep", "-S", "lr=0.01,0.1,0.5", "-S", "epochs=5,10", "--dry-run",
              "--", "python", "train.py")  # fmt: skip


def _models(shell: Shell) -> None:
    shell.title("A run keeps its model as a candidate")
    demo.change(shell, {"model": "mlp", "lr": "0.1", "epochs": "20"})
    shell.run("git", "xexp", "run", "-a", "-m", "a hidden layer", "--", "python", "train.py")
    shell.run("git", "xexp", "candidates")
    shell.title("Any model of any experiment can go into production, and back")
    shell.run("git", "xexp", "promote", "e0.1.0", "--yes", "-m", "to compare")
    shell.run("git", "xexp", "promote", "--rollback", "--yes", "-m", "the better one")
    shell.run("git", "xexp", "promote", "--history")


_RELABEL = '''\
"""Set the label of one flower in data/labels.db: python relabel.py FLOWER LABEL."""

import sqlite3
import sys

with sqlite3.connect("data/labels.db") as database:
    database.execute("CREATE TABLE IF NOT EXISTS labels (flower TEXT PRIMARY KEY, label TEXT)")
    database.execute("INSERT OR REPLACE INTO labels VALUES (?, ?)", sys.argv[1:])
'''


def _conflict(shell: Shell) -> None:
    shell.title("A database of labels, with one row for each flower")
    shell.write("relabel.py", _RELABEL)
    for flower in ("flower-1", "flower-2"):
        shell.run("python", "relabel.py", flower, "setosa")
    shell.run("git", "add", "relabel.py", "data/labels.db")
    shell.run("git", "commit", "--quiet", "-m", "Labels")
    shell.title("Two branches change it: one row differently, and another on one side only")
    shell.run("git", "switch", "--quiet", "-c", "review")
    shell.run("python", "relabel.py", "flower-1", "virginica")
    shell.run("python", "relabel.py", "flower-3", "virginica")
    shell.run("git", "commit", "--quiet", "-a", "-m", "Reviewed")
    shell.run("git", "switch", "--quiet", "-")
    shell.run("python", "relabel.py", "flower-1", "versicolor")
    shell.run("git", "commit", "--quiet", "-a", "-m", "Corrected")
    shell.title("git merges the rows, and stops at the one that both changed")
    shell.run("git", "merge", "review", code=1)
    shell.run("git", "xexp", "conflicts")
    shell.run("git", "xexp", "conflicts", "resolve", "--row", "1=theirs")
    shell.run("git", "commit", "--quiet", "--no-edit")
    shell.run("git", "xexp", "diff", "HEAD^1", "HEAD", "--", "data/labels.db")


SCENES = {
    "tag": Scene("change, train, tag, compare, undo", _tag),
    "worktree": Scene("an experiment in its own folder", _worktree),
    "merge": Scene("git merge combines the rows of two branches", _merge),
    "sweep": Scene("six configurations in parallel, the best one tagged", _sweep),
    "models": Scene("candidates, promote, roll back", _models),
    "conflict": Scene("both sides changed one row: look, decide, commit", _conflict),
}
