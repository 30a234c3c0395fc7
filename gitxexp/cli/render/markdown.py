"""Tables of GitHub's Markdown (github.github.com/gfm, "Tables")."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gitxexp.cli.render.console import Column
from gitxexp.common.text import visible

#: What Markdown, or the HTML that it may hold, would take for markup.
_MARKUP = re.compile(r"([\\`*_\[\]<>|~#&@])")


def escaped(text: str) -> str:
    """``text`` as Markdown that shows it, on one line."""
    return _MARKUP.sub(r"\\\1", visible(" ".join(text.splitlines())))


def table(columns: Sequence[Column]) -> list[str]:
    """The lines of a table; the best values in bold, numbers to the right."""
    if not columns:
        return []
    lines = [
        _row([escaped(column.name) for column in columns]),
        _row(["---:" if column.right else "---" for column in columns]),
    ]
    for at in range(len(columns[0].cells)):
        cells = [(escaped(c.cells[at]), at in c.marked) for c in columns]
        lines.append(_row([f"**{text}**" if best and text else text for text, best in cells]))
    return lines


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
