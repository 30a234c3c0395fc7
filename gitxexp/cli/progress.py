"""Progress on a terminal: one line of standard error, rewritten; silent anywhere else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gitxexp.cli.render import console

_EVERY = 0.1  #: seconds between two drawings
_TICK = 0.5  #: seconds after which the clock is drawn anew though nothing was reported
_DELAY = 1.0  #: seconds before anything is shown


@contextmanager
def line(label: str) -> Iterator[Callable[[int, int, str], None] | None]:
    """A ``progress(done, total, unit)`` for the time of a ``with``; None where nobody looks.

    Nothing is shown in the first second, or what ``GIT_PROGRESS_DELAY`` (git(1)) says.
    """
    if not sys.stderr.isatty() or console.quiet() or os.environ.get("TERM") == "dumb":
        yield None
        return
    from gitxexp.common.processes import every

    shown = _Line(label)
    with every(_TICK, shown.tick):
        try:
            yield shown
        finally:
            shown.end()


class _Line:
    """What is known of the work, drawn by whoever reports and by a clock."""

    def __init__(self, label: str) -> None:
        import threading

        self.label = label
        self.begun = self.since = time.monotonic()
        self.first = self.drawn = 0.0
        self.last: tuple[int, int, str] | None = None
        self.over = False
        self.lock = threading.Lock()

    def __call__(self, done: int, total: int, unit: str) -> None:
        """Take a report, and draw it if the last drawing is old enough."""
        now = time.monotonic()
        if self.last is None or unit != self.last[2] or done < self.last[0]:
            self.since, self.first = now, done  # other work has begun
        self.last = done, total, unit
        if now - self.drawn >= _EVERY:
            self.draw(now)

    def tick(self) -> None:
        """Draw the clock anew."""
        self.draw(time.monotonic())

    def draw(self, now: float) -> None:
        """Rewrite the line, if it is time to show anything."""
        with self.lock:
            if self.over or now - self.begun < _delay():
                return
            self.drawn = now
            text = f"{self.label}: {self.text(now)}"
            sys.stderr.write(f"\r\x1b[K{console.clip(text, console.columns() - 1)}")
            sys.stderr.flush()

    def text(self, now: float) -> str:
        """Amount, rate and time left; the time gone by where no amount is known."""
        if self.last is None:
            return _clock(now - self.begun)
        done, total, unit = self.last
        return described(done, total, unit, now - self.since, done - self.first)

    def end(self) -> None:
        """Leave an empty line behind."""
        with self.lock:
            self.over = True
            if self.drawn:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()


def _delay() -> float:
    try:
        return float(os.environ["GIT_PROGRESS_DELAY"])
    except (KeyError, ValueError):
        return _DELAY


def described(
    done: int, total: int, unit: str, seconds: float, counted: float | None = None
) -> str:
    """How far it is, how fast, and the time left once that can be told.

    ``done`` and ``total`` (0: unknown) are in ``unit``; bytes are shown in units of 1000. Of
    ``done``, ``counted`` (all if None) was done in ``seconds``.
    """
    rate = (done if counted is None else counted) / seconds if seconds > 0 else 0.0
    known = unit in ("B", "bytes")
    amount = console.size if known else (lambda count: f"{count:,.0f}")
    parts = [f"{amount(done)}/{amount(total)}" if total else amount(done)]
    if not known:
        parts.append(unit)
    if total:
        parts.append(f"{min(100, 100 * done // total)}%")
    if seconds >= 1 and rate:
        if known or rate >= 1:
            parts.append(f"{amount(rate)}/s")
        if total > done:
            parts.append(f"{_clock((total - done) / rate)} left")
    elif seconds >= 1:
        parts.append(_clock(seconds))
    return " ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
