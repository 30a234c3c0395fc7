"""The file that an import fills before anything enters the results.

It survives an interruption, and the next import resumes from it: runs that it has are not read
again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from gitxexp.common import sqlite
from gitxexp.common.errors import XexpError
from gitxexp.common.sql import quote
from gitxexp.trackers.imported_tables import KINDS, RUN_COLUMNS, RUNS, VALUE_COLUMNS, VALUES
from gitxexp.workflows.imports.source import LoggedValue, SourceRun

#: SQLite's own limit is 2,000 (sqlite.org/limits.html); DuckDB has none.
_MOST_COLUMNS = 1900
#: Commit after this many runs, so that an interrupted import can resume.
_BATCH = 200
_INSERT = f"INSERT INTO {VALUES} VALUES ({', '.join('?' * len(VALUE_COLUMNS))})"


class Staging:
    """Runs that are new, or differ from ``known`` (origin and id → digest)."""

    def __init__(self, db: sqlite3.Connection, known: Mapping[tuple[str, str], str]) -> None:
        self.db = db
        self.known = known
        self.columns = _columns(db)
        self.there: dict[tuple[str, str], str] = {
            (origin, id): state for origin, id, state in db.execute("SELECT * FROM done")
        }
        self.seen: set[tuple[str, str]] = set()
        self.values = 0
        self._since = 0

    def add(self, run: SourceRun) -> None:
        """Add a run, unless it is already there unchanged."""
        key = run.origin, run.id
        self.seen.add(key)
        if run.state and self.there.get(key) == run.state:
            return
        points = list(run.points)
        self.values += len(points)
        told = repr((_facts(run), points)).encode("utf-8", "replace")
        digest = hashlib.blake2b(told, digest_size=16).hexdigest()
        self._drop(key)
        if self.known.get(key) != digest:
            self.db.executemany(_INSERT, _rows(key, points))
            self._insert(run, digest)
        self.db.execute("INSERT OR REPLACE INTO done VALUES (?, ?, ?)", (*key, run.state))
        self.there[key] = run.state
        self._since += 1
        if self._since >= _BATCH:
            self.db.execute("COMMIT")
            self.db.execute("BEGIN")
            self._since = 0

    def _drop(self, key: tuple[str, str]) -> None:
        if key in self.there:
            for table in (RUNS, VALUES):
                self.db.execute(f"DELETE FROM {table} WHERE origin = ? AND run_id = ?", key)

    def _insert(self, run: SourceRun, digest: str) -> None:
        row: dict[str, Any] = {
            "origin": run.origin, "run_id": run.id, "name": run.name or None,
            "experiment": run.experiment or None, "status": run.status or None,
            "user": run.user or None, "started": run.started, "ended": run.ended,
            "code_commit": run.commit or None, "digest": digest,
        }  # fmt: skip
        other: dict[str, dict[str, Any]] = {}
        for kind, values in zip(KINDS, (run.params, run.metrics, run.tags), strict=True):
            for name, value in values.items():
                column = self._column(f"{kind}_{name}")
                if column is None:
                    other.setdefault(kind, {})[name] = value
                else:
                    row[column] = stored(value)
        row["other"] = json.dumps(other, default=str, sort_keys=True) if other else None
        names = ", ".join(map(quote, row))
        marks = ", ".join("?" * len(row))
        self.db.execute(f"INSERT INTO {RUNS} ({names}) VALUES ({marks})", list(row.values()))

    def _column(self, name: str) -> str | None:
        """Return the column of that name, creating it if missing; None if that is impossible."""
        folded = name.lower()
        own = self.columns.get(folded)
        if own is not None:
            return own if own == name else None
        if len(self.columns) >= _MOST_COLUMNS or not name.isprintable():
            return None
        self.db.execute(f"ALTER TABLE {RUNS} ADD COLUMN {quote(name)}")
        self.columns[folded] = name
        return name

    def counts(self) -> tuple[int, int]:
        """The runs and values to add to the results."""
        one, other = (
            self.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in (RUNS, VALUES)
        )
        return int(one), int(other)


def _columns(db: sqlite3.Connection) -> dict[str, str]:
    names = (name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (RUNS,)))
    return {name.lower(): name for name in names}


def _rows(key: tuple[str, str], points: Iterable[LoggedValue]) -> Iterator[tuple[Any, ...]]:
    """Points as rows, those of one metric numbered from 0."""
    counts: dict[str, int] = {}
    for metric, step, time, value in points:
        seq = counts.get(metric, 0)
        counts[metric] = seq + 1
        yield *key, metric, seq, step, time, value


def _facts(run: SourceRun) -> list[Any]:
    """All data of a run, except its points."""
    dicts = (sorted(d.items()) for d in (run.params, run.metrics, run.tags))
    return [run.name, run.experiment, run.status, run.user, run.started, run.ended, run.commit,
            *dicts]  # fmt: skip


def stored(value: Any) -> Any:
    """Convert a value for SQLite; unsupported types become text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if value is None or isinstance(value, float | str):
        return value
    return json.dumps(value, default=str, sort_keys=True)


@contextmanager
def staging(path: Path, known: Mapping[tuple[str, str], str]) -> Iterator[Staging]:
    """Open the staging file at ``path``, creating it if missing or damaged; its content stays if
    the block fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        db = _opened(path)
    except sqlite3.DatabaseError:  # truncated by a system crash
        remove(path)
        db = _opened(path)
    with closing(db):
        db.execute("BEGIN")
        try:
            yield Staging(db, known)
        except sqlite3.Error as error:
            raise XexpError(f"cannot write {path}: {error}", "check the free space") from error
        finally:
            if db.in_transaction:
                db.execute("COMMIT")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("PRAGMA journal_mode = DELETE")


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite.connect(path)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")  # after a system crash the source still exists
        db.execute("PRAGMA cache_size = -32000")
        for table, columns in ((RUNS, RUN_COLUMNS), (VALUES, VALUE_COLUMNS)):
            key = "origin, run_id" + (", metric, seq" if table == VALUES else "")
            listed = ", ".join(f"{quote(name)} {kind}" for name, kind in columns.items())
            rowid = " WITHOUT ROWID" if table == VALUES else ""
            db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({listed}, PRIMARY KEY ({key})){rowid}")
        db.execute(
            "CREATE TABLE IF NOT EXISTS done (origin, run_id, state, PRIMARY KEY (origin, run_id))"
        )
    except BaseException:
        db.close()
        raise
    return db


def remove(path: Path) -> None:
    """Delete the staging file."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
