"""Numbers and sizes as people read them."""

from __future__ import annotations

from typing import Any

from gitxexp import payload, render


def rounded(value: Any) -> str:
    """A number with four decimals, or four digits where that would show none."""
    if isinstance(value, float) and value == value and 1e-3 <= abs(value) < 1e6:
        text = f"{value:.4f}"
        return (
            payload.show(value) if float(text) == value and len(payload.show(value)) <= 6 else text
        )
    return f"{value:.4g}" if isinstance(value, float) else payload.show(value)


def size(count: int | None) -> str:
    """Bytes as people read them; "?" where not known."""
    return "?" if count is None else render.size(count)
