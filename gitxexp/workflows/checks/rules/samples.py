"""After a run: whether a difference is one, and whether a run says anything new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.sql import quote
from gitxexp.common.text import counted
from gitxexp.trackers import column_names
from gitxexp.trackers.column_names import Role
from gitxexp.workflows.checks import sample
from gitxexp.workflows.checks.bounds import Range
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.intervals import Interval
from gitxexp.workflows.checks.layout import COUNTS, RIGHT
from gitxexp.workflows.checks.profile import MOST, RunGroup, TableProfile
from gitxexp.workflows.checks.rule import Finding, Scope, Severity, rule
from gitxexp.workflows.checks.sample import Sample, Summary
from gitxexp.workflows.experiments import describe

#: Words of metrics from 0 to 1 that are no share of the inputs.
_NO_RATES = {
    "auc",
    "auroc",
    "f1",
    "brier",
    "ece",
    "iou",
    "miou",
    "dice",
    "ndcg",
    "mrr",
    "map",
    "ssim",
    "jaccard",
}
#: The name of what is computed from prediction and truth.
_ACCURACY = "accuracy (prediction = truth)"


@dataclass(frozen=True)
class Measured:
    """One configuration of an evaluation, and what its rows say of the metric."""

    label: str
    sample: Sample
    stratum: tuple[Any, ...] = ()  #: only configurations of one are compared

    @property
    def interval(self) -> Interval:
        """Of the metric."""
        return self.sample.interval


@rule("few-samples", Severity.WARNING, Scope.TABLE)
def few_samples(table: TableProfile, context: Context) -> Iterator[Finding]:
    """The rows do not show that the best configuration is better than the next one, or one has fewer than 100
    rows.

    On 50 rows an accuracy of 0.84 is anything from 0.71 to 0.92, and "better by 0.004" is noise. Rates (0 or
    1 for each row, or prediction and truth) have Wilson's interval, and Newcombe's for a difference; means
    have that of a bootstrap. All are 95% intervals. A difference whose interval includes 0 may be
    no difference at all.

    Evaluate more inputs, the same ones for all configurations. To set another bound:
    `xexp.check.bounds samples=50`.
    """
    counted_by = table.table.first_of(COUNTS)
    if table.id_column is None and counted_by is None:
        context.skip(
            "few-samples",
            f"{table.shown}: {table.table.name}: no column names or counts the inputs",
        )
        return
    metric = _metric(table, context) if table.id_column else _rate(table, context)
    if metric is None:
        return
    samples = (
        _samples(table, metric, context)
        if table.id_column
        else _summed(table, metric, counted_by or "")
    )
    few = [one for one in samples if one.interval.n < context.bounds.samples]
    if few:
        least = min(few, key=lambda one: one.interval.n)
        number = len(few)
        if table.id_column:  # of some no sample was taken
            sizes = (_rows(groups, metric) for groups in table.by_config().values())
            number = max(number, sum(0 < size < context.bounds.samples for size in sizes))
        yield table.found(
            f"{metric} of {least.label} is {_shown(least.interval)}, on"
            f" {counted(least.interval.n, 'row')} only"
            + (f", and {counted(number - 1, 'more configuration')} alike" if number > 1 else ""),
            subject=metric, count=number, rows=[_row(one) for one in few[:MOST]],
            hint=f"evaluate at least {context.bounds.samples} inputs",
        )  # fmt: skip
    if len(samples) > 1:
        yield from _noise(table, samples, metric, context)


def _noise(
    table: TableProfile, samples: Sequence[Measured], metric: str, context: Context
) -> Iterator[Finding]:
    most = metric == _ACCURACY or describe.maximize(context.config, metric)
    ranked = sorted(samples, key=lambda one: one.interval.value, reverse=most)
    best = ranked[0]
    next_ = next((one for one in ranked[1:] if one.stratum == best.stratum), None)
    if next_ is None:
        return
    difference = sample.difference(best.sample, next_.sample)
    if difference.value and not difference.excludes(0):
        yield table.found(
            f"{best.label} is better than {next_.label} by {abs(difference.value):.4g} of {metric} on"
            f" {counted(difference.n, 'row')}: that is noise (95% interval of the difference"
            f" {difference.low:.4g} to {difference.high:.4g})",
            level=Severity.WARNING if difference.n < 10 * context.bounds.samples else Severity.NOTE,
            subject=metric, rows=[_row(best), _row(next_)], count=2,
            hint="treat them as equal, or evaluate more inputs",
        )  # fmt: skip


def _shown(interval: Interval) -> str:
    return f"{interval.value:.4g} ({interval.low:.4g} to {interval.high:.4g})"


def _row(one: Measured) -> dict[str, Any]:
    value, low, high, n = one.interval
    return {
        "configuration": one.label, "value": round(value, 6), "low": round(low, 6),
        "high": round(high, 6), "rows": n,
    }  # fmt: skip


def _metric(table: TableProfile, context: Context) -> str | None:
    """The metric of each row that ranks configurations."""
    names = [
        name
        for name in table.of_role(Role.METRIC)
        if table.is_number(name) and any(group.cells[name].filled > 1 for group in table.chosen)
    ]
    right = table.table.first_of(RIGHT)
    if right and not _is_counted(table, right):
        right = None
    if right:
        names.append(right)
    primary = context.config.metrics_primary
    if primary in names:
        return primary
    if table.prediction_columns is not None and any(group.matches[1] for group in table.chosen):
        return _ACCURACY
    return right or describe.primary_metric(names, context.config)


def _is_counted(table: TableProfile, right: str) -> bool:
    """Whether a column of correctness holds numbers, which were summed; text such as "True" is none."""
    cells = [group.cells[right] for group in table.chosen]
    ends = [value for each in cells if each.filled for value in (each.least, each.most)]
    return (
        table.is_number(right)
        and any(each.filled > 1 for each in cells)
        and all(isinstance(value, int | float) for value in ends)
    )


def _rate(table: TableProfile, context: Context) -> str | None:
    """The rate that ranks configurations in a table with a row for each."""
    names = [
        name for name in table.of_role(Role.METRIC) if context.bounds.range_of(name) == Range(0, 1)
    ]
    rates = [n for n in names if not _NO_RATES.intersection(column_names.words(n))]
    return describe.primary_metric(rates, context.config)


def _summed(table: TableProfile, metric: str, counted_by: str) -> list[Measured]:
    """The configurations of a table that holds a rate and the number of its inputs."""
    found = []
    for group in table.chosen:
        rate, n = group.value(metric), group.value(counted_by)
        if (
            isinstance(rate, int | float)
            and isinstance(n, int | float)
            and 0 <= rate <= 1
            and n >= 1
        ):
            interval = sample.of_rate(rate * n, int(n))
            found.append(Measured(table.label(group), interval, table.stratum(group)))
    return found


def _samples(table: TableProfile, metric: str, context: Context) -> list[Measured]:
    """The two best configurations, and those of few rows: each takes a look at the table."""
    every = [
        (mean, n, groups)
        for groups in table.by_config().values()
        if (mean := _mean(groups, metric)) is not None and (n := _rows(groups, metric))
    ]
    most = metric == _ACCURACY or describe.maximize(context.config, metric)
    every.sort(key=lambda one: one[0], reverse=most)
    strata = [table.stratum(groups[0]) for _, _, groups in every]
    next_ = next((at for at, each in enumerate(strata) if at and each == strata[0]), 1)
    best = [*every[:1], *every[next_ : next_ + 1]]
    others = [one for at, one in enumerate(every) if at not in (0, next_)]
    few = [one for one in others if one[1] < context.bounds.samples][:MOST]
    found = (_sample(table, groups, metric) for _, _, groups in [*best, *few])
    return [one for one in found if one is not None]


def _mean(groups: Sequence[RunGroup], metric: str) -> float | None:
    n = _rows(groups, metric)
    if not n:
        return None
    if metric == _ACCURACY:
        return sum(group.matches[1] for group in groups) / n
    return sum(group.cells[metric].total or 0.0 for group in groups) / n


def _rows(groups: Sequence[RunGroup], metric: str) -> int:
    if metric == _ACCURACY:
        return sum(group.matches[0] for group in groups)
    return sum(group.cells[metric].filled for group in groups)


def _sample(table: TableProfile, groups: Sequence[RunGroup], metric: str) -> Measured | None:
    label = table.label(groups[0])
    if metric == _ACCURACY:
        n = sum(group.matches[0] for group in groups)
        hits = sum(group.matches[1] for group in groups)
        return Measured(label, sample.of_rate(hits, n), table.stratum(groups[0])) if n else None
    cells = [group.cells[metric] for group in groups if group.cells[metric].filled]
    n = sum(each.filled for each in cells)
    if not n or any(isinstance(v, str) for each in cells for v in (each.least, each.most)):
        return None
    ends = frozenset(value for each in cells for value in (each.least, each.most))
    known = Summary(n, sum(each.total or 0.0 for each in cells), ends)
    rows = sample.RowSample(table.database, table.from_table, *_rows_of(table, groups))
    return Measured(label, sample.of_column(rows, metric, known), table.stratum(groups[0]))


def _rows_of(table: TableProfile, groups: Sequence[RunGroup]) -> tuple[str, list[Any]]:
    where, params = table.where(groups, always=True)
    for name, value in groups[0].varying.items():
        where += f" AND {quote(name)} = ?"
        params.append(value)
    return where, params


#: Columns that say which code and which data a run had.
_CODE = ("git_commit", "git_commit_hash", "run_commit", "commit")
_DATA = ("dvc_hash", "data_hash", "data_version")
#: Words of metrics that differ from run to run whatever one does.
_TIMED = (
    "latency",
    "time",
    "duration",
    "seconds",
    "throughput",
    "ms",
    "speed",
    "elapsed",
    "runtime",
)


@rule("duplicate-run", Severity.NOTE, Scope.TABLE)
def duplicate_run(table: TableProfile, context: Context) -> Iterator[Finding]:
    """A configuration was computed again with the same code and data. Other metrics are a warning, because
    the result is not deterministic; the same metrics mean that the second run was wasted.

    If a repetition gives another accuracy, the difference of two configurations has to be larger than that
    of two repetitions to mean anything. Times (`latency`) always differ and are not compared.

    Set the seed and log it as a parameter, or report the mean of several seeds. The relative tolerance is
    1e-6; to set another: `xexp.check.bounds tolerance=0.001`.
    """
    if not table.of_role(Role.PARAM) or table.run_column is None:
        return
    for text, groups in table.by_config().items():
        for same in _same_code(table, groups):
            if len({group.run for group in same}) < 2 or not table.is_configured(same[0]):
                continue
            if table.id_column is not None and text not in table.repeated:
                continue  # the parts of one evaluation
            yield from _compared(table, same, context)


def _same_code(table: TableProfile, groups: Sequence[RunGroup]) -> list[list[RunGroup]]:
    columns = [table.table.first_of(names) for names in (_CODE, _DATA)]
    found: dict[str, list[RunGroup]] = {}
    for group in groups:
        found.setdefault(repr([group.value(column) for column in columns]), []).append(group)
    return list(found.values())


def _compared(table: TableProfile, same: Sequence[RunGroup], context: Context) -> Iterator[Finding]:
    runs = list(dict.fromkeys(group.run for group in same))
    named = f"{len(runs)} runs of one configuration ({table.label(same[0])})"
    compared = _means(table, same)
    for metric, means in compared.items():
        if _apart(list(means.values()), context.bounds.tolerance):
            yield table.found(
                f"{named} have {metric} from {min(means.values()):.6g} to {max(means.values()):.6g}:"
                " not deterministic",
                level=Severity.WARNING, subject=runs[-1], count=len(runs),
                rows=[{"run": run, metric: value} for run, value in list(means.items())[:MOST]],
                hint="set the seed, and log it",
            )  # fmt: skip
            return
    if compared:
        yield table.found(
            f"{named} have the same metrics", subject=runs[-1], count=len(runs),
            rows=[{"run": run} for run in runs[:MOST]], hint="an existing run need not be repeated",
        )  # fmt: skip


def _means(table: TableProfile, same: Sequence[RunGroup]) -> dict[str, dict[str, float]]:
    """The metrics that several of the runs have, without times, each by run."""
    found: dict[str, dict[str, float]] = {}
    for metric in table.of_role(Role.METRIC):
        if set(_TIMED).isdisjoint(column_names.words(metric)):
            means = {group.run: group.cells[metric].mean for group in same}
            found[metric] = {run: mean for run, mean in means.items() if mean is not None}
    if table.prediction_columns is not None:
        found[_ACCURACY] = {g.run: g.matches[1] / g.matches[0] for g in same if g.matches[0]}
    return {metric: means for metric, means in found.items() if len(means) > 1}


def _apart(values: Sequence[float], tolerance: float) -> bool:
    least, most = min(values), max(values)
    return most - least > tolerance * max(abs(least), abs(most))
