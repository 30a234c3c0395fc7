"""Print several experiments in columns, as text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gitxexp.cli.render import markdown
from gitxexp.cli.render.console import Column, one_line, or_dash, rounded
from gitxexp.cli.render.details import delta_cells, section, short_hash, side, title
from gitxexp.common import streams
from gitxexp.workflows.explore.compare import (
    CodeFileChange,
    FileRow,
    MetricRow,
    SideBySide,
    ValueRow,
)

Cells = list[str]


def as_text(found: SideBySide) -> list[str]:
    """The whole page of ``explore diff`` of several."""
    names = [each.name for each in found.sides]
    lines = [", ".join(map(title, found.sides)), ""]
    for kind, rows in _tables(found).items():
        lines += section(kind, [["", *names], *(cells for cells, _ in rows)] if rows else [])
    if not found.different:
        lines += ["nothing differs"]
    return lines if lines[-1] else lines[:-1]


def as_markdown(found: SideBySide) -> list[str]:
    """The same as a table for each kind of thing, the best values in bold."""
    names = [each.name for each in found.sides]
    lines = [f"### {', '.join(map(markdown.escaped, names))}", ""]
    for kind, rows in _tables(found, best=False).items():
        if rows:
            columns = zip(*(cells for cells, _ in rows), strict=True)
            marked = [frozenset[int](), *_marked([best for _, best in rows], len(names))]
            heads = [kind, *names]
            lines += [
                *markdown.table(
                    [
                        Column(head, list(map(streams.plain, cells)), marked=best)
                        for head, cells, best in zip(heads, columns, marked, strict=True)
                    ]
                ),
                "",
            ]
    return lines[:-1] if found.different else [*lines, "nothing differs"]


def _marked(best: Sequence[frozenset[int]], count: int) -> list[frozenset[int]]:
    """For each of ``count`` columns the rows in which it is best."""
    return [frozenset(at for at, row in enumerate(best) if n in row) for n in range(count)]


#: The cells of a row, and the columns that are best in it.
_Row = tuple[Cells, frozenset[int]]


def _tables(found: SideBySide, *, best: bool = True) -> dict[str, list[_Row]]:
    """The rows of each kind, the name first; ``best`` puts a star after the best value."""
    return {
        "parameters": [_values(row, or_dash) for row in found.params],
        "metrics": [each for row in found.metrics for each in _metric(row, best=best)],
        "artifacts": [_values(row, short_hash) for row in found.artifacts],
        "code": [_file(row) for row in found.files],
    }


def _values(row: ValueRow, show: Callable[[Any], str]) -> _Row:
    return [one_line(row.name), *map(show, row.values)], frozenset()


def _metric(row: MetricRow, *, best: bool) -> list[_Row]:
    """Its values, and below them their intervals and the changes from the first, where there are any."""
    values = [
        f"{or_dash(value)}{'*' if best and at in row.best else ''}"
        for at, value in enumerate(row.values)
    ]
    rows = [([one_line(row.name), *values], row.best)]
    if any(row.intervals):
        ends = [
            f"{rounded(one.low)} to {rounded(one.high)}" if one else "" for one in row.intervals
        ]
        rows.append((["  95%", *ends], frozenset()))
    changes = [" ".join(filter(None, delta_cells(change)[:3])) for change in row.changes]
    doubts = [" (noise)" if change.noise else "" for change in row.changes]
    if any(changes):
        cells = [text + doubt for text, doubt in zip(changes, doubts, strict=True)]
        rows.append((["  change", "", *cells], frozenset()))
    return rows


def _file(row: FileRow) -> _Row:
    cells = []
    for change in row.changes:
        if change is None:
            cells.append("same")
        elif why := change.uncounted:
            cells.append(why)
        else:
            cells.append(f"+{change.added} -{change.deleted}")
    return [one_line(row.path), "", *cells], frozenset()


def as_object(found: SideBySide) -> dict[str, Any]:
    """``explore diff --json`` of several."""
    return {
        "versions": [side(each) for each in found.sides],
        "params": [row._asdict() for row in found.params],
        "metrics": [_metric_object(row) for row in found.metrics],
        "artifacts": [row._asdict() for row in found.artifacts],
        "code": [
            {"path": row.path, "changes": [_counts(change) for change in row.changes]}
            for row in found.files
        ],
        "different": found.different,
    }


def _counts(change: CodeFileChange | None) -> dict[str, int | None] | None:
    return None if change is None else {"added": change.added, "deleted": change.deleted}


def _metric_object(row: MetricRow) -> dict[str, Any]:
    kept = ("delta", "relative", "better", "low", "high")
    return {
        "name": row.name,
        "values": list(row.values),
        "low": [one.low if one else None for one in row.intervals],
        "high": [one.high if one else None for one in row.intervals],
        "rows": [one.n if one else None for one in row.intervals],
        "best": sorted(row.best),
        "changes": [{key: getattr(change, key) for key in kept} for change in row.changes],
    }
