"""What a run leaves: rows in the results, from any tracker, and files.

Compared before and after the run. A file rewritten with the same bytes counts as written, by its
time; an untouched output does not belong to the run, whatever its pointer says.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import DATABASES
from gitxexp.common.text import counted, some
from gitxexp.repository import commit
from gitxexp.repository.commit import Changes
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.dvc.pipeline import runs_alike
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.git import UNTRACKED
from gitxexp.trackers.logged import Logged
from gitxexp.trackers.run import Window, Windows
from gitxexp.trackers.runs import identified, latest_run, logged, runs
from gitxexp.workflows.experiments import collect, describe, stores
from gitxexp.workflows.experiments.collect import RunChoice
from gitxexp.workflows.experiments.describe import OutputRole
from gitxexp.workflows.experiments.outputs import Outputs, Untracked, outputs_of, untracked
from gitxexp.workflows.models.inventory import all_slots
from gitxexp.workflows.runs import overlap
from gitxexp.workflows.runs.record import RowsFound, RunRecord

#: By (table, run): what a run has, or where a tracker has no rows, what tells it from the same one
#: later.
AllLogged = Mapping[tuple[str, str], Any]
#: What tells that a file, or anything in a folder, was written.
Stamp = tuple[int, ...]

#: The largest file that git is to hold, in bytes.
_SMALL = 1_000_000
#: Files that are looked at in one folder of models or results.
_MOST = 20_000


@dataclass(frozen=True)
class Before:
    """The work tree before a run."""

    logged: Mapping[Path, AllLogged]
    outputs: Outputs
    stamps: Mapping[str, Stamp]  #: stamps of what a run may write, by path
    loose: Untracked
    modified: frozenset[str]  #: tracked files that differ from HEAD
    untracked: frozenset[str]  #: files that git neither tracks nor ignores


@dataclass(frozen=True)
class Traces:
    """What a run left. Paths are from the top of the work tree."""

    rows: tuple[RowsFound, ...]  #: the run that wrote last comes last
    outputs: Mapping[str, str]  #: path → hash of outputs and files that it wrote, results apart
    metrics: tuple[str, ...]  #: metrics files that it wrote
    unwritten: frozenset[str]  #: metrics files that it did not
    written: tuple[str, ...]  #: tracked files that it changed
    made: tuple[str, ...]  #: untracked models and results that are new
    models: tuple[str, ...]  #: production models, by slot, that it wrote
    doubt: str = ""  #: why it may not belong to this run: another one was active in the work tree
    fresh: tuple[str, ...] = ()  #: small files that it created for git to track: measurements
    windows: Windows = field(default_factory=dict)  #: its rows, if its id also has older ones

    @cached_property
    def run(self) -> str:
        """The tracker's run that wrote last, "" if there is none."""
        return self.rows[-1].run if self.rows else ""

    @property
    def beside(self) -> tuple[tuple[str, str], ...]:
        """Where it logged, if to several places: each database, and the id there. () if it logged
        several runs to one table, of which only the last counts."""
        runs: dict[tuple[str, str], set[str]] = {}
        for each in self.rows:
            runs.setdefault((each.database, each.table), set()).add(each.run)
        if any(len(found) > 1 for found in runs.values()):
            return ()
        places = dict.fromkeys((each.database, each.run) for each in self.rows)
        return tuple(places) if len(places) > 1 else ()

    @property
    def earlier(self) -> str:
        """A note on rows that the run's id had before; "" if none."""
        own = [rows for rows in self.rows if rows.run == self.run and rows.before]
        if not own:
            return ""
        if self.windows:
            count = counted(sum(rows.before for rows in own), "row")
            return f"run {self.run} had {count} before: only new ones belong to this run"
        return f"run {self.run} was there before: its earlier values count, too"

    @property
    def any(self) -> bool:
        """Whether there is anything to tag."""
        return bool(self.rows or self.metrics or self.outputs or self.made)


def look_before(project: Project, outputs: Outputs, changes: Changes) -> Before:
    """The work tree now; ``outputs`` and ``changes`` as they are already known."""
    loose = untracked(project)
    names = _may_be_written(project, outputs.every, loose)
    return Before(
        logged=_logged(project),
        outputs=outputs,
        stamps=_stamps(project.top, names),
        loose=loose,
        modified=frozenset(changes.modified),
        untracked=frozenset(_untracked(project)),
    )


def look_after(project: Project, before: Before, own: RunRecord) -> Traces:
    """What the run ``own`` wrote since ``before``."""
    project.forget_config()  # a first run may create a pipeline's files, or databases
    outputs, loose = outputs_of(project), untracked(project)
    changes = commit.changes(project)
    names = _may_be_written(project, outputs.every, loose)
    now = _stamps(project.top, {*names, *before.stamps})
    written = {path for path, stamp in now.items() if before.stamps.get(path) != stamp}
    metrics = collect.metrics_files(project.config)
    slots = [slot.production for slot in all_slots(project.config, outputs.every)]
    theirs = overlap.runs_apart(project)
    rows, others = _new_rows(project, before, theirs), overlap.others_of(project, own)
    found: tuple[RowsFound, ...] | None = rows
    if others and rows:
        there = {run for known in before.logged.values() for _, run in known}
        known = collect.all_runs(project.top, project.config)
        fresh = [each for each in rows if each.run not in there]
        found = overlap.rows_of(project, own, others, fresh, known)
    return Traces(
        rows=found or (),
        doubt=_doubt(others, found, written),
        outputs=_hashes(project, outputs, loose, written),
        metrics=tuple(path for path in metrics if path in written),
        unwritten=frozenset(metrics) - written,
        written=tuple(sorted(_changed(project, changes.modified, before, written))),
        made=tuple(sorted({*loose.models, *loose.results} - {*before.loose.every})),
        models=tuple(path for path in slots if path in written and (project.top / path).is_file()),
        fresh=tuple(sorted(_fresh(project, before, metrics))),
        windows=_windows(found[-1].run, found, before) if found else {},
    )


def _doubt(
    others: Sequence[RunRecord], rows: tuple[RowsFound, ...] | None, written: Iterable[str]
) -> str:
    if not others:
        return ""
    names = some([other.id for other in others], 3)
    if rows is None:
        return f"rows may be those of {names}, which ran in this work tree meanwhile"
    files = [path for path in written if not path.endswith(DATABASES)]
    if files:
        return f"{some(sorted(files), 3)} may be of {names}, which ran in this work tree meanwhile"
    return ""


# -- rows ------------------------------------------------------------------------------------------


def _logged(project: Project) -> dict[Path, AllLogged]:
    found: dict[Path, AllLogged] = {}
    for path in stores.sources(project.top, project.config):
        with suppress(XexpError):  # damaged, or in use: reported when tagging
            found[path] = _of_source(path, project.config.results_table or None)
    return found


def _of_source(path: Path, table: str | None) -> AllLogged:
    rows = logged(path, table)
    if rows or path.is_file():
        return rows
    if not identified(path, table):
        return {("", ""): _stamp(path)}
    return {
        ("", run.id): (run.ended, sorted(run.metrics.items(), key=str)) for run in runs(path, table)
    }


def _new_rows(project: Project, before: Before, theirs: Container[str]) -> tuple[RowsFound, ...]:
    """Return the runs with new rows, the last writer at the end; without ``theirs``, which a sweep
    merged meanwhile."""
    found = []
    for path, now in _logged(project).items():
        known = before.logged.get(path, {})
        for key, value in now.items():
            window = _since(value, known.get(key))
            if window is not None and key[1] not in theirs:
                id = _id(project, path, key)
                found.append(RowsFound(_name(project, path), *id, window.rows, window.before))
    if not found:
        return ()
    last = collect.collect(project.top, project.config, RunChoice()).run
    wrote = [rows for rows in found if last is not None and last.named(rows.run)]
    if last is not None and not wrote:  # others were active as well, or times are not in order
        newest = [run.id for run in collect.all_runs(project.top, project.config)]
        order = {run: at for at, run in enumerate(newest)}
        wrote = sorted(found, key=lambda rows: -order.get(rows.run, len(order)))[-1:]
    return (*(rows for rows in found if rows not in wrote), *wrote)


def _since(now: Any, before: Any) -> Window | None:
    if isinstance(now, Logged):
        return now.since(before if isinstance(before, Logged) else None)
    return None if now == before else Window(0, 0)


def _windows(run: str, rows: Iterable[RowsFound], before: Before) -> dict[tuple[str, str], Window]:
    """Return the new rows, if the run's id had rows before."""
    known = {
        (table, id): Window(one.rows, 0)
        for found in before.logged.values()
        for (table, id), one in found.items()
        if id == run and isinstance(one, Logged) and not one.whole
    }
    new = {(each.table, each.run): Window(each.before, each.rows) for each in rows}
    return {key: new.get(key, window) for key, window in known.items()}


def _id(project: Project, path: Path, key: tuple[str, str]) -> tuple[str, str]:
    """Table and run; a tracker without ids has one run, which is identified by its content."""
    if key != ("", ""):
        return key
    run = latest_run(path, project.config.results_table or None)
    return "", run.id if run else ""


def _name(project: Project, path: Path) -> str:
    return project.inside(path) or str(path)


# -- files -----------------------------------------------------------------------------------------


def _may_be_written(project: Project, every: Iterable[Output], loose: Untracked) -> set[str]:
    """What a run may write: everything except data."""
    config = project.config
    outputs = [
        out.path
        for out in every
        if out.stage is not None or describe.role(out.path, config) is not OutputRole.DATA
    ]
    slots = [slot.production for slot in all_slots(config, list(every))]
    return {*outputs, *slots, *collect.metrics_files(config), *loose.every}


def _stamps(top: Path, names: Iterable[str]) -> dict[str, Stamp]:
    return {name: stamp for name in names if (stamp := _stamp(top / name))}


def _stamp(path: Path) -> Stamp:
    """Empty where there is nothing."""
    try:
        info = path.stat()
    except OSError:
        return ()
    if not path.is_dir():
        return info.st_ino, info.st_size, info.st_mtime_ns
    newest = count = size = 0
    for folder, _, files in os.walk(path):
        for name in files[: _MOST - count]:
            with suppress(OSError):
                inner = os.lstat(f"{folder}/{name}")
                newest, size = max(newest, inner.st_mtime_ns), size + inner.st_size
        count += len(files)
        if count >= _MOST:
            break
    return count, size, newest


def _hashes(
    project: Project, outputs: Outputs, loose: Untracked, written: set[str]
) -> dict[str, str]:
    """Path → hash of what was written: outputs, new models and data, metrics files; no results
    database, whose rows are what counts."""
    results = {project.inside(path) for path in stores.databases(project.top, project.config)}
    known = {out.path: out.hash for out in (*outputs.every, *outputs.changed)}
    changed = {out.path for out in outputs.changed}
    names = {path for path in written if path in known}
    names |= {
        path for path in changed if describe.role(path, project.config) is OutputRole.DATA
    } & written
    found = {path: known[path] or "" for path in names - results}
    others = [*loose.models, *loose.data, *collect.metrics_files(project.config)]
    files = [
        project.top / path
        for path in others
        if path in written and path not in found and (project.top / path).is_file()
    ]
    digests = file_hashes(project.top, [(path, False) for path in files], project.stat_cache)
    return found | {_name(project, path): f"md5:{digest}" for path, digest in digests.items()}


def _untracked(project: Project) -> list[str]:
    return project.at_top.fields(*UNTRACKED)


def _fresh(project: Project, before: Before, metrics: Iterable[str]) -> Iterable[str]:
    """New files for git to track: metrics, what DVCLive keeps, and what DVC writes next to outputs."""
    for path in _untracked(project):
        if path in before.untracked:
            continue
        *folders, name = path.split("/")
        own = (
            path in metrics
            or "dvclive" in folders
            or name in (".gitignore", "dvc.yaml", "dvc.lock")
        )
        file = project.top / path
        if own and not file.is_symlink() and file.stat().st_size <= _SMALL:
            yield path


def _changed(
    project: Project, modified: Iterable[str], before: Before, written: set[str]
) -> Iterable[str]:
    """Tracked files that the run changed: measurements, and outputs that git tracks. Code and
    parameters edited meanwhile are not what ran."""
    from gitxexp.workflows.experiments.code_hash import is_code

    config = project.config
    for path in modified:
        if path in before.modified and path not in written:
            continue
        edited = path in config.params_files or is_code(path, config)
        if not edited or runs_alike(project.at_top, path, "HEAD"):
            yield path
