"""Write the result of a merge in the requested format.

A DuckDB file is the target's own copy edited, or a new one that DuckDB 1.2 can read. A SQLite file
likewise, with every value verified while writing. The output is a temporary file that replaces the
target only when it is complete.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from gitxexp.common import sqlite
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import Folder, Kind, kind_of, new_mode, put, sync
from gitxexp.common.sql import literal, quote
from gitxexp.tables.duckdb.align import ROW, Aligned, Side
from gitxexp.tables.duckdb.declaration import declaration
from gitxexp.tables.duckdb.objects import (
    Incoming,
    Object,
    advance,
    beside_table,
    create,
    incoming,
    left_out,
    replace_objects,
    statement_kind,
)
from gitxexp.tables.duckdb.parquet import (
    Manner,
    arrow_schema,
    has_arrow_schema,
    manner_of,
    store_as_before,
    stored_otherwise,
    write_parquet,
)
from gitxexp.tables.duckdb.rows import TableOutcome, count, final_query, listed, plain, unlike
from gitxexp.tables.duckdb.session import (
    EMPTY,
    DuckdbRefused,
    Session,
    Shortage,
    Source,
    Table,
    connect_file,
    translated,
)
from gitxexp.tables.duckdb.source import row_alias
from gitxexp.tables.plan import MergeOptions, MergeReport
from gitxexp.tables.rules import carried


@dataclass(frozen=True)
class DecidedMerge:
    """A merge whose outcome is decided."""

    session: Session
    kind: Kind
    ours: Source | None
    others: list[Source]
    outcomes: tuple[TableOutcome, ...]
    options: MergeOptions
    base: Source | None = None  #: of a three-way merge

    def report(self) -> MergeReport:
        """The plan of this merge."""
        return MergeReport(
            tables=tuple(o.report for o in self.outcomes if o.table.others or o.report.removed),
            conflicts=tuple(c for o in self.outcomes for c in o.conflicts),
            similar=tuple(s for o in self.outcomes for s in o.table.similar),
            carried=tuple(carried("table", name) for name in self._new_tables())
            + tuple(carried(statement_kind(sql), name) for name, sql in self.sqlite_objects)
            + tuple(
                item.label for item in (*self.duckdb_objects.new, *self.duckdb_objects.changed)
            ),
            notes=tuple(n for o in self.outcomes for n in o.notes)
            + self._as_text()
            + self.duckdb_objects.lost
            + self.duckdb_objects.kept,
        )

    def _new_tables(self) -> list[str]:
        """Tables that the target lacks; parquet's one table has no name of its own."""
        if self.kind == "parquet":
            return []
        return [o.table.name for o in self.outcomes if o.report.created]

    @cached_property
    def duckdb_objects(self) -> Incoming:
        """Return the types, sequences, macros, indexes, views and comments that a DuckDB target lacks,
        and what files of another kind have that the result cannot."""
        sources = [s for s in (self.ours, *self.others) if s is not None and s is not self.base]
        left = left_out(self.session, sources, self.kind)
        if self.kind != "duckdb":
            return Incoming(kept=left)
        edit = self.ours is not None and self.ours.kind == "duckdb"
        found = incoming(self.session, self.ours if edit else None, sources[edit:], self.base)
        return replace(found, kept=found.kept + left)

    @cached_property
    def sqlite_objects(self) -> list[tuple[str, str]]:
        """Indexes, views and triggers of inputs that a SQLite target lacks: name and statement."""
        if self.kind != "sqlite":
            return []
        have: set[str] = set()
        if self.ours is not None and self.ours.kind == "sqlite":
            have = {name.lower() for name in self.ours.objects}
        found: dict[str, tuple[str, str]] = {}
        for source in (*([self.ours] if self.ours else []), *self.others):
            for name, sql in source.objects.items():
                if name.lower() not in have:
                    found.setdefault(name.lower(), (name, sql))
        return list(found.values())

    def _as_text(self) -> tuple[str, ...]:
        """Convert to text the types that SQLite lacks, which keeps the value."""
        if self.kind != "sqlite":
            return ()
        simple = ("INT", "DOUBLE", "FLOAT", "VARCHAR", "BLOB", "BOOLEAN", "INTEGER", '"NULL"')
        return tuple(
            f"column {column} of {o.table.name}: {kind} is kept as text"
            for o in self.outcomes
            for column, kind in o.table.columns.items()
            if not kind.endswith(simple)
        )


def write(job: DecidedMerge, temp: Path, copy_of: Path | None) -> tuple[str, ...]:
    """Write the merged file to ``temp``; return notes. ``copy_of``: copy this, nothing changes."""
    if copy_of is not None and job.ours is not None and job.ours.kind == job.kind == "parquet":
        shutil.copyfile(copy_of, temp)
        return ()
    if job.kind == "parquet":
        return _parquet(job, temp)
    if job.kind == "sqlite":
        base = job.ours.handle if job.ours is not None and job.ours.kind == "sqlite" else None
        return write_sqlite(job.session, temp, base, job.outcomes, job.sqlite_objects)
    return _duckdb(job, temp)


def _parquet(job: DecidedMerge, temp: Path) -> tuple[str, ...]:
    outcome = job.outcomes[0]
    inputs = [job.ours, *job.others] if job.ours else job.others
    model = next((s for s in inputs if s is not None and s.kind == "parquet"), None)
    manner = manner_of(job.session, model) if model else Manner()
    files = [s for s in inputs if s is not None and s.kind == "parquet"]
    schema = arrow_schema(job.session, files, manner, outcome.table)
    write_parquet(job.session, outcome, manner, schema.value, temp)
    notes = stored_otherwise(job.session, files, temp)
    only_parquet = len(files) == len(inputs) and not manner.bloom
    if model and notes and only_parquet and store_as_before(files, manner, temp):
        notes = stored_otherwise(job.session, files, temp)
    loose = (f"column {c}: fixed-size lists are now lists of any size, because it has NULLs"
             for c in schema.loose)  # fmt: skip
    notes = (*notes, *loose)
    if schema.value or not has_arrow_schema(job.session, files):
        return notes
    return (*notes, "the Arrow schema in the metadata no longer fits and was left out")


def _duckdb(job: DecidedMerge, temp: Path) -> tuple[str, ...]:
    edit = job.ours is not None and job.ours.kind == "duckdb"
    place = job.session.workplace(temp)
    alias = job.ours.alias if edit and job.ours else create_duckdb(job.session, place)
    found = job.duckdb_objects
    early = create(job.session, alias, [item for item in found.new if item.early])
    lost = list(write_duckdb(job.session, alias, job.outcomes, edit))
    late = [item for item in found.new if item in early or not item.early]
    failed = create(job.session, alias, late)
    lost += replace_objects(job.session, alias, found.changed)
    lost += [f"{item.label} was not carried over: {why}" for item, why in failed.items()]
    advance(job.session, alias, job.others)
    accept(job, lost)
    finish_duckdb(job.session, alias)
    if place != temp:
        shutil.move(place, temp)
    return tuple(lost)


def accept(job: DecidedMerge, lost: Sequence[str]) -> None:
    """Refuse a merge that would lose an object of a source, unless it reads other files."""
    serious = [line for line in lost if "file system operations are disabled" not in line]
    if serious and not job.options.allow_lossy:
        raise XexpError(serious[0], "accept that with --allow-lossy")


#: The oldest storage version with all the types used here (duckdb.org/docs/internals/storage).
STORAGE = "v1.2.0"


def create_duckdb(session: Session, temp: Path) -> str:
    """Attach a new file at ``temp`` and return its catalog name."""
    alias = session.name("out")
    session.rows(f"ATTACH {literal(session.inside(temp))} AS {alias} (STORAGE_VERSION '{STORAGE}')")
    return alias


def write_duckdb(
    session: Session, alias: str, outcomes: Iterable[TableOutcome], edit: bool
) -> tuple[str, ...]:
    """Apply the outcomes inside ``alias``; return notes about what could not be kept.

    Deletions, changes and additions are committed separately: DuckDB checks unique keys against rows
    deleted in the same transaction. The file is not in use yet, so no reader sees a partial state.
    """
    notes: list[str] = []
    session.rows("SET wal_autocheckpoint = '1TB'")  # a checkpoint may renumber rows
    ordered = _parents_first(outcomes)
    edits = [_Edit(session, alias, o, o.table.ours) for o in ordered if edit and o.table.ours]
    for table in edits:
        table.reshape()
    for table in reversed(edits):  # rows to which others refer after those
        table.delete()
    for table in edits:
        table.write()
    for outcome in ordered:
        if not outcome.gone and not (edit and outcome.table.ours):
            notes += _create(session, alias, outcome)
    return tuple(notes)


def finish_duckdb(session: Session, alias: str) -> None:
    """Checkpoint the log into the file and detach it."""
    session.rows(f"CHECKPOINT {alias}")
    session.rows(f"DETACH {alias}")


def _parents_first(outcomes: Iterable[TableOutcome]) -> list[TableOutcome]:
    """Tables without foreign keys before those that refer to others."""

    def refers(outcome: TableOutcome) -> bool:
        side = outcome.table.ours or outcome.table.others[0]
        return "REFERENCES" in side.table.ddl.upper() or "FOREIGN KEY" in side.table.ddl.upper()

    return sorted(outcomes, key=refers)


def _place(alias: str, side: Side, name: str) -> str:
    table = side.table
    schema = table.schema if table.kind == "duckdb" else "main"
    short = name[len(schema) + 1 :] if schema != "main" else name
    return f"{alias}.{quote(schema)}.{quote(short)}"


def _into(session: Session, alias: str, table: Table, sql: str) -> None:
    """Run a statement that writes rows, where what the table declares finds the macros that it calls."""
    with session.within(alias) if declaration(table.ddl).computes else contextlib.nullcontext():
        session.rows(sql)


@dataclass(frozen=True)
class _Edit:
    """The changes to one table of the target."""

    session: Session
    alias: str
    outcome: TableOutcome
    side: Side  #: ours

    @property
    def place(self) -> str:
        return _place(self.alias, self.side, self.outcome.table.name)

    @cached_property
    def anew(self) -> str:
        """All rows of a table that must be made anew to have its types; empty for others."""
        declared, table = declaration(self.side.table.ddl), self.outcome.table
        if self.outcome.gone or not any(map(declared.needs_type, _wider(table))):
            return ""
        query = final_query(self.outcome)
        return self.session.keep("anew", f"SELECT {listed(table.names)} FROM ({query})")

    @cached_property
    def beside(self) -> list[Object]:
        """The indexes and comments of the table."""
        return beside_table(self.session, self.alias, self.side.table)

    def reshape(self) -> None:
        """Change the columns, while all rows have their numbers."""
        table, place, session = self.outcome.table, self.place, self.session
        if self.outcome.gone:
            return
        if self.anew:
            _ = self.beside  # before the table is dropped
            return
        fill, defaults = _fill(session, place, self.outcome), _defaults(session, self.outcome)
        wider = _wider(table)
        indexes = [item for item in self.beside if item.kind == "INDEX"] if wider else []
        with session.within(self.alias):
            for column in table.added:
                kind = _stored(table.columns[column])
                session.rows(f"ALTER TABLE {place} ADD COLUMN {quote(column)} {kind}")
            for column, default in defaults.items():
                session.rows(f"ALTER TABLE {place} ALTER {quote(column)} SET DEFAULT {default}")
            if fill:
                session.rows(fill)
            for column in table.dropped:
                session.rows(f"ALTER TABLE {place} DROP COLUMN {quote(column)}")
            for item in indexes:
                session.rows(f"DROP INDEX {self.alias}.{quote(self.side.table.schema)}.{item.name}")
            for column, kind in wider.items():
                session.rows(f"ALTER TABLE {place} ALTER COLUMN {quote(column)} TYPE {kind}")
        if indexes:
            create(session, self.alias, self.beside)

    def delete(self) -> None:
        """Delete rows, or the table."""
        place, drop, session = self.place, self.outcome.drop, self.session
        if self.outcome.gone:
            session.rows(f"DROP TABLE {place}")
            return
        if self.anew:
            self._drop()
            return
        if not drop:
            return
        own = _own_references(self.side)
        delete = f"DELETE FROM {place} WHERE rowid IN (SELECT {ROW} FROM"
        if not own:
            _into(session, self.alias, self.side.table, f"{delete} {drop})")
            return
        free = " AND ".join(
            f"NOT EXISTS (SELECT 1 FROM {place} AS child "
            f"WHERE {_alike('child', columns, 'mine', parents)})"
            for columns, parents in own
        )
        left = session.keep("family", f"SELECT {ROW} FROM {drop}")
        rows = (
            f"SELECT rowid AS {ROW} FROM {place} AS mine WHERE rowid IN (SELECT {ROW} FROM {left})"
        )
        for turn in _turns(session, left, f"{rows} AND {free}"):
            _into(session, self.alias, self.side.table, f"{delete} {turn})")

    def _drop(self) -> None:
        try:
            self.session.rows(f"DROP TABLE {self.place}")
        except DuckdbRefused:
            column, kind = next(iter(_wider(self.outcome.table).items()))
            raise XexpError(
                f"{self.outcome.table.name}.{column} cannot become {kind}: a foreign key of another "
                "table needs its type",
                "change the type on both sides first",
            ) from None

    def write(self) -> None:
        """Change and add rows."""
        if self.outcome.gone:
            return
        session, alias, outcome = self.session, self.alias, self.outcome
        if self.anew:
            _make(session, alias, self.place, self.side, outcome)
            query = f"SELECT * FROM {self.anew}"
            _insert_into(session, alias, self.place, self.side, outcome, query)
            failed = create(session, alias, self.beside)
            for why in failed.values():
                raise XexpError(why)
            return
        if outcome.change:
            _change(session, alias, self.place, outcome)
        if outcome.add:
            _insert_into(session, alias, self.place, self.side, outcome, outcome.add)


def _make(session: Session, alias: str, place: str, side: Side, outcome: TableOutcome) -> None:
    """Create a table as an input declares it, with the types and the columns of the outcome."""
    own, columns = side.table.columns, outcome.table.columns
    types = {c: _stored(kind) for c, kind in columns.items() if own.get(c, kind) != kind}
    defaults = _defaults(session, outcome)
    with session.within(alias):
        session.rows(declaration(side.table.ddl).retyped(types))
        for name in columns:
            if name not in own:
                kind = _stored(columns[name])
                session.rows(f"ALTER TABLE {place} ADD COLUMN {quote(name)} {kind}")
        for name, default in defaults.items():
            session.rows(f"ALTER TABLE {place} ALTER {quote(name)} SET DEFAULT {default}")
        for name in outcome.table.dropped:
            session.rows(f"ALTER TABLE {place} DROP COLUMN {quote(name)}")


def _insert_into(
    session: Session, alias: str, place: str, side: Side, outcome: TableOutcome, query: str
) -> None:
    """Insert rows, parents first where they refer to others of the table: DuckDB takes no row whose
    parent comes with the same statement."""
    names = listed(outcome.table.names)
    into = f"INSERT INTO {place} ({names}) SELECT {names} FROM"
    own = _own_references(side)
    if not own:
        rows = f"({query})"
        if declaration(side.table.ddl).computes:  # a macro could have the name of what it calls
            rows = session.keep("rows", f"SELECT {names} FROM {rows}")
        _into(session, alias, side.table, f"{into} {rows}")
        return
    ready = " AND ".join(
        f"({' OR '.join(f'mine.{quote(c)} IS NULL' for c in columns)} OR EXISTS "
        f"(SELECT 1 FROM {place} AS parent WHERE {_alike('parent', parents, 'mine', columns)}))"
        for columns, parents in own
    )
    left = session.keep("family", f"SELECT {names}, row_number() OVER () AS {ROW} FROM ({query})")
    for turn in _turns(session, left, f"SELECT * FROM {left} AS mine WHERE {ready}"):
        _into(session, alias, side.table, f"{into} {turn} ORDER BY {ROW}")


def _turns(session: Session, left: str, ready: str) -> Iterator[str]:
    """Tables of the rows of ``left`` that are ready after those before were written, until none is left.

    If none is ready, all: then DuckDB names the reference that it misses.
    """
    while count(session, f"SELECT 1 FROM {left}"):
        turn = session.keep("turn", ready)
        if not count(session, f"SELECT 1 FROM {turn}"):
            yield left
            return
        yield turn
        session.rows(f"DELETE FROM {left} WHERE {ROW} IN (SELECT {ROW} FROM {turn})")


def _alike(one: str, columns: Sequence[str], other: str, others: Sequence[str]) -> str:
    pairs = zip(columns, others, strict=True)
    return " AND ".join(f"{one}.{quote(a)} = {other}.{quote(b)}" for a, b in pairs)


def _own_references(side: Side) -> list[tuple[Sequence[str], Sequence[str]]]:
    """The columns of a table that refer to others of the same table, with those."""
    table = side.table
    if table.kind != "duckdb":
        return []
    names = [(table.short.lower(),), (table.schema.lower(), table.short.lower())]
    return [
        (each.columns, each.parents)
        for each in declaration(table.ddl).constraints
        if each.kind == "FOREIGN KEY" and tuple(p.lower() for p in each.parent) in names
    ]


def _defaults(session: Session, outcome: TableOutcome) -> dict[str, str]:
    """The default of each added column that a source declares, for later rows."""
    added = {name.lower(): name for name in outcome.table.added}
    found = {}
    for side in outcome.table.others if added else ():
        if side.table.kind != "duckdb":
            continue
        catalog = side.table.relation.split(".")[0]
        rows = session.rows(
            "SELECT column_name, column_default FROM duckdb_columns() WHERE database_name = $1 "
            "AND schema_name = $2 AND table_name = $3 AND column_default IS NOT NULL",
            [catalog, side.table.schema, side.table.short],
        )
        for name, default in rows:
            stored = name in side.table.columns and name not in side.table.generated
            if stored and name.lower() in added:
                found[added.pop(name.lower())] = default
    return found


def _fill(session: Session, place: str, outcome: TableOutcome) -> str:
    """A statement that returns the columns that ours lacked but has values for (see
    ``settled.restored``)."""
    ours = outcome.table.ours
    again = [c for c in outcome.table.added if ours is not None and c in ours.has]
    if ours is None or not again:
        return ""
    held = session.keep("again", f"SELECT {listed(again)}, {ROW} FROM ({ours.query})")
    sets = ", ".join(f"{quote(c)} = again.{quote(c)}" for c in again)
    return f"UPDATE {place} AS mine SET {sets} FROM {held} AS again WHERE mine.rowid = again.{ROW}"


def _wider(table: Aligned) -> dict[str, str]:
    """The columns of ours whose type changes, with the new one."""
    own = {} if table.ours is None else table.ours.table.columns
    known = {name.lower(): kind for name, kind in own.items()}
    return {c: k for c, k in table.columns.items() if known.get(c.lower(), k) not in (k, EMPTY)}


def _change(session: Session, alias: str, place: str, outcome: TableOutcome) -> None:
    """Update only columns that differ somewhere: an unchanged key need not be checked again.

    DuckDB does not write a value that it takes for equal (0.0 for -0.0, 30 days for 1 month), so the
    rows of such changes are written anew.
    """
    table, names = outcome.table, outcome.table.names
    assert table.ours is not None
    into = partial(_into, session, alias, table.ours.table)
    same = " OR ".join(
        f"mine.{quote(c)} IS NOT DISTINCT FROM changed.{quote(c)} AND {mark}"
        for c in names
        for mark in unlike(table, c, f"mine.{quote(c)}", f"changed.{quote(c)}")[1:]
    )
    joined = f"{place} AS mine JOIN {outcome.change} AS changed ON mine.rowid = changed.{ROW}"
    anew = ""
    if same and count(session, f"SELECT 1 FROM {joined} WHERE {same}"):
        anew = session.keep("anew", f"SELECT changed.* FROM {joined} WHERE {same}")
        into(f"DELETE FROM {place} WHERE rowid IN (SELECT {ROW} FROM {anew})")
    tests = ", ".join(
        f"bool_or(mine.{quote(c)} IS DISTINCT FROM changed.{quote(c)})" for c in names
    )
    flags = session.rows(f"SELECT {tests} FROM {joined}")[0]
    sets = ", ".join(
        f"{quote(c)} = changed.{quote(c)}" for c, flag in zip(names, flags, strict=True) if flag
    )
    if sets:
        into(
            f"UPDATE {place} AS mine SET {sets} FROM {outcome.change} AS changed "
            f"WHERE mine.rowid = changed.{ROW}"
        )
    if anew:
        cells = listed(names)
        into(f"INSERT INTO {place} ({cells}) SELECT {cells} FROM {anew} ORDER BY {ROW}")


def _create(session: Session, alias: str, outcome: TableOutcome) -> list[str]:
    """Create a table with its rows; return the parts of its declaration that could not be kept."""
    side = outcome.table.ours or outcome.table.others[0]
    if side.table.kind == "duckdb":
        session.rows(f"CREATE SCHEMA IF NOT EXISTS {alias}.{quote(side.table.schema)}")
        if _by_ddl(session, alias, side, outcome):
            return []
    place = _place(alias, side, outcome.table.name)
    session.rows(f"CREATE TABLE {place} ({_columns(outcome, side)})")
    names = listed(outcome.table.names)
    session.rows(f"INSERT INTO {place} ({names}) SELECT {names} FROM ({final_query(outcome)})")
    if side.table.kind == "duckdb" and _DECLARES.search(side.table.ddl):
        return [f"table {outcome.table.name} was created without its constraints and defaults"]
    return []


#: What a table's declaration may contain besides names and types.
_DECLARES = re.compile(
    r"\b(PRIMARY KEY|UNIQUE|CHECK|REFERENCES|NOT NULL|DEFAULT|GENERATED|COLLATE)\b", re.IGNORECASE
)


def _by_ddl(session: Session, alias: str, side: Side, outcome: TableOutcome) -> bool:
    """Create and fill the table as its source declares it, where its columns can have their types
    and the rows of the others keep its constraints."""
    place, columns = _place(alias, side, outcome.table.name), outcome.table.columns
    if any(name not in columns for name in side.table.columns):
        return False
    try:
        _make(session, alias, place, side, outcome)
        _insert_into(session, alias, place, side, outcome, final_query(outcome))
    except Shortage:
        raise
    except XexpError:
        session.rows(f"DROP TABLE IF EXISTS {place}")
        return False
    return True


def _columns(outcome: TableOutcome, side: Side) -> str:
    parts = [f"{quote(c)} {_stored(kind)}" for c, kind in outcome.table.columns.items()]
    unique = side.table.unique[:1]
    spelled = {c.lower() for c in outcome.table.columns}
    if unique and all(c.lower() in spelled for c in unique[0]):
        parts.append(f"UNIQUE ({listed(unique[0])})")
    return ", ".join(parts)


def _stored(kind: str) -> str:
    return "VARCHAR" if kind == EMPTY else kind


_DECLARED = {"DOUBLE": "REAL", "FLOAT": "REAL", "VARCHAR": "TEXT", "BLOB": "BLOB", EMPTY: ""}


_BEYOND_64 = ("UBIGINT", "HUGEINT", "UHUGEINT")


def write_sqlite(
    session: Session,
    temp: Path,
    base: sqlite3.Connection | None,
    outcomes: Iterable[TableOutcome],
    objects: Sequence[tuple[str, str]],
) -> tuple[str, ...]:
    """Write ``temp``: a copy of ``base`` with the outcomes applied, or all of them in a new file.

    Returns notes. Raises :class:`XexpError` if a declared type would change a value.
    """
    con = sqlite.connect(temp)
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
    except OverflowError:
        wide = [c for o in outcomes for c, kind in o.table.columns.items() if kind in _BEYOND_64]
        raise XexpError(
            f"SQLite has no integers of more than 64 bits, as in column {', '.join(wide)}",
            f"turn them into text with {' '.join(f'--stringify {c}' for c in wide)}",
        ) from None
    except (sqlite3.Error, UnicodeError) as error:
        raise XexpError(
            f"SQLite refused the merged rows: {error}",
            "write another kind of file: -o FILE.parquet",
        ) from None
    finally:
        con.close()
    return notes


def _take_triggers(con: sqlite3.Connection) -> list[tuple[str, str]]:
    """Disable triggers: merged rows were already inserted once."""
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


def _write_table(
    session: Session, con: sqlite3.Connection, outcome: TableOutcome, edit: bool
) -> None:
    table = outcome.table
    name = quote(table.name)
    if outcome.gone:
        con.execute(f"DROP TABLE IF EXISTS {name}")
        return
    if not edit or table.ours is None:
        _create_in_sqlite(con, table)
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


def _create_in_sqlite(con: sqlite3.Connection, table: Aligned) -> None:
    """Create the table as a SQLite file declares it, with the columns that others add."""
    side = table.ours or table.others[0]
    if side.table.kind == "sqlite":
        con.execute(side.table.ddl)
        for column in table.columns:
            if column not in side.has:
                added = f"{quote(column)} {_declared(table, column)}"
                con.execute(f"ALTER TABLE {quote(table.name)} ADD COLUMN {added}")
        return
    parts = [f"{quote(c)} {_declared(table, c)}" for c in table.columns]
    if side.table.unique:
        parts.append(f"UNIQUE ({', '.join(map(quote, side.table.unique[0]))})")
    con.execute(f"CREATE TABLE {quote(table.name)} ({', '.join(parts)})")


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
    outcome: TableOutcome,
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


_LOGS = (".wal", "-wal", "-shm", "-journal")


@contextlib.contextmanager
def beside(out: Path) -> Iterator[Path]:
    """Yield a new path in the folder of ``out``; the file is removed at the end."""
    folder = Folder(out.parent)
    try:
        yield folder.path / "merged"
    finally:
        folder.close()


@contextlib.contextmanager
def writing(out: Path) -> Iterator[None]:
    """Convert system errors (above all a full disk) to an :class:`XexpError` about ``out``."""
    try:
        yield
    except OSError as error:
        raise XexpError(
            f"cannot write {out}: {error.strerror or error}",
            hint="free space there or write elsewhere with -o; nothing was changed",
        ) from None


def publish(temp: Path, out: Path) -> None:
    """Replace ``out`` by ``temp`` atomically and durably.

    A log of the old file must not outlive it (it would be replayed onto the new one), so the
    database itself checkpoints it into the old file first. A link is replaced,
    never followed: its target may be a cache object.
    """
    try:
        temp.chmod(new_mode(out))
        settle(out)
        sync(temp)
        put(temp, out)
        sync(out.parent)
    except OSError as error:
        raise XexpError(f"cannot write {out}: {error.strerror}") from None


def settle(path: Path) -> None:
    """Checkpoint a database's log into its file; raises :class:`XexpError` if it is in use."""
    logs = [path.with_name(path.name + suffix) for suffix in _LOGS]
    if path.is_symlink() or not any(log.exists() and log.stat().st_size for log in logs):
        return
    kind = kind_of(path)
    if kind == "duckdb":
        with translated(str(path)), connect_file(path, read_only=False) as con:
            con.execute("CHECKPOINT")
    elif kind == "sqlite":
        _settle_sqlite(path)
    if any(log.exists() and log.stat().st_size for log in logs if not log.name.endswith("-shm")):
        raise XexpError(f"{path} is in use by another program", hint="close it there and try again")


def _settle_sqlite(path: Path) -> None:
    try:
        with contextlib.closing(sqlite.connect(path)) as con:
            con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        raise XexpError(f"cannot replace {path}: {error}", "write a new file: -o FILE") from None
