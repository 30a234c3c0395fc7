"""Messages for unforeseen errors: of the operating system, of the installation, and bugs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from gitxexp.common.errors import FATAL, GONE, XexpError, is_full, system_hint
from gitxexp.common.text import not_utf8


def unexpected(error: Exception) -> tuple[str, str | None, int]:
    """What is said of an error that no verb foresaw: its message, a hint and the exit code.

    Raises it again where ``XEXP_TRACEBACK`` is set and it is a mistake of this program.
    """
    if isinstance(error, FileNotFoundError) and not error.filename and not _somewhere():
        said = f"Unable to read current working directory: {error.strerror}"  # git's
        return said, GONE, FATAL
    if isinstance(error, OSError) and error.errno is not None:
        name = error.filename or (is_full(error) and _full_folder())
        return f"{error.strerror}{f': {name}' if name else ''}", system_hint(error), FATAL
    if os.environ.get("XEXP_TRACEBACK"):
        raise error
    if type(error).__name__ == "OperationalError" and type(error).__module__ == "sqlite3":
        name = is_full(error) and _full_folder()
        where = f" ({name})" if name else ""
        return f"SQLite: {error}{where}", "is there space, and may .git/xexp be written?", FATAL
    if isinstance(error, UnicodeEncodeError):  # a path's bytes, as Python has them
        return (
            f"'{not_utf8(error.object)}' is not UTF-8, which names in the registry and in DVC are",
            "rename it",
            FATAL,
        )
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


#: Bytes below which a file system counts as full.
_LITTLE = 1 << 20


def _full_folder() -> str | None:
    """The first folder that commands write to whose file system has no space left."""
    import shutil
    import tempfile

    folders = [os.curdir, os.environ.get("GIT_DIR", os.curdir), tempfile.gettempdir()]
    for folder in folders:
        with suppress(OSError):
            if shutil.disk_usage(folder).free < _LITTLE:
                return str(Path(folder).absolute())
    return None


def _somewhere() -> bool:
    """Whether the current folder is still there."""
    try:
        return Path.cwd().is_dir()
    except OSError:
        return False
