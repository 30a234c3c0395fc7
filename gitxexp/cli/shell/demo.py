"""``git xexp demo``: create a real experiment repository and walk through it.

Fisher's iris measurements (150 flowers; R. A. Fisher, "The use of multiple measurements in
taxonomic problems", 1936; public domain) ship with the package as ``iris.csv``, with the two
rows as printed there that the copy in the UCI repository has wrong.

Types commands as a user would: shows each, runs it, passes its output on.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.resources import files
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from gitxexp.common import streams
from gitxexp.common.errors import XexpError
from gitxexp.storage.git import LOCAL_ENV

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

#: What is tried all at once.
SWEEP = ("-S", "lr=0.01,0.02", "-S", "epochs=40,60,80")


def run_demo(directory: Path | None, say: Say) -> Path:
    """Make the demo in ``directory`` (a new temporary folder if None); the repository's path.

    The folder receives ``project`` (the repository), ``storage`` (DVC's remote) and
    ``origin.git`` (git's). Every command is passed to ``say`` before it runs, then its output,
    line by line. Raises XexpError when the folder is not empty or a command fails.
    """
    folder = empty_folder(directory)
    project = folder / "project"
    for path in (project, folder / "storage"):
        path.mkdir()
    shell = Shell(project, say)
    first_experiment(shell)
    for changes, text in CHANGES:
        _next(shell, changes, text)
    _look(shell)
    _side_by_side(shell)
    _best_in_production(shell)
    _many_at_once(shell)
    _ask(shell)
    _go_on(project, say)
    return project


def empty_folder(directory: Path | None) -> Path:
    """``directory``, or a new temporary folder; raises XexpError where it is not empty."""
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="git-xexp-demo-"))
    folder = directory.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "a file" if not folder.is_dir() else "not empty"
        raise XexpError(
            f"{directory} is {what}", "use a new folder, or omit it for a temporary one"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def first_experiment(shell: Shell) -> None:
    """Make the repository, and tag its first experiment."""
    _start(shell)
    _tag_first(shell)


def _start(shell: Shell) -> None:
    shell.title("A repository with data, a training script and parameters")
    shell.run("git", "init", "--quiet", "--initial-branch=main")
    for key, value in shell.missing_identity().items():
        shell.run("git", "config", key, value)
    shell.quietly("git", "init", "--quiet", "--bare", "--initial-branch=main", "../origin.git")
    shell.run("git", "remote", "add", "origin", "../origin.git")
    data = files("gitxexp.cli.shell") / "demo_files"
    shell.write("data/iris.csv", data.joinpath("iris.csv").read_text(encoding="utf-8"))
    shell.write("train.py", data.joinpath("train.py.txt").read_text(encoding="utf-8"))
    shell.write("params.yaml", _yaml(PARAMS))
    shell.write(".gitignore", "__pycache__/\n")
    shell.run("python", "train.py")


def _tag_first(shell: Shell) -> None:
    shell.title("Set up git xexp and tag the first experiment")
    shell.run("git", "xexp", "init")
    shell.run("dvc", "remote", "add", "--quiet", "--default", "storage", "../storage")
    outputs = ("data/iris.csv", "models/production/model.json", "results/experiments.db")
    shell.run("dvc", "add", "--quiet", *outputs)
    shell.run("git", "add", ".")
    shell.run("git", "commit", "--quiet", "-m", "Classify iris flowers")
    shell.run("git", "push", "--quiet", "--set-upstream", "origin", "main")
    shell.run("git", "xexp", "tag", "-m", "baseline", "--push")


def _next(shell: Shell, changes: dict[str, str], text: str) -> None:
    shell.title(f"Another experiment: {text}")
    _run_experiment(shell, changes, text)


def _run_experiment(shell: Shell, changes: dict[str, str], text: str) -> None:
    change(shell, changes)
    shell.run("python", "train.py")
    shell.run("git", "xexp", "tag", "--all", "-m", text, "--push")


def change(shell: Shell, params: dict[str, str]) -> None:
    """Edit the parameter file, and show what changes."""
    old = shell.read("params.yaml")
    for name, value in params.items():
        before = next(line for line in old.splitlines() if line.startswith(f"{name}:"))
        shell.say(f"(edit params.yaml: {before} → {value})")
        old = old.replace(before, f"{name}: {value}")
    shell.write("params.yaml", old)


def _look(shell: Shell) -> None:
    shell.title("List the experiments, and compare two")
    shell.run_on_terminal("git", "xexp", "explore", "list")
    versions = shell.quietly("git", "tag", "--list", "e*", "--sort=version:refname").split()
    shell.run_on_terminal("git", "xexp", "explore", "diff", versions[0], versions[-1])


def _side_by_side(shell: Shell) -> None:
    shell.title("Two experiments side by side: each in its own folder, with the data shared")
    for name, changes, text in BESIDE:
        shell.run("git", "xexp", "worktree", "new", name)
        beside = Shell(shell.folder.parent / f"exp-{name}", shell.say)
        shell.say(f"$ cd ../exp-{name}")
        _run_experiment(beside, changes, text)
        shell.say("$ cd ../project")
    shell.title("Both changed the same database; git merge combines their rows")
    for name, _, _ in BESIDE:
        shell.run("git", "merge", "--quiet", "--no-edit", "-X", "ours", f"exp/{name}")
    shell.run("dvc", "checkout", "--quiet")
    shell.run_on_terminal("git", "xexp", "explore", "list", "--runs")
    for name, _, _ in BESIDE:
        shell.run("git", "xexp", "worktree", "remove", name)


def _best_in_production(shell: Shell) -> None:
    shell.title("Promote the best model to production; the other stays a candidate")
    shell.run("git", "xexp", "promote", "--best", "f1", "--yes", "-m", "best f1 of all")
    shell.run_on_terminal("git", "xexp", "candidates")


def _many_at_once(shell: Shell) -> None:
    shell.title("Six configurations, two at a time; the best run is tagged with its own files")
    words = ("-j", "2", "--metric", "loss", "--keep", "2", "--tag", "--push", "-m", "best of six")
    shell.run("git", "xexp", "sweep", *SWEEP, *words, "--", "python", "train.py")
    shell.title("Its model is in production now; the history records why")
    version = shell.quietly("git", "describe", "--abbrev=0", "--match=e*").strip()
    shell.run("git", "xexp", "promote", version, "-m", "lowest loss of six")
    shell.title("Is it reproducible? Run it again in a temporary worktree")
    shell.run("git", "xexp", "rerun", version)
    shell.title("Any file of any experiment can be fetched")
    shell.run("git", "xexp", "get", "e0.1.0", "models/production/model.json", "-o", "../first.json")


def _ask(shell: Shell) -> None:
    shell.title("Ask anything in SQL, and write a report")
    query = "SELECT version, f1, loss FROM metrics_wide ORDER BY loss LIMIT 3"
    shell.run("git", "xexp", "sql", query)
    shell.run("git", "xexp", "report", "-o", "../report.md")


def _go_on(project: Path, say: Say) -> None:
    say("")
    say("Try it yourself:")
    say(f"  cd {quoted(str(project))}")
    say("  git tag -l 'e*' -n1               # the log is in the tags")
    say("  git xexp explore list --sort f1   # best first")
    say("  git xexp explore show e0.1.0      # everything about one")
    say("  git xexp explore list --runs      # every run that was logged")
    say("  git xexp worktree new side        # another experiment in its own folder")
    say("  git xexp undo                     # undo the last step")


def _yaml(params: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in params.items())


def quoted(text: str) -> str:
    """A path as a shell takes it."""
    return shlex.quote(text)


#: Programs of this interpreter, and the module whose ``main()`` each is.
MODULES = {("git", "xexp"): "gitxexp.entry", ("dvc",): "dvc.cli"}
#: Imported once for all of them.
IMPORTED = ["gitxexp.cli.shell.demo_imports"]


class Shell:
    """A folder in which commands run, and someone who watches."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.say = say
        self._env = _environment()
        self._server = multiprocessing.get_context("forkserver")
        self._server.set_forkserver_preload(IMPORTED)

    def title(self, text: str) -> None:
        """Announce a step."""
        self.say("")
        self.say(f"# {text}")

    def run(self, *command: str, code: int = 0) -> None:
        """Show a command, run it and show what it prints; raises XexpError if it exits with another
        code than ``code``."""
        self._shown(command, *os.pipe(), expected=code)

    def run_on_terminal(self, *command: str) -> None:
        """Like :meth:`run`, for a command that prints for people only on a terminal."""
        self._shown(command, *os.openpty())

    def _shown(
        self, command: tuple[str, ...], ours: int, theirs: int, *, expected: int = 0
    ) -> None:
        self.say(f"$ {shlex.join(command)}")
        with os.fdopen(ours, "rb") as output:
            try:
                wait = self._started(command, theirs)
            finally:
                os.close(theirs)
            with contextlib.suppress(OSError):  # EIO is how Linux says that the other end closed
                for line in output:
                    self._show(line)
        if (code := wait()) != expected:
            self._failed(command, code or 0, [])

    def _started(self, command: tuple[str, ...], output: int) -> Callable[[], int | None]:
        """Start a command; a function that waits for its exit code."""
        module, arguments = _module(command)
        if module and sys.platform == "linux":  # elsewhere libraries do not take a fork well
            process = self._server.Process(
                target=_become, args=(module, arguments, self.folder, self._env, _Output(output))
            )
            process.start()

            def wait() -> int | None:
                process.join()
                return process.exitcode

            return wait
        return subprocess.Popen(
            _real(command),
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ).wait

    def _show(self, line: bytes) -> None:
        self.say(streams.marked(line.decode("utf-8", "replace").rstrip("\r\n")))

    def quietly(self, *command: str) -> str:
        """The output of a command that only the demo itself needs."""
        done = subprocess.run(
            _real(command), cwd=self.folder, env=self._env, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            self._failed(command, done.returncode, done.stderr.splitlines())
        return done.stdout

    def missing_identity(self) -> dict[str, str]:
        """Settings that git needs before it commits and the user has not made; signing, which
        could ask for a password, is off in the demo."""
        settings = {"user.name": "Demo", "user.email": "demo@example.org"}
        wanted = {key: value for key, value in settings.items() if not self._setting(key)}
        signing = {key: "false" for key in ("commit.gpgSign", "tag.gpgSign") if self._setting(key)}
        return wanted | signing

    def _setting(self, key: str) -> str:
        done = subprocess.run(
            ["git", "config", "--get", key], cwd=self.folder, env=self._env, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        """Write a file of the project."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def read(self, path: str) -> str:
        """Read a file of the project."""
        return (self.folder / path).read_text(encoding="utf-8")

    def _failed(self, command: tuple[str, ...], code: int, lines: list[str]) -> None:
        last = [line for line in lines if line.strip()][-5:]
        hint = "\n".join([*last, f"what was made so far is in {self.folder.parent}"])
        raise XexpError(f"the demo stopped: {shlex.join(command)} exited {code}", hint)


class _Output:
    """A file descriptor that goes along to the process it is given to."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[[Any], _Output], tuple[Any]]:
        return _received, (DupFd(self.descriptor),)


def _received(descriptor: Any) -> _Output:
    return _Output(descriptor.detach())


def _become(
    module: str, arguments: list[str], folder: Path, env: dict[str, str], output: _Output
) -> None:
    """Be the command whose ``main()`` is in ``module``; ends the process with its exit code."""
    for stream in (1, 2):
        os.dup2(output.descriptor, stream)
    os.close(output.descriptor)
    sys.stdout, sys.stderr = (
        open(stream, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
        for stream in (1, 2)
    )
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.argv = arguments
    sys.exit(importlib.import_module(module).main())


def _module(command: tuple[str, ...]) -> tuple[str | None, list[str]]:
    """The module whose ``main()`` the command is, and its arguments with its name."""
    for words, module in MODULES.items():
        if command[: len(words)] == words:
            return module, ["-".join(words), *command[len(words) :]]
    return None, list(command)


def _real(command: tuple[str, ...]) -> list[str]:
    """The command with its program found, even where this environment is not activated."""
    module, arguments = _module(command)
    if module:
        return [sys.executable, "-m", module.partition(".")[0], *arguments[1:]]
    return [sys.executable, *command[1:]] if command[0] == "python" else list(command)


def _environment() -> dict[str, str]:
    """The user's own, freed of a surrounding repository; output as wide as the terminal."""
    env = {name: value for name, value in os.environ.items() if name not in LOCAL_ENV}
    env["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), env.get("PATH", os.defpath)))
    env["COLUMNS"] = str(shutil.get_terminal_size((100, 24)).columns)
    if not sys.stdout.isatty():
        env["NO_COLOR"] = "1"
    return env | {
        "DVC_NO_ANALYTICS": "1",
        "GIT_PAGER": "cat",
        "GIT_PAGER_IN_USE": "true",  # tables as people see them
        "GIT_TERMINAL_PROMPT": "0",
        "PYTHONIOENCODING": "utf-8",
    }
