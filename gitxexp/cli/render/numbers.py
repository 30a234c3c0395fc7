"""Numbers and sizes as people read them."""

from __future__ import annotations

from typing import Any

from gitxexp.cli.render import console
from gitxexp.repository import tag_message


def rounded(value: Any) -> str:
    """A number with four decimals, or four digits where that would show none."""
    if isinstance(value, float) and value == value and 1e-3 <= abs(value) < 1e6:
        text = f"{value:.4f}"
        return (
            tag_message.show(value)
            if float(text) == value and len(tag_message.show(value)) <= 6
            else text
        )
    return f"{value:.4g}" if isinstance(value, float) else tag_message.show(value)


def size(count: int | None) -> str:
    """Bytes as people read them; "?" where not known."""
    return "?" if count is None else console.size(count)
