"""A DuckDB with the tables that the statements name, and no access to anything else."""

from __future__ import annotations

import re
import shutil
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError
from gitxexp.common.files import database_kind
from gitxexp.common.sql import literal, quote
from gitxexp.tables.duckdb.session import Session, Source
from gitxexp.workflows.sql.mistakes import KnownNames, explained
from gitxexp.workflows.sql.records import RECORDS
from gitxexp.workflows.sql.statement import READERS, Statement, TableName, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitxexp.repository.repository import Project
    from gitxexp.tables.duckdb.scan import Ranges
    from gitxexp.workflows.sql.catalog import Catalog, TablePlace
    from gitxexp.workflows.sql.converted import Conversions, Converted

    #: From the columns of a statement to a condition in SQL, or None for all of its rows.
    Condition = Callable[[Sequence[str]], str | None]

#: Bytes that DuckDB may use before it spills.
_MEMORY = 2_000_000_000

#: Schemas of DuckDB's own.
_OWN = ("main", "memory", "information_schema", "pg_catalog", "temp", "system")
EVERY = " in all versions"  #: suffix of a table's all_versions() view


@dataclass(frozen=True)
class ColumnEntry:
    """A column as ``--schema`` lists it."""

    table: str
    column: str
    type: str


def selected(
    project: Project,
    query: str,
    condition: Condition | None = None,
    *,
    allow_files: bool = False,
    conversions: Conversions | None = None,
) -> Any:
    """Run :meth:`Database.select` on a new database."""
    database = ProjectDatabase(project, allow_files=allow_files, conversions=conversions)
    try:
        return database.select(query, condition)
    except BaseException:
        database.close()
        raise


class ProjectDatabase:
    """Statements over a project's tables; close it, or use it in a ``with``, to free its files.

    ``allow_files`` lets statements read any file of this machine. ``progress`` is called repeatedly
    while files are fetched. ``conversions`` are shared with other databases.
    """

    def __init__(
        self,
        project: Project,
        *,
        allow_files: bool = False,
        progress: Callable[[int, int, str], None] | None = None,
        conversions: Conversions | None = None,
    ) -> None:
        self.project = project
        self.conversions = conversions
        self.allow_files = allow_files
        self.session = Session(_MEMORY)
        self.notes: list[str] = []
        self._progress = progress
        self._files: list[Path] = []
        self._views: list[str] = []
        self._places: dict[str, TablePlace] = {}  #: of views
        self._converted: list[Converted] = []  #: its files are deleted with it

    @cached_property
    def catalog(self) -> Catalog:
        """The tables of files; imported only for queries that name them."""
        from gitxexp.workflows.sql.catalog import Catalog

        return Catalog(self.project, self.session, self._progress)

    def __enter__(self) -> ProjectDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and remove its files. Call it only once."""
        self.session.close()

    def prepare(self, script: str) -> list[Statement]:
        """Parse the statements of ``script`` and create the tables that they name; nothing else is
        accessible afterwards. Call it only once.

        Raises UsageError for a statement that is invalid or would write, XexpError for a missing
        revision, table or file.
        """
        with self._explained(script):
            statements = parse(self.session, script)
        if not statements:
            raise UsageError("the query is empty", "such as: git xexp sql 'FROM experiments'")
        for name, part in _wanted(statements).items():
            self._have(name, part, guessed=any(s.guessed for s in statements))
        if any(statement.lists for statement in statements):
            self._have_others()
        every = {name for statement in statements for name in statement.every_version}
        if every:
            from gitxexp.workflows.sql import versions  # late: rarely needed

            for name in every:
                rows = versions.union(self.catalog, name, self._read, self.notes)
                self.view(TableName(name.name + EVERY), rows)
            self.session.rows(
                "CREATE MACRO all_versions(name) AS TABLE SELECT * FROM "
                f"""query_table('"' || replace(name, '"', '""') || '{EVERY}"')"""
            )
        self._seal()
        return statements

    def _seal(self) -> None:
        if self.allow_files:
            self.session.rows("SET lock_configuration = true")
            return
        files = [Source(file, "parquet", ()) for file in self._files]
        attached = self.catalog.attached.values() if "catalog" in self.__dict__ else ()
        self.session.seal([*files, *attached])
        self.session.rows("SET lock_configuration = true")

    def execute(self, statement: Statement) -> Any:
        """Run a prepared statement; return DuckDB's connection with its rows.

        Raises UsageError with the place of a mistake and close names.
        """
        with self._explained(statement.text):
            return self.session.connection.execute(statement.text)

    def print(self, statement: Statement) -> Any:
        """Like :meth:`execute`, for text: see :mod:`gitxexp.workflows.sql.printed`."""
        from gitxexp.tables.duckdb.core import core
        from gitxexp.workflows.sql.printed import printed

        duckdb = core()
        with self._explained(statement.text):
            query = None if statement.guessed else printed(self.session, statement.text)
            if query is not None:
                try:
                    return self.session.connection.execute(query)
                except duckdb.InterruptException:
                    raise
                except duckdb.Error:  # as it was written, so that an error points at its place
                    pass
            return self.session.connection.execute(statement.text)

    def select(self, script: str, condition: Condition | None = None) -> Any:
        """Return the only statement of ``script`` as a DuckDB relation, restricted to rows for
        which ``condition`` (SQL over its columns) is true; the database lives as long as the
        relation.

        Raises as :meth:`prepare` and :meth:`execute` do.
        """
        import duckdb  # noqa: F401, gives connections their relations

        statements = self.prepare(script)
        if len(statements) > 1:
            raise UsageError(
                f"a relation is one statement, and there are {len(statements)}", "query one by one"
            )
        with self._explained(statements[0].text):
            relation = self.session.connection.sql(statements[0].text)
            wanted = condition(relation.columns) if condition else None
            relation = relation if wanted is None else relation.filter(wanted)
        weakref.finalize(relation, self.close)
        return relation

    def write_parquet(self, statement: Statement, path: Path) -> None:
        """Write the rows of a prepared statement to the parquet file ``path``, completely or not at
        all."""
        from gitxexp.common.files import output_file

        out = self.session.scratch / "result.parquet"
        query = statement.text.strip().rstrip(";")
        with self._explained():
            wide = [
                f"{quote(name)}::DECIMAL(38, 0) AS {quote(name)}"
                for name, kind in self.session.describe(f"({query}\n)").items()
                if kind in ("HUGEINT", "UHUGEINT")  # DuckDB itself would write DOUBLE
            ]
            if wide:
                query = f"SELECT * REPLACE ({', '.join(wide)}) FROM ({query}\n)"
            self._copy(query, out, wide=bool(wide))
        with output_file(path) as temporary:
            shutil.copyfile(out, temporary)

    def _copy(self, query: str, out: Path, *, wide: bool) -> None:
        from gitxexp.tables.duckdb.core import core

        try:
            self.session.connection.execute(
                f"COPY ({query}\n) TO {literal(str(out))} (FORMAT parquet)"
            )
        except core().ConversionException as error:
            value = re.search(r"cast value (\d{39}|-\d{39}) to DECIMAL\(38,0\)", str(error))
            if not wide or value is None:
                raise
            raise UsageError(
                f"an integer of 39 digits is more than parquet has: {value[1]}",
                "write that column as text: SELECT * REPLACE (CAST(x AS VARCHAR) AS x) FROM ...",
            ) from None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Convert DuckDB's errors while rows are fetched."""
        with self._explained():
            yield

    # -- tables ----------------------------------------------------------------------------------

    def _have(self, name: TableName, part: _Wanted, *, guessed: bool) -> None:
        """Create the view for ``name``, if it names anything of ours."""
        if not name.schema and name.name.lower() in RECORDS:
            self.view(name, self.records(name.name.lower()))
            return
        try:
            place = self.catalog.find(name)
        except XexpError:
            if guessed:
                return
            raise
        if place is not None:
            self._places[_path(name)] = place
            self.view(name, self.relation(place, part.columns, part.limit))

    def _have_others(self) -> None:
        """Make names and columns of unreferenced tables visible to a statement."""
        for record in RECORDS:
            if quote(record) not in self._views:
                self.view(TableName(record), self.records(record))
        for shown, place in self.catalog.shown().items():
            name = TableName(place.table, shown[: -len(place.table)].rstrip("."))
            if _path(name) not in self._views:
                self.view(name, self.relation(place, limit=1))

    def _read(self, place: TablePlace, ranges: Ranges | None) -> str:
        return self.relation(place, ranges=ranges)

    def view(self, name: TableName, relation: str) -> None:
        """Let statements select from ``relation`` by this name."""
        if name.schema:
            self.session.rows(f"CREATE SCHEMA IF NOT EXISTS {quote(name.schema)}")
        path = _path(name)
        self.session.rows(f"CREATE OR REPLACE VIEW {path} AS SELECT * FROM {relation}")
        self._views.append(path)

    def records(self, name: str) -> str:
        """The relation of one of :data:`gitxexp.workflows.sql.records.RECORDS`."""
        from gitxexp.tables.duckdb import scan  # late, as the catalog

        found = RECORDS[name](self.project)
        out = self.session.scratch / f"{self.session.name('records')}.parquet"
        scan.write_records(out, found.columns, found.rows)
        times = ", ".join(f"make_timestamp({quote(c)}) AS {quote(c)}" for c in found.moments)
        replaced = f" REPLACE ({times})" if times else ""
        return f"(SELECT *{replaced} FROM read_parquet({literal(str(out))}))"

    def relation(
        self,
        place: TablePlace,
        columns: frozenset[str] | None = None,
        limit: int | None = None,
        ranges: Ranges | None = None,
    ) -> str:
        """Return the FROM item for the rows of ``place``, or those in ``ranges`` of rowids."""
        kind = database_kind(place.file)
        if kind == "sqlite":
            from gitxexp.tables.duckdb import parallel_scan, scan  # late, as the catalog

            files: Sequence[Path]
            part = scan.TablePart(place.table, columns, limit, ranges)
            if self.conversions is not None:
                if columns is not None:  # these are all words of a statement
                    own = {name.lower() for name in self.catalog.tables(place.file)[place.table]}
                    part = scan.TablePart(place.table, columns & own, limit, ranges)
                kept = self.conversions.of(place.file, part)
                files, notes = kept.files, list(kept.notes)
                self._files += files
                self._converted.append(kept)
            else:
                out = self.session.scratch / f"{self.session.name('rows')}.parquet"
                files, notes = parallel_scan.write(place.file, part, out)
            self.notes += notes
            reads = [f"read_parquet({literal(str(file))})" for file in files]
            every = " UNION ALL ".join(f"FROM {each}" for each in reads)
            return reads[0] if len(reads) == 1 else f"({every})"
        if kind == "duckdb":
            source = self.catalog.source(place.file)
            return next(t.relation for t in source.tables if t.name == place.table)
        suffix = ".parquet" if kind == "parquet" else place.suffix
        if suffix not in READERS:
            raise UsageError(
                f"a file *{place.suffix} is not a table",
                f"files that are: {', '.join(READERS)} and databases of SQLite and DuckDB",
            )
        self._files.append(place.file)
        return READERS[suffix].format(literal(self.session.link(place.file, suffix)))

    def schema(self) -> list[ColumnEntry]:
        """The tables here, and the columns of each; for SQLite, with declared types."""
        entries = []
        for name in RECORDS:
            self.view(TableName(name), self.records(name))
            for column, kind in self.session.describe(quote(name)).items():
                entries.append(ColumnEntry(name, column, kind))
        for shown, place in self.catalog.shown().items():
            types = self.catalog.tables(place.file)[place.table]
            types = types or self.session.describe(self.relation(place))
            entries += [ColumnEntry(shown, column, kind) for column, kind in types.items()]
        return entries

    def _explained(self, script: str = "") -> AbstractContextManager[None]:
        known = KnownNames(
            lambda: self.catalog.names(),
            self._columns,
            lambda: self.catalog.views(),
            self._shadowed,
        )
        return explained(known, script)

    def _shadowed(self) -> list[str]:
        """The tables of the results whose names are those of records that the statements name."""
        from gitxexp.workflows.sql.catalog import Catalog  # late, as the catalog

        named = {name for name in RECORDS if quote(name) in self._views}
        with Session(0) as session:  # this one may not open files any more
            shown = Catalog(self.project, session).shown().items()
        return [name for name, place in shown if place.table.lower() in named]

    def _columns(self) -> list[str]:
        """The columns of every table that the statements name, including unread ones."""
        found = []
        for view in self._views:
            place = self._places.get(view)
            declared = self.catalog.tables(place.file)[place.table] if place and place.table else {}
            found += list(declared or self.session.describe(view))
        return list(dict.fromkeys(found))


def _path(name: TableName) -> str:
    return ".".join(quote(part) for part in (name.schema, name.name) if part)


@dataclass(frozen=True)
class _Wanted:
    columns: frozenset[str] | None
    limit: int | None


def _wanted(statements: Sequence[Statement]) -> dict[TableName, _Wanted]:
    """Return the part of each table that covers the needs of all statements."""
    wanted: dict[TableName, _Wanted] = {}
    for statement in statements:
        for name in statement.tables:
            if name.schema.lower() in _OWN[:2]:
                name = replace(name, schema="")
            if name.schema.lower() in _OWN:
                continue
            new = _Wanted(statement.columns, statement.limit)
            old = wanted.get(name)
            if old is not None:
                columns = None if None in (old.columns, new.columns) else old.columns | new.columns  # type: ignore[operator]
                limit = None if None in (old.limit, new.limit) else max(old.limit, new.limit)  # type: ignore[type-var]
                new = _Wanted(columns, limit)
            wanted[name] = new
    return wanted
