"""The rules of results files, applied to every table of runs of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gitxexp.common.errors import NoAnswer, XexpError, suggestion
from gitxexp.trackers.databases import Database, reading
from gitxexp.trackers.runs import tracker_of
from gitxexp.trackers.tables import all_tables, tables_of
from gitxexp.trackers.times import moment
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.layout import ID_COLUMNS
from gitxexp.workflows.checks.profile import Group, TableProfile
from gitxexp.workflows.checks.rule import Finding, Level, Rule, Scope
from gitxexp.workflows.experiments import collect

#: Bytes that DuckDB may use; it spills the rest. SQLite needs its page cache alone.
MEMORY = 350_000_000
#: KiB of SQLite's page cache, which is what its sorts may use before they spill.
_PAGES = 65_536

UNREADABLE = "unreadable"
#: Trackers whose tables have a column for each parameter and metric, which the rules look at.
_READ = ("xetrack", "table")


def found(rules: Sequence[Rule], context: Context) -> Iterator[Finding]:
    """What ``rules`` find in the results files that are named, or that the repository has.

    A file that was named and cannot be read raises XexpError; one of the repository is a finding.
    """
    named = context.request.paths
    for path in named or _databases(context):
        try:
            tracker = tracker_of(path, context.config.results_table or None) if not named else None
            if tracker is not None and tracker not in _READ:
                context.skip("results", f"{context.shown(path)} is a store of {tracker}")
                continue
            yield from reading(path, lambda database: _in_file(database, rules, context), MEMORY)
        except NoAnswer:
            raise
        except XexpError as error:
            if named:
                raise
            yield Finding(
                UNREADABLE, Level.ERROR, error.message, context.shown(path), hint=error.hint or ""
            )


def _databases(context: Context) -> list[Path]:
    """Those of the repository; none where there is no work tree, which is said."""
    at = context.at
    if at is None or at.places.top is None:
        raise XexpError(
            "nothing to check: there is no repository here",
            "name a file: git xexp check results.db",
        )
    paths = context.databases
    if not paths:
        context.skip("results", "there is no results database")
    return paths


def _in_file(database: Database, rules: Sequence[Rule], context: Context) -> list[Finding]:
    if database.kind == "sqlite":
        for setting in (f"cache_size = -{_PAGES}", "temp_store = FILE", "threads = 2"):
            database.raw.execute(f"PRAGMA {setting}")
    tables = [table for table in _profiles(database, context) if table.groups]
    wanted = context.request.run
    if wanted and not any(_choose(table, context) for table in tables):
        known = list(dict.fromkeys(group.run for table in tables for group in table.groups))
        raise NoAnswer(
            f"no run '{wanted}' in {context.shown(database.path)}",
            suggestion(wanted, known, f"runs there: {', '.join(known[:5]) or 'none'}"),
        )
    for table in tables:
        table.chosen = _choose(table, context)
    tables = [table for table in tables if table.chosen]
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
    if not tables and context.request.paths:  # a table of data has no runs
        named = (
            *ID_COLUMNS,
            "id",
            *([context.request.id_column] if context.request.id_column else ()),
        )
        tables = [table for table in all_tables(database) if table.first_of(named)]
    rules, asked = collect.role_rules(context.config), context.request.id_column
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


def _choose(table: TableProfile, context: Context) -> list[Group]:
    """The groups of the run, and since the version, that are asked for."""
    request, groups = context.request, table.groups
    if request.run:
        exact = [group for group in groups if group.run == request.run]
        groups = exact or [group for group in groups if group.run.startswith(request.run)]
    if context.since is not None and table.table.time_column:
        begin = context.since
        name = table.table.time_column
        groups = [group for group in groups if moment(group.cells[name].most).seconds > begin]
    return list(groups)
