"""Print what a merge did or would do: a table for each artifact, conflicts with the values of all sides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gitxexp.cli import hints
from gitxexp.cli.render import console
from gitxexp.cli.render.console import Column, paint, table
from gitxexp.cli.render.rows import MOST, cell, cells
from gitxexp.common.text import visible
from gitxexp.tables.plan import Conflict, TableReport, Value
from gitxexp.tables.row_changes import RowChange
from gitxexp.tables.textconv import shown
from gitxexp.workflows.merge.merge import Merged, MergedArtifact

_COUNTS: tuple[tuple[str, Callable[[TableReport], int]], ...] = (
    ("here", lambda t: t.here),
    ("incoming", lambda t: t.incoming),
    ("new", lambda t: t.new),
    ("identical", lambda t: t.identical),
    ("filled", lambda t: t.filled),
    ("replaced", lambda t: t.replaced),
    ("removed", lambda t: t.removed),
    ("conflicting", lambda t: t.conflicting),
)
#: Columns of a report that are left out where every count is zero.
_RARE = ("removed",)


def show(found: Merged, *, dry_run: bool, as_json: bool) -> None:
    """Print the account of a merge or, with ``dry_run``, of what it would do."""
    if as_json:
        console.print_json(facts(found))
        return
    conflicting = any(a.report.conflicts for a in found.artifacts)
    (console.out if conflicting or dry_run else console.done)(*merged(found))
    console.notes(found.notes)
    if found.commit:
        console.done(f"committed {found.commit[:10]}")
    elif found.advice and not dry_run:
        hints.hint(f"next: {found.advice}")
    if found.artifacts and not found.changed and not conflicting:
        console.remark("nothing to merge: every row is here already")
        hints.hint()


def merged(found: Merged) -> list[str]:
    """The lines of the account: one table, then what the tables cannot hold."""
    rows = [(a, t) for a in found.artifacts for t in a.report.tables]
    lines = _table(rows) if rows else []
    for item in found.artifacts:
        lines += _extras(item)
        lines += _going(item)
        lines += conflicts(item.report.conflicts, item.path)
    lines += [f"candidate {path}" for path in found.models]
    return lines


def _table(rows: Sequence[tuple[MergedArtifact, TableReport]]) -> list[str]:
    columns = []
    if len({a.path for a, _ in rows}) > 1:
        columns.append(Column("artifact", [a.path for a, _ in rows], flexible=True))
    columns.append(Column("table", [t.name for _, t in rows], flexible=True))
    for name, count in _COUNTS:
        numbers = [count(t) for _, t in rows]
        if any(numbers) or name not in _RARE:
            texts = [str(n) for n in numbers]
            if name == "here":  # not counted: what the row numbers tell
                texts = [
                    f"~{n}" if t.estimated else n for n, (_, t) in zip(texts, rows, strict=True)
                ]
            columns.append(Column(name, texts, right=True, optional=int(not any(numbers))))
    added = [", ".join(t.columns_added) for _, t in rows]
    widened = [", ".join(t.types_widened) for _, t in rows]
    for name, names in (("columns added", added), ("types widened", widened)):
        if any(names):
            columns.append(Column(name, names, flexible=True))
    return table(columns)


def _extras(item: MergedArtifact) -> list[str]:
    carried = ", ".join(map(visible, item.report.carried))
    lines = [f"carried over: {carried}"] if carried else []
    lines += [f"note: {visible(note)}" for note in item.report.notes]
    for like in item.report.similar:
        table, new, old = map(visible, (like.table, like.incoming, like.existing))
        lines.append(
            f"note: {table}: the new column {new} looks like {old}; join them: --rename {new}={old}"
        )
    return lines


def _going(item: MergedArtifact) -> list[str]:
    """The first rows that give way in a rebase."""
    rows = [(t.name, row) for t in item.going for row in t.rows if row.kind != "added"]
    lines = [f"replaced: {visible(name)} {_row(row)}" for name, row in rows[:MOST]]
    more = sum(t.removed + t.changed for t in item.going) - len(lines)
    return [*lines, f"and {more} more rows"] if more else lines


def _row(row: RowChange) -> str:
    """A removed row whole, a changed one as old → new."""
    if row.kind == "removed":
        return cells(row.old or {})
    changes = (f"{visible(n)}: {cell(old)} → {cell(new)}" for n, (old, new) in row.cells.items())
    return f"{cells(row.key)} {', '.join(changes)}"


def conflicts(found: Sequence[Conflict], path: str, *, three: bool = False) -> list[str]:
    """Each conflict with its values, base included when ``three``; the first :data:`MOST`."""
    lines = []
    for conflict in found[:MOST]:
        lines.append(paint(f"conflict: {path}: {where(conflict)}", "red"))
        lines += [f"  {side:<8}{value}" for side, value in sides(conflict, three=three)]
    if len(found) > MOST:
        lines.append(f"and {len(found) - MOST} more conflicts (--json shows all)")
    return lines


def where(conflict: Conflict) -> str:
    """``table, key=value: column``, and the kind when it is not one of values."""
    key = ", ".join(f"{visible(name)}={shown(value)}" for name, value in conflict.key.items())
    table = visible(conflict.table)
    text = f"{table}, {key}" if key else table
    text += f": {visible(conflict.column)}" if conflict.column is not None else ""
    return text if conflict.kind == "value" else f"{text} ({conflict.kind})"


def sides(conflict: Conflict, *, three: bool) -> Iterable[tuple[str, str]]:
    """Every side with its value as text."""
    gone = {"delete/change": ("ours",), "change/delete": ("theirs",)}.get(conflict.kind, ())
    names = ("base", "ours", "theirs") if three else ("ours", "theirs")
    for name in names:
        value: Value = getattr(conflict, name)
        if conflict.column is None:
            yield name, "deleted" if name in gone else "changed" if gone else cell(value)
        else:
            yield name, cell(value)


def facts(found: Merged) -> dict[str, Any]:
    """The account for ``--json``."""
    artifacts = []
    for item in found.artifacts:
        report = console.plain(item.report) | {"changed": item.report.changed}
        head = {"path": item.path, "mode": str(item.mode), "sources": console.plain(item.origins)}
        hashes = {"hash_before": item.hash_before, "hash_after": item.hash_after}
        artifacts.append(head | hashes | report)
    return {
        "changed": found.changed,
        "artifacts": artifacts,
        "models": list(found.models),
        "notes": list(found.notes),
        "commit": found.commit,
        "next": found.advice,
    }
