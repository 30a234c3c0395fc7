"""Apply the rules for results files to every table of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError, suggestion
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.runs import runs, tracker_of
from gitxexp.trackers.tables import all_tables, tables_of
from gitxexp.trackers.times import moment
from gitxexp.workflows.checks import stores
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.layout import ID_COLUMNS
from gitxexp.workflows.checks.profile import RunGroup, TableProfile
from gitxexp.workflows.checks.rule import UNREADABLE, Finding, Rule, Scope, Severity
from gitxexp.workflows.checks.stores import Store
from gitxexp.workflows.experiments.column_roles import role_rules
from gitxexp.workflows.experiments.stores import absent_databases, sources

#: Bytes that DuckDB may use; it spills the rest. SQLite keeps its default of 2 MB: measured, its sorts
#: of millions of rows take half as long again with 64 MB, which no processor's cache holds.
MEMORY = 350_000_000

#: Trackers whose tables have a column for each parameter and metric, which the rules look at.
_READ = ("xetrack", "table")


def found(rules: Sequence[Rule], context: Context) -> Iterator[Finding]:
    """Apply ``rules`` to the named results files, or to those of the repository.

    An unreadable named file raises XexpError; an unreadable one of the repository is a finding.
    """
    named = context.request.paths
    asked = _Asked(context)
    for path in named or _sources(context):
        try:
            yield from _at(path, rules, context, asked)
        except XexpError as error:
            if named:
                raise
            shown = context.shown(path)
            message = error.message.replace(str(path), shown)
            yield Finding(UNREADABLE, Severity.ERROR, message, shown, hint=error.hint or "")
    if not named:
        yield from _in_store(stores.of_registry(context.project), rules, context, asked)
    asked.require()


def _at(path: Path, rules: Sequence[Rule], context: Context, asked: _Asked) -> Iterator[Finding]:
    """Apply the rules to a file, or to another tracker's store."""
    table = context.config.results_table or None if not context.request.paths else None
    tracker = tracker_of(path, table)
    if tracker is None or tracker in _READ:
        yield from reading(path, lambda database: _in_file(database, rules, context, asked), MEMORY)
        return
    store = stores.of_tracker(path, runs(path, table, role_rules(context.config)))
    context.seen.update(store.seen)
    yield from _in_store(store, rules, context, asked)


def _in_store(
    store: Store, rules: Sequence[Rule], context: Context, asked: _Asked
) -> list[Finding]:
    """Apply the rules for whole runs to a store without a column per value."""
    own = [rule for rule in rules if rule.id in stores.RULES]
    with stores.as_database(store) as (database, roles):
        shown = context.shown(store.path)
        profiles = [TableProfile(database, t, shown, roles, None) for t in tables_of(database)]
        return _apply(own, [table for table in profiles if table.groups], context, asked)


@dataclass
class _Asked:
    """The requested run, if any: which runs exist, and whether it does."""

    context: Context
    known: list[str] = field(default_factory=list)
    is_there: bool = False

    def choose(self, tables: Sequence[TableProfile]) -> list[TableProfile]:
        """Return the tables that have something to check, reduced to that."""
        for table in tables:
            table.chosen = _choose(table, self.context)
            self.known += (group.run for group in table.groups)
        found = [table for table in tables if table.chosen]
        self.is_there |= bool(found)
        return found

    def require(self) -> None:
        """Raise NoAnswer if no file has the run."""
        wanted = self.context.request.run
        if wanted and not self.is_there:
            names = list(dict.fromkeys(self.known))
            at = [self.context.shown(path) for path in self.context.request.paths]
            where = f" in {', '.join(at)}" if at else ""
            raise NoAnswer(
                f"no run '{wanted}'{where}",
                suggestion(wanted, names, f"runs there: {', '.join(names[:5]) or 'none'}"),
            )


def _sources(context: Context) -> list[Path]:
    """Return the tracker databases and folders of the repository; none, with a note, without a work
    tree."""
    at = context.at
    if at is None or at.places.top is None:
        raise XexpError(
            "nothing to check: there is no repository here",
            "name a file: git xexp check results.db",
        )
    paths = sources(at.top, context.config)
    for name in absent_databases(at.top, context.config):
        if not (at.top / name).exists():  # a tracker's folder is no database
            context.skip("results", f"{name} does not exist: train first, or dvc pull")
    if not paths:
        context.skip("results", "there is no results database")
    return paths


def _in_file(
    database: Database, rules: Sequence[Rule], context: Context, asked: _Asked
) -> list[Finding]:
    if database.kind == "sqlite":
        for setting in ("temp_store = FILE", "threads = 2"):
            database.raw.execute(f"PRAGMA {setting}")
    tables = [table for table in _profiles(database, context) if table.groups]
    return _apply(rules, tables, context, asked)


def _apply(
    rules: Sequence[Rule], tables: Sequence[TableProfile], context: Context, asked: _Asked
) -> list[Finding]:
    for table in tables:
        table.beside = [other for other in tables if other is not table]
    tables = asked.choose(tables)
    listed: list[Finding] = []
    for rule in rules:
        if rule.scope is Scope.FILE:
            listed += rule.run(tables, context)
        else:
            listed += (one for table in tables for one in rule.run(table, context))
    return listed


def _profiles(database: Database, context: Context) -> list[TableProfile]:
    tables = tables_of(
        database, context.config.results_table or None if not context.request.paths else None
    )
    if not tables and context.request.paths:  # a data table has no runs
        named = (
            *ID_COLUMNS,
            "id",
            *([context.request.id_column] if context.request.id_column else ()),
        )
        tables = [table for table in all_tables(database) if table.first_of(named)]
    rules, asked = role_rules(context.config), context.request.id_column
    shown = context.shown(database.path)
    if not tables:
        context.skip("results", f"{shown} has no table of runs (a column of times or of runs)")
    if asked and tables and not any(table.first_of((asked.lower(),)) for table in tables):
        names = list(dict.fromkeys(name for table in tables for name in table.columns))
        raise XexpError(
            f"no column '{asked}' in {shown}",
            suggestion(asked, names, f"columns there: {', '.join(names[:12])}"),
        )
    profiles = [TableProfile(database, table, shown, rules, asked) for table in tables]
    for profile in profiles:
        if not profile.groups:
            context.skip("results", f"{shown}: table {profile.table.name} is empty")
    return profiles


def _choose(table: TableProfile, context: Context) -> list[RunGroup]:
    """Return the groups of the requested run, and since the requested version."""
    request, groups = context.request, table.groups
    if request.run:
        exact = [group for group in groups if group.run == request.run]
        groups = exact or [group for group in groups if group.run.startswith(request.run)]
    if context.since is not None and table.table.time_column:
        begin = context.since
        name = table.table.time_column
        groups = [group for group in groups if moment(group.cells[name].most).seconds > begin]
    return list(groups)
