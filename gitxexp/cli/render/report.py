"""A report on experiments as GitHub's Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from gitxexp.cli.render import details, lists, markdown
from gitxexp.cli.render.console import Column, rounded
from gitxexp.common.text import counted
from gitxexp.repository import tag_message
from gitxexp.workflows.explore.compare import Comparison
from gitxexp.workflows.report.importance import LEAST_RUNS
from gitxexp.workflows.report.report import Report


def as_markdown(found: Report) -> list[str]:
    """The whole report: a summary in words, the experiments, what the best changed, parameters."""
    lines = [f"## {markdown.escaped(found.title)}: experiments", "", *_summary(found), ""]
    lines += ["### Experiments", "", *lists.as_markdown(found.experiments), ""]
    if found.best and found.best.since:
        lines += [*details.comparison_markdown(found.best.since), ""]
    lines += _importance(found)
    return lines if lines[-1] else lines[:-1]


def _summary(found: Report) -> Iterator[str]:
    rows = found.experiments.rows
    newest = rows[0].experiment
    named = f"; the newest is **{markdown.escaped(newest.name)}**" if newest else ""
    yield f"- {counted(len(rows), 'experiment')}{named}."
    if found.best is None or found.metric is None:
        yield "- No experiment has a metric to rank them by."
        return
    more = "higher" if found.maximize else "lower"
    name, metric = markdown.escaped(found.best.experiment.name), markdown.escaped(found.metric)
    yield f"- Best {metric} ({more} is better): **{rounded(found.best.value)}** by **{name}**."
    if found.best.since:
        yield f"- {_changes(found.best.since, found.metric)}"


def _changes(since: Comparison, metric: str) -> str:
    """What the best experiment did, and whether the difference is more than chance."""
    before = markdown.escaped(since.before.name)
    shown = [
        f"{markdown.escaped(c.name)} {_value(c.before)} → {_value(c.after)}" for c in since.params
    ]
    shown += ["the code"] if since.files else []
    what = f"it changed {', '.join(shown)}" if shown else "it changed neither parameters nor code"
    delta = next((d for d in since.metrics if d.name == metric), None)
    if delta is None or delta.delta is None:
        return f"Against {before}, {what}."
    sign = "+" if delta.delta >= 0 else "-"
    doubt = {True: "; that is within noise", False: "; that is more than noise"}
    known = delta.low is not None and delta.high is not None
    said = doubt[bool(delta.noise)] if known else ""
    return f"Against {before}, {what}: {sign}{rounded(abs(float(delta.delta)))}{said}."


def _value(value: object) -> str:
    return "-" if value is None else markdown.escaped(tag_message.show(value))


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
        "Spearman's rank correlation, and the share of the variance that lies between the values of"
        f" the parameter (eta squared), over {counted(found.runs, 'run')}."
        " They say what went together, not what caused it."
    )
    return [*head, *table, "", note, ""]


def _part(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
