"""A real experiment repository, made and walked through: ``git xexp demo``.

Fisher's iris measurements (150 flowers; R. A. Fisher, "The use of multiple measurements in
taxonomic problems", 1936; public domain) ship with the package as ``iris.csv``, with the two
rows as printed there that the copy in the UCI repository has wrong.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from gitxexp.demo.shell import Shell
from gitxexp.errors import XexpError

Say = Callable[[str], None]

PARAMS = {"model": "softmax", "lr": "0.005", "epochs": "3", "hidden": "8", "seed": "7"}
#: What is changed before each further experiment, and what the user says of it.
CHANGES = (
    ({"lr": "0.01", "epochs": "5"}, "learns faster, and longer"),
    ({"model": "mlp", "lr": "0.1", "epochs": "20"}, "a hidden layer"),
)
#: What is tried beside it, each in a worktree of its own.
BESIDE = (
    ("wide", {"hidden": "16"}, "a wider layer"),
    ("slow", {"lr": "0.02", "epochs": "40"}, "smaller steps, and more of them"),
)


def run_demo(directory: Path | None, say: Say) -> Path:
    """Make the demo in ``directory`` (a new temporary folder if None); the repository's path.

    The folder receives ``project`` (the repository), ``storage`` (DVC's remote) and
    ``origin.git`` (git's). Every command is passed to ``say`` before it runs, then its output,
    line by line. Raises XexpError when the folder is not empty or a command fails.
    """
    folder = _empty(directory)
    project = folder / "project"
    for path in (project, folder / "storage"):
        path.mkdir()
    shell = Shell(project, say)
    _start(shell)
    _tag_first(shell)
    for change, text in CHANGES:
        _next(shell, change, text)
    _look(shell)
    _side_by_side(shell)
    _best_in_production(shell)
    _go_on(project, say)
    return project


def _empty(directory: Path | None) -> Path:
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="git-xexp-demo-"))
    folder = directory.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "a file" if not folder.is_dir() else "not empty"
        raise XexpError(f"{directory} is {what}", "name a new folder, or none for a temporary one")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _start(shell: Shell) -> None:
    shell.title("A repository with data, a training script and parameters")
    shell.run("git", "init", "--quiet", "--initial-branch=main")
    for key, value in shell.missing_identity().items():
        shell.run("git", "config", key, value)
    shell.quietly("git", "init", "--quiet", "--bare", "--initial-branch=main", "../origin.git")
    shell.run("git", "remote", "add", "origin", "../origin.git")
    data = files("gitxexp.demo")
    shell.write("data/iris.csv", data.joinpath("iris.csv").read_text(encoding="utf-8"))
    shell.write("train.py", data.joinpath("train.py.txt").read_text(encoding="utf-8"))
    shell.write("params.yaml", _yaml(PARAMS))
    shell.write(".gitignore", "__pycache__/\n")
    shell.run("python", "train.py")


def _tag_first(shell: Shell) -> None:
    shell.title("git xexp looks at what is there; the first experiment is tagged")
    shell.run("git", "xexp", "init")
    shell.run("dvc", "remote", "add", "--quiet", "--default", "storage", "../storage")
    outputs = ("data/iris.csv", "models/production/model.json", "results/experiments.db")
    shell.run("dvc", "add", "--quiet", *outputs)
    shell.run("git", "add", ".")
    shell.run("git", "commit", "--quiet", "-m", "Classify iris flowers")
    shell.run("git", "push", "--quiet", "--set-upstream", "origin", "main")
    shell.run("git", "xexp", "tag", "-m", "baseline", "--push")


def _next(shell: Shell, change: dict[str, str], text: str) -> None:
    shell.title(f"Another experiment: {text}")
    _run_experiment(shell, change, text)


def _run_experiment(shell: Shell, change: dict[str, str], text: str) -> None:
    old = shell.read("params.yaml")
    for name, value in change.items():
        before = next(line for line in old.splitlines() if line.startswith(f"{name}:"))
        shell.say(f"(edit params.yaml: {before} → {value})")
        old = old.replace(before, f"{name}: {value}")
    shell.write("params.yaml", old)
    shell.run("python", "train.py")
    shell.run("git", "xexp", "tag", "--all", "-m", text, "--push")


def _look(shell: Shell) -> None:
    shell.title("What was done, and what made the difference")
    shell.run_on_terminal("git", "xexp", "explore", "list")
    versions = shell.quietly("git", "tag", "--list", "e*", "--sort=version:refname").split()
    shell.run_on_terminal("git", "xexp", "explore", "diff", versions[0], versions[-1])


def _side_by_side(shell: Shell) -> None:
    shell.title("Two experiments side by side: a folder each, the data shared")
    for name, change, text in BESIDE:
        shell.run("git", "xexp", "worktree", "new", name)
        beside = Shell(shell.folder.parent / f"exp-{name}", shell.say)
        shell.say(f"$ cd ../exp-{name}")
        _run_experiment(beside, change, text)
        shell.say("$ cd ../project")
    shell.title("Both changed the same database; git merge brings the rows of both together")
    for name, _, _ in BESIDE:
        shell.run("git", "merge", "--quiet", "--no-edit", "-X", "ours", f"exp/{name}")
    shell.run("dvc", "checkout", "--quiet")
    shell.run_on_terminal("git", "xexp", "explore", "list", "--runs")
    for name, _, _ in BESIDE:
        shell.run("git", "xexp", "worktree", "remove", name)


def _best_in_production(shell: Shell) -> None:
    shell.title("The best model of them all goes into production; the other stays a candidate")
    shell.run("git", "xexp", "promote", "--best", "f1", "--yes", "-m", "best f1 of all")
    shell.run_on_terminal("git", "xexp", "candidates")
    shell.title("Any file of any experiment can be fetched")
    shell.run("git", "xexp", "get", "e0.1.0", "models/production/model.json", "-o", "../first.json")


def _go_on(project: Path, say: Say) -> None:
    say("")
    say("Yours to play in:")
    say(f"  cd {_quoted(str(project))}")
    say("  git tag -l 'e*' -n1               # the log is in the tags")
    say("  git xexp explore list --sort f1   # best first")
    say("  git xexp explore show e0.1.0      # all there is to know of one")
    say("  git xexp explore list --runs      # every run that was logged")
    say("  git xexp worktree new side        # another experiment beside it, the data shared")
    say("  git xexp undo                     # take the last step back")


def _yaml(params: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in params.items())


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)
