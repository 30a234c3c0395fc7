"""The interface to sqlite-utils, for writing our own databases. Reads use sqlite3 itself."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def database(connection: sqlite3.Connection) -> Database:
    """Wrap ``connection`` with sqlite-utils; no sqlite-utils plugin is loaded."""
    return import_writer()(connection, recursive_triggers=False, execute_plugins=False)


def import_writer() -> type[Database]:
    """Return sqlite-utils' class. In a thread only beside what imports neither pandas nor numpy."""
    with _hidden("pandas", "numpy"):
        from sqlite_utils import Database
    return Database


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Make ``import NAME`` fail, unless it was imported already.

    sqlite-utils 4.2 imports both for type maps that nobody here needs: 130 ms without, 700 ms with.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
