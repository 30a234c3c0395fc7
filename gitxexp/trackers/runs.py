"""The runs of a results database or folder, whichever tracker wrote it."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.trackers.adapter import Adapter, MetricPoint, RunQuery, adapter_of, adapters
from gitxexp.trackers.adapters import imported
from gitxexp.trackers.databases import reading
from gitxexp.trackers.logged import Logged
from gitxexp.trackers.roles import NO_RULES, RoleRules
from gitxexp.trackers.run import ColumnFacts, Run, Windows
from gitxexp.trackers.times import moment


def runs(
    path: Path,
    table: str | None = None,
    rules: RoleRules = NO_RULES,
    newest: int | None = None,
) -> list[Run]:
    """Every run (of ``table``, or of all tables of runs), newest first, each once.

    Runs without a readable timestamp come last. With ``newest``, runs older than the last so many may
    be left out. Raises XexpError if the file cannot be read.
    """
    query = RunQuery(table, rules, newest)
    lists = [adapter.runs(path, query) for adapter in _readers(path, table)]
    if not lists:
        _require_database(path)
        return []
    if len(lists) == 1:
        return lists[0]
    return sorted(chain.from_iterable(lists), key=lambda run: moment(run.ended), reverse=True)


def latest_run(path: Path, table: str | None = None, rules: RoleRules = NO_RULES) -> Run | None:
    """The run that wrote last, or None if there is none; reads no other run's columns."""
    adapter = _adapter(path, table)
    return adapter.latest(path, RunQuery(table, rules)) if adapter else None


def find_run(
    path: Path,
    id: str,
    table: str | None = None,
    rules: RoleRules = NO_RULES,
    windows: Windows | None = None,
) -> Run:
    """The run named ``id``, in any of its tables, with only the rows in ``windows`` where those are
    given. Raises NoAnswer naming similar ids."""
    query = RunQuery(table, rules, windows=windows or {})
    asked = (adapter.find(path, query, id) for adapter in _readers(path, table))
    found = next(filter(None, asked), None)
    if found is None:
        raise NoAnswer(f"no run {id} in {path}", _candidates(path, id, table))
    return found


def columns(path: Path, table: str | None = None, rules: RoleRules = NO_RULES) -> list[ColumnFacts]:
    """The role of every column of the tables of runs, and why."""
    query = RunQuery(table, rules)
    return [facts for reader in _readers(path, table) for facts in reader.columns(path, query)]


def series(run: Run, metric: str) -> list[MetricPoint]:
    """The values of a metric of a run, oldest first."""
    adapter = next(each for each in adapters() if each.name == run.tracker)
    return adapter.series(run, metric)


def run_rows(path: Path, table: str | None = None) -> dict[tuple[str, str], int]:
    """The number of rows by (table, run), of ``table`` or of all tables of runs.

    Raises XexpError if the file cannot be read.
    """
    adapter = _adapter(path, table)
    return adapter.rows(path, table) if adapter else {}


def logged(path: Path, table: str | None = None) -> dict[tuple[str, str], Logged]:
    """Return what each run has now, by (table, run), for a later :meth:`Logged.since`.

    Raises XexpError if the file cannot be read.
    """
    adapter = _adapter(path, table)
    return adapter.logged(path, table) if adapter else {}


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


def files_of(run: Run) -> list[Path]:
    """The files whose times are those of a run that has none of its own; none if it has."""
    adapter = next(each for each in adapters() if each.name == run.tracker)
    return [] if run.ended else adapter.files(run.database)


def identified(path: Path, table: str | None = None) -> bool:
    """Whether runs of this tracker have ids and times of their own."""
    adapter = adapter_of(path, table)
    return adapter is None or adapter.identified


def _readers(path: Path, table: str | None) -> list[Adapter]:
    """Return the adapter of the file's tracker, and that of imported runs if the file has any."""
    adapter = adapter_of(path, table)
    if adapter is None or table is not None or adapter is imported.ADAPTER or path.is_dir():
        return [adapter] if adapter else []
    return [adapter, imported.ADAPTER] if imported.ADAPTER.has(path) else [adapter]


def _adapter(path: Path, table: str | None) -> Adapter | None:
    """The adapter of a file or folder; None if it has no runs. Raises XexpError if it cannot have any."""
    adapter = adapter_of(path, table)
    if adapter is None:
        _require_database(path)
    return adapter


def _require_database(path: Path) -> None:
    """Raise XexpError, saying why, if a file is not a database."""
    if not path.is_dir() or not any(path.iterdir()):
        reading(path, lambda _: None)  # raises unless it is a database


def _candidates(path: Path, id: str, table: str | None) -> str:
    from difflib import get_close_matches  # only for an error

    known = [run.id for run in runs(path, table)]
    near = [run for run in known if run.startswith(id)] or get_close_matches(id, known, 5, 0.4)
    listed = near or known
    if not listed:
        return "the database holds no runs"
    more = f" … ({len(known)} runs)" if len(known) > 5 else ""
    return f"runs there: {', '.join(listed[:5])}{more}"
