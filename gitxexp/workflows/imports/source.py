"""What an import reads: runs of another tracker, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Protocol

from gitxexp.common.dataclass import dataclass

#: ``progress(done, total, unit)``, as :data:`gitxexp.repository.repository.Progress`.
Progress = Callable[[int, int, str], None]


#: One value of a metric, as it was logged: metric, step, time in seconds since 1970, value. A plain
#: tuple, for there are millions.
LoggedValue = tuple[str, int | float | None, float | None, float | None]


@dataclass
class SourceRun:
    """One run of another tracker. Unknown values are empty.

    ``started`` and ``ended`` are ISO 8601. ``points`` are read once, grouped by metric in the order
    of logging. ``state`` changes when the run changes, as far as can be told without reading its
    points.
    """

    origin: str
    id: str
    name: str = ""
    experiment: str = ""
    status: str = ""
    user: str = ""
    started: str | None = None
    ended: str | None = None
    commit: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)
    points: Iterable[LoggedValue] = ()
    state: str = ""
    models: tuple[Path, ...] = ()  #: files of models that the run logged, on this machine


Sink = Callable[[SourceRun], None]


class RunSource(Protocol):
    """Where runs come from."""

    @property
    def name(self) -> str:
        """As the user named it."""

    def each(self, sink: Sink, progress: Progress | None = None) -> None:
        """Pass every run to ``sink``, possibly twice. Raises XexpError if the source cannot be
        read."""
