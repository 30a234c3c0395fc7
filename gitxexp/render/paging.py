"""git's pager, and where ``pager.xexp`` has another."""

from __future__ import annotations

import os
import shlex
import subprocess

from gitxexp import streams


def show(text: str) -> None:
    """Write ``text`` through the pager; when it quits early, that is the end."""
    command = _pager()
    if command in ("", "cat"):
        streams.write(f"{text}\n")
        return
    environment = {"LESS": "FRX", "LV": "-c", **os.environ}
    parts = ["sh", "-c", command] if not _simple(command) else shlex.split(command)
    try:
        process = subprocess.Popen(parts, stdin=subprocess.PIPE, env=environment)
    except OSError as error:  # git goes on without it, too
        streams.tell(f"warning: cannot run {command}: {error.strerror}")
        streams.write(f"{text}\n")
        return
    try:
        process.communicate((text + "\n").encode("utf-8", "replace"))
    except (BrokenPipeError, KeyboardInterrupt):
        process.wait()


def _pager() -> str:
    """The command of ``pager.xexp`` (git-config(1): a boolean or a command), else git's; "" for none.

    git itself starts the pager of ``pager.xexp``, but not where we are called as ``git-xexp``, and
    not to say that there shall be none.
    """

    def git(*args: str) -> str:
        done = subprocess.run(["git", *args], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    own = git("config", "pager.xexp")
    if own.lower() in ("false", "no", "off", "0"):
        return ""
    if own.lower() in ("", "true", "yes", "on", "1") or "GIT_PAGER" in os.environ:
        return git("var", "GIT_PAGER")
    return own


def _simple(command: str) -> bool:
    return not any(char in command for char in "|&;<>()$`\\\"'*?[#~=%")
