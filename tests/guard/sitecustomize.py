"""Audit hook that keeps a test run sealed: the real home is not written, the network not used.

Python loads this module by itself in every child process, because its folder is on ``PYTHONPATH``
while the tests run; ``tests/conftest.py`` loads it in the test process. Each violation raises and
is appended to a file, so that a swallowed exception still fails the test.
"""

# pathlib is not used here: it would be imported into every child process.
# ruff: noqa: PTH100, PTH118, PTH123

import os
import sys

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: Audit events whose listed arguments are paths about to be changed.
CHANGES = {
    "os.mkdir": 1,
    "os.rename": 2,
    "os.remove": 1,
    "os.rmdir": 1,
    "os.symlink": 2,
    "os.link": 2,
    "os.truncate": 1,
    "sqlite3.connect": 1,
}
PRIVATE = (".gitconfig", ".config/git", ".config/dvc", ".config/git-xexp")


class Guard:
    """What is forbidden in this process."""

    def __init__(self, home, log, allowed):
        self.home = home
        self.log = log
        # A folder that holds the home allows nothing in it: in many containers HOME lies below /tmp.
        around = tuple(_folder(path) for path in allowed if path)
        self.allowed = tuple(path for path in around if not _folder(home).startswith(path))
        self.private = tuple(os.path.join(home, name) for name in PRIVATE)
        self.busy = False

    def __call__(self, event, args):
        if self.busy:
            return
        if event == "open":
            self.opened(*args)
        elif event in CHANGES:
            for path in args[: CHANGES[event]]:
                if self.at_home(path):
                    self.refuse(f"{event} {path!r}")
        elif event == "socket.connect":
            self.connected(args[1])
        elif event == "socket.getaddrinfo" and args[0] not in LOCAL:
            self.refuse(f"looked up {args[0]!r}")

    def opened(self, path, mode, flags):
        text = _text(path)
        if text is None:
            return
        if text.startswith(self.private):
            self.refuse(f"opened {text}")
        if isinstance(flags, int) and flags & WRITES and self.at_home(text):
            self.refuse(f"opened {text} for writing")

    def at_home(self, path):
        text = _text(path)
        if text is None or "__pycache__" in text:
            return False
        return text.startswith(_folder(self.home)) and not text.startswith(self.allowed)

    def connected(self, address):
        if isinstance(address, tuple) and address[0] not in LOCAL:
            self.refuse(f"connected to {address!r}")

    def refuse(self, what):
        self.busy = True
        try:
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"{os.getpid()} {what}\n")
        finally:
            self.busy = False
        raise PermissionError(f"sealed test: {what}")


LOCAL = ("127.0.0.1", "::1", "localhost", "", None, b"127.0.0.1", b"localhost")


def _text(path):
    try:
        return os.path.abspath(os.fsdecode(path)) if not isinstance(path, int) else None
    except (TypeError, ValueError):
        return None


def _folder(path):
    return path.rstrip(os.sep) + os.sep


def install():
    """Install the hook once, as ``XEXP_TEST_*`` says; without them, do nothing."""
    home = os.environ.get("XEXP_TEST_REAL_HOME")
    log = os.environ.get("XEXP_TEST_GUARD_LOG")
    if not home or not log or getattr(sys, "_xexp_guard", False):
        return
    sys._xexp_guard = True
    allowed = [sys.prefix, sys.base_prefix]
    allowed += os.environ.get("XEXP_TEST_ALLOWED", "").split(os.pathsep)
    sys.addaudithook(Guard(os.path.abspath(home), log, allowed))


install()
