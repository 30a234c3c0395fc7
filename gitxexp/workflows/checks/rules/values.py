"""After a run: values that are missing, impossible, or of two kinds."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from gitxexp.common.sql import quote
from gitxexp.common.text import counted
from gitxexp.common.values import is_finite
from gitxexp.trackers import column_names
from gitxexp.trackers.column_names import Role
from gitxexp.trackers.times import moment
from gitxexp.workflows.checks.bounds import Range
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.profile import MOST, ColumnSummary, RunGroup, TableProfile
from gitxexp.workflows.checks.rule import Finding, Scope, Severity, rule

#: Values of a metric from which on it is remarkable that they are all one.
_FEW = 5
#: A metric in percent goes up to this; of one that is a fraction more than 1 and up to this is wrong.
_PERCENT, _NEAR_ONE = 100.0, 2.0
#: Rows of a table up to which the order of its times is looked at row by row.
_ORDERED = 200_000
#: What a truth value is as text.
_TRUTHS = ("true", "false")
#: The end of a time that has a zone.
_ZONE = re.compile(r"\d(?:Z|[+-]\d\d:?\d\d)$")
#: Seconds that a clock without a time zone may be ahead of ours.
_ZONES = 15 * 3600.0


@rule("missing-params", Severity.WARNING, Scope.TABLE)
def missing_params(table: TableProfile, context: Context) -> Iterator[Finding]:
    """A parameter is NULL in some rows.

    Rows without the value belong to no configuration: one comparison leaves them out, another counts them,
    and the hash of the configuration is that of a run without the parameter.

    Log all parameters with every row (`Tracker(params=...)`, or one frozen dataclass that is passed to
    the function). If only rows from xetrack's cache lack it, that is a note: xetrack leaves out the fields of
    a dataclass there. If you added a parameter later, fill the older rows with its default at that time.
    """
    total = sum(group.rows for group in table.chosen)
    for name in table.of_role(Role.PARAM):
        rows: list[dict[str, Any]] = [
            {"run": g.run, "null": g.rows - g.cells[name].filled, "rows": g.rows,
             "share": round(1 - g.cells[name].filled / g.rows, 4)}
            for g in table.chosen
            if g.cells[name].filled < g.rows
        ]  # fmt: skip
        null = sum(row["null"] for row in rows)
        if null and null < total:
            cached = _are_cached(table, name)
            yield table.found(
                f"{name} is NULL in {counted(null, 'row')} of {total} ({null / total:.1%}), in"
                f" {counted(len(rows), 'run')}",
                level=Severity.NOTE if cached else None,
                subject=name, count=null, rows=rows[:MOST], listed=len(rows),
                hint="xetrack leaves them out in rows from its cache: those of the run in column"
                f" {table.cache_column} are meant" if cached else "log all parameters with every row",
            )  # fmt: skip


def _are_cached(table: TableProfile, name: str) -> bool:
    """Whether all rows without a value are from the cache, in which xetrack leaves out the fields of a
    dataclass."""
    cache = table.cache_column
    if not cache or not any(group.cells[cache].filled for group in table.chosen):
        return False
    own = f"coalesce(CAST({quote(cache)} AS VARCHAR), '') = ''"
    return not any(table.by_group("count(*)", f"{quote(name)} IS NULL AND {own}").values())


@rule("constant-metric", Severity.WARNING, Scope.TABLE)
def constant_metric(table: TableProfile, context: Context) -> Iterator[Finding]:
    """A metric has one value in all rows of all runs.

    It measures nothing: a constant was logged, the evaluation does not depend on the model, or all
    predictions are one class. The rule needs at least five values.

    Look at where it is computed. A quantity that you set rather than measure is a parameter: declare it
    with `xexp.roles.param`.
    """
    for name in table.of_role(Role.METRIC):
        every = [group.cells[name] for group in table.chosen if group.cells[name].filled]
        filled = sum(cells.filled for cells in every)
        values = {repr(cells.least) for cells in every if cells.constant}
        if filled >= _FEW and len(values) == 1 and all(cells.constant for cells in every):
            yield table.found(
                f"{name} is {every[0].least} in all {filled} rows",
                subject=name, count=filled,
                hint="look at where it is computed",
            )  # fmt: skip


@rule("metric-out-of-range", Severity.ERROR, Scope.TABLE)
def metric_out_of_range(table: TableProfile, context: Context) -> Iterator[Finding]:
    """A metric has an impossible value: an accuracy of 1.3, a negative squared error, NaN, infinity.

    One such row makes a mean meaningless, and a NaN hides all other values. The rule knows the ranges of
    metrics by name: accuracy, f1, auc and other rates from 0 to 1, or in percent throughout; correlations
    from -1 to 1; squared and absolute errors, cross entropy and latency from 0. It knows no range for a
    loss in general.

    Correct the computation and run again. To give your own metric a range: `xexp.check.bounds score=0..10`.
    """
    for name in table.of_role(Role.METRIC):
        groups = [group for group in table.chosen if group.cells[name].filled]
        yield from _not_finite(table, name, groups)
        span = context.bounds.range_of(name)
        if span is not None and groups:
            yield from _outside(table, name, groups, span, given=name in context.bounds.ranges)


def _not_finite(table: TableProfile, name: str, groups: Sequence[RunGroup]) -> Iterator[Finding]:
    odd = [g for g in groups if any(map(_is_odd, (g.cells[name].least, g.cells[name].most)))]
    if odd:
        ends = [v for g in odd for v in (g.cells[name].least, g.cells[name].most)]
        values = sorted({str(value) for value in ends if _is_odd(value)})
        yield table.found(
            f"{name} is {' or '.join(values)} in {counted(len(odd), 'run')}",
            subject=name, count=len(odd),
            rows=[_extremes(group, name) for group in odd[:MOST]],
            hint="look at the rows with -v, and at where it is computed",
        )  # fmt: skip


def _is_odd(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower().lstrip("+-") in ("nan", "inf", "infinity")
    return isinstance(value, float) and not math.isfinite(value)


def _outside(
    table: TableProfile, name: str, groups: Sequence[RunGroup], span: Range, *, given: bool
) -> Iterator[Finding]:
    low, high = span
    most = max((v for g in groups if (v := _number(g.cells[name].most)) is not None), default=0.0)
    if high == 1 and low >= 0 and _NEAR_ONE < most <= _PERCENT and not given:
        high = _PERCENT
        mixed = [g for g in groups if (_number(g.cells[name].most) or 0) <= 1]
        if mixed and len(mixed) < len(groups) and not table.id_column:
            yield table.found(
                f"{name} is in percent in some runs and a fraction in {counted(len(mixed), 'run')}",
                level=Severity.WARNING, subject=name,
                count=len(mixed), rows=[_extremes(group, name) for group in mixed[:MOST]],
                hint="log one of them everywhere",
            )  # fmt: skip
    wrong = [g for g in groups if not _lies(g.cells[name], Range(low, high))]
    if wrong:
        least, most = (
            min(v for g in wrong if (v := _number(g.cells[name].least)) is not None),
            max(v for g in wrong if (v := _number(g.cells[name].most)) is not None),
        )  # fmt: skip
        value = most if most > high else least
        yield table.found(
            f"{name} is {value:g} in run {wrong[0].run}, outside of {Range(low, high)}"
            + (f", and in {counted(len(wrong) - 1, 'more run')}" if wrong[1:] else ""),
            subject=name, count=len(wrong),
            rows=[_extremes(group, name) for group in wrong[:MOST]],
            hint=f"correct it; where it may be: git config --add xexp.check.bounds {name}=LOW..HIGH",
        )  # fmt: skip


def _number(value: Any) -> float | None:
    return float(value) if is_finite(value) else None


def _lies(cells: ColumnSummary, span: Range) -> bool:
    slack = 1e-9
    numbers = [n for n in map(_number, (cells.least, cells.most)) if n is not None]
    return all(span.low - slack <= number <= span.high + slack for number in numbers)


def _extremes(group: RunGroup, name: str) -> dict[str, Any]:
    cells = group.cells[name]
    return {"run": group.run, "least": cells.least, "most": cells.most, "rows": cells.filled}


@rule("mixed-types", Severity.WARNING, Scope.TABLE)
def mixed_types(table: TableProfile, context: Context) -> Iterator[Finding]:
    """A column of numbers holds text in some rows.

    SQLite stores whatever it gets, and sorts text above every number: the maximum of such a column is a
    word, its mean counts text as 0, and DuckDB refuses to read it.

    Correct the rows (`UPDATE ... SET x = CAST(x AS REAL)`), and log numbers as numbers.
    """
    for name in table.table.columns:
        if table.roles[name].role not in (Role.PARAM, Role.METRIC, Role.CONTEXT):
            continue
        count = _texts(table, name)
        if count:
            column = quote(name)
            kind = f"typeof({column})" if table.database.kind == "sqlite" else "'VARCHAR'"
            test = f"typeof({column}) = 'text'" if table.database.kind == "sqlite" else (
                f"TRY_CAST({column} AS DOUBLE) IS NULL AND {column} IS NOT NULL")  # fmt: skip
            where, params = table.where(table.chosen)
            run = quote(table.run_column) if table.run_column else "''"
            rows = table.ask(
                f"SELECT {run} AS run, {column} AS value, {kind} AS type FROM {table.from_table}"
                f" WHERE {test} AND {where} LIMIT {MOST}", params,
            )  # fmt: skip
            filled = sum(group.cells[name].filled for group in table.chosen)
            holds = (
                "holds numbers, and text"
                if count < filled
                else "is declared as a number, and holds text"
            )
            yield table.found(
                f"{name} {holds} in {counted(count, 'row')}: {rows[0]['value']!r}"
                if rows else f"{name} holds numbers and text",
                subject=name, count=count, rows=rows,
                hint="log numbers as numbers, and correct these rows",
            )  # fmt: skip


def _texts(table: TableProfile, name: str) -> int:
    """How many rows hold text in a column that is one of numbers."""
    cells = [group.cells[name] for group in table.chosen if group.cells[name].filled]
    column = quote(name)
    where, params = table.where(table.chosen)
    if table.database.kind == "sqlite":
        texts = any(isinstance(each.most, str) for each in cells)
        numbers = any(isinstance(each.least, int | float) for each in cells)
        truths = all(
            str(end).lower() in _TRUTHS for each in cells for end in (each.least, each.most)
        )
        declared = table.is_number(name) and not truths
        if not (texts and (numbers or declared)):
            return 0
        sql = f"SELECT sum(typeof({column}) = 'text') FROM {table.from_table} WHERE {where}"
        return int(table.value(sql, params) or 0)
    if not table.table.types.get(name, "").upper().startswith("VARCHAR"):
        return 0
    named = column_names.role_of(name)
    if named is None or named.role not in (Role.PARAM, Role.METRIC) or not _looks_numeric(cells):
        return 0
    number = f"TRY_CAST({column} AS DOUBLE)"
    sql = f"SELECT count({column}) - count({number}), count({number}) FROM {table.from_table} WHERE {where}"
    texts_, numbers_ = next(iter(table.database.rows(sql, params)))
    return int(texts_) if numbers_ > texts_ else 0


def _looks_numeric(cells: Sequence[ColumnSummary]) -> bool:
    def reads(value: Any) -> bool:
        try:
            return bool(float(value) or True)
        except (TypeError, ValueError):
            return False

    return any(reads(each.least) for each in cells)


@rule("clock", Severity.WARNING, Scope.TABLE)
def clock(table: TableProfile, context: Context) -> Iterator[Finding]:
    """Timestamps are in the future, or go backwards within a run.

    `git xexp tag` takes the run with the latest time. A clock that was wrong for an hour makes the wrong
    run the latest. In large tables the rule looks at the first and the last row of each run.

    Correct the clock of the machine, and the timestamps of these rows.
    """
    name = table.table.time_column
    if name is None:
        return
    limit = time.time() + _ZONES
    late = [g for g in table.chosen if moment(g.cells[name].most).seconds > limit]
    if late:
        yield table.found(
            f"{counted(len(late), 'run')} of the future: {late[0].run} at {late[0].cells[name].most}",
            subject=name, count=len(late),
            rows=[_extremes(group, name) for group in late[:MOST]],
            hint="correct the clock of the machine, and these rows",
        )  # fmt: skip
    if table.table.has_rowid and table.run_column:
        rows = _backwards(table, name)
        if rows:
            yield table.found(
                f"times go backwards in {counted(len(rows), 'run')}: {rows[0]['run']}",
                subject=name, count=len(rows),
                rows=rows[:MOST], hint="was the clock set back, or were rows written by hand?",
            )  # fmt: skip


def _backwards(table: TableProfile, name: str) -> list[dict[str, Any]]:
    """The runs of which a row is older than the one written before it."""
    column, run = quote(name), quote(table.run_column or "")
    where, params = table.where(table.chosen)
    cells = [group.cells[name] for group in table.chosen]
    ends = [end for each in cells for end in (each.least, each.most) if end is not None]
    if len({type(end) for end in ends}) != 1:  # times of several kinds do not compare
        return []
    if any(isinstance(end, str) and moment(end).rank < 2 for end in ends):  # 31/01/2026
        return []
    at = column
    if any(isinstance(end, str) and _ZONE.search(end) for end in ends):  # 10:00:00Z, 10:00:00.5Z
        is_sqlite = table.database.kind == "sqlite"
        at = f"julianday({column})" if is_sqlite else f"TRY_CAST({column} AS TIMESTAMPTZ)"
    source = f"FROM {table.from_table} WHERE {column} IS NOT NULL AND {where}"
    if sum(group.rows for group in table.chosen) <= _ORDERED:
        sql = (
            'SELECT run, count(*) AS "rows", min(shown) AS moment FROM'
            f" (SELECT {run} AS run, {column} AS shown, {at} AS moment,"
            f" lag({at}) OVER (PARTITION BY {run} ORDER BY rowid) AS before {source}) AS s"
            " WHERE moment < before GROUP BY run ORDER BY 2 DESC"
        )
        return table.ask(sql, params)
    rows = []
    for group in table.chosen:
        first, last = (_at(table, column, rowid) for rowid in group.ends or ())
        least, most = group.cells[name].least, group.cells[name].most
        if first is None or last is None:
            continue
        if moment(first) > moment(least) or moment(last) < moment(most):
            rows.append({"run": group.run, "first": first, "last": last, "most": most})
    return rows


def _at(table: TableProfile, column: str, rowid: int) -> Any:
    sql = f"SELECT {column} AS moment FROM {table.from_table} WHERE rowid = ?"
    return table.ask(sql, [rowid])[0]["moment"]
