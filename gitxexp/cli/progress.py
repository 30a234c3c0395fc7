"""Progress on a terminal: one line of standard error, drawn by tqdm; silent anywhere else."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gitxexp.cli.render import console
from gitxexp.common.text import one_line

if TYPE_CHECKING:
    from tqdm import tqdm

_TICK = 0.5  #: seconds after which the clock is drawn anew though nothing was reported
_DELAY = 1.0  #: seconds before anything is shown
_UNKNOWN = "{desc}: {elapsed}"
_COUNT = "{desc}: {n_fmt} {unit} {rate_fmt} {elapsed}"
_PART = "{desc}: {n_fmt}/{total_fmt} {unit} {percentage:.0f}% {rate_fmt} {remaining} left"
_BYTES = "{desc}: {n_fmt}B/{total_fmt}B {percentage:.0f}% {rate_fmt} {remaining} left"


@contextmanager
def line(label: str) -> Iterator[Line | None]:
    """A ``progress(done, total, unit)`` for the time of a ``with``; None where nobody looks.

    Nothing is shown in the first second, or what ``GIT_PROGRESS_DELAY`` (git(1)) says.
    """
    if not sys.stderr.isatty() or console.quiet() or os.environ.get("TERM") == "dumb":
        yield None
        return
    from gitxexp.common.processes import every

    shown = Line(label)
    with every(_TICK, shown.refresh):
        try:
            yield shown
        finally:
            shown.close()


class Line:
    """A bar that is made when the delay is over, and recreated when other work begins."""

    def __init__(self, label: str) -> None:
        import threading

        self.label = one_line(label)
        self.begins = time.monotonic() + _delay()
        self.bar: tqdm[Any] | None = None
        self.lock = threading.Lock()

    def __call__(self, done: int, total: int, unit: str) -> None:
        """Take a report."""
        with self.lock:
            bar = self.bar
            if bar is None or bar.unit != unit or done < bar.n:
                self._begin(done, total, unit)
            else:
                bar.total = total or None
                bar.update(done - bar.n)

    def refresh(self) -> None:
        """Draw the clock anew."""
        with self.lock:
            if self.bar is None:
                self._begin(0, 0, "")
            else:
                self.bar.refresh()

    def close(self) -> None:
        """Leave an empty line behind, and draw no more."""
        with self.lock:
            self.begins = math.inf
            if self.bar is not None:
                self.bar.close()
                self.bar = None

    def _begin(self, done: int, total: int, unit: str) -> None:
        if time.monotonic() < self.begins:
            return
        from tqdm import tqdm  # takes 30 ms that only a terminal pays

        if self.bar is not None:
            self.bar.close()
        size = unit in ("B", "bytes")
        known = _BYTES if size else _PART
        self.bar = tqdm(
            desc=self.label,
            initial=done,
            total=total or None,
            unit=unit,
            unit_scale=size,
            bar_format=known if total else _COUNT if unit else _UNKNOWN,
            file=sys.stderr,
            leave=False,
            **_size(),
            disable=False,  # TQDM_DISABLE, by which DVC's own bars are silenced, is not meant
        )


def _size() -> dict[str, Any]:
    """How tqdm learns the terminal's size: it draws nothing on one that does not say its own."""
    try:
        if os.get_terminal_size(sys.stderr.fileno()).columns > 0:
            return {"dynamic_ncols": True}
    except OSError:
        pass
    return {"ncols": 80, "nrows": 24}


def _delay() -> float:
    try:
        return float(os.environ["GIT_PROGRESS_DELAY"])
    except (KeyError, ValueError):
        return _DELAY
