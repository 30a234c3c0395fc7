"""Where MLflow says that a run's artifacts are: in the worktree that it ran in, which is soon gone.

They come to the same folder of the user's work tree as the rows do, so the rows say that.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote as quoted

from gitxexp.common import sqlite
from gitxexp.common.errors import XexpError
from gitxexp.common.files import database_kind
from gitxexp.common.sql import quote

#: Columns of MLflow's tables with the place of artifacts (mlflow/store/tracking/dbmodels/models.py).
_COLUMNS = ("artifact_uri", "artifact_location")


def move(file: Path, path: str, tree: Path, home: Path) -> None:
    """Let MLflow's store in ``file``, which was ``path`` in the worktree ``tree``, name places in ``home``
    instead. Any other file stays as it is."""
    if path.endswith("/meta.yaml"):
        text = file.read_bytes()
        for old, new in _places(tree, home):
            for start in (b": ", b": file://", b": '", b": 'file://"):
                text = text.replace(start + os.fsencode(old), start + os.fsencode(new))
        file.write_bytes(text)
    elif database_kind(file) == "sqlite":
        try:
            with closing(sqlite.connect(file, "rw")) as db:
                _move_rows(db, tree, home)
        except (XexpError, sqlite3.Error):  # a view, or a column of another kind
            return


def _move_rows(db: sqlite3.Connection, tree: Path, home: Path) -> None:
    for table in sqlite.tables(db):
        names = [name for _, name, *_ in db.execute(f"PRAGMA table_info({quote(table.name)})")]
        for column in map(quote, (name for name in names if name in _COLUMNS)):
            for old, new in _places(tree, home):  # a path, or a URL that begins with file://
                sql = (
                    f"UPDATE {quote(table.name)} SET {column} = replace({column}, ?, ?)"
                    f" WHERE instr({column}, ?) = 1 OR instr({column}, 'file://' || ?) = 1"
                )
                db.execute(sql, (old, new, old, old))


def _places(tree: Path, home: Path) -> Iterator[tuple[str, str]]:
    """The start of a place in the worktree, as a path and as in a URL, and what it becomes."""
    for top in dict.fromkeys((str(tree), os.path.realpath(tree))):
        for spell in (str, quoted):
            yield f"{spell(top)}/", f"{spell(str(home))}/"
