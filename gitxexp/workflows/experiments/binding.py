"""Check whether the files in the work tree belong to the run that is tagged.

They belong to the run that wrote last. A training overwrites its model, its metrics file and, if
parameters are edited for it, its parameter file; the files of an earlier run of a sweep are gone.
``candidates``, ``promote`` and everyone who checks it out would trust a tag that names one run with
the files of another.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.common.sql import quote
from gitxexp.common.text import some
from gitxexp.common.values import is_number
from gitxexp.repository.config_hash import flatten
from gitxexp.repository.repository import Project
from gitxexp.repository.tag_message import show
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.dvc.places import readable
from gitxexp.storage.git import GitError
from gitxexp.storage.objects import find_object
from gitxexp.trackers.databases import reading
from gitxexp.trackers.files import read_metrics, read_params
from gitxexp.trackers.run import Run
from gitxexp.trackers.tables import tables_of
from gitxexp.workflows.experiments import collect, describe, stores
from gitxexp.workflows.experiments.collect import RunChoice
from gitxexp.workflows.experiments.describe import OutputRole
from gitxexp.workflows.experiments.outputs import Outputs
from gitxexp.workflows.models.inventory import ModelStore, all_slots, root_of

if TYPE_CHECKING:
    from gitxexp.workflows.models.select import KeptFile

_ALLOW = "or tag anyway: --allow-mismatch"
#: Earlier versions of a parameter file that are compared with a run.
_HISTORY = 50


@dataclass(frozen=True)
class Contradiction:
    """A value in a file that the run does not have."""

    file: str
    name: str
    written: Any
    ran: Any

    def __str__(self) -> str:
        return f"{self.file} says {self.name}={show(self.written)}, the run {show(self.ran)}"


@dataclass(frozen=True)
class Binding:
    """``writer``: the run that wrote last, whose files these are; None if that is the run itself,
    or unknown. ``overridden``: values that always differed in a parameter file. ``kept``: the run's
    own files, which replace the writer's."""

    writer: str | None = None
    overridden: tuple[Contradiction, ...] = ()
    kept: tuple[KeptFile, ...] = ()

    @property
    def notes(self) -> Iterator[str]:
        """Messages for the user."""
        if self.kept:
            yield f"taken from the kept files of the run: {some([k.path for k in self.kept], 5)}"
        if self.overridden:
            more = f" (and {len(self.overridden) - 1} more)" if self.overridden[1:] else ""
            yield f"{self.overridden[0]}{more}: the run's own value counts"


def bind(
    project: Project,
    run: Run,
    outputs: Outputs,
    modified: Iterable[str],
    *,
    earlier: bool,
    apart: bool = False,
) -> Binding:
    """Determine how the work tree's files relate to ``run``; ``earlier``: it may not be the one
    that wrote last; ``apart``: it wrote in a separate worktree.

    ``modified`` are tracked files that differ from HEAD. Raises NoAnswer if files belong to another
    run, or if a parameter or metrics file contradicts the run.
    """
    touched = {*modified, *(output.path for output in outputs.changed)}
    last = collect.collect(project.top, project.config, RunChoice()).run if earlier else run
    writer = last if last is not None and last.id != run.id else None
    kept = kept_of(project, run.id) if writer is not None or apart else ()
    own = {file.path: file.file for file in kept}
    if writer is not None:
        _refuse_files_of(project, run, writer, touched - own.keys())
    wrong: list[Contradiction] = []
    overridden: list[Contradiction] = []
    for params in _params(project, run, own):
        if params.file in own:
            overridden.append(params)
            continue
        edited = params.file in touched or (writer is not None and _agreed(project, params))
        (wrong if edited else overridden).append(params)
    wrong += _metrics(project, run, touched - own.keys())
    if wrong:
        raise NoAnswer(
            f"files contradict run {run.id}:\n" + "\n".join(f"  {one}" for one in wrong[:10]),
            f"{_again(project)}, or restore the files as the run had them; {_ALLOW}",
        )
    return Binding(writer.id if writer else None, tuple(overridden), kept)


def kept_of(project: Project, run: str) -> tuple[KeptFile, ...]:
    """Return the kept files of an earlier run that differ from those in the work tree.

    Raises NoAnswer if one of those in the work tree is a model stored nowhere else: it would be
    lost.
    """
    from gitxexp.workflows.models.select import kept_files  # late: few runs have any

    own = kept_files(project, run)
    if not own:
        return ()
    store = ModelStore(project)
    differing = []
    for file in own:
        path = project.top / file.path
        if path.is_file():
            oid = file_hashes(project.top, [(path, False)], project.stat_cache)[path]
            if oid == file.md5:
                continue
            is_model = describe.role(file.path, project.config) is OutputRole.MODEL
            if is_model and find_object(store.caches(root_of(store, file.path)), oid) is None:
                raise NoAnswer(
                    f"{file.path} in the work tree has no other copy and would be replaced",
                    f"keep it first: git xexp candidates add {shlex.quote(file.path)}",
                )
        differing.append(file)
    return tuple(differing)


def _is_candidate(project: Project, path: str) -> bool:
    """Whether a path is the candidates folder, its pointer, or inside: each file there names its
    run."""
    folders = [slot.candidates for slot in all_slots(project.config)]
    return any(path in (each, f"{each}.dvc") or path.startswith(f"{each}/") for each in folders)


def _again(project: Project) -> str:
    return "dvc repro" if (project.top / "dvc.lock").is_file() else "train again"


def _refuse_files_of(project: Project, run: Run, writer: Run, touched: set[str]) -> None:
    """Raise NoAnswer if training outputs have changed and ``writer`` was the last to train."""
    databases = {project.inside(path) for path in stores.databases(project.top, project.config)}
    theirs = [
        path
        for path in sorted(touched - databases)
        if describe.role(path, project.config) is OutputRole.MODEL
        and not _is_candidate(project, path)
    ]
    if theirs:
        raise NoAnswer(
            f"{some(theirs, 3)} in the work tree {'is' if len(theirs) == 1 else 'are'} of run"
            f" {writer.id}, which wrote last, not of {run.id}",
            f"tag that one: git xexp tag --run {shlex.quote(writer.id)}, or bring back the model"
            f" of {run.id}: git xexp promote {shlex.quote(run.id)}; {_ALLOW}",
        )


def _params(project: Project, run: Run, own: Mapping[str, Path]) -> Iterator[Contradiction]:
    """Return the parameters that differ between a parameter file, current or kept, and the run."""
    for file in project.config.params_files:
        path = own.get(file) or readable(project.top, file)
        if path is not None and path.is_file():
            yield from differing_params(file, flatten(read_params(path)), run.params)


def differing_params(
    file: str, written: Mapping[str, Any], ran: Mapping[str, Any]
) -> Iterator[Contradiction]:
    """Return the parameters that differ between a parameter file and the run."""
    for name, value in ran.items():
        full = describe.find_param(written, name)
        if full is not None and not describe.same_param(written[full], value):
            yield Contradiction(file, full, written[full], value)


def differing_metrics(
    file: str, written: Mapping[str, Any], measured: Mapping[str, Any]
) -> Iterator[Contradiction]:
    """Return the metrics that differ, beyond rounding, between a metrics file and the run."""
    for name, value in measured.items():
        other = written.get(name)
        if is_number(other) and is_number(value) and not _close(other, value):
            yield Contradiction(file, name, other, value)


def _agreed(project: Project, found: Contradiction) -> bool:
    """Whether the file had the run's value in an earlier commit, and was edited for a later run.

    A file that never had it was overridden, as on a command line.
    """
    where = ("--", f":(top,literal){found.file}")
    commits = project.git.lines("log", f"-{_HISTORY}", "--format=%H", "HEAD", *where)
    with tempfile.TemporaryDirectory(prefix="git-xexp-") as folder:
        copy = Path(folder) / PurePosixPath(found.file).name
        for commit in commits:
            try:
                copy.write_bytes(project.git.raw("cat-file", "blob", f"{commit}:{found.file}"))
                written = flatten(read_params(copy))
            except (GitError, XexpError):
                continue
            if found.name in written and describe.same_param(written[found.name], found.ran):
                return True
    return False


def _metrics(project: Project, run: Run, touched: set[str]) -> Iterator[Contradiction]:
    """Return values in a metrics file, written since the last commit, that the run never logged."""
    for file in project.config.metrics_files:
        inside = any(file == path or file.startswith(f"{path}/") for path in touched)
        path = readable(project.top, file) if inside else None
        if path is None or not path.is_file():
            continue
        written = flatten(read_metrics(path))
        for found in differing_metrics(file, written, run.metrics):
            if not any(_close(found.written, logged) for logged in _logged(run, found.name)):
                yield found


def _logged(run: Run, column: str) -> list[Any]:
    """Every number that the run logged in a column."""

    def action(database: Any) -> list[Any]:
        table = next((t for t in tables_of(database, run.table) if column in t.columns), None)
        if table is None:
            return []
        sql = (
            f"SELECT DISTINCT {quote(column)} FROM {quote(table.name)}"
            f" WHERE {table.run_id} = ? AND {quote(column)} IS NOT NULL LIMIT 100000"
        )
        return [value for (value,) in database.rows(sql, [run.id]) if is_number(value)]

    try:
        return reading(run.database, action)
    except XexpError:  # another tracker's layout, whose runs are not rows of one table
        return []


def _close(one: Any, other: Any) -> bool:
    """Whether two numbers are equal, up to the precision of the one with fewer decimals."""
    if one == other or (one != one and other != other):
        return True
    decimals = min(_decimals(one), _decimals(other))
    return bool(abs(one - other) <= max(0.5000001 * 10**-decimals, 1e-6 * abs(other)))


def _decimals(value: Any) -> int:
    text = repr(float(value))
    return 17 if "e" in text else len(text.partition(".")[2])
