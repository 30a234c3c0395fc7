"""Progress on a terminal: one line of standard error, rewritten; silent anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gitxexp import render

_EVERY = 0.1


@contextmanager
def line(label: str) -> Iterator[Callable[[int, int, str], None] | None]:
    """A ``progress(done, total, unit)`` for the time of a ``with``; None where nobody looks."""
    if not sys.stderr.isatty() or render.quiet():
        yield None
        return
    shown = 0.0

    def show(done: int, total: int, unit: str) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < _EVERY:
            return
        shown = now
        of = f"/{total:,}" if total else ""
        share = f" {100 * done // total}%" if total else ""
        sys.stderr.write(f"\r\x1b[K{label}: {done:,}{of} {unit}{share}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
