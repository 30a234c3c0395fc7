"""Types commands as a user would: shows each, runs it, passes its output on."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gitxexp.errors import XexpError
from gitxexp.gitio import LOCAL_ENV

#: How to run what has no script of its own beside this interpreter.
MODULES = {("git", "xexp"): ("-m", "gitxexp"), ("dvc",): ("-m", "dvc"), ("python",): ()}


class Shell:
    """A folder in which commands run, and someone who watches."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.say = say
        self._env = _environment()

    def title(self, text: str) -> None:
        """Announce a step."""
        self.say("")
        self.say(f"# {text}")

    def run(self, *command: str) -> None:
        """Show a command, run it and show what it prints; raises XexpError if it fails."""
        self.say(f"$ {shlex.join(command)}")
        with self._started(command, subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                self._show(line)
        if process.returncode:
            self._failed(command, process.returncode, [])

    def run_on_terminal(self, *command: str) -> None:
        """Like :meth:`run`, for a command that prints for people only on a terminal."""
        self.say(f"$ {shlex.join(command)}")
        ours, theirs = os.openpty()
        with os.fdopen(ours, "rb") as output, self._started(command, theirs) as process:
            os.close(theirs)
            with contextlib.suppress(OSError):  # EIO is how Linux says that the other end closed
                for line in output:
                    self._show(line)
        if process.returncode:
            self._failed(command, process.returncode, [])

    def _started(self, command: tuple[str, ...], stdout: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            _real(command),
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
        )

    def _show(self, line: bytes) -> None:
        self.say(line.decode("utf-8", "replace").rstrip("\r\n"))

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


def _real(command: tuple[str, ...]) -> list[str]:
    """The command with its program found, even where this environment is not activated."""
    for words, arguments in MODULES.items():
        if command[: len(words)] == words:
            return [sys.executable, *arguments, *command[len(words) :]]
    return list(command)


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
        "GIT_TERMINAL_PROMPT": "0",
        "PYTHONIOENCODING": "utf-8",
    }
