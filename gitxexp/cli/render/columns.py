"""Print the roles of columns as text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gitxexp.cli.render import console, markdown
from gitxexp.repository.tag_message import show
from gitxexp.trackers.run import ColumnFacts

_HOW = 'to change a role: [roles] in .xexp/config.toml, such as param = ["n_*", "TABLE.COLUMN"]'
_WIDEST = 24


def as_objects(found: Sequence[ColumnFacts], top: Path) -> list[dict[str, Any]]:
    """One object a column."""
    return [
        {
            "results": _path(each, top),
            "table": each.table or None,
            "column": each.column,
            "role": str(each.role),
            "why": each.why,
            "value": each.example,
        }
        for each in found
    ]


def as_text(found: Sequence[ColumnFacts], top: Path) -> list[str]:
    """A table for each table of runs, and how to change a role."""
    lines = []
    for title, columns in _tables(found, top).items():
        lines += [title, *console.table(columns), ""]
    return [*lines, _HOW]


def as_markdown(found: Sequence[ColumnFacts], top: Path) -> list[str]:
    """The same tables, each below its title."""
    lines: list[str] = []
    for title, columns in _tables(found, top).items():
        lines += [f"### {markdown.escaped(title)}", "", *markdown.table(columns), ""]
    return lines[:-1]


def _tables(found: Sequence[ColumnFacts], top: Path) -> dict[str, list[console.Column]]:
    """The columns of each table of runs, by its title."""
    places: dict[str, list[ColumnFacts]] = {}
    for each in found:
        path = _path(each, top)
        title = f"{each.table} of {path}" if each.table else path
        places.setdefault(title, []).append(each)
    return {
        title: [
            console.Column("column", [each.column for each in columns]),
            console.Column("role", [str(each.role) for each in columns]),
            console.Column("value", [_value(each.example) for each in columns]),
            console.Column("why", [each.why for each in columns]),
        ]
        for title, columns in places.items()
    }


def _value(value: Any) -> str:
    text = " ".join(("" if value is None else show(value)).split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _path(each: ColumnFacts, top: Path) -> str:
    path = each.database
    return path.relative_to(top).as_posix() if path.is_relative_to(top) else str(path)
