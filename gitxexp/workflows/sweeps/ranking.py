"""Rank the runs of a sweep."""

from __future__ import annotations

from collections.abc import Iterable

from gitxexp.common.values import is_ordered
from gitxexp.workflows.sweeps.queue import Result, Task


def ranked(tasks: Iterable[Task], metric: str | None, *, maximize: bool) -> list[Task]:
    """The runs with a number for the metric, best first; of equal ones the earlier."""
    found = [(value, task) for task in tasks if (value := value_of(task, metric)) is not None]
    sign = -1 if maximize else 1
    return [task for _, task in sorted(found, key=lambda pair: (sign * pair[0], pair[1].number))]


def value_of(task: Task, metric: str | None) -> float | None:
    """The run's number for the metric; None if it has none, or failed."""
    value = task.outcome.get("metrics", {}).get(metric) if metric else None
    if not is_ordered(value):
        return None
    return float(value) if task.result in (Result.DONE, Result.SKIPPED) else None
