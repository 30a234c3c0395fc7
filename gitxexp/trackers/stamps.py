"""Write an experiment's version into the rows of its run, and remove it again.

Also counts the rows of a results database that belong to an experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, NamedTuple

from gitxexp.common.dataclass import dataclass
from gitxexp.common.files import database_kind
from gitxexp.common.sql import quote
from gitxexp.trackers.databases import Database, reading, writing
from gitxexp.trackers.event_rows import condition
from gitxexp.trackers.run import Run, Window
from gitxexp.trackers.tables import RunTable, event_tables, tables_of

#: ``[first, last]`` rowids, both included; in a table without rowids, the values of the key.
Place = list[Any]


@dataclass(frozen=True, slots=True)
class StampRecord:
    """Exactly what :func:`stamp` did; JSON-able by :meth:`as_dict`, and all :func:`unstamp` needs.

    ``filled`` maps each column to the places of the cells that it now fills: ranges of rowids
    when ``by`` is empty, else values of the key columns ``by``.
    """

    path: str
    table: str
    run: str
    values: dict[str, str]  #: column → value written
    added: list[str] = field(default_factory=list)
    by: list[str] = field(default_factory=list)
    filled: dict[str, list[Place]] = field(default_factory=dict)
    rows: int = 0  #: rows with at least one filled cell

    def as_dict(self) -> dict[str, Any]:
        """For the operation log."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StampRecord:
        """From :meth:`as_dict`, or from JSON of it."""
        return cls(**data)

    @property
    def changed(self) -> bool:
        """Whether the database was written to at all."""
        return bool(self.added or self.rows)


#: The columns that a tag fills in the rows of its run.
STAMPED = ("version", "git_commit", "dvc_hash")
#: The adapters whose tables may be written to; another program's store must not be changed.
_OURS = ("xetrack", "table")


@dataclass(frozen=True, slots=True)
class Stampable:
    """A table of a run that gets its version: with new columns if ``widen``, else in those there."""

    table: str
    run: str
    widen: bool
    window: Window | None = None  #: its rows to stamp, None: all


def stampable(run: Run, asked: bool | None) -> list[Stampable]:
    """Return the tables of a run to stamp. ``asked`` is the user's choice, or None.

    By default these are xetrack's tables (xetrack inserts by name and adds columns itself), and others
    that have the columns already: a program that inserts by position would fail with more columns.
    Nothing is written into the store of another tracker, or into a parquet file.
    """
    if asked is False or run.tracker not in _OURS or database_kind(run.database) == "parquet":
        return []
    found = []
    for part in run.parts:
        (table,) = event_tables(run.database, part.table)
        there = {name.lower() for name in table.columns} | {
            "version" for _ in table.version_columns[:1]
        }
        widen = asked is True or table.is_xetrack
        if widen or there.intersection(STAMPED):
            found.append(Stampable(part.table, part.run, widen, part.window))
    return found


@dataclass(frozen=True, slots=True)
class Unstamped:
    """The result of :func:`unstamp`: cells emptied, columns dropped, columns that others use."""

    cells: int
    dropped: tuple[str, ...]
    kept: tuple[str, ...]


def stamp(
    path: Path,
    table: str,
    run_id: str,
    values: Mapping[str, str],
    announce: Callable[[StampRecord], object] | None = None,
    timeout: float = 10.0,
    *,
    widen: bool = True,
    window: Window | None = None,
) -> StampRecord:
    """Fill ``values`` (``version``, ``git_commit``, ``dvc_hash``) into the run's empty cells.

    Existing versions are kept, and rows with another version are not changed at all. Only rows in
    ``window`` are filled, if there is one. The version goes into ``experiment_version`` if the
    table has that column instead. Missing columns are added if ``widen``. All happens in one
    transaction, or none if there is nothing to fill. Waits ``timeout`` seconds for another
    writer, then raises XexpError, as it does for an unknown table. ``announce`` is given the record
    before anything changes, so that the undo step can be recorded first.
    """
    with writing(path, timeout) as database:
        (run_table,) = tables_of(database, table)
        named = {_own_name(run_table, column): value for column, value in values.items()}
        if not widen:
            named = {name: value for name, value in named.items() if name in run_table.columns}
        version = values.get("version", "")
        of_run = condition(database, run_table, run_id, window=window)
        places = {name: _places(database, run_table, of_run, name, version) for name in named}
        if not any(places.values()):
            return StampRecord(str(path), table, run_id, {})
        added = [name for name in named if name not in run_table.columns]
        by = [] if run_table.has_rowid else list(run_table.key)
        rows = max(_size(where, by) for where in places.values())
        filled = {name: where for name, where in places.items() if where}
        record = StampRecord(str(path), table, run_id, named, added, by, filled, rows)
        if announce is not None:
            announce(record)
        with database.triggers_aside(table):
            for name in added:
                database.run(f"ALTER TABLE {quote(table)} ADD COLUMN {quote(name)} VARCHAR")
            for name, where in places.items():
                _fill(database, run_table, name, named[name], where)
        return record


def restamp(path: Path, table: str, run_id: str, old: str, new: str) -> int:
    """Replace version ``old`` by ``new`` in the run's rows; the number of rows. Its own inverse."""
    with writing(path) as database:
        (found,) = tables_of(database, table)
        if not found.version_columns:
            return 0
        name = quote(found.version_columns[0])
        sql = (
            f"{database.update} {quote(table)} SET {name} = ?"
            f" WHERE {found.run_id} = ? AND {name} = ?"
        )
        with database.triggers_aside(table):
            return database.run(sql, [new, run_id, old])


def unstamp(record: StampRecord | Mapping[str, Any]) -> Unstamped:
    """Undo a stamp: empty the cells that still hold our value, drop columns that it added and
    nobody else uses."""
    record = record if isinstance(record, StampRecord) else StampRecord.from_dict(record)
    if not record.changed:
        return Unstamped(0, (), ())
    with writing(Path(record.path)) as database:
        (table,) = tables_of(database, record.table)
        present = {name: w for name, w in record.filled.items() if name in table.columns}
        ours = [name for name in record.added if name in table.columns]
        with database.triggers_aside(views=bool(ours)):
            cells = sum(_empty(database, record, name, where) for name, where in present.items())
            unused = [name for name in ours if not _used(database, table, name)]
            for name in unused:
                database.run(f"ALTER TABLE {quote(table.name)} DROP COLUMN {quote(name)}")
        kept = tuple(name for name in ours if name not in unused)
        return Unstamped(cells, tuple(unused), kept)


def _own_name(table: RunTable, column: str) -> str:
    """Return the table's own spelling of a column (``experiment_version`` for a version)."""
    if column == "version" and table.version_columns:
        return table.version_columns[0]
    return table.first_of((column.lower(),)) or column


def _places(
    database: Database, table: RunTable, of_run: tuple[str, list[Any]], column: str, version: str
) -> list[Place]:
    """Where ``column`` is empty in the run's rows that name no version, or this one."""
    where, values = of_run[0], list(of_run[1])
    own = column in table.version_columns
    conditions = [f"{quote(column)} IS NULL"] if column in table.columns else []
    for name in table.version_columns:
        cell = quote(name)
        conditions.append(f"{cell} IS NULL" if own else f"({cell} IS NULL OR {cell} = ?)")
        values += [] if own else [version]
    chosen = "rowid" if table.has_rowid else ", ".join(quote(key) for key in table.key)
    order = " ORDER BY rowid" if table.has_rowid else ""
    sql = f"SELECT {chosen} FROM {quote(table.name)}{' AND '.join([where, *conditions])}{order}"
    found = database.rows(sql, values)
    return list(ranges(row[0] for row in found)) if table.has_rowid else [list(k) for k in found]


def ranges(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Ascending whole numbers as ``[first, last]`` ranges without gaps."""
    current: list[int] = []
    for number in numbers:
        if current and number == current[1] + 1:
            current[1] = number
            continue
        if current:
            yield current
        current = [number, number]
    if current:
        yield current


def _size(places: Sequence[Place], by: Sequence[str]) -> int:
    return len(places) if by else sum(last - first + 1 for first, last in places)


def _condition(by: Sequence[str]) -> str:
    return " AND ".join(f"{quote(key)} = ?" for key in by) or "rowid BETWEEN ? AND ?"


def _fill(database: Database, table: RunTable, column: str, value: str, where: list[Place]) -> None:
    by = [] if table.has_rowid else table.key
    sql = f"{database.update} {quote(table.name)} SET {quote(column)} = ? WHERE {_condition(by)}"
    for place in where:
        database.run(sql, [value, *place])


def _empty(database: Database, record: StampRecord, column: str, where: list[Place]) -> int:
    sql = (
        f"{database.update} {quote(record.table)} SET {quote(column)} = NULL"
        f" WHERE {_condition(record.by)} AND {quote(column)} = ?"
    )
    return sum(database.run(sql, [*place, record.values[column]]) for place in where)


def _used(database: Database, table: RunTable, column: str) -> bool:
    sql = f"SELECT 1 FROM {quote(table.name)} WHERE {quote(column)} IS NOT NULL LIMIT 1"
    return any(True for _ in database.rows(sql))


class Linked(NamedTuple):
    """``rows`` rows of ``table`` name the experiment by ``column`` = ``value``."""

    database: Path
    table: str
    column: str
    value: str
    rows: int


def linked(
    path: Path,
    version: str,
    run: str,
    commits: Sequence[str],
    table: str | None = None,
) -> list[Linked]:
    """Count the rows that name the version, the run or one of the commits (at least 7 digits).

    Only counts above zero. Raises XexpError if the file is not a readable database.
    """

    if path.is_dir():  # a store of files has no rows
        return []

    def action(database: Database) -> list[Linked]:
        found = []
        for each in tables_of(database, table):
            found += [_count(database, each, c, version) for c in each.version_columns]
            if run and each.run_column:
                found.append(_count(database, each, each.run_column, run))
            for column in each.commit_columns:
                found += [_count(database, each, column, c, shortened=True) for c in commits]
        return [link for link in found if link.rows]

    return reading(path, action)


def _count(
    database: Database, table: RunTable, column: str, value: str, *, shortened: bool = False
) -> Linked:
    name = quote(column)
    where = f"CAST({name} AS VARCHAR) = ?"
    params = [value]
    if shortened:
        where = f"({where} OR (length({name}) >= 7 AND ? LIKE CAST({name} AS VARCHAR) || '%'))"
        params = [value, value]
    sql = f"SELECT count(*) FROM {quote(table.name)} WHERE {where}"
    ((rows,),) = database.rows(sql, params)
    return Linked(database.path, table.name, column, value, int(rows))
