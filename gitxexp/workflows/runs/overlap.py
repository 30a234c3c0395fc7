"""Attribute rows to concurrent runs in one work tree.

A row does not say which process wrote it, so other facts must: ids in rows or logs, and parameters.
If these do not suffice, the rows belong to no run. Files that both may have written belong to
neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from gitxexp.repository.config_hash import same_value
from gitxexp.repository.repository import Project
from gitxexp.trackers.run import Run
from gitxexp.workflows.runs import record
from gitxexp.workflows.runs.record import RowsFound, RunFolders, RunRecord

#: Bytes searched at the end of a log for names of runs.
_LOG = 1_000_000


def others_of(project: Project, own: RunRecord) -> list[RunRecord]:
    """The runs that were active in this work tree at any time since ``own`` began."""
    folders = RunFolders(project.state)
    running = folders.running_in(project.top)
    ended = [
        one
        for one in map(record.loaded, project.registry.runs())
        if one.ended >= own.started and one.host == own.host and not one.apart
    ]
    found = {one.id: one for one in (*running, *ended) if one.id != own.id}
    return list(found.values())


def runs_apart(project: Project) -> frozenset[str]:
    """The tracker ids of runs in separate worktrees, whose rows were merged."""
    records = map(record.loaded, project.registry.runs())
    return frozenset(found.run for one in records if one.apart for found in one.tables)


def rows_of(
    project: Project,
    own: RunRecord,
    others: Sequence[RunRecord],
    rows: Sequence[RowsFound],
    known: Iterable[Run],
) -> tuple[RowsFound, ...] | None:
    """Return those new rows that belong to ``own``; None if they cannot be distinguished from those
    of ``others``. ``known`` are the runs as logged by their trackers."""
    if not others or not rows:
        return tuple(rows)
    by_id = {part: run for run in known for part in (run.id, *(p.run for p in run.parts))}
    logs = {one.id: _log(project, one.id) for one in (own, *others)}
    taken = {found.run for other in others for found in other.tables}
    left = [each for each in rows if each.run not in taken]
    named = [each for each in left if _is_named(by_id.get(each.run), each.run, own, logs)]
    if named:
        return tuple(named)
    fitting = [
        each
        for each in left
        if not any(_is_named(by_id.get(each.run), each.run, other, logs) for other in others)
        and not _contradicts(by_id.get(each.run), own)
    ]
    running = [other for other in others if other.status == "running"]
    doubtful = any(
        not _contradicts(by_id.get(each.run), other) for each in fitting for other in running
    )
    return None if doubtful else tuple(fitting)


def _log(project: Project, id: str) -> bytes:
    with suppress(OSError), RunFolders(project.state).log(id).open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LOG))
        return file.read()
    return b""


def _is_named(run: Run | None, id: str, one: RunRecord, logs: dict[str, bytes]) -> bool:
    """Whether the rows name the record, or its log the rows' run."""
    if id and id.encode() in logs[one.id]:
        return True
    texts = [id, *(str(value) for value in run.values.values())] if run else [id]
    return any(one.id in text for text in texts)


def _contradicts(run: Run | None, one: RunRecord) -> bool:
    """Whether the parameters in the rows differ from the record's."""
    if run is None:
        return False
    both = ((one.params[name], value) for name, value in run.params.items() if name in one.params)
    return any(not same_value(mine, value) for mine, value in both)
