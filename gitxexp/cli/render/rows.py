"""Row differences as text: ``+`` added, ``-`` removed, ``~`` changed with old → new per cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gitxexp.cli.render.console import Column, paint, table
from gitxexp.common.text import visible
from gitxexp.tables.plan import Value
from gitxexp.tables.row_changes import RowChange, TableDiff
from gitxexp.tables.textconv import shown
from gitxexp.workflows.merge.diff import FileDiff

#: Rows and conflicts shown to people; JSON has them all.
MOST = 20


def files(found: Sequence[FileDiff]) -> list[str]:
    """Every file with its tables and rows."""
    return [line for item in found for line in _file(item)]


def _file(found: FileDiff) -> Iterator[str]:
    yield paint(f"diff {visible(found.path)}", "bold")
    if found.problem:
        yield f"  {visible(found.problem)}"
    for item in found.tables:
        yield from _table(item)


def _table(item: TableDiff) -> Iterator[str]:
    yield paint(f"@@ {visible(item.name)}: {counts(item)} @@", "cyan")
    for name in item.columns_added:
        yield paint(f"+ column {visible(name)}", "green")
    for name in item.columns_removed:
        yield paint(f"- column {visible(name)}", "red")
    yield from (row(change) for change in item.rows)
    hidden = item.added + item.removed + item.changed - len(item.rows)
    if hidden > 0:
        yield f"  and {hidden} more rows"


def counts(item: TableDiff) -> str:
    """``2 added, 1 changed``"""
    parts = ["new table"] if item.created else ["dropped table"] if item.dropped else []
    for name in ("added", "removed", "changed"):
        count = getattr(item, name)
        if count:
            parts.append(f"{count} {name}")
    return ", ".join(parts) or "columns only"


def row(change: RowChange) -> str:
    """One line."""
    if change.kind == "added":
        return paint(f"+ {cells(change.new or {})}", "green")
    if change.kind == "removed":
        return paint(f"- {cells(change.old or {})}", "red")
    key = cells(change.key)
    changes = (
        f"{visible(name)}: {cell(old)} → {cell(new)}" for name, (old, new) in change.cells.items()
    )
    return paint(f"~ {key}  {', '.join(changes)}", "yellow")


def cells(row: Mapping[str, Value]) -> str:
    """``name=value`` for each value that is there."""
    return " ".join(
        f"{visible(name)}={shown(value)}" for name, value in row.items() if value is not None
    )


def cell(value: Value) -> str:
    """One value, NULL too."""
    return "NULL" if value is None else shown(value)


def stat(found: Sequence[FileDiff]) -> list[str]:
    """Counts only, a line per table."""
    rows = [(f, t) for f in found for t in f.tables]
    columns = [
        Column("file", [f.path for f, _ in rows], flexible=True),
        Column("table", [t.name for _, t in rows], flexible=True),
    ]
    for name in ("added", "removed", "changed"):
        columns.append(Column(name, [str(getattr(t, name)) for _, t in rows], right=True))
    columns.append(Column("columns", [_columns(t) for _, t in rows], flexible=True))
    return table(columns)


def _columns(item: TableDiff) -> str:
    added = [f"+{name}" for name in item.columns_added]
    return " ".join([*added, *(f"-{name}" for name in item.columns_removed)])
