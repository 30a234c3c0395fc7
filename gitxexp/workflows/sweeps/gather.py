"""Gather the rows of many runs into few databases: merging each database costs a few milliseconds.

Only databases that certainly contain just new rows are combined: with the same schema, with rows
only in tables of runs, and without clashing rowids.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from gitxexp.common import sqlite
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import database_kind
from gitxexp.common.sql import quote
from gitxexp.trackers.databases import reading
from gitxexp.trackers.tables import tables_of

_SCHEMA = "SELECT type, name, sql FROM sqlite_schema ORDER BY name, type"
_NUMBERED = "SELECT 1 FROM pragma_table_info(?) WHERE pk = 1 AND upper(type) = 'INTEGER'"

#: Experiments of MLflow's that the target has under the same number and name: with its own dates and
#: folder, which differ where two runs made the experiment.
_KNOWN = """
INSERT OR REPLACE INTO main.experiments
SELECT known.* FROM target.experiments AS known JOIN main.experiments USING (experiment_id, name)
"""


@dataclass(frozen=True)
class Gathered:
    """A database with the rows of ``members``; with a single member, that database itself."""

    file: Path
    members: tuple[Path, ...]


def gather(sources: Sequence[Path], folder: Path) -> list[Gathered]:
    """Return the databases, with those that can be combined replaced by files in ``folder``."""
    by_schema: dict[object, list[Path]] = {}
    alone: list[Path] = []
    for source in sources:
        schema = _schema(source) if len(sources) > 1 else None
        (alone if schema is None else by_schema.setdefault(schema, [])).append(source)
    found = [Gathered(source, (source,)) for source in alone]
    for number, group in enumerate(by_schema.values()):
        found += _together(group, folder / f"together-{number}.db")
    return found


def _schema(source: Path) -> object:
    """The key shared by databases that can be combined; None for one that cannot."""
    try:
        if database_kind(source) != "sqlite":
            return None
        runs = frozenset(reading(source, lambda db: [table.name for table in tables_of(db)]))
        with closing(sqlite.connect(source, "ro")) as db:
            schema = tuple(db.execute(_SCHEMA).fetchall())
            if any(kind == "trigger" for kind, _, _ in schema):
                return None
            for entry in sqlite.tables(db):
                name = entry.name
                if entry.kind != "table" or db.execute(_NUMBERED, (name,)).fetchone():
                    return None
                filled = db.execute(f"SELECT 1 FROM {quote(name)} LIMIT 1").fetchone()
                if filled and name not in runs:
                    return None
            return schema, db.execute("PRAGMA encoding").fetchone()
    except (XexpError, sqlite3.Error):
        return None


def _together(group: Sequence[Path], target: Path) -> Iterable[Gathered]:
    """One file with the rows of as many as possible; the others as they are."""
    first, *rest = group
    if not rest:
        return [Gathered(first, (first,))]
    shutil.copyfile(first, target)
    members, others = [first], []
    with closing(sqlite.connect(target, "rw")) as db:
        db.execute("PRAGMA synchronous = OFF")
        names = [quote(entry.name) for entry in sqlite.tables(db)]
        for source in rest:
            sqlite.attach(db, sqlite.address(source, "ro"), "run")
            db.execute("BEGIN")
            try:
                for name in names:
                    db.execute(f"INSERT INTO main.{name} SELECT * FROM run.{name}")
            except sqlite3.Error:  # a key that another run also has
                db.execute("ROLLBACK")
                others.append(source)
            else:
                db.execute("COMMIT")
                members.append(source)
            db.execute("DETACH run")
    return [Gathered(target, tuple(members)), *(Gathered(each, (each,)) for each in others)]


def with_known_experiments(source: Path, target: Path, folder: Path) -> Path | None:
    """Return a copy in ``folder`` of an MLflow database of a run that made experiments which the
    ``target`` has by now, too: as the target has them. None for any other database."""
    if database_kind(source) != "sqlite" or database_kind(target) != "sqlite":
        return None
    copy = folder / f"known-{source.name}"
    shutil.copyfile(source, copy)
    try:
        with closing(sqlite.connect(copy, "rw")) as db:
            sqlite.attach(db, sqlite.address(target, "ro"), "target")
            db.execute("BEGIN")
            known = db.execute(_KNOWN).rowcount
            db.execute("COMMIT")
    except sqlite3.Error:  # no such table or column
        return None
    return copy if known else None
