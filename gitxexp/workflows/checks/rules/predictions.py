"""After a run: whether metrics follow from the predictions beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gitxexp.common.text import counted
from gitxexp.trackers import column_names
from gitxexp.trackers.column_names import Role
from gitxexp.trackers.join import SHARED
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.profile import MOST, RunGroup, TableProfile
from gitxexp.workflows.checks.rule import Finding, Scope, Severity, rule


@rule("two-tables", Severity.ERROR, Scope.FILE)
def two_tables(tables: Sequence[TableProfile], context: Context) -> Iterator[Finding]:
    """A metric does not match the predictions: the rule computes accuracy, error_rate, mae, mse and rmse
    again from prediction and truth, and compares them.

    You publish the metric, but what can be examined are the predictions. If they differ, the metric belongs
    to other predictions: of an earlier run, a subset, or another split. Runs of the two tables are matched
    by the run's id, an `experiment_id`, or a version. The rule allows for rounded metrics, and for rows
    without a prediction that count as wrong or are left out.

    Compute the metric from the table of predictions and log it again.
    """
    for source in tables:
        if source.prediction_columns is None or source.varying_names:
            continue
        for target in tables:
            yield from _compared(source, target, context)


def _compared(source: TableProfile, target: TableProfile, context: Context) -> Iterator[Finding]:
    for name in target.of_role(Role.METRIC):
        kind = column_names.canonical(name)
        wrong: list[dict[str, Any]] = []
        for group in target.chosen:
            reported = group.value(name)
            partner = _partner(source, target, group)
            if partner is None or not isinstance(reported, int | float):
                continue
            possible = _recomputed(kind, partner)
            if possible and not any(
                _agree(reported, each, context.bounds.tolerance) for each in possible
            ):
                wrong.append({"run": group.run, "reported": reported, "recomputed": round(possible[0], 6),
                              "predictions": partner.matches[0]})  # fmt: skip
        if wrong:
            first = wrong[0]
            yield target.found(
                f"{name} of {first['run']} is {first['reported']:.6g}, and {first['recomputed']:.6g} by its"
                f" {counted(first['predictions'], 'prediction')}"
                + (f"; {counted(len(wrong) - 1, 'more run')} alike" if wrong[1:] else ""),
                subject=name, count=len(wrong),
                rows=wrong[:MOST], hint="compute it from the predictions, and log it again",
            )  # fmt: skip


def _partner(source: TableProfile, target: TableProfile, group: RunGroup) -> RunGroup | None:
    """The group of predictions that a group of metrics is of, where that is certain."""
    same = [one for one in source.groups if one.run == group.run and one.run]
    if len(same) == 1:
        return same[0]
    if source is target or same:
        return None
    for key in SHARED:
        ours, theirs = source.table.first_of((key,)), target.table.first_of((key,))
        value = group.value(theirs)
        if ours is None or theirs is None or value is None:
            continue
        found_ = [one for one in source.groups if one.value(ours) == value]
        back = [one for one in target.groups if one.value(theirs) == value]
        if len(found_) == 1 and len(back) == 1:
            return found_[0]
    return None


def _recomputed(kind: str, group: RunGroup) -> list[float]:
    """The values that a metric may have by the predictions."""
    both, equal = group.matches
    if not both:
        return []
    if kind in ("accuracy", "error_rate"):
        rates = [equal / both, equal / group.rows]
        return rates if kind == "accuracy" else [1 - rate for rate in rates]
    if group.misses is None:
        return []
    absolute, square = group.misses
    known = {"mae": absolute / both, "mse": square / both, "rmse": (square / both) ** 0.5}
    return [known[kind]] if kind in known else []


def _agree(reported: float, recomputed: float, tolerance: float) -> bool:
    text = repr(float(reported))
    decimals = len(text.partition(".")[2]) if "e" not in text else 12
    slack = max(0.5001 * 10.0**-decimals, tolerance * max(1.0, abs(recomputed)))
    percent = abs(reported - 100 * recomputed) <= 100 * slack and reported > 1
    return abs(reported - recomputed) <= slack or percent
