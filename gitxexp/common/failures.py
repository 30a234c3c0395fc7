"""What is said of errors that are not this program's: of the operating system, of SQLite, of names."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from gitxexp.common.errors import GONE, XexpError, is_full, system_hint
from gitxexp.common.text import not_utf8


def of_system(error: Exception) -> XexpError | None:
    """The error that tells a user of one of the system; None for any other, such as a bug."""
    if isinstance(error, FileNotFoundError) and not error.filename and not _somewhere():
        said = f"Unable to read current working directory: {error.strerror}"  # git's
        return XexpError(said, GONE)
    if isinstance(error, OSError) and error.errno is not None:
        name = error.filename or (is_full(error) and _full_folder())
        return XexpError(f"{error.strerror}{f': {name}' if name else ''}", system_hint(error))
    if type(error).__name__ == "OperationalError" and type(error).__module__ == "sqlite3":
        name = is_full(error) and _full_folder()
        where = f" ({name})" if name else ""
        return XexpError(f"SQLite: {error}{where}", "is there space, and may .git/xexp be written?")
    if isinstance(error, UnicodeEncodeError):  # a path's bytes, as Python has them
        shown = not_utf8(error.object)
        return XexpError(
            f"'{shown}' is not UTF-8, which names in the registry and in DVC are", "rename it"
        )
    return None


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
