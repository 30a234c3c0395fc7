"""Everything known about one experiment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment, Tags
from gitxexp.storage import paths
from gitxexp.storage.dvc.places import readable
from gitxexp.trackers.stamps import linked
from gitxexp.workflows.experiments import resolve, stores
from gitxexp.workflows.explore import artifacts, compare
from gitxexp.workflows.explore.artifacts import ArtifactPlaces
from gitxexp.workflows.explore.compare import Comparison
from gitxexp.workflows.models import history

if TYPE_CHECKING:
    from gitxexp.repository.registry import AnnotationChange, Promotion
    from gitxexp.trackers.stamps import Linked


class ExperimentDetails(NamedTuple):
    """One experiment. ``since`` compares it with its parent; ``branches`` contain its commit."""

    experiment: Experiment
    artifacts: Sequence[ArtifactPlaces]
    parent: Experiment | None
    since: Comparison | None
    rows: Sequence[Linked]
    branches: Sequence[str]
    same_config: Sequence[str]  #: other experiments with the same configuration
    promotions: Sequence[Promotion]  #: of its model, newest first
    changes: Sequence[
        AnnotationChange
    ]  #: labels and descriptions given after it was tagged, oldest first
    notes: Sequence[str]


def experiment_of(
    project: Project, name: str, known: Tags | None = None
) -> tuple[Experiment, list[str]]:
    """Return the experiment that ``name`` refers to, or the nearest one before it, with a note.

    Raises XexpError if there is none.
    """
    resolved = resolve.resolve(project, name, known)
    if resolved.experiment is None:
        raise XexpError(
            f"no experiment is tagged at '{name}' or before it",
            "all experiments: git xexp explore list",
        )
    if resolved.exact:
        return resolved.experiment, []
    return resolved.experiment, [
        f"'{name}' is not an experiment; {resolved.experiment.name} is the nearest before it"
    ]


def details(project: Project, name: str | None, *, ask_remote: bool = False) -> ExperimentDetails:
    """Everything about the experiment that ``name`` means (see
    :func:`gitxexp.workflows.experiments.resolve.resolve`); None is the one tagged last."""
    known = project.tags() if name is None else resolve.tags_of(project, name)
    if name is None:
        newest = known.newest(1)
        if not newest:
            fact, _, advice = resolve.none_here(project).partition("; ")
            raise XexpError(f"there are no experiments {fact}", advice)
        name = newest[0].name
    experiment, notes = experiment_of(project, name, known)
    parent = parent_of(project, experiment, known)
    located, remarks = artifacts.artifacts(project, experiment, ask_remote=ask_remote)
    rows, problems = _rows(project, experiment)
    return ExperimentDetails(
        experiment=experiment,
        artifacts=located,
        parent=parent,
        since=_since(project, parent, experiment) if parent else None,
        rows=rows,
        branches=_branches(project, experiment.commit, known),
        same_config=_same_config(known, experiment),
        promotions=_promotions(project, experiment),
        changes=project.annotations.of(experiment.name),
        notes=[*notes, *remarks, *problems],
    )


def parent_of(project: Project, experiment: Experiment, known: Tags) -> Experiment | None:
    """The experiment that it was compared with when tagged, else the nearest before its commit."""
    if experiment.payload.parent:
        return known.named(experiment.payload.parent)
    here = [each.name for each in known.at(experiment.commit)]
    if older := here[here.index(experiment.name) + 1 :]:
        return known.named(older[0])
    return resolve.newest_in(project, experiment.commit, known, experiment)


def _since(project: Project, parent: Experiment, experiment: Experiment) -> Comparison:
    before = compare.of_experiment(project, parent)
    return compare.compare(project, before, compare.of_experiment(project, experiment))


def _same_config(known: Tags, experiment: Experiment) -> list[str]:
    hash_ = experiment.payload.config_hash
    found = known.of_config(hash_.removeprefix("sha256:")) if hash_ else []
    return [each.name for each in found if each.name != experiment.name]


def _branches(project: Project, commit: str, known: Tags) -> Sequence[str]:
    heads = project.git.raw("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads")
    contain = ("for-each-ref", f"--contains={commit}", "--format=%(refname:short)", "refs/heads")
    key = f"branches {commit} {md5(heads, usedforsecurity=False).hexdigest()}"
    return known.remembered(key, lambda: project.git.lines(*contain))


def _promotions(project: Project, experiment: Experiment) -> Sequence[Promotion]:
    return history.of_experiment(project, experiment) if project.places.top else ()


def _rows(project: Project, experiment: Experiment) -> tuple[list[Linked], list[str]]:
    """The rows that name the experiment, and the databases that could not be queried."""
    rows: list[Linked] = []
    notes = []
    payload = experiment.payload
    commits = [payload.run_commit or experiment.commit]
    for path in _databases(project, experiment):
        try:
            rows += linked(path, experiment.name, payload.run, commits)
        except XexpError as error:
            notes.append(error.message)
    return rows, notes


def _databases(project: Project, experiment: Experiment) -> Iterator[Path]:
    if project.places.top is None:
        return
    known = dict.fromkeys(stores.databases(project.top, project.config))
    path = experiment.payload.results  # of a tag, which anybody may have made
    if path and not paths.problem(path) and (file := readable(project.top, path)):
        known[file] = None
    yield from known
