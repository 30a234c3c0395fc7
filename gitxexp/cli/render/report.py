"""The report on experiments as GitHub Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitxexp.cli.render import details, lists, markdown
from gitxexp.cli.render.console import Column, or_dash, rounded
from gitxexp.common.text import counted, some
from gitxexp.workflows.explore.compare import Comparison, MetricChange
from gitxexp.workflows.report.importance import LEAST_RUNS
from gitxexp.workflows.report.report import Report


def as_markdown(found: Report) -> list[str]:
    """The whole report: a summary in words, the experiments, what the best changed, parameters."""
    lines = [f"## {markdown.escaped(found.title)}: experiments", ""]
    lines += [f"- {''.join(map(_marked, sentence))}" for sentence in summary(found)]
    lines += ["", "### Experiments", "", *lists.as_markdown(found.experiments), ""]
    if found.best and found.best.since:
        lines += [*details.comparison_markdown(found.best.since), ""]
    lines += _importance(found)
    return lines if lines[-1] else lines[:-1]


class Strong(str):
    """Words that matter most in a sentence."""

    __slots__ = ()


#: The parts of one, to be put together as they are.
Sentence = Sequence[str]


def _marked(part: str) -> str:
    return f"**{markdown.escaped(part)}**" if isinstance(part, Strong) else markdown.escaped(part)


def summary(found: Report) -> Iterator[Sentence]:
    """The report in words: the best, what changed it, what is noise, what is in production."""
    rows = found.experiments.rows
    newest = rows[0].experiment
    named = ["; the newest is ", Strong(newest.name)] if newest else []
    yield [counted(len(rows), "experiment"), *named, "."]
    if found.best is None or found.metric is None:
        yield ["No experiment has a metric to rank them by."]
    else:
        more = "higher" if found.maximize else "lower"
        value, name = Strong(rounded(found.best.value)), Strong(found.best.experiment.name)
        equal = f", the same as {some(found.best.equal, 6)}" if found.best.equal else ""
        yield [f"Best {found.metric} ({more} is better): ", value, " by ", name, f"{equal}."]
        if found.best.since:
            yield [_changes(found, found.best.since, found.metric)]
        yield from _noise(found, found.metric)
        yield from _most_telling(found, found.metric)
    for promotion in found.production:
        model = [Strong(promotion.slot), " of ", Strong(promotion.version or promotion.run)]
        why = f" ({promotion.why})" if promotion.why else ""
        yield ["In production: ", *model, f" since {promotion.at[:10]}{why}."]


def _changes(found: Report, since: Comparison, metric: str) -> str:
    """What the best experiment did, and whether the difference is more than chance."""
    shown = [f"{c.name} {or_dash(c.before)} → {or_dash(c.after)}" for c in since.params]
    shown += ["the code"] if since.files else []
    what = f"it changed {some(shown, 6)}" if shown else "it changed neither parameters nor code"
    delta = next((d for d in since.metrics if d.name == metric), None)
    if delta is None or delta.delta is None:
        return f"Against {since.before.name}, {what}."
    if not delta.delta:
        return f"Against {since.before.name}, {what}; {metric} is the same."
    sign = "+" if delta.delta > 0 else "-"
    amount = f"{sign}{rounded(abs(float(delta.delta)))}"
    return f"Against {since.before.name}, {what}: {amount}{_doubt(found, delta)}."


def _doubt(found: Report, delta: MetricChange) -> str:
    verdict = {True: "that is within noise", False: "that is more than noise"}
    if delta.low is not None and delta.high is not None:
        interval = f"95% interval {rounded(delta.low)} to {rounded(delta.high)}"
        return f" ({interval}); {verdict[delta.noise]}"
    if found.spread and found.spread.is_sure and delta.delta:
        return f"; {verdict[abs(delta.delta) < found.spread.least]}"
    return ""


def _noise(found: Report, metric: str) -> Iterator[Sentence]:
    spread = found.spread
    if found.ties:
        names = some(list(found.ties), 6)
        yield [
            "Within noise of the best: ", Strong(names), "; the 95% interval of the difference includes 0."
        ]  # fmt: skip
    elif found.ties is not None:
        yield [
            "No other experiment is within noise of the best, by its predictions in the results."
        ]
    if spread is not None:
        repeated = f"{spread.runs} runs of {counted(spread.configurations, 'configuration')}"
        if not spread.deviation:
            yield [
                f"Runs with the same parameters, seeds aside, gave the same {metric} ({repeated})."
            ]
            return
        sure = f"; between two runs, less than {rounded(spread.least)} is noise"
        varied = f"Runs with the same parameters, seeds aside, vary by {rounded(spread.deviation)}"
        what = f" (standard deviation of {metric}, {repeated})"
        yield [varied, what, f"{sure if spread.is_sure else ''}."]
    elif found.ties is None and len(found.rows) > 1:
        lacking = f"predictions that tell {metric} nor runs with the same parameters, seeds aside"
        yield [f"The size of the noise is unknown: the results have neither {lacking}."]


def _most_telling(found: Report, metric: str) -> Iterator[Sentence]:
    if not found.importance:
        return
    first = found.importance[0]
    told = []
    if first.correlation is not None:
        told.append(f"rank correlation {first.correlation:.2f}")
    if first.share is not None:
        told.append(f"{100 * first.share:.0f}% of the variance")
    what = f": {', '.join(told)}, over {counted(first.runs, 'run')}."
    if told and first.beyond_chance:
        yield [f"The parameter that says most about {metric} is ", Strong(first.name), what]
    elif told:
        yield [
            f"No parameter explains more of {metric} than chance would; the first is {first.name}{what}"
        ]


def _importance(found: Report) -> list[str]:
    if found.metric is None:
        return []
    head = [f"### Parameters and {markdown.escaped(found.metric)}", ""]
    if not found.importance:
        return [*head, f"No parameter varies over at least {LEAST_RUNS} runs.", ""]
    rows = found.importance
    table = markdown.table(
        [
            Column("parameter", [one.name for one in rows]),
            Column("rank correlation", [_part(one.correlation) for one in rows], right=True),
            Column("share of variance", [_part(one.share) for one in rows], right=True),
            Column("runs", [str(one.runs) for one in rows], right=True),
        ]
    )
    note = (
        "Spearman's rank correlation, and the share of the variance between the values of"
        " the parameter (eta squared), over the runs that have both. They show correlation, not causation."
    )
    return [*head, *table, "", note, ""]


def _part(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
