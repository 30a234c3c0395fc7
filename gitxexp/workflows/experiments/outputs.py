"""What a tag includes from the work tree: outputs that changed, and those that it must not include.

``git pull``, ``git merge`` and ``git switch`` update pointers, not the data behind them. Until
``dvc checkout`` the work tree holds the outputs of another commit: treated as changes, they would
revert a colleague's work; a results database that a training writes to would be tracked without the
rows that the pull brought.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.common.text import counted, some
from gitxexp.repository import commit
from gitxexp.repository.repository import Project, Running
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.changes import ChangeKind, OutputChange, is_stale, status
from gitxexp.storage.dvc.places import has_dvc
from gitxexp.storage.dvc.pointers import Output
from gitxexp.trackers.runs import run_rows
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.experiments.collect import merged_parts
from gitxexp.workflows.experiments.describe import OutputRole
from gitxexp.workflows.experiments.stores import databases

if TYPE_CHECKING:
    from gitxexp.workflows.merge.inputs import CommitContents


@dataclass(frozen=True)
class Outputs:
    """The DVC outputs of a work tree, according to its pointers."""

    every: tuple[Output, ...] = ()
    changed: tuple[Output, ...] = ()  #: present and different, each with its current hash
    #: paths of those that are not in the work tree, but for what a sparse checkout leaves out
    absent: tuple[str, ...] = ()


class LostRows(NoAnswer):
    """The results in the work tree lack rows of the last commit; ``merge HEAD`` brings them back."""


def outputs_of(project: Project, known: Iterable[Output] | None = None) -> Outputs:
    """The outputs of the work tree and how they differ from their pointers. ``known``: its outputs,
    if already read and no pointer has changed since."""
    every = list(known or ())
    if known is None and has_dvc(project.top):
        every = project.outputs()
    changes = status(project.top, every, project.stat_cache, project.progress) if every else []
    return Outputs(
        tuple(every),
        tuple(_now(change) for change in changes if change.kind is not ChangeKind.MISSING),
        tuple(
            change.output.path
            for change in changes
            if change.kind is ChangeKind.MISSING and (project.top / change.output.pointer).exists()
        ),
    )


def _now(change: OutputChange) -> Output:
    return change.output._replace(hash=change.actual or change.output.hash)


# -- outputs of another commit -----------------------------------------------------------------


def refuse_stale(project: Project, outputs: Outputs) -> None:
    """Raise NoAnswer naming the changed outputs that belong to another commit, if any."""
    stale = [output for output in outputs.changed if is_stale(project.git, project.top, output)]
    if not stale:
        return
    targets = project.typed(*dict.fromkeys(_target(output) for output in stale))
    raise NoAnswer(
        f"not as the last commit has it, but as another one: {some([o.path for o in stale], 5)}",
        f"check them out: dvc checkout {targets} (dvc pull if the cache lacks them); if this is what"
        " you want to tag: --revert-outputs",
    )


def _target(output: Output) -> str:
    return output.path if output.stage else output.pointer


# -- rows that the last commit has ---------------------------------------------------------------


@dataclass(frozen=True)
class RowDifference:
    """What a results database here has and lacks compared to its version in the last commit."""

    path: str
    lost: Mapping[str, int]  #: run → number of its rows only in the last commit
    new: frozenset[str]  #: runs that the last commit does not have


def compare_rows(
    project: Project, outputs: Outputs, modified: Iterable[str] = ()
) -> list[RowDifference]:
    """Every results database that differs from its version in the last commit.

    ``modified`` are files of git that differ from HEAD. The tracked version is fetched if it is
    only on a remote. Raises XexpError if it is unavailable, because then nothing can be compared.
    """
    import tempfile  # late, with the next: run compares its rows by itself

    from gitxexp.workflows.merge.inputs import CommitContents

    with tempfile.TemporaryDirectory(prefix="git-xexp-") as folder:
        known = CommitContents(project, Path(folder), project.progress)
        _, commit = project.at_top.head()
        head = commit or "HEAD"
        replaced = _replaced(project, known, head, outputs, set(modified))
        return [_compared(project, known, head, path) for path in replaced]


def refuse_lost_rows(compared: Iterable[RowDifference]) -> None:
    """Raise LostRows naming the runs of the last commit that the results here lack."""
    lost = [rows for rows in compared if rows.lost]
    if not lost:
        return
    runs = [(run, count) for rows in lost for run, count in rows.lost.items()]
    lines = [f"  {run}: {counted(count, 'row')}" for run, count in runs[:10]]
    more = [f"  and {len(runs) - 10} more runs"] if len(runs) > 10 else []
    raise LostRows(
        f"{', '.join(rows.path for rows in lost)} lacks rows that its version in the last commit"
        " has:\n" + "\n".join([*lines, *more]),
        "bring them back: git xexp tag --bring-rows (or git xexp merge HEAD), or leave them out:"
        " git xexp tag --drop-rows",
    )


def _replaced(
    project: Project, known: CommitContents, head: str, outputs: Outputs, modified: set[str]
) -> Iterator[str]:
    """The results databases whose content here is not that of the last commit."""
    here = {out.path: out for out in (*outputs.every, *outputs.changed)}
    there = known.outputs(head)
    for database in databases(project.top, project.config):
        path = project.inside(database)
        if path is None:
            continue
        parents = (path, *map(str, PurePosixPath(path).parents))
        owner = next((name for name in parents if name in there), None)
        if owner is None:
            differs = path in modified
        else:
            differs = owner not in here or here[owner].hash != there[owner].hash
        if differs:
            yield path


def _compared(project: Project, known: CommitContents, head: str, path: str) -> RowDifference:
    try:
        before = known.at(head, path)
    except XexpError as error:
        raise XexpError(
            f"cannot compare {path} with its version in the last commit: {error.message}",
            f"fetch it: dvc fetch {project.typed(path)}; or tag without its rows: --drop-rows",
        ) from error
    table = project.config.results_table or None
    try:
        rows = run_rows(before, table) if before else {}
    except XexpError:  # no database in that commit, or one without the table
        rows = {}
    now = run_rows(project.top / path, table)
    lost: dict[str, int] = {}
    for (name, run), count in rows.items():
        if count > now.get((name, run), 0):
            lost[run] = lost.get(run, 0) + count - now.get((name, run), 0)
    return RowDifference(path, lost, frozenset({run for _, run in now} - {run for _, run in rows}))


# -- untracked files -----------------------------------------------------------------------------

#: Folders whose files belong in DVC; elsewhere the suffix decides.
_FOLDERS = frozenset(
    ("data", "dataset", "datasets", "models", "model", "checkpoints", "weights", "results")
)
_TELLING = frozenset(
    (".parquet", ".feather", ".arrow", ".npy", ".npz", ".h5", ".hdf5", ".pt", ".pth", ".ckpt",
     ".onnx", ".safetensors", ".joblib", ".pkl", ".keras", ".gguf", ".tflite", ".cbm", ".ubj")
)  # fmt: skip
_TEXTS = frozenset(
    (".md", ".rst", ".py", ".ipynb", ".sh", ".gitignore", ".gitkeep", ".dvc", ".log")
)
#: From this many files on, a folder of data is tracked as a whole.
_MANY = 6
#: Maximum number of files examined per folder, which may hold millions.
_MOST = 2000


@dataclass(frozen=True)
class Untracked:
    """Data, models and results that neither git nor DVC tracks, by path from the top.

    An untracked data folder stands for all its files if there are many.
    """

    data: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    @property
    def every(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.data, *self.models, *self.results)


def untracked(project: Project) -> Untracked:
    """Return untracked data, models and results of an experiment. Ignored files are left out."""
    listed = [path for path in commit.untracked(project) if project.config.has(path)]
    found = _databases(project, listed)
    known = {path.relative_to(project.top).as_posix() for path in found}
    pointed = _pointed(project) if listed else ()
    below = f"{project.folder}/" if project.folder else ""
    groups: dict[OutputRole, list[str]] = {
        OutputRole.DATA: [],
        OutputRole.MODEL: [],
        OutputRole.RESULTS: [],
    }
    for name in listed:
        inside = list(islice(_files(project.top, name), _MOST)) if name.endswith("/") else [name]
        roles: dict[OutputRole, list[str]] = {}
        for path in inside:
            if any(path == out or path.startswith(f"{out}/") for out in pointed):
                continue  # in a folder that git does not know yet, so not its ignored files either
            if not project.config.has(path):
                continue
            if path in known or _is_at_stake(path.removeprefix(below)):
                kind = OutputRole.RESULTS if path in known else describe.role(path, project.config)
                roles.setdefault(kind, []).append(path)
        if len(roles.get(OutputRole.DATA, ())) >= _MANY and len(roles) == 1:
            roles[OutputRole.DATA] = [name.rstrip("/")]
        roles[OutputRole.RESULTS] = [
            path for path in roles.get(OutputRole.RESULTS, ()) if path in known
        ]
        for kind, paths in roles.items():
            groups[kind] += paths
    if groups[OutputRole.RESULTS]:
        parts = {
            path.relative_to(project.top).as_posix() for path in merged_parts(found, project.config)
        }
        groups[OutputRole.RESULTS] = [
            path for path in groups[OutputRole.RESULTS] if path not in parts
        ]
    return Untracked(
        *(tuple(groups[kind]) for kind in (OutputRole.DATA, OutputRole.MODEL, OutputRole.RESULTS))
    )


def _pointed(project: Project) -> list[str]:
    if not has_dvc(project.top):
        return []
    return [out.path for out in pointers.outputs_in(project.top)]


def _databases(project: Project, listed: Sequence[str]) -> list[Path]:
    """The results databases; not searched if nothing is untracked."""
    return databases(project.top, project.config) if listed else []


def _files(top: Path, folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(top / folder):
        if ".git" in folders or ".git" in names:
            folders.clear()  # a separate repository
            continue
        folders.sort()
        yield from ((Path(place) / name).relative_to(top).as_posix() for name in sorted(names))


def _is_at_stake(path: str) -> bool:
    pure = PurePosixPath(path)
    suffix = pure.suffix.lower() or pure.name.lower()
    if pure.parts[0].startswith("."):
        return False
    return suffix in _TELLING or (pure.parts[0] in _FOLDERS and suffix not in _TEXTS)


def track(project: Project, running: Running, names: Sequence[str]) -> tuple[str, ...]:
    """Run ``dvc add`` on untracked files; return the files for git to track."""
    from gitxexp.storage.dvc.add import add  # late: only what changes something needs it
    from gitxexp.workflows.models.cache import objects_noted

    with objects_noted(project, running, names) as noted:
        for name in names:
            running.save_file(project.top / f"{name}.dvc")
            running.save_file(project.top / PurePosixPath(name).parent / ".gitignore")
        added = add(project.top, names, project.progress)
        noted += added.every
    return tuple(added.touched)
