"""A DuckDB file: the target's own copy edited, or a new one that DuckDB 1.2 can read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from gitxexp.common.errors import XexpError
from gitxexp.tables.duckdb.align import ROW, Side
from gitxexp.tables.duckdb.outcome import Outcome, final_query
from gitxexp.tables.duckdb.rows import listed
from gitxexp.tables.duckdb.session import Session, quote, text
from gitxexp.tables.duckdb.types import EMPTY

#: The oldest storage that still has all the types used here (duckdb.org/docs/internals/storage).
STORAGE = "v1.2.0"


def create_duckdb(session: Session, temp: Path) -> str:
    """Attach a new file at ``temp`` and give its catalog name."""
    alias = session.name("out")
    session.rows(f"ATTACH {text(session.inside(temp))} AS {alias} (STORAGE_VERSION '{STORAGE}')")
    return alias


def write_duckdb(
    session: Session, alias: str, outcomes: Iterable[Outcome], edit: bool
) -> tuple[str, ...]:
    """Apply the outcomes inside ``alias``; gives notes about what could not come along.

    Deletions, changes and additions are committed apart: DuckDB checks unique keys against rows
    deleted in the same transaction. The file is nobody's yet, so nothing half-done can be seen.
    """
    notes: list[str] = []
    session.rows("SET wal_autocheckpoint = '1TB'")  # a checkpoint may renumber rows
    for outcome in _parents_first(outcomes):
        if outcome.gone:
            if edit and outcome.table.ours is not None:
                place = _place(alias, outcome.table.ours, outcome.table.name)
                session.rows(f"DROP TABLE {place}")
        elif edit and outcome.table.ours is not None:
            _edit(session, alias, outcome)
        else:
            notes += _create(session, alias, outcome)
    return tuple(notes)


def finish_duckdb(session: Session, alias: str) -> None:
    """Fold the log into the file and let go of it."""
    session.rows(f"CHECKPOINT {alias}")
    session.rows(f"DETACH {alias}")


def carry(
    session: Session, alias: str, objects: Sequence[tuple[str, str]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Create indexes and views that only a source has; gives their names and notes on failures."""
    done, notes = [], []
    session.rows(f"USE {alias}")
    for name, sql in objects:
        try:
            session.rows(sql)
            done.append(name)
        except XexpError as error:
            notes.append(f"{name} was not carried over: {error.message}")
    session.rows("USE memory")
    return tuple(done), tuple(notes)


def _parents_first(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Tables without foreign keys before those that refer to others."""

    def refers(outcome: Outcome) -> bool:
        side = outcome.table.ours or outcome.table.others[0]
        return "REFERENCES" in side.table.ddl.upper() or "FOREIGN KEY" in side.table.ddl.upper()

    return sorted(outcomes, key=refers)


def _place(alias: str, side: Side, name: str) -> str:
    table = side.table
    schema = table.schema if table.kind == "duckdb" else "main"
    short = name[len(schema) + 1 :] if schema != "main" else name
    return f"{alias}.{quote(schema)}.{quote(short)}"


def _edit(session: Session, alias: str, outcome: Outcome) -> None:
    table = outcome.table
    assert table.ours is not None
    place = _place(alias, table.ours, table.name)
    for column in table.added:
        session.rows(
            f"ALTER TABLE {place} ADD COLUMN {quote(column)} {_stored(table.columns[column])}"
        )
    _fill(session, place, outcome)
    for column in table.dropped:
        session.rows(f"ALTER TABLE {place} DROP COLUMN {quote(column)}")
    _widen(session, alias, place, outcome)
    if outcome.drop:
        session.rows(f"DELETE FROM {place} WHERE rowid IN (SELECT {ROW} FROM {outcome.drop})")
    if outcome.change:
        _change(session, place, outcome)
    if outcome.add:
        names = listed(table.names)
        session.rows(f"INSERT INTO {place} ({names}) SELECT {names} FROM ({outcome.add})")


def _fill(session: Session, place: str, outcome: Outcome) -> None:
    """The columns that ours lacked and has values for all the same (see ``settled.restored``)."""
    ours = outcome.table.ours
    again = [c for c in outcome.table.added if ours is not None and c in ours.has]
    if ours is None or not again:
        return
    held = session.keep("again", f"SELECT {listed(again)}, {ROW} FROM ({ours.query})")
    sets = ", ".join(f"{quote(c)} = again.{quote(c)}" for c in again)
    session.rows(
        f"UPDATE {place} AS mine SET {sets} FROM {held} AS again WHERE mine.rowid = again.{ROW}"
    )


def _change(session: Session, place: str, outcome: Outcome) -> None:
    """Only columns that differ somewhere: a key that stays need not be checked again."""
    names = outcome.table.names
    tests = ", ".join(
        f"bool_or(mine.{quote(c)} IS DISTINCT FROM changed.{quote(c)})" for c in names
    )
    joined = f"{place} AS mine JOIN {outcome.change} AS changed ON mine.rowid = changed.{ROW}"
    flags = session.rows(f"SELECT {tests} FROM {joined}")[0]
    sets = ", ".join(
        f"{quote(c)} = changed.{quote(c)}" for c, flag in zip(names, flags, strict=True) if flag
    )
    sets = sets or ", ".join(f"{quote(c)} = changed.{quote(c)}" for c in names)
    session.rows(
        f"UPDATE {place} AS mine SET {sets} FROM {outcome.change} AS changed "
        f"WHERE mine.rowid = changed.{ROW}"
    )


def _widen(session: Session, alias: str, place: str, outcome: Outcome) -> None:
    if not outcome.table.widened:
        return
    table = outcome.table.ours.table if outcome.table.ours else None
    indexes = session.rows(
        "SELECT index_name, sql FROM duckdb_indexes() WHERE database_name = $1 "
        "AND table_name = $2 AND sql IS NOT NULL",
        [alias, (table.name or "").split(".")[-1] if table else ""],
    )
    for name, _ in indexes:
        session.rows(f"DROP INDEX {alias}.{quote(name)}")
    for line in outcome.table.widened:
        column = line.rsplit(": ", 1)[0]
        kind = outcome.table.columns[column]
        session.rows(f"ALTER TABLE {place} ALTER COLUMN {quote(column)} TYPE {kind}")
    session.rows(f"USE {alias}")
    for _, sql in indexes:
        session.rows(sql)
    session.rows("USE memory")


def _create(session: Session, alias: str, outcome: Outcome) -> list[str]:
    side = outcome.table.ours or outcome.table.others[0]
    place = _place(alias, side, outcome.table.name)
    notes: list[str] = []
    if side.table.kind != "duckdb" or not _by_ddl(session, alias, side, outcome):
        if side.table.kind == "duckdb":
            notes.append(f"table {outcome.table.name} was created without its constraints")
            session.rows(f"CREATE SCHEMA IF NOT EXISTS {alias}.{quote(side.table.schema)}")
        session.rows(f"CREATE TABLE {place} ({_columns(outcome, side)})")
    names = listed(outcome.table.names)
    query = final_query(outcome)
    session.rows(f"INSERT INTO {place} ({names}) SELECT {names} FROM ({query})")
    return notes


def _by_ddl(session: Session, alias: str, side: Side, outcome: Outcome) -> bool:
    """Create the table as its source declares it, if that has the merged columns and types."""
    if dict(side.table.columns) != dict(outcome.table.columns):
        return False
    try:
        session.rows(f"CREATE SCHEMA IF NOT EXISTS {alias}.{quote(side.table.schema)}")
        session.rows(f"USE {alias}")
        session.rows(side.table.ddl)
    except XexpError:
        return False
    finally:
        session.rows("USE memory")
    return True


def _columns(outcome: Outcome, side: Side) -> str:
    parts = [f"{quote(c)} {_stored(kind)}" for c, kind in outcome.table.columns.items()]
    unique = side.table.unique[:1]
    spelled = {c.lower() for c in outcome.table.columns}
    if unique and all(c.lower() in spelled for c in unique[0]):
        parts.append(f"UNIQUE ({listed(unique[0])})")
    return ", ".join(parts)


def _stored(kind: str) -> str:
    return "VARCHAR" if kind == EMPTY else kind
