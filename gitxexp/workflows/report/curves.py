"""The values of metrics by step, for the runs in a report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.trackers.column_names import Role
from gitxexp.trackers.run import Run
from gitxexp.workflows.explore import plot

#: Maximum points of a curve; longer ones keep the minimum and maximum of each interval.
MOST_POINTS = 240
#: Maximum metrics per run with curves.
_MOST_METRICS = 8


@dataclass(frozen=True)
class Curve:
    """The values of a metric in one run; ``total`` counts those that were logged."""

    run: str
    metric: str
    points: Sequence[tuple[float, float]]  #: step and value
    total: int


def curves(runs: Iterable[Run], order: Sequence[str]) -> list[Curve]:
    """The curves of every run, metrics in ``order`` first; none for an unreadable run."""
    found = []
    for run in runs:
        metrics = [name for name in run.series if run.roles.get(name) is Role.METRIC]
        metrics.sort(key=lambda name: order.index(name) if name in order else len(order))
        for metric in metrics[:_MOST_METRICS]:
            try:
                logged = plot.curve(run, metric)
            except XexpError:  # reported by the command that needs it
                continue
            points = [(point.x, point.y) for point in logged if math.isfinite(point.y)]
            if len(points) > 1:
                found.append(Curve(run.id, metric, thinned(points), len(points)))
    return found


def thinned(
    points: Sequence[tuple[float, float]], most: int = MOST_POINTS
) -> list[tuple[float, float]]:
    """At most ``most`` points: the first, the last, and the minimum and maximum of each interval
    between, so that no peak is lost."""
    if len(points) <= most:
        return list(points)
    inner, parts = points[1:-1], (most - 2) // 2
    kept = [points[0]]
    for part in range(parts):
        stretch = inner[part * len(inner) // parts : (part + 1) * len(inner) // parts]
        ends = {
            min(stretch, key=lambda pair: pair[1]): None,
            max(stretch, key=lambda pair: pair[1]): None,
        }
        kept += sorted(ends, key=lambda pair: pair[0])
    return [*kept, points[-1]]
