"""``git xexp`` on a terminal of its own.

The command is a copy of this process, which has imported all that it needs: a new interpreter
spends more on that than on the command. It is the leader of its session and the terminal's
foreground, so that Ctrl-C reaches it. What Python does as it starts is tested with real processes.
"""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

import pexpect
from ptyprocess import PtyProcess


class Terminal(pexpect.spawn):
    """``git xexp WORDS``, driven as any child of pexpect."""

    def __init__(
        self, words: Sequence[str | Path], cwd: Path, env: Mapping[str, str],
        *, width: int = 80, height: int = 24, timeout: int = 60,
    ) -> None:  # fmt: skip
        from gitxexp.cli import main, progress  # noqa: F401  not once for each copy

        super().__init__(None, encoding="utf-8", timeout=timeout)
        pid, fd = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
            _become([str(word) for word in words], cwd, {**os.environ, "TERM": "xterm", **env})
        self.ptyproc = PtyProcess(pid, fd)
        self.pid, self.child_fd = pid, fd
        self.terminated = self.closed = False
        self.delaybeforesend = None

    def finish(self) -> tuple[str, int | None]:
        """All that is left of its output, with line feeds alone, and the exit code."""
        text = str(self.read()).replace("\r\n", "\n")
        self.close()
        return text, self.exitstatus


def _become(words: list[str], cwd: Path, env: dict[str, str]) -> None:
    """Be the command, in a process that was just forked; never returns."""
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = ["git-xexp", *words]
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # type: ignore[misc]  # noqa: SIM115
        sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, closefd=False)  # type: ignore[misc]  # noqa: SIM115
        from gitxexp.entry import main

        try:
            code = main(words)
        except SystemExit as done:
            code = int(done.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
