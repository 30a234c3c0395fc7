"""Find the tables of a results database that hold runs, and their run, time and version columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from functools import cached_property
from pathlib import Path

from gitxexp.common import sqlite
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.sql import literal, quote
from gitxexp.tables.rules import RUN_IDS, VERSION_COLUMNS
from gitxexp.trackers.column_names import COMMIT_COLUMNS
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.imported_tables import RUNS, VALUES

#: xetrack's documented table names, in order of preference.
KNOWN_TABLES = ("predictions", "metrics", "events", "default")
#: Common names of the table of runs in home-made trackers, next to tables of steps.
COMMON_TABLES = ("runs", "experiments", "trials", "results")
#: xetrack's object store (``assets.py``) never holds runs, and imported runs have their own adapter.
NOT_EVENTS = frozenset(("assets", "keys", "counts", RUNS, VALUES))
RUN_COLUMNS = (*RUN_IDS[:2], "run", "run_name", *RUN_IDS[2:], "experiment_id", "trial_id",
               "trial", "job_id", "session_id", "backtest_id", "exp_id", "trial_number",
               "run_hash")  # fmt: skip
#: Those that only a run has.
STRONG_RUN_COLUMNS = ("track_id", "run_id", "run_uuid", "run_name", "trial_id", "experiment_id")
TIME_COLUMNS = ("timestamp", "created_at", "logged_at", "datetime", "date_time", "time", "date",
                "ts", "created", "updated_at", "finished_at", "end_time", "start_time",
                "started_at", "finished", "ended", "ended_at", "started", "started_on", "run_at",
                "logged", "recorded_at", "ran_at", "datetime_start")  # fmt: skip
#: Endings of other time columns, if there is also a run column.
TIME_ENDINGS = ("_at", "_timestamp", "_datetime", "_date")
TIME_TYPES = ("TIMESTAMP", "DATETIME", "DATE")


@dataclass(frozen=True)
class RunTable:
    """A table whose rows belong to runs. Its columns are looked up once, because runs may be many."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]  #: declared primary key, possibly empty
    has_rowid: bool
    types: dict[str, str] = field(default_factory=dict)  #: declared type of each column

    def first_of(self, names: tuple[str, ...]) -> str | None:
        """The table's own spelling of the first of ``names`` that it has."""
        own = self._own
        return next((own[name] for name in names if name in own), None)

    def all_of(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Every column whose name is among ``names``, in the order of ``names``."""
        own = self._own
        return tuple(own[name] for name in names if name in own)

    @cached_property
    def _own(self) -> dict[str, str]:
        """The columns by their lower-case names."""
        return {column.lower(): column for column in self.columns}

    @cached_property
    def run_column(self) -> str | None:
        """The column that holds the run's id."""
        return self.first_of(RUN_COLUMNS)

    @cached_property
    def is_xetrack(self) -> bool:
        """Whether xetrack made the table: both its engines give every table this key."""
        return self.key == ("track_id", "timestamp")

    @cached_property
    def is_optuna(self) -> bool:
        """Whether the table is what ``optuna.Study.trials_dataframe`` gives."""
        return {"number", "state", "datetime_start"} <= set(self.columns)

    @cached_property
    def time_column(self) -> str | None:
        """The column that says when a row was written.

        It is found by name; if there is a run column, also by its ending or by the declared type that
        pandas (``TIMESTAMP``) and DuckDB write.
        """
        named = self.first_of(TIME_COLUMNS)
        if named or not self.run_column:
            return named
        typed = (c for c in self.columns if self.types.get(c, "").upper().startswith(TIME_TYPES))
        ending = (c for c in self.columns if c.lower().endswith(TIME_ENDINGS))
        return next(typed, None) or next(ending, None)

    @cached_property
    def version_columns(self) -> tuple[str, ...]:
        """The columns ``version`` and ``experiment_version``, if they exist."""
        return self.all_of(VERSION_COLUMNS)

    @cached_property
    def commit_columns(self) -> tuple[str, ...]:
        """The columns that hold the commit of the code."""
        return self.all_of(COMMIT_COLUMNS)

    @property
    def run_id(self) -> str:
        """An SQL expression for the run that a row belongs to; never NULL.

        The run column; without one, rows of the same version are one run, because a script that
        logs a version but no id logs one experiment under it. A row that has neither is a run
        of its own, named by ``id`` if there is such a column, else ``row-N``.
        """
        parts = [self.run_column] if self.run_column else [*self.version_columns]
        if not self.run_column and "id" in self.columns:
            parts.append("id")
        texts = [f"CAST({quote(part)} AS VARCHAR)" for part in parts]
        return f"COALESCE({', '.join([*texts, self._row_name])}, 'row')"

    @property
    def order(self) -> str:
        """An SQL expression for the order in which rows were written; "" if unknown."""
        if self.has_rowid:
            return "rowid"
        return quote(self.time_column) if self.time_column else ""

    @property
    def _row_name(self) -> str:
        names = self.key
        if self.has_rowid:
            return "'row-' || CAST(rowid AS VARCHAR)"
        if not names:  # of a view: what is most likely to differ
            names = (self.first_of(("rowid",)) or self.time_column or "",)
        texts = [f"CAST({quote(name)} AS VARCHAR)" for name in names if name]
        return " || ".join(
            ["'row'", *(f"'{'/' if n else '-'}' || {t}" for n, t in enumerate(texts))]
        )


def condition_of(columns: Sequence[str], run: str, version: str) -> str | None:
    """A condition in DuckDB's SQL for the rows of a run, or of those that name its version, in a table of
    ``columns``; None if neither has a column."""
    own = {column.lower(): column for column in columns}
    known = [own[name] for name in RUN_COLUMNS if name in own][:1]
    wanted = [(name, run) for name in known if run]
    wanted += [(own[name], version) for name in VERSION_COLUMNS if name in own]
    tests = [f"CAST({quote(name)} AS VARCHAR) = {literal(value)}" for name, value in wanted]
    return " OR ".join(tests) or None


def event_tables(path: Path, table: str | None = None) -> list[RunTable]:
    """The tables of ``path`` that hold runs, the preferred first; with ``table`` only that one.

    A table counts if it has a time column; if none has, one with a run column counts, and the run
    written last is the latest. A table named by the caller always counts. Raises XexpError for
    an unknown ``table`` and for a file that is not a database.
    """
    return reading(path, lambda database: tables_of(database, table))


def tables_of(database: Database, table: str | None = None) -> list[RunTable]:
    """:func:`event_tables` on an open database."""
    every = all_tables(database)
    if table is None:
        able = [t for t in every if t.name not in NOT_EVENTS]
        timed = [t for t in able if t.time_column]
        return sorted(timed or [t for t in able if t.run_column], key=_preference)
    named = [each for each in every if each.name == table]
    if not named and database.kind == "duckdb":
        named = [each for each in _duckdb(database, table) if each.name == table]
    if named:
        return named
    names = ", ".join(sorted(t.name for t in every)) or "none"
    raise XexpError(f"no table {table} in {database.path}", f"tables there: {names}")


def all_tables(database: Database) -> list[RunTable]:
    """Return every ordinary table of an open database, including those without runs."""
    return list(_sqlite(database) if database.kind == "sqlite" else _duckdb(database))


def _preference(table: RunTable) -> tuple[int, str]:
    names = (*KNOWN_TABLES, *COMMON_TABLES)
    known = table.name.lower() in names
    return (names.index(table.name.lower()) if known else len(names)), table.name


def _sqlite(database: Database) -> Iterator[RunTable]:
    """Ordinary tables only: no views, virtual or shadow tables."""
    for name, _, _, kind, without_rowid, _ in sqlite.tables(database.raw):
        if kind != "table":
            continue
        info = list(database.rows("SELECT name, type, pk FROM pragma_table_info(?)", [name]))
        key = tuple(column for column, _, _ in sorted(filter(_in_key, info), key=lambda i: i[2]))
        columns = tuple(column for column, _, _ in info)
        shadowed = "rowid" in (column.lower() for column in columns)
        rowid = not without_rowid and not shadowed
        yield RunTable(name, columns, key, rowid, {column: kind for column, kind, _ in info})


def _in_key(info: tuple[str, str, int]) -> bool:
    return bool(info[2])


def _duckdb(database: Database, view: str = "") -> Iterator[RunTable]:
    """The tables, and with ``view`` the view of that name; a parquet file is a view in memory. Other
    views of a database are not evaluated, and no view reaches another file."""
    from gitxexp.tables.duckdb.session import ROW_NUMBER  # DuckDB is loaded already

    where = "database_name = current_database() AND schema_name = 'main' AND NOT internal"
    names = [
        name for (name,) in database.rows(f"SELECT table_name FROM duckdb_tables() WHERE {where}")
    ]
    views = (
        f"SELECT view_name FROM duckdb_views() WHERE {where}"
        " AND (database_name = 'memory' OR view_name = ?)"
    )
    viewed = [name for (name,) in database.rows(views, [view])]
    for name in [*names, *viewed]:
        info = database.rows(
            f"SELECT column_name, data_type, comment FROM duckdb_columns() WHERE {where}"
            " AND table_name = ? ORDER BY column_index",
            [name],
        )
        types: dict[str, str] = {}
        numbered = name in names
        for column, kind, comment in info:
            if name in viewed and comment == ROW_NUMBER:
                numbered = True
            else:
                types[column] = kind
        keys = database.rows(
            "SELECT constraint_column_names FROM duckdb_constraints() WHERE table_name = ?"
            " AND constraint_type = 'PRIMARY KEY' AND database_name = current_database()"
            " AND schema_name = 'main'",
            [name],
        )
        key = next((tuple(columns) for (columns,) in keys), ())
        shadowed = "rowid" in (column.lower() for column in types)
        yield RunTable(name, tuple(types), key, numbered and not shadowed, types)
