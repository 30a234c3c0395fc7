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
    begun, shown = time.monotonic(), 0.0

    def show(done: int, total: int, unit: str) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < _EVERY:
            return
        shown = now
        text = f"{label}: {described(done, total, unit, now - begun)}"
        sys.stderr.write(f"\r\x1b[K{render.clip(text, render.columns() - 1)}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def described(done: int, total: int, unit: str, seconds: float) -> str:
    """How far it is, how fast, and the time left once that can be told.

    ``done`` and ``total`` (0: unknown) are in ``unit``; bytes are shown in units of 1000.
    """
    rate = done / seconds if seconds > 0 else 0.0
    known = unit in ("B", "bytes")
    amount = render.size if known else (lambda count: f"{count:,.0f}")
    parts = [f"{amount(done)}/{amount(total)}" if total else amount(done)]
    if not known:
        parts.append(unit)
    if total:
        parts.append(f"{100 * done // total}%")
    if seconds >= 1 and rate:
        parts.append(f"{amount(rate)}/s")
        if total > done:
            parts.append(f"{_clock((total - done) / rate)} left")
    return " ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
