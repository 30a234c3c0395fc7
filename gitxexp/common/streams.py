"""The standard streams: always open, and no traceback when a reader goes away.

Every command imports this, so it imports next to nothing (contextlib takes 2 ms).
"""

from __future__ import annotations

import os
import sys

from gitxexp.common.errors import XexpError
from gitxexp.common.secrets import masked
from gitxexp.common.text import one_line

CLOSED_PIPE = 128 + 13  #: the exit code by which shells report SIGPIPE


class ClosedPipe(Exception):
    """The reader of standard output is gone. (click itself would exit with 1 and git with 141.)"""


def stand() -> None:
    """Open the null device for each standard stream that was closed, as git does (setup.c,
    sanitize_stdfds): otherwise a file opened later would get its number and receive the output."""
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    last = 0
    while last <= 2:
        last = os.open(os.devnull, os.O_RDWR)
    os.close(last)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def write(text: str) -> None:
    """Write to standard output; characters outside its encoding are replaced, never an error.

    Raises ClosedPipe, or XexpError if it cannot be written.
    """
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    except OSError as error:
        raise _refused(error) from error


def write_bytes(data: bytes) -> None:
    """Like :func:`write`, for bytes."""
    try:
        sys.stdout.buffer.write(data)
    except OSError as error:
        raise _refused(error) from error


def flush() -> None:
    """Flush all output; raises as :func:`write` does."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _refused(error) from error


def tell(*lines: str) -> None:
    """Write lines to standard error. Messages contain untrusted names: see :func:`one_line`."""
    encoding = sys.stderr.encoding or "utf-8"
    text = "\n".join(shown(masked(line)) for line in lines)
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:  # noqa: SIM105 - what was said before stands before, also where both go to one file
        sys.stdout.flush()
    except OSError:
        pass
    try:
        sys.stderr.write(text + "\n")
    except BrokenPipeError:
        drop(2)
        raise
    except OSError:  # a full disk: nowhere left to report it
        drop(2)


def shown(line: str) -> str:
    """Return the line as written: escaped, with the marks of :func:`paint` turned into colours."""
    return coloured(one_line(line))


def paint(text: str, style: str) -> str:
    """Mark ``text`` with a style that becomes colour only on output, after all other escape
    sequences have been removed. The marks are 32 Unicode noncharacters, which no text contains."""
    return f"{_MARKS[style]}{text}{_END}"


def coloured(text: str) -> str:
    """Turn the marks of :func:`paint` into escape sequences (ECMA-48, SGR)."""
    return text.translate(_SGR) if _END in text else text


def marked(text: str) -> str:
    """The inverse of :func:`coloured`, for the output of another program; other colours are left out."""
    import re  # 2 ms, which few commands need

    marks = {code: _MARKS[style] for style, code in _CODES.items()} | {0: _END}

    def mark(sequence: re.Match[str]) -> str:
        return "".join(marks.get(int(code or 0), "") for code in sequence[1].split(";"))

    return re.sub("\x1b\\[([0-9;]*)m", mark, text)


def plain(text: str) -> str:
    """``text`` without the marks of :func:`paint`."""
    return text.translate(dict.fromkeys(_SGR)) if _END in text else text


_CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "blue": 34,
          "magenta": 35, "cyan": 36}  # fmt: skip
_MARKS = {style: chr(0xFDD1 + number) for number, style in enumerate(_CODES)}
_END = "\ufdd0"
_SGR = {ord(_END): "\x1b[0m"} | {ord(_MARKS[s]): f"\x1b[{code}m" for s, code in _CODES.items()}


def drop(number: int = 1) -> None:
    """Discard whatever is still to be written to this stream."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)
    except OSError:
        pass


def _refused(error: OSError) -> Exception:
    drop()
    if isinstance(error, BrokenPipeError):
        return ClosedPipe()
    return XexpError(f"write failure on standard output: {error.strerror}")
