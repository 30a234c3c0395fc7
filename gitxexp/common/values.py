"""What a cell, a parameter or a metric holds."""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeGuard


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value is a number; in Python a bool is one too, in a results table it is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_ordered(value: Any) -> TypeGuard[int | float]:
    """Whether a value is a number by which one can sort: not NaN."""
    return is_number(value) and value == value


def is_finite(value: Any) -> TypeGuard[int | float]:
    """Whether a value is a number, and neither NaN nor infinite."""
    return is_number(value) and math.isfinite(value)
