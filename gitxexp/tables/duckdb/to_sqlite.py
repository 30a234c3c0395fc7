"""A SQLite file: the target's own copy edited, or a new one; every value proven on its way in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gitxexp.common.errors import XexpError
from gitxexp.tables.duckdb.align import ROW, Aligned
from gitxexp.tables.duckdb.outcome import Outcome, final_query, plain
from gitxexp.tables.duckdb.session import Session, quote
from gitxexp.tables.duckdb.source import row_alias
from gitxexp.tables.duckdb.types import EMPTY

_DECLARED = {"DOUBLE": "REAL", "FLOAT": "REAL", "VARCHAR": "TEXT", "BLOB": "BLOB", EMPTY: ""}


def write_sqlite(
    session: Session,
    temp: Path,
    base: sqlite3.Connection | None,
    outcomes: Iterable[Outcome],
    objects: Sequence[tuple[str, str]],
) -> tuple[str, ...]:
    """Write ``temp``: a copy of ``base`` with the outcomes applied, or all of them in a new file.

    Gives notes. Raises :class:`XexpError` where a declared type would change a value.
    """
    con = sqlite3.connect(temp, isolation_level=None)
    try:
        if base is not None:
            base.backup(con)
        journal = con.execute("PRAGMA journal_mode").fetchone()[0]
        con.execute("PRAGMA journal_mode = MEMORY")
        con.execute("BEGIN")
        triggers = _take_triggers(con)
        for outcome in outcomes:
            _write_table(session, con, outcome, base is not None)
        notes = _create_all(con, [*triggers, *objects])
        con.execute("COMMIT")
        if journal == "wal":
            con.execute("PRAGMA journal_mode = WAL")
    except (sqlite3.Error, OverflowError, UnicodeError) as error:
        raise XexpError(f"SQLite refused the merged rows: {error}") from None
    finally:
        con.close()
    return notes


def _take_triggers(con: sqlite3.Connection) -> list[tuple[str, str]]:
    """Merged rows were inserted once already: triggers must not see them again."""
    found = con.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in found:
        con.execute(f"DROP TRIGGER {quote(name)}")
    return found


def _create_all(con: sqlite3.Connection, objects: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    notes = []
    for name, sql in objects:
        try:
            con.execute(sql)
        except sqlite3.Error as error:
            notes.append(f"{name} was not carried over: {error}")
    return tuple(notes)


def _write_table(session: Session, con: sqlite3.Connection, outcome: Outcome, edit: bool) -> None:
    table = outcome.table
    name = quote(table.name)
    if outcome.gone:
        con.execute(f"DROP TABLE IF EXISTS {name}")
        return
    if not edit or table.ours is None:
        con.execute(_ddl(table))
        _insert(session, con, table, final_query(outcome))
        return
    for column in table.added:
        con.execute(f"ALTER TABLE {name} ADD COLUMN {quote(column)} {_declared(table, column)}")
    if outcome.drop:
        _by_row(session, con, outcome, f"DELETE FROM {name}", outcome.drop, [])
    if outcome.change:
        cells = list(table.names)
        sets = ", ".join(f"{quote(c)} = ?" for c in cells)
        _by_row(session, con, outcome, f"UPDATE {name} SET {sets}", outcome.change, cells)
    if outcome.add:
        _insert(session, con, table, outcome.add)


def _declared(table: Aligned, column: str) -> str:
    return _DECLARED.get(table.columns[column], _affinity(table.columns[column]))


def _affinity(kind: str) -> str:
    return "INTEGER" if kind.endswith("INT") or kind in ("INTEGER", "BOOLEAN") else "TEXT"


def _ddl(table: Aligned) -> str:
    side = table.ours or table.others[0]
    same = {c.lower() for c in side.table.columns} == {c.lower() for c in table.columns}
    if side.table.kind == "sqlite" and same:
        return side.table.ddl
    parts = [f"{quote(c)} {_declared(table, c)}" for c in table.columns]
    if side.table.unique:
        parts.append(f"UNIQUE ({', '.join(map(quote, side.table.unique[0]))})")
    return f"CREATE TABLE {quote(table.name)} ({', '.join(parts)})"


def _shown(table: Aligned, names: Sequence[str], prefix: str = "") -> str:
    return ", ".join(plain(table.columns[c], f"{prefix}{quote(c)}") for c in names)


def _insert(session: Session, con: sqlite3.Connection, table: Aligned, query: str) -> None:
    names = list(table.names)
    marks = ", ".join("?" for _ in names)
    cells = ", ".join(map(quote, names))
    sql = f"INSERT INTO {quote(table.name)} ({cells}) VALUES ({marks})"
    probe = _Probe(con, table, names)
    for batch in session.batches(f"SELECT {_shown(table, names)} FROM ({query})"):
        probe.check(batch)
        con.executemany(sql, batch)


def _by_row(
    session: Session,
    con: sqlite3.Connection,
    outcome: Outcome,
    statement: str,
    rows: str,
    cells: list[str],
) -> None:
    """Run ``statement`` for each row of ``rows``, found by rowid or by primary key."""
    table = outcome.table
    assert table.ours is not None
    names = [row[1] for row in con.execute(f"PRAGMA table_xinfo({quote(table.name)})")]
    alias = row_alias(con, table.name, names)
    own = [] if alias else list(table.ours.table.unique[0])
    where = f"{alias} = ?" if alias else " AND ".join(f"{quote(c)} IS ?" for c in own)
    keys = f"mine.{ROW}" if alias else _shown(table, own, "mine.")
    shown = [_shown(table, cells, "changed.")] if cells else []
    query = (
        f"SELECT {', '.join([*shown, keys])} FROM {rows} AS changed "
        f"JOIN ({table.ours.query}) AS mine ON mine.{ROW} = changed.{ROW}"
    )
    probe = _Probe(con, table, cells)
    for batch in session.batches(query):
        probe.check([row[: len(cells)] for row in batch])
        con.executemany(f"{statement} WHERE {where}", batch)


class _Probe:
    """Sends values through columns of the same declared types and compares what comes back."""

    def __init__(self, con: sqlite3.Connection, table: Aligned, names: Sequence[str]) -> None:
        self.con, self.names, self.table = con, names, table
        declared = {
            row[1]: row[2] for row in con.execute(f"PRAGMA table_xinfo({quote(table.name)})")
        }
        types = [declared.get(name, "") for name in names]
        con.execute("DROP TABLE IF EXISTS temp.xexp_probe")
        if names:
            spec = ", ".join(f"c{i} {_token(kind)}" for i, kind in enumerate(types))
            con.execute(f"CREATE TEMP TABLE xexp_probe ({spec})")

    def check(self, batch: Sequence[Sequence[Any]]) -> None:
        if not self.names:
            return
        marks = ", ".join("?" for _ in self.names)
        self.con.executemany(f"INSERT INTO temp.xexp_probe VALUES ({marks})", batch)
        back = self.con.execute("SELECT * FROM temp.xexp_probe ORDER BY rowid").fetchall()
        self.con.execute("DELETE FROM temp.xexp_probe")
        for sent, got in zip(batch, back, strict=True):
            for name, one, other in zip(self.names, sent, got, strict=True):
                if type(one) is not type(other) or one != other:
                    raise XexpError(
                        f"column {name} of table {self.table.name} would turn {one!r} "
                        f"into {other!r}",
                        hint=f"its declared type does not fit; use --engine sqlite or "
                        f"--stringify {name}",
                    )


def _token(kind: str) -> str:
    """A declared type reduced to its affinity's name (sqlite.org/datatype3.html section 3.1)."""
    upper = kind.upper()
    for words, affinity in (
        (("INT",), "INTEGER"),
        (("CHAR", "CLOB", "TEXT"), "TEXT"),
        (("BLOB",), "BLOB"),
        (("REAL", "FLOA", "DOUB"), "REAL"),
    ):
        if any(word in upper for word in words):
            return affinity
    return "NUMERIC" if upper else "BLOB"
