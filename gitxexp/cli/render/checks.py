"""Print the findings of a check: a table, Markdown, annotations for GitHub, JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gitxexp.cli.render import console
from gitxexp.cli.render.console import Column
from gitxexp.common.text import counted, visible
from gitxexp.workflows.checks.report import CheckReport
from gitxexp.workflows.checks.rule import Finding, Severity

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
#: Characters of a cell of the rows below a finding.
_CELL = 60


def as_text(report: CheckReport, *, rows: bool) -> list[str]:
    """A line for each finding, the gravest first; with ``rows`` also those behind it, and how to go on."""
    if rows:
        lines = [line for one in report.findings for line in _whole(one)]
        lines += [
            f"ignored  {one.finding.rule}: {visible(one.finding.message)} ({visible(one.reason)})"
            for one in report.ignored
        ]
        lines += [f"skipped  {one.rule}: {visible(one.reason)}" for one in report.skipped]
        return [*lines, summary(report)]
    findings = report.findings
    if not findings:
        return [summary(report)]
    columns = [
        Column("level", [one.level for one in findings], red=_errors(findings)),
        Column("rule", [one.rule for one in findings]),
        Column("where", [one.place for one in findings], flexible=True),
        Column("found", [one.message for one in findings], flexible=True),
    ]
    return [*console.table(columns), *([summary(report)] if console.is_terminal() else [])]


def say(found: Sequence[Finding]) -> None:
    """Say on standard error what a run that begins should know."""
    for one in found:
        console.say(f"note: {one.message}")
        if one.hint:
            console.say(f"  {one.hint}")


def _errors(found: Sequence[Finding]) -> frozenset[int]:
    return frozenset(n for n, one in enumerate(found) if one.level is Severity.ERROR)


def _whole(one: Finding) -> Iterator[str]:
    level = console.paint(f"{one.level:<8}", _COLOURS[one.level])
    place = f"{visible(one.place)}: " if one.place else ""
    yield f"{level} {console.paint(one.rule, 'bold')}  {place}{visible(one.message)}"
    for row in one.rows:
        yield f"           {_cells(row)}"
    if one.rows and one.more > 0:
        yield f"           and {one.more} more"
    if one.hint:
        yield f"         {console.paint('hint:', 'dim')} {visible(one.hint)}"


def _cells(row: Mapping[str, Any]) -> str:
    cells = ((name, visible(str(value))) for name, value in row.items() if value is not None)
    return "  ".join(
        f"{visible(name)}={text if len(text) <= _CELL else text[: _CELL - 1] + '…'}"
        for name, text in cells
    )


def summary(report: CheckReport) -> str:
    """``2 errors, 1 warning, 0 notes`` and what else is to know, in one line."""
    counts = [counted(report.count(level), level) for level in Severity if report.count(level)]
    text = ", ".join(counts) or f"{counted(len(report.rules), 'rule')}, nothing found"
    more = []
    if report.ignored:
        more.append(f"{len(report.ignored)} ignored")
    if report.skipped:
        more.append(f"{len({one.rule for one in report.skipped})} not applied")
    if report.unchanged:
        more.append("nothing has changed since the last check")
    return f"{text} ({', '.join(more)})" if more else text


def as_object(report: CheckReport, fixed: Sequence[str] = ()) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "findings": [_object(one) for one in report.findings],
        "ignored": [{**_object(one.finding), "reason": one.reason} for one in report.ignored],
        "skipped": list(report.skipped),
        "rules": list(report.rules),
        "unchanged": report.unchanged,
        "fixed": list(fixed),
        "merges": report.merges,
        "dropped": list(report.dropped),
        "problems": list(report.problems),
    }


def _object(one: Finding) -> dict[str, Any]:
    return {
        "rule": one.rule,
        "level": str(one.level),
        "message": one.message,
        "path": one.path,
        "table": one.table,
        "subject": one.subject,
        "count": one.count,
        "rows": [{name: _scalar(value) for name, value in row.items()} for row in one.rows],
        "hint": one.hint,
        "fix": one.fix.summary if one.fix else None,
    }


def _scalar(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


# -- for a pull request ----------------------------------------------------------------------------


def as_markdown(report: CheckReport) -> str:
    """A comment: the table, and the rows of each finding folded away."""
    lines = [f"### git xexp check: {_escaped(summary(report))}", ""]
    if report.findings:
        lines += ["| level | rule | where | found |", "|---|---|---|---|"]
        lines += [
            f"| {one.level} | {one.rule} | {_escaped(one.place)} | {_escaped(one.message)} |"
            for one in report.findings
        ]
        lines.append("")
    for one in report.findings:
        lines += _details(one)
    if report.ignored:
        lines += ["<details><summary>ignored</summary>", ""]
        lines += [
            f"- {one.finding.rule}: {_escaped(one.finding.message)} ({_escaped(one.reason)})"
            for one in report.ignored
        ]
        lines += ["", "</details>"]
    return "\n".join(lines).rstrip() + "\n"


def _details(one: Finding) -> Iterator[str]:
    if not one.rows and not one.hint:
        return
    yield f"<details><summary>{one.rule}: {_escaped(one.message)}</summary>"
    yield ""
    if one.hint:
        yield f"Hint: {_escaped(one.hint)}"
        yield ""
    if one.rows:
        names = list(dict.fromkeys(name for row in one.rows for name in row))
        yield f"| {' | '.join(map(_escaped, names))} |"
        yield f"|{'---|' * len(names)}"
        for row in one.rows:
            yield f"| {' | '.join(_cut(row.get(name)) for name in names)} |"
        yield ""
    yield "</details>"
    yield ""


def _cut(value: Any) -> str:
    text = "" if value is None else str(value)
    return _escaped(text if len(text) <= _CELL else f"{text[: _CELL - 1]}…")


#: What Markdown, HTML or GitHub would read as more than text; a mention needs a mark between.
_MARKS = str.maketrans({
    "&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "\\|", "`": "\\`", "*": "\\*", "_": "\\_", "[": "\\[",
    "]": "\\]", "\\": "\\\\", "@": "@\u200b", "#": "#\u200b",
})  # fmt: skip


def _escaped(text: str) -> str:
    return visible(text).translate(_MARKS)


def as_annotations(report: CheckReport) -> list[str]:
    """Workflow commands of GitHub Actions (docs.github.com, "Workflow commands"), a line for each."""
    kinds = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
    lines = []
    for one in report.findings:
        file = f"file={_property(one.path)}," if one.path else ""
        text = f"{one.message} ({one.hint})" if one.hint else one.message
        table = f" {one.table}" if one.table else ""
        title = _property(f"{one.rule}{table}")
        lines.append(f"::{kinds[one.level]} {file}title={title}::{_data(text)}")
    return lines


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
