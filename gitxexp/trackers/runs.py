"""The runs of a results database or folder, whichever tracker wrote it."""

from __future__ import annotations

from pathlib import Path

from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.trackers.adapter import Point, Query, adapter_of, adapters
from gitxexp.trackers.databases import reading
from gitxexp.trackers.roles import NO_RULES, RoleRules
from gitxexp.trackers.run import ColumnFacts, Run


def runs(path: Path, table: str | None = None, rules: RoleRules = NO_RULES) -> list[Run]:
    """Every run (of ``table``, or of all tables of runs), newest first, each once.

    Runs without a readable timestamp come last. Raises XexpError when the file cannot be read.
    """
    adapter = adapter_of(path, table)
    return adapter.runs(path, Query(table, rules)) if adapter else _none(path)


def latest_run(path: Path, table: str | None = None, rules: RoleRules = NO_RULES) -> Run | None:
    """The run that wrote last, or None if there is none; reads no other run's columns."""
    adapter = adapter_of(path, table)
    return adapter.latest(path, Query(table, rules)) if adapter else next(iter(_none(path)), None)


def find_run(path: Path, id: str, table: str | None = None, rules: RoleRules = NO_RULES) -> Run:
    """The run named ``id``, in any of its tables. Raises NoAnswer naming similar ids."""
    adapter = adapter_of(path, table)
    found = adapter.find(path, Query(table, rules), id) if adapter else None
    if found is None:
        raise NoAnswer(f"no run {id} in {path}", _candidates(path, id, table))
    return found


def columns(path: Path, table: str | None = None, rules: RoleRules = NO_RULES) -> list[ColumnFacts]:
    """The role of every column of the tables of runs, and why."""
    adapter = adapter_of(path, table)
    return adapter.columns(path, Query(table, rules)) if adapter else []


def series(run: Run, metric: str) -> list[Point]:
    """The values of a metric of a run, the oldest first."""
    adapter = next(each for each in adapters() if each.name == run.tracker)
    return adapter.series(run, metric)


def run_rows(path: Path, table: str | None = None) -> dict[tuple[str, str], int]:
    """The number of rows by (table, run), of ``table`` or of all tables of runs.

    Raises XexpError when the file cannot be read.
    """
    adapter = adapter_of(path, table)
    if adapter is None:
        _none(path)
        return {}
    return adapter.rows(path, table)


def tracker_of(path: Path, table: str | None = None) -> str | None:
    """The name of the tracker whose layout a file or folder has."""
    adapter = adapter_of(path, table)
    return adapter.name if adapter else None


def has_runs(path: Path, table: str | None = None) -> bool:
    """Whether a file or folder that was only found holds results."""
    try:
        adapter = adapter_of(path, table)
        return adapter is not None and adapter.has_runs(path, table)
    except (XexpError, OSError):
        return False


def identified(path: Path, table: str | None = None) -> bool:
    """Whether runs of this tracker have ids and times of their own."""
    adapter = adapter_of(path, table)
    return adapter is None or adapter.identified


def _none(path: Path) -> list[Run]:
    """No runs; raises XexpError saying why a file that is no database is none."""
    if not path.is_dir() or not any(path.iterdir()):
        reading(path, lambda _: None)  # raises for all but a database
    return []


def _candidates(path: Path, id: str, table: str | None) -> str:
    from difflib import get_close_matches  # only for an error

    known = [run.id for run in runs(path, table)]
    near = [run for run in known if run.startswith(id)] or get_close_matches(id, known, 5, 0.4)
    listed = near or known
    if not listed:
        return "the database holds no runs"
    more = f" … ({len(known)} runs)" if len(known) > 5 else ""
    return f"runs there: {', '.join(listed[:5])}{more}"
