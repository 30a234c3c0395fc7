"""Numbers and sizes as people read them."""

from __future__ import annotations

from typing import Any

from gitxexp import payload


def rounded(value: Any) -> str:
    """A number with four decimals, or four digits where that would show none."""
    if isinstance(value, float) and value == value and 1e-3 <= abs(value) < 1e6:
        text = f"{value:.4f}"
        return (
            payload.show(value) if float(text) == value and len(payload.show(value)) <= 6 else text
        )
    return f"{value:.4g}" if isinstance(value, float) else payload.show(value)


def size(count: int | None) -> str:
    """Bytes as people read them, in powers of 1000; "?" where not known."""
    if count is None:
        return "?"
    amount, units = float(count), ["B", "kB", "MB", "GB", "TB", "PB"]
    while amount >= 999.95 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{count} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"
