"""Ask questions on a terminal, and open the user's editor. Without a terminal nothing is asked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from gitxexp.cli.render import console
from gitxexp.common import streams
from gitxexp.common.errors import GitError, NoAnswer


def can_ask() -> bool:
    """Whether somebody is there to read a question and to answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, answers: Sequence[str], default: str) -> str | None:
    """Which of ``answers`` was given, by any beginning of it; None for the end of input."""
    while True:
        streams.flush()
        sys.stderr.write(streams.shown(f"{question} "))
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            sys.stderr.write("\n")
            return None
        given = line.strip().lower() or default
        for answer in answers:
            if answer.startswith(given):
                return answer
        console.say(f"'{given}' is not {' or '.join(answers)}")


def confirm(question: str) -> bool:
    """Whether the answer is yes; no is the default, and what the end of input means."""
    return ask(f"{question} [y/N]", ("yes", "no"), "no") == "yes"


def edit(text: str, path: Path) -> str:
    """``text`` as the user leaves it in git's editor, in the file ``path``, which then goes.

    NoAnswer when the editor fails; GitError when there is none.
    """
    import subprocess

    asked = subprocess.run(
        ["git", "var", "GIT_EDITOR"], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise GitError(("var", "GIT_EDITOR"), asked.returncode, asked.stderr)
    editor = asked.stdout.strip()
    path.write_text(text, "utf-8")
    try:
        if editor != ":":  # git-var(1): it is for the shell
            _run(editor, path)
        return path.read_text("utf-8", "replace")
    finally:
        path.unlink(missing_ok=True)


def _run(editor: str, path: Path) -> None:
    """Ctrl-C is the editor's while it runs: it is in the foreground with us."""
    import signal
    import subprocess

    streams.flush()
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        command = ["sh", "-c", f'{editor} "$@"', editor, str(path)]
        code = subprocess.run(command, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)
    if code in (-signal.SIGINT, 128 + signal.SIGINT):
        raise KeyboardInterrupt
    if code:
        raise NoAnswer(
            f"there was a problem with the editor '{editor}'", "give the text with -m TEXT"
        )
