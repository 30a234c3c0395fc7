"""Print the roles of columns as text and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gitxexp.cli.render import console
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
    places: dict[tuple[str, str], list[ColumnFacts]] = {}
    for each in found:
        places.setdefault((_path(each, top), each.table), []).append(each)
    lines = []
    for (path, table), columns in places.items():
        title = f"{table} of {path}" if table else path
        lines += [title, *_table(columns), ""]
    return [*lines, _HOW]


def _table(columns: Sequence[ColumnFacts]) -> list[str]:
    return console.table(
        [
            console.Column("column", [each.column for each in columns]),
            console.Column("role", [str(each.role) for each in columns]),
            console.Column("value", [_value(each.example) for each in columns]),
            console.Column("why", [each.why for each in columns]),
        ]
    )


def _value(value: Any) -> str:
    text = " ".join(("" if value is None else show(value)).split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _path(each: ColumnFacts, top: Path) -> str:
    path = each.database
    return path.relative_to(top).as_posix() if path.is_relative_to(top) else str(path)
