"""Print sweeps: the plan, the runs as they end, a live table, the ranking, the list."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gitxexp.cli import hints
from gitxexp.cli.render import console
from gitxexp.cli.render.console import Column, rounded
from gitxexp.common import streams
from gitxexp.common.text import counted, one_line, some
from gitxexp.repository.tag_message import show as show_value
from gitxexp.workflows.sweeps.grid import lines
from gitxexp.workflows.sweeps.overview import SweepStatus
from gitxexp.workflows.sweeps.queue import Result, Task
from gitxexp.workflows.sweeps.ranking import value_of

if TYPE_CHECKING:
    from gitxexp.workflows.experiments.tag import Tagged
    from gitxexp.workflows.sweeps.plan import SweepPlan
    from gitxexp.workflows.sweeps.sweep import Progress, Swept

#: Runs of a ranking on a terminal, and lines of a failed run's log.
_BEST, _LOG = 10, 5


# -- before ------------------------------------------------------------------------------------


def show_plan(plan: SweepPlan, *, as_json: bool) -> None:
    """Print the configurations, and what is skipped and why."""
    if as_json:
        console.print_json(
            {
                "sweep": plan.id,
                "command": list(plan.command),
                "runs": [
                    {
                        "number": run.number + 1,
                        "params": run.params,
                        "config_hash": run.key,
                        "ran": run.ran or None,
                    }
                    for run in plan.runs
                ],
            }
        )
        return
    names = plan.grid.names
    columns = [Column("#", [str(run.number + 1) for run in plan.runs], right=True)]
    columns += [
        Column(name, [_cell(run.params, name) for run in plan.runs], flexible=True)
        for name in names
    ]
    columns.append(Column("", [f"ran before: {r.ran}" if r.ran else "" for r in plan.runs]))
    if plan.runs:
        console.page(console.table(columns))
    left = len(plan.left) if plan.runs else plan.request.trials or 0
    skipped = len(plan.runs) - len(plan.left)
    more = f", {skipped} skipped: they ran before (--force runs them again)" if skipped else ""
    console.say(f"sweep {plan.id}: {counted(left, 'run')} to do{more}")


def _cell(params: dict[str, Any], name: str) -> str:
    return show_value(params[name]) if name in params else ""


# -- meanwhile -----------------------------------------------------------------------------------


@contextmanager
def watching(*, as_json: bool) -> Iterator[Callable[[Progress], None]]:
    """A function that shows how far a sweep is: a live table on a terminal, else a line a run."""
    if as_json:
        yield _json_line
        return
    is_live = console.is_terminal() and sys.stderr.isatty() and not console.quiet()
    if not is_live or os.environ.get("TERM") == "dumb":
        yield _Lines()
        return
    live = _Live()
    try:
        yield live
    finally:
        live.close()


def _json_line(progress: Progress) -> None:
    if progress.ended is not None:
        console.out(console.as_json({"event": "run", **_facts(progress.ended)}))
        streams.flush()


class _Lines:
    """One line for each run that has ended."""

    def __init__(self) -> None:
        self.said = ""

    def __call__(self, progress: Progress) -> None:
        if progress.said != self.said:
            self.said = progress.said
            if self.said.startswith("waiting"):
                console.remark(self.said)
        task = progress.ended
        if task is None or console.quiet():
            return
        number = progress.done + progress.failed + progress.skipped
        console.out(f"[{number}/{progress.total}] {_ended(task, progress.metric)}")
        streams.flush()


class _Live:
    """A table that is drawn anew in its place, some times a second."""

    _PAUSE = 0.1

    def __init__(self) -> None:
        self.drawn = 0
        self.last = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        task = progress.ended
        failed = task is not None and task.result is not Result.DONE
        if not failed and now - self.last < self._PAUSE:
            return
        self.last = now
        self._erase()
        if failed and task is not None:
            console.out(console.paint(_ended(task, progress.metric), "red"))
            streams.flush()
        self._draw(_table(progress))

    def close(self) -> None:
        """Leave nothing behind."""
        self._erase()
        sys.stderr.flush()

    def _draw(self, rows: Sequence[str]) -> None:
        width = console.columns() - 1
        for row in rows:
            sys.stderr.write(streams.coloured(one_line(console.clip(row, width))) + "\n")
        sys.stderr.flush()
        self.drawn = len(rows)

    def _erase(self) -> None:
        if self.drawn:
            sys.stderr.write(f"\r\x1b[{self.drawn}A\x1b[J")
            self.drawn = 0


def _table(progress: Progress) -> list[str]:
    left = progress.seconds_left
    cells = {
        "done": f"{progress.done}/{progress.total}",
        "running": str(progress.running),
        "failed": str(progress.failed),
        "skipped": str(progress.skipped),
        "left": str(progress.left),
        "time left": "-" if left is None else _time(left),
    }
    widths = [max(len(name), len(cell)) for name, cell in cells.items()]
    rows = [
        "  ".join(n.ljust(w) for n, w in zip(cells, widths, strict=True)),
        "  ".join(c.ljust(w) for c, w in zip(cells.values(), widths, strict=True)),
    ]
    if progress.best is not None:
        rows.append(f"best: {_line(progress.best, progress.metric)}")
    if progress.said:
        rows.append(progress.said)
    return rows


def _ended(task: Task, metric: str | None) -> str:
    seconds = (task.ended or 0) - (task.started or 0)
    said = "" if task.result is Result.DONE else f"  {_why(task)}"
    return f"{_line(task, metric)}{said}  {_time(max(seconds, 0.0))}  {task.run}"


def _line(task: Task, metric: str | None) -> str:
    value = value_of(task, metric)
    result = "" if value is None else f"  {metric}={rounded(value)}"
    return " ".join(lines(task.params)) + result


def _why(task: Task) -> str:
    if task.result is Result.TIMEOUT:
        return "timed out"
    code = task.outcome.get("code")
    return "could not be started" if task.outcome.get("why") == "error" else f"failed (exit {code})"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


# -- afterwards ------------------------------------------------------------------------------------


def show_tag(tagged: Tagged | str, *, as_json: bool) -> None:
    """Print what the winner became, or was already."""
    from gitxexp.cli.render import tags  # late: a status needs nothing of it

    if as_json:
        is_new = not isinstance(tagged, str)
        version = tagged if isinstance(tagged, str) else str(tagged.version)
        console.out(console.as_json({"event": "tag", "version": version, "new": is_new}))
    elif isinstance(tagged, str):
        _say_tagged(tagged)
    else:
        tags.show(tagged, as_json=False)


def _say_tagged(version: str) -> None:
    console.remark(f"the best run is {version} already")


def show(done: Swept, *, tagging: bool, as_json: bool) -> None:
    """Print the ranking, the failures with the end of each log, and the next command."""
    if as_json:
        console.out(
            console.as_json(
                {
                    "event": "sweep",
                    "sweep": done.id,
                    "metric": done.metric,
                    "ranking": [task.run for task in done.ranking],
                    **_counts(done),
                    "rows": done.rows,
                    "interrupted": done.interrupted,
                    "notes": list(done.notes),
                }
            )
        )
        return
    ranking = done.ranking
    if ranking:
        most = _BEST if console.is_terminal() else len(ranking)
        console.done(*console.table(_ranking(ranking[:most], done.metric or "")))
        if len(ranking) > most:
            console.done(f"and {len(ranking) - most} more: git xexp explore list --runs")
    elif done.metric is not None:
        names = dict.fromkeys(name for t in done.tasks for name in t.outcome.get("metrics", {}))
        there = f"; they have {some(list(names), 5)}" if names else ""
        console.say(f"no ranking: no run has a value for {done.metric}{there}")
    for task in done.failures:
        console.say(f"run {task.run} {_why(task)}: {_line(task, None)}")
        tail = str(task.outcome.get("tail", "")).rstrip().splitlines()[-_LOG:]
        console.say(*(f"    {text}" for text in tail))
    console.notes(done.notes)
    counts = _counts(done)
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    rows = f"; {counted(done.rows, 'new row')}" if done.rows else ""
    console.done(f"sweep {done.id}: {said or 'nothing to run'}{rows}")
    if done.interrupted:
        console.say("interrupted; run the same command to continue")
    elif done.failures:
        hints.hint("to run failed configurations again, add --retry-failed")
    elif ranking and not tagging and done.version:
        _say_tagged(done.version)
    elif ranking and not tagging:
        hints.hint(f"next: git xexp tag --run {ranking[0].run}")


def _ranking(tasks: Sequence[Task], metric: str) -> list[Column]:
    names = list(dict.fromkeys(name for task in tasks for name in task.params))
    values = [value_of(task, metric) for task in tasks]
    return [
        Column("rank", [str(at + 1) for at in range(len(tasks))], right=True),
        Column(metric, [rounded(v) for v in values], right=True, marked=frozenset({0})),
        *(Column(name, [_cell(task.params, name) for task in tasks]) for name in names),
        Column("run", [task.run for task in tasks], optional=1),
    ]


def _counts(done: Swept) -> dict[str, int]:
    results = [task.result for task in done.tasks]
    failed = results.count(Result.FAILED) + results.count(Result.TIMEOUT)
    return {
        "done": results.count(Result.DONE),
        "failed": failed,
        "skipped": results.count(Result.SKIPPED),
        "left": results.count(Result.NONE),
    }


def _facts(task: Task) -> dict[str, Any]:
    return {
        "number": task.number + 1,
        "run": task.run or None,
        "params": task.params,
        "result": task.result.value or None,
        "code": task.outcome.get("code"),
        "seconds": None
        if task.started is None or task.ended is None
        else round(task.ended - task.started, 3),
        "metrics": task.outcome.get("metrics", {}),
    }


# -- the sweeps of a repository ----------------------------------------------------------------------


def show_status(found: SweepStatus, *, as_json: bool) -> None:
    """Print how far one sweep is."""
    if as_json:
        console.print_json({**_summary(found), "runs": [_facts(task) for task in found.tasks]})
        return
    import shlex

    console.out(f"sweep {found.sweep.id}  {found.state}")
    console.out(f"command: {shlex.join(found.sweep.request.get('command', []))}")
    console.out(", ".join(f"{count} {name}" for name, count in found.counts.items() if count))
    if found.best is not None:
        console.out(f"best: {_line(found.best, found.metric)}  {found.best.run}")


def show_list(found: Sequence[SweepStatus], *, as_json: bool) -> None:
    """Print every sweep."""
    if as_json:
        console.print_json([_summary(each) for each in found])
        return
    if not found:
        console.remark("there is no sweep in this repository")
        return
    import shlex

    columns = [
        Column("sweep", [each.sweep.id for each in found]),
        Column("state", [each.state for each in found]),
        Column("started", [_date(each.sweep.started) for each in found]),
    ]
    for name in ("done", "failed", "skipped", "left"):
        columns.append(Column(name, [str(each.counts[name]) for each in found], right=True))
    best = [_line(each.best, each.metric) if each.best else "" for each in found]
    columns.append(Column("best", best, flexible=True))
    words = [shlex.join(each.sweep.request.get("command", [])) for each in found]
    columns.append(Column("command", words, flexible=True, optional=1))
    console.page(console.table(columns))


def show_stopped(found: SweepStatus, *, as_json: bool) -> None:
    """Print what a sweep that was ended has done."""
    if as_json:
        console.print_json(_summary(found))
        return
    counts = found.counts
    console.done(f"sweep {found.sweep.id} ended: {counts['done']} done, {counts['left']} left")


def _summary(found: SweepStatus) -> dict[str, Any]:
    best = found.best
    return {
        "sweep": found.sweep.id,
        "state": found.state,
        "started": _date(found.sweep.started),
        "command": found.sweep.request.get("command", []),
        "commit": found.sweep.revision,
        "metric": found.metric,
        "best": None if best is None else _facts(best),
        **found.counts,
    }


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
