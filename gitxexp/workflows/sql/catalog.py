"""Locate the rows of a table: in a results database, a file of the work tree, or either at a
version.

``predictions`` is a table of the results databases here, ``results.predictions`` that of one file
if two have it, ``predictions@REV`` the same at any version or revision, and a path
(``data/train.parquet``, ``data/train.parquet@REV``) a file of parquet, CSV or JSON.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError, suggestion
from gitxexp.common.files import database_kind
from gitxexp.repository.config import REGISTRY
from gitxexp.storage.dvc.places import readable
from gitxexp.storage.paths import leaves, problem
from gitxexp.tables.duckdb import scan
from gitxexp.tables.duckdb.source import open_duckdb
from gitxexp.workflows.experiments import stores
from gitxexp.workflows.sql.records import RECORDS
from gitxexp.workflows.sql.statement import TableName, is_path

if TYPE_CHECKING:
    from gitxexp.repository.repository import Progress, Project
    from gitxexp.repository.tags import Tags
    from gitxexp.tables.duckdb.session import Session, Source
    from gitxexp.workflows.merge.inputs import CommitContents


@dataclass(frozen=True)
class TablePlace:
    """A table of a file; ``table`` is "" if the file itself is the table, and ``suffix`` says how
    to read it, because cached files have other names."""

    file: Path
    table: str = ""
    suffix: str = ""


@dataclass(frozen=True)
class _Database:
    """A results database: its path from the top, and the file with its content."""

    path: str
    file: Path

    @property
    def schema(self) -> str:
        return Path(self.path).stem


class Catalog:
    """The tables of one project, looked up on demand."""

    def __init__(
        self, project: Project, session: Session, progress: Progress | None = None
    ) -> None:
        self.project, self.session = project, session
        self._progress = progress
        self._tables: dict[Path, dict[str, dict[str, str]]] = {}
        self.attached: dict[Path, Source] = {}

    @cached_property
    def contents(self) -> CommitContents:
        """The files of past commits, imported only for queries that name them."""
        from gitxexp.workflows.merge.inputs import CommitContents

        return CommitContents(self.project, self.session.scratch, self._progress)

    @cached_property
    def tags(self) -> Tags:
        """Every experiment."""
        return self.project.tags()

    @cached_property
    def here(self) -> list[_Database]:
        """The results databases of the work tree."""
        if self.project.places.top is None:
            return []
        found = stores.databases(self.project.top, self.project.config)
        return [_Database(self._path(file), file) for file in found]

    def _path(self, file: Path) -> str:
        inside = file.is_relative_to(self.project.top)
        return file.relative_to(self.project.top).as_posix() if inside else str(file)

    def tables(self, file: Path) -> dict[str, dict[str, str]]:
        """Each table of a database, with the type that each column is declared as."""
        if file not in self._tables:
            self._tables[file] = self._listed(file)
        return self._tables[file]

    def _listed(self, file: Path) -> dict[str, dict[str, str]]:
        kind = database_kind(file)
        if kind == "sqlite":
            return scan.tables(file)
        if kind == "duckdb":
            return {str(table.name): dict(table.columns) for table in self.source(file).tables}
        return {file.stem: {}}

    def source(self, file: Path) -> Source:
        """A DuckDB file, attached read-only."""
        if file not in self.attached:
            self.attached[file] = open_duckdb(self.session, file)
        return self.attached[file]

    # -- what a name means -----------------------------------------------------------------------

    def find(self, name: TableName) -> TablePlace | None:
        """Return the location of the rows; None if no file has such a table.

        Raises XexpError if several have it, for an unknown revision, or for a file that is nowhere.
        """
        table, at, revision = name.name.rpartition("@")
        if not at:
            return self._path_here(name.name) or self._among(self.here, name, self._missing(name))
        if not table or not revision:
            return None
        from gitxexp.workflows.experiments import resolve  # late, as the contents

        commit = resolve.resolve(self.project, revision, self.tags).commit
        if not name.schema and is_path(table):
            return self._path_at(commit, table, revision)
        schema, _, plain = table.rpartition(".")
        asked = TableName(plain, name.schema or schema)
        there = list(self.databases_at(commit, asked.schema))
        if asked.schema and not there:  # the name has a dot, or no database is called that
            asked, there = TableName(table), list(self.databases_at(commit))
        return self._among(there, asked, self._nowhere(asked, revision, there), f"@{revision}")

    def _among(self, databases: Iterable[_Database], name: TableName, missing: XexpError | None,
               suffix: str = "") -> TablePlace | None:  # fmt: skip
        databases = list(databases)
        found = [
            (database, table)
            for database in databases
            for table in self.tables(database.file)
            if _is_called(database, table, name)
        ]
        if len(found) > 1:
            names = [f'{database.schema}.{table}' if not suffix else f'"{database.schema}.{table}{suffix}"'
                     for database, table in found]  # fmt: skip
            files = ", ".join(database.path for database, _ in found)
            raise UsageError(
                f"several databases have a table {name.name}: {files}",
                f"name one: {' or '.join(dict.fromkeys(names))}",
            )
        if found:
            database, table = found[0]
            return TablePlace(database.file, table)
        if missing is not None:
            raise missing
        return None

    def views(self) -> list[str]:
        """The views of the results databases here, which no statement can read: a view comes with
        its file, and may name others."""
        return [view for database in self.here for view in self._views(database.file)]

    def _views(self, file: Path) -> list[str]:
        kind = database_kind(file)
        if kind == "sqlite":
            return scan.views(file)
        if kind != "duckdb":
            return []
        alias = str(self.source(file).alias)
        rows = self.session.rows(
            "SELECT CASE schema_name WHEN 'main' THEN '' ELSE schema_name || '.' END || view_name "
            "FROM duckdb_views() WHERE database_name = $1 AND NOT internal",
            [alias],
        )
        return [name for (name,) in rows]

    def _missing(self, name: TableName) -> XexpError | None:
        """Raise an error if a file used as schema lacks the table: DuckDB knows neither."""
        if not name.schema or name.schema.lower() not in {d.schema.lower() for d in self.here}:
            return None
        known = [table for database in self.here if database.schema.lower() == name.schema.lower()
                 for table in self.tables(database.file)]  # fmt: skip
        return _unknown(name.name, f"in {name.schema}", known)

    def _nowhere(self, name: TableName, revision: str, there: Iterable[_Database]) -> XexpError:
        known = [table for database in there for table in self.tables(database.file)]
        return _unknown(name.name, f"at {revision}", known)

    def databases_at(self, commit: str, schema: str = "") -> Iterator[_Database]:
        """The results databases of a commit (all, or those called ``schema``)."""
        paths = dict.fromkeys(database.path for database in self.here)
        paths |= dict.fromkeys(e.payload.results for e in self.tags.at(commit))
        from gitxexp.workflows.experiments import describe  # late, as the contents
        from gitxexp.workflows.merge import inputs

        source = inputs.MergeSource("", (), commit)
        paths |= {
            found.path: None
            for found in inputs.mergeable_files(self.project, source, every=True)
            if found.role is describe.Role.RESULTS
        }
        for path in paths:
            if (
                path
                and path != REGISTRY
                and (not schema or Path(path).stem.lower() == schema.lower())
            ):
                file = self.contents.at(commit, path)
                if file is not None and database_kind(file) is not None:
                    yield _Database(path, file)

    def _path_here(self, name: str) -> TablePlace | None:
        if not is_path(name) or self.project.places.top is None:
            return None
        for path in filter(_is_inside, self._spelled(name)):
            file = readable(self.project.top, path)
            if file is not None and file.is_file():
                return self._of_file(file, name)
        return None

    def _path_at(self, commit: str, name: str, revision: str) -> TablePlace:
        for path in self._spelled(name):
            file = self.contents.at(commit, path)
            if file is not None:
                return self._of_file(file, name)
        from gitxexp.workflows.artifacts.locate import CommitFiles  # late: only for an error

        CommitFiles(self.project.at_top, commit, self.contents.objects.manifest, revision).find(
            name
        )
        raise XexpError(f"'{name}' is not a file at {revision}")

    def _spelled(self, name: str) -> list[str]:
        """Resolve a path relative to this folder, then to the top."""
        both = (self.project.places.prefix + name, name)
        return list(dict.fromkeys(map(posixpath.normpath, both)))

    def _of_file(self, file: Path, name: str) -> TablePlace:
        kind = database_kind(file)
        if kind not in ("sqlite", "duckdb"):
            return TablePlace(file, "", Path(name).suffix.lower())
        tables = list(self.tables(file))
        if len(tables) == 1:
            return TablePlace(file, tables[0])
        stem = Path(name).stem
        raise UsageError(
            f"{name} has {len(tables)} tables",
            f"name one: {', '.join(f'{stem}.{table}' for table in tables[:8])}",
        )

    # -- listings --------------------------------------------------------------------------------

    def shown(self) -> dict[str, TablePlace]:
        """Names of available tables; a table in two files (or named like one of ours) also with its
        file."""
        every = [
            (database, table) for database in self.here for table in self.tables(database.file)
        ]
        plain = [table.lower() for _, table in every]
        return {
            table if plain.count(table.lower()) == 1 and table.lower() not in RECORDS
            else f"{database.schema}.{table}": TablePlace(database.file, table)
            for database, table in every
        }  # fmt: skip

    def names(self) -> list[str]:
        """Every table available here without a version."""
        return [*RECORDS, *self.shown()]


def _is_called(database: _Database, table: str, name: TableName) -> bool:
    """Whether ``name`` means the table, whose schema in a DuckDB file is part of its name."""
    if name.schema.lower() in ("", database.schema.lower()) and table.lower() == name.name.lower():
        return True
    return bool(name.schema) and table.lower() == f"{name.schema}.{name.name}".lower()


def _is_inside(path: str) -> bool:
    return not leaves(path) and problem(path) is None


def _unknown(name: str, where: str, known: list[str]) -> XexpError:
    names = ", ".join(dict.fromkeys(known)) or "none"
    return UsageError(
        f"there is no table '{name}' {where}", suggestion(name, known, f"its tables are: {names}")
    )
