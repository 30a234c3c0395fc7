"""Python's search for garbage, which is off where there is none to find."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """No search for cycles: thousands of rows make none, and looking for some among them takes a
    fifth to a third of the time. Also a decorator."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
