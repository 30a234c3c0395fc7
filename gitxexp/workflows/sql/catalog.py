"""Locate the rows of a table: in a results database, a file of the work tree, or either at a
version.

``predictions`` is a table of the results databases here, ``results.predictions`` that of one file
if two have it, ``predictions@REV`` the same at any version or revision, and a path
(``data/train.parquet``, ``data/train.parquet@REV``) a file of parquet, CSV or JSON.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError, suggestion
from gitxexp.common.files import database_kind
from gitxexp.common.notes import note
from gitxexp.common.sql import quote
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


#: Kinds of files with tables.
_DATABASES = ("sqlite", "duckdb")


class Ambiguous(UsageError):
    """A name may mean tables of several databases."""


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
        every = stores.databases(self.project.top, self.project.config)
        found = [_Database(self.project.shown(file), file) for file in every]
        unread = [each.path for each in found if database_kind(each.file) is None]
        for path in unread:
            note(f"not a database: {path}; if it is a pointer: dvc checkout, or git lfs pull")
        return [each for each in found if each.path not in unread]

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
        table, revision = self._split(name.name)
        if not revision:
            if is_path(name.schema):
                return self._in_file(self._path_here(name.schema, whole=True), name)
            here = self._path_here(name.name)
            return here or self._among(self.here, name, self._missing(name)) or self._quoted(name)
        if not table:
            return None
        from gitxexp.workflows.experiments import resolve  # late, as the contents

        commit = resolve.resolve(self.project, revision, self.tags).commit
        if is_path(name.schema):
            there = self._path_at(commit, name.schema, revision, whole=True)
            return self._in_file(there, TableName(table), f" at {revision}")
        if not name.schema and is_path(table):
            return self._path_at(commit, table, revision)
        schema, _, plain = table.rpartition(".")
        asked = TableName(plain, name.schema or schema)
        found = self._at(commit, asked, revision)
        if found is None and asked.schema and not list(self.databases_at(commit, asked.schema)):
            asked = TableName(table)  # the name has a dot, or no database is called that
            found = self._at(commit, asked, revision)
        if found is None:
            raise self._nowhere(asked, revision, self.databases_at(commit, asked.schema))
        return found

    def _quoted(self, name: TableName) -> TablePlace | None:
        """The table of ``"FILE.TABLE"``, which is quoted as one that is at a version."""
        schema, _, plain = name.name.rpartition(".")
        asked = TableName(plain, schema)
        return self._among(self.here, asked, None) if schema and not name.schema else None

    def _split(self, name: str) -> tuple[str, str]:
        """The name of a table, and the revision after it or "": tables, paths and revisions
        (``HEAD@{1}``, ``@``, ``users/me@home``) may have an ``@`` themselves."""
        from gitxexp.workflows.experiments import resolve  # late, as the contents

        places = [at for at, letter in enumerate(name) if letter == "@"]
        splits = [(name[:at], name[at + 1 :]) for at in reversed(places) if name[at + 1 :]]
        splits = [each for each in splits if not each[1].startswith("{")]
        for table, revision in splits[: len(splits) if len(splits) > 1 else 0]:
            with suppress(XexpError):
                resolve.resolve(self.project, revision, self.tags)
                return table, revision
        return splits[0] if splits else (name, "")

    def _at(self, commit: str, name: TableName, revision: str) -> TablePlace | None:
        """The table in the results databases of a commit: those that are here or that its
        experiments name, else any other. Raises XexpError if another has it in place of one that
        is only here."""
        suffix = f"@{revision}"
        entry = self._among(self.databases_at(commit, name.schema, known=True), name, None, suffix)
        if entry is not None:
            return entry
        others = self.databases_at(commit, name.schema, known=False)
        entry = self._among(others, name, None, suffix)
        if entry is None or name.schema:
            return entry
        lost = [database.path for database in self.here
                if any(_is_called(database, table, name) for table in self.tables(database.file))
                and self.contents.at(commit, database.path) is None]  # fmt: skip
        if lost:
            other = next(d for d in others if entry.file == d.file)
            raise XexpError(
                f"{lost[0]}, which has {name.name} now, is not in {revision}",
                f'another database has a table of that name: "{other.schema}.{name.name}{suffix}"',
            )
        return entry

    def _in_file(
        self, place: TablePlace | None, name: TableName, when: str = ""
    ) -> TablePlace | None:
        """A table of a database whose path was its schema."""
        if place is None:
            return None
        known = self.tables(place.file) if database_kind(place.file) in _DATABASES else {}
        for table in known:
            if table.lower() == name.name.lower():
                return TablePlace(place.file, table)
        raise _unknown(name.name, f"in {name.schema or 'this file'}{when}", list(known))

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
            raise Ambiguous(
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

    def databases_at(
        self, commit: str, schema: str = "", *, known: bool | None = None
    ) -> list[_Database]:
        """The results databases of a commit (all, or those called ``schema``).

        ``known`` limits them to those that are here or that an experiment of the commit names, or
        to the others, which only their content shows to be results.
        """
        own = dict.fromkeys(database.path for database in self.here)
        own |= dict.fromkeys(e.payload.results for e in self.tags.at(commit))
        paths = {} if known is False else own
        if not known:
            paths = paths | {path: None for path in self._results_at(commit) if path not in own}
        found = []
        for path in paths:
            called = not schema or Path(path).stem.lower() == schema.lower()
            if path and path != REGISTRY and called:
                file = self.contents.at(commit, path)
                if file is not None and database_kind(file) is not None:
                    found.append(_Database(path, file))
        return found

    def _results_at(self, commit: str) -> list[str]:
        from gitxexp.workflows.experiments import describe  # late, as the contents
        from gitxexp.workflows.merge import inputs

        source = inputs.MergeSource("", (), commit)
        files = inputs.mergeable_files(self.project, source, every=True)
        return [found.path for found in files if found.role is describe.OutputRole.RESULTS]

    def _path_here(self, name: str, *, whole: bool = False) -> TablePlace | None:
        if not is_path(name) or self.project.places.top is None:
            return None
        for path in filter(_is_inside, self._spelled(name)):
            file = readable(self.project.top, path)
            if file is not None and file.is_file():
                return TablePlace(file) if whole else self._of_file(file, name)
        return None

    def _path_at(self, commit: str, name: str, revision: str, *, whole: bool = False) -> TablePlace:
        for path in self._spelled(name):
            file = self.contents.at(commit, path)
            if file is not None:
                return TablePlace(file) if whole else self._of_file(file, name, revision)
        from gitxexp.workflows.artifacts.locate import CommitFiles  # late: only for an error

        CommitFiles(self.project.commits, commit, self.contents.objects.manifest, revision).find(
            name
        )
        raise XexpError(
            f"'{name}' is not a file at {revision}", "git ls-tree shows the files of a revision"
        )

    def _spelled(self, name: str) -> list[str]:
        """Resolve a path relative to this folder, then to the top."""
        both = (self.project.places.prefix + name, name)
        return list(dict.fromkeys(map(posixpath.normpath, both)))

    def _of_file(self, file: Path, name: str, revision: str = "") -> TablePlace:
        kind = database_kind(file)
        if kind not in _DATABASES:
            return TablePlace(file, "", Path(name).suffix.lower())
        tables = list(self.tables(file))
        if len(tables) == 1:
            return TablePlace(file, tables[0])
        suffix = f"@{revision}" if revision else ""
        shown = ", ".join(f"{quote(name)}.{quote(table + suffix)}" for table in tables[:8])
        raise UsageError(f"{name} has {len(tables)} tables", f"name one: {shown}")

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
