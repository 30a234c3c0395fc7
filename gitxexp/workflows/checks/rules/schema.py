"""Before a run: whether what it will log fits what the table has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp.common.errors import XexpError
from gitxexp.common.text import some
from gitxexp.common.values import is_number
from gitxexp.repository.config_hash import same_value
from gitxexp.repository.repository import Project, Running
from gitxexp.trackers import column_names
from gitxexp.trackers.run import Run
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.rename import rename, tables_with
from gitxexp.workflows.checks.rule import Finding, Fix, Scope, Severity, found, rule

if TYPE_CHECKING:
    from gitxexp.workflows.checks.profile import TableProfile

_NAMED = 5
#: How alike two names are that are perhaps one (difflib's ratio).
_ALIKE = 0.75
#: Relative difference below which two floats are one value that was computed twice.
_SAME = 1e-9


@rule("schema-drift", Severity.WARNING, Scope.BEFORE)
def schema_drift(context: Context) -> Iterator[Finding]:
    """The parameters that the run will log differ from those of the last run: one has another name, is
    missing or is new, or a column of numbers will get text.

    Trackers add a column for each name they do not know. After a rename, half of the runs have `lr`, the
    other half `learning_rate`, and no comparison covers both. The rule reads what will be logged from the
    parameter files or, with `--params-from MODULE:CLASS`, from a dataclass, without running its code.

    ```console
    $ git xexp check --before --only schema-drift
    ```

    `--fix` renames the column in all tables that have it. On a terminal it asks about each rename; all of
    them are one operation that `git xexp undo` reverts. To keep the old name, put it back into the
    parameter file.
    """
    params = {column_names.bare(name): value for name, value in context.params.items()}
    for run in context.latest:
        if params and run.params:
            yield from _drift(params, run, context)


def _drift(params: Mapping[str, Any], run: Run, context: Context) -> Iterator[Finding]:
    columns = {column_names.bare(name): name for name in run.params}
    shown = context.shown(run.database)
    new = [name for name in params if name not in columns]
    lost = [name for name in columns if name not in params]
    if len(lost) == len(columns) and not any(_renamed(n, lost, params, run, columns) for n in new):
        return  # the files are not what this table logs
    for name in list(new):
        why = _renamed(name, lost, params, run, columns)
        if why is None:
            continue
        old, reason = why
        new.remove(name)
        lost.remove(old)
        column = columns[old]
        target = column[: len(column) - len(old)] + name
        yield found(
            f"{column} is now {target}, it seems ({reason})", path=shown, table=run.table, subject=column,
            rows=({"old": column, "new": target, "was": run.params[column], "is": params[name]},),
            hint=f"rename the column: git xexp check --before --only schema-drift --fix; or keep {old}",
            fix=_fix(context, column, target),
        )  # fmt: skip
    for name, column in columns.items():
        if name in params and is_number(run.params[column]) and isinstance(params[name], str):
            yield found(
                f"{column} holds numbers, and will get text: {params[name]!r}",
                path=shown, table=run.table, subject=column,
                rows=({"column": column, "was": run.params[column], "is": params[name]},),
                hint="write it as a number",
            )  # fmt: skip
    if lost:
        yield found(
            f"the last run had {some(sorted(lost), _NAMED)}, which the parameters lack",
            level=Severity.NOTE, path=shown, table=run.table, count=len(lost),
            rows=({"parameter": name} for name in lost),
        )  # fmt: skip
    if new and len(new) < len(params):
        yield found(
            f"new: {some(sorted(new), _NAMED)}",
            level=Severity.NOTE, path=shown, table=run.table, count=len(new),
            rows=({"parameter": name} for name in new),
        )  # fmt: skip


def _renamed(
    name: str, lost: list[str], params: Mapping[str, Any], run: Run, columns: Mapping[str, str]
) -> tuple[str, str] | None:
    """The column that ``name`` was before, and why that is likely."""
    full = column_names.canonical(name)
    for old in lost:
        if column_names.canonical(old) == full:
            return old, "two names for one thing"
    value = params[name]
    alike = [
        (SequenceMatcher(None, _letters(name), _letters(old)).ratio(), old)
        for old in lost
        if isinstance(value, str) == isinstance(run.params[columns[old]], str)
    ]
    best = max(alike, default=(0.0, ""))
    if best[0] >= _ALIKE:
        return best[1], "the names are alike"
    same = [old for old in lost if _telling(value) and same_value(value, run.params[columns[old]])]
    others = [n for n in params if n != name and n not in columns and same_value(params[n], value)]
    return (same[0], f"both are {value}") if len(same) == 1 and not others else None


def _letters(name: str) -> str:
    return "".join(column_names.words(name))


def _telling(value: Any) -> bool:
    """Whether that two names have this value says that they are one: not so of 0, 1, or true."""
    if isinstance(value, bool) or value is None:
        return False
    return value not in (0, 1, "", 0.0, 1.0, 2, 10, 100)


def _fix(context: Context, old: str, new: str) -> Fix | None:
    places = {path: tables for path in context.databases if (tables := _tables(path, old))}
    if not places:
        return None

    def apply(project: Project, running: Running) -> None:
        for path in places:
            rename(project, running, path, old, new)

    listed = [f"{context.shown(path)}: {', '.join(tables)}" for path, tables in places.items()]
    return Fix(f"rename {old} to {new} in {'; '.join(listed)}", inside=apply)


def _tables(path: Path, column: str) -> list[str]:
    try:
        return tables_with(path, column)
    except XexpError:
        return []


@rule("schema-drift", Severity.WARNING, Scope.TABLE)
def schema_drift_of_runs(table: TableProfile, context: Context) -> Iterator[Finding]:
    """After a run, it finds two columns for one parameter (`lr`, `learning_rate`), each filled in other
    runs."""
    names = sorted(table.params, key=table.table.columns.index)
    for place, old in enumerate(names):
        for new in names[place + 1 :]:
            if _name(old) != _name(new):
                continue
            filled = [(g.cells[old].filled > 0, g.cells[new].filled > 0) for g in table.groups]
            if (True, True) in filled or (True, False) not in filled or (False, True) not in filled:
                continue
            last = next(pair for pair in reversed(filled) if any(pair))
            before, after = (old, new) if last[1] else (new, old)
            yield table.found(
                f"{before} and {after} are one parameter, in different runs", subject=before,
                count=sum(1 for pair in filled if any(pair)),
                rows=[{"run": g.run, old: g.value(old), new: g.value(new)} for g in table.groups][:_NAMED],
                hint=f"rename {before} to {after}: git xexp check --only schema-drift --fix",
                fix=_fix(context, before, after) if context.at and not context.request.paths else None,
            )  # fmt: skip


def _name(column: str) -> str:
    return column_names.canonical(column_names.bare(column))


@rule("cache-key", Severity.WARNING, Scope.BEFORE)
def cache_key(context: Context) -> Iterator[Finding]:
    """A parameter is a number whose relative difference from that of another run is below 1e-9, or a value
    that cannot be hashed.

    0.1 + 0.2 is not 0.3: a cache and the hash of the configuration see two values. The result is computed
    again, and one configuration is listed as two. A list, a dictionary or a dataclass that is not frozen
    cannot be a key at all: xetrack does not cache the call.

    Round computed values (`round(x, 6)`), write decimals as text in a sweep, and use tuples and frozen
    dataclasses.
    """
    known: dict[str, list[tuple[str, Any]]] = {}
    for run in context.latest:
        for name, value in run.params.items():
            known.setdefault(column_names.bare(name), []).append((run.id, value))
    for one in context.project.experiments():
        for name, value in one.payload.params.items():
            known.setdefault(column_names.bare(name), []).append((one.name, value))
    for name, value in context.params.items():
        near = [(who, v) for who, v in known.get(column_names.bare(name), ()) if nearly(value, v)]
        if near:
            yield found(
                f"{name} is {value!r}, and {near[0][1]!r} in {near[0][0]}", subject=name,
                rows=({"in": who, "value": repr(v)} for who, v in near[:_NAMED]),
                hint=f"write it as {near[0][1]!r}, or round it",
            )  # fmt: skip
    lists = [name for name, value in context.params.items() if isinstance(value, list | dict)]
    if context.fields is not None:
        lists += [name for name in context.fields.unhashable if name not in lists]
        if not context.fields.frozen:
            yield found(
                f"{context.request.params_from} is not frozen, so it cannot be hashed",
                subject=context.request.params_from or "", hint="@dataclass(frozen=True)",
            )  # fmt: skip
    if lists:
        yield found(
            f"cannot be hashed: {some(lists, _NAMED)}", level=Severity.NOTE, subject=lists[0],
            count=len(lists), rows=({"parameter": name} for name in lists),
            hint="a tuple can, or one parameter for each element",
        )  # fmt: skip


@rule("cache-key", Severity.WARNING, Scope.TABLE)
def cache_key_of_runs(table: TableProfile, context: Context) -> Iterator[Finding]:
    """After a run, it compares the parameters of all runs in the table with each other."""
    for name in table.table.columns:
        values: dict[Any, str] = {}
        for group in table.groups:
            value = group.value(name)
            if isinstance(value, float) and math.isfinite(value):
                values.setdefault(value, group.run)
        if name not in table.params or len(values) < 2:
            continue
        ordered = sorted(values)
        pairs = [(a, b) for a, b in pairwise(ordered) if nearly(a, b)]
        if pairs:
            a, b = pairs[0]
            yield table.found(
                f"{name} is {a!r} in {values[a]}, and {b!r} in {values[b]}", subject=name,
                count=len(pairs),
                rows=[{"run": values[a], "value": repr(a), "other": values[b], "other_value": repr(b)}
                      for a, b in pairs[:_NAMED]],
                hint="round it, and correct the rows",
            )  # fmt: skip


def nearly(one: Any, other: Any) -> bool:
    """Whether two numbers are different and nearly the same."""
    if not (is_number(one) and is_number(other)) or one == other:
        return False
    if not (math.isfinite(one) and math.isfinite(other)):
        return False
    return bool(abs(one - other) <= _SAME * max(abs(one), abs(other)))
