"""Messages for unforeseen errors: of the operating system, of the installation, and bugs."""

from __future__ import annotations

import os

from gitxexp.common.errors import FATAL, XexpError
from gitxexp.common.failures import of_system


def unexpected(error: Exception) -> tuple[str, str | None, int]:
    """What is said of an error that no verb foresaw: its message, a hint and the exit code.

    Raises it again where ``XEXP_TRACEBACK`` is set and it is a mistake of this program.
    """
    known = of_system(error)
    if os.environ.get("XEXP_TRACEBACK") and not isinstance(error, OSError):
        raise error
    if known is not None:
        return known.message, known.hint, known.exit_code
    if isinstance(error, ImportError):
        return f"this installation is damaged: {error}", "install git-xexp again", FATAL
    return (
        f"unexpected {type(error).__name__}: {error}",
        "this is a bug; XEXP_TRACEBACK=1 shows where it happened",
        FATAL,
    )


def words(error: Exception) -> tuple[str, str]:
    """The message and the hint ("" for none) of any error, where the program goes on after it."""
    if isinstance(error, XexpError):
        return "\n".join(error.lines), error.hint or ""
    message, hint, _ = unexpected(error)
    return message, hint or ""
