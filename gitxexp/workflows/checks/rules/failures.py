"""After a run: rows that failed, answers that were not kept, results that came from a cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitxexp.common.sql import quote
from gitxexp.common.text import counted
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.layout import RAW
from gitxexp.workflows.checks.profile import MOST, RunGroup, TableProfile
from gitxexp.workflows.checks.rule import Finding, Scope, Severity, rule

_SHORT = 60


@rule("failures", Severity.WARNING, Scope.TABLE)
def failures(table: TableProfile, context: Context) -> Iterator[Finding]:
    """Rows hold an error in place of a result. At 10% of the rows or more, this is an error.

    Failed inputs are rarely a random sample: long ones run out of memory, hard ones out of time. The mean
    of the others is the mean of the easy ones.

    A row failed if a column such as `error` holds more than `0`, `False`, `None` or nothing.

    Run the failed inputs again, or count them as wrong. To set another share:
    `xexp.check.bounds failures=0.02`.
    """
    name = table.error_column
    if name is None:
        return
    total = sum(group.rows for group in table.chosen)
    failed = sum(group.cells[name].filled for group in table.chosen)
    if not failed:
        return
    model = table.table.first_of(("model", "params_model", "params_model_name", "model_name"))
    by = [table.failure, *([quote(model)] if model else [])]
    picks = [f"{by[0]} AS error", *([f"{by[1]} AS model"] if model else []), 'count(*) AS "rows"']
    where, params = table.where(table.chosen)
    rows = table.ask(
        f"SELECT {', '.join(picks)} FROM {table.from_table}"
        f" WHERE {by[0]} IS NOT NULL AND {where} GROUP BY {', '.join(by)}"
        f" ORDER BY count(*) DESC LIMIT {MOST}", params,
    )  # fmt: skip
    first = str(rows[0]["error"]).strip().split("\n")[0] if rows else ""
    short = first if len(first) <= _SHORT else f"{first[: _SHORT - 1]}…"
    share = failed / total
    yield table.found(
        f"{failed} of {counted(total, 'row')} failed ({share:.1%}): {short}",
        level=Severity.ERROR if share >= context.bounds.failures else Severity.WARNING,
        subject=name, count=failed, rows=rows, listed=len(rows),
        hint="run the failed inputs again, or count them as wrong",
    )  # fmt: skip


@rule("raw-missing", Severity.NOTE, Scope.TABLE)
def raw_missing(table: TableProfile, context: Context) -> Iterator[Finding]:
    """Predictions lack the raw response that they were parsed from.

    A prediction is what a parser made of an answer. Without the answer you cannot tell a mistake of the
    parser from one of the model, and you have to pay for all calls again to repeat the evaluation.

    Log the raw response next to the prediction (`raw_response`).
    """
    raw = table.table.first_of(RAW)
    prediction = (table.prediction_columns or (None,))[0]
    if raw is None or prediction is None or raw == prediction:
        return
    rows: list[dict[str, Any]] = [
        {"run": g.run, "predictions": g.cells[prediction].filled, "raw": g.cells[raw].filled}
        for g in table.chosen
        if g.cells[raw].filled < g.cells[prediction].filled
    ]
    missing = sum(row["predictions"] - row["raw"] for row in rows)
    if missing:
        yield table.found(
            f"{counted(missing, 'prediction')} without {raw}, in {counted(len(rows), 'run')}",
            subject=raw, count=missing, rows=rows[:MOST], listed=len(rows),
            hint="log the raw response with the prediction",
        )  # fmt: skip


#: Columns that say which code computed a row, the surest first.
_CODE = ("git_commit", "git_commit_hash", "run_commit", "commit", "experiment_version", "version")


@rule("cache", Severity.NOTE, Scope.TABLE)
def cache(table: TableProfile, context: Context) -> Iterator[Finding]:
    """Tells how many results xetrack took from its cache, by configuration. Results that another version of
    the code computed, or a run that is not in the table, are a warning.

    xetrack's cache knows the function, its arguments and the parameters, but not the code: after you change
    the function, the old results come back and are logged under the new version. The column `cache`
    names the run that computed a result; it is empty if the result is new.

    Delete the cache after you change the code, or call `track(..., cache_force=True)`.
    """
    name = table.cache_column
    if name is None or not table.table.is_xetrack:
        return
    hits = sum(group.cells[name].filled for group in table.chosen)
    total = sum(group.rows for group in table.chosen)
    if not hits:
        return
    rows = [_effect(table, groups, name) for groups in table.by_config().values()]
    yield table.found(
        f"{hits} of {counted(total, 'result')} from the cache ({hits / total:.1%})",
        subject=name, count=hits, listed=len(rows),
        rows=sorted(rows, key=lambda row: -row["share"])[:MOST],
    )  # fmt: skip
    yield from _lineage(table, name)


def _effect(table: TableProfile, groups: list[RunGroup], name: str) -> dict[str, Any]:
    hits, rows = sum(g.cells[name].filled for g in groups), sum(g.rows for g in groups)
    return {
        "configuration": table.label(groups[0]),
        "hits": hits,
        "misses": rows - hits,
        "share": round(hits / rows, 4),
    }


def _lineage(table: TableProfile, name: str) -> Iterator[Finding]:
    column, run = quote(name), quote(table.run_column or "")
    where, params = table.where(table.chosen)
    pairs = table.ask(
        f"SELECT {run} AS run, {column} AS source, count(*) AS \"rows\" FROM {table.from_table}"
        f" WHERE {column} IS NOT NULL AND {column} <> '' AND {where} GROUP BY 1, 2 LIMIT 100000", params,
    )  # fmt: skip
    known = {group.run: group for group in table.groups}
    code = table.table.first_of(_CODE)
    lost = [pair for pair in pairs if pair["source"] not in known]
    other = []
    for pair in pairs:
        one, source = known.get(str(pair["run"])), known.get(str(pair["source"]))
        if code and one and source and one is not source:
            here, there = one.value(code), source.value(code)
            if here and there and here != there:
                other.append({**pair, "code": here, "source_code": there})
    if other:
        count = sum(pair["rows"] for pair in other)
        runs = {pair["run"] for pair in other}
        yield table.found(
            f"{counted(count, 'result')} of {counted(len(runs), 'run')} computed by another code version:"
            f" {other[0]['run']} ({code} {other[0]['code']}) from {other[0]['source']}"
            f" ({other[0]['source_code']})",
            level=Severity.WARNING, subject=name, count=count,
            rows=other[:MOST], listed=len(other), hint="compute them again: track(..., cache_force=True)",
        )  # fmt: skip
    if lost:
        count = sum(pair["rows"] for pair in lost)
        yield table.found(
            f"{counted(count, 'result')} from a run that is not in the table: {lost[0]['source']}",
            level=Severity.WARNING, subject=name, count=count,
            rows=lost[:MOST], listed=len(lost), hint="merge its rows: git xexp merge, or compute them again",
        )  # fmt: skip
