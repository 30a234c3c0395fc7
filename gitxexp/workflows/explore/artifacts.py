"""The artifacts of an experiment, and where their data is: in a cache, on the remote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.places import cache_dirs, local_remote_dir, remote_name
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.remote import missing_on_remote, pushable
from gitxexp.storage.objects import find_object, manifest
from gitxexp.workflows.experiments import describe


class Presence(StrEnum):
    """Whether a place has an artifact."""

    YES = "yes"
    NO = "no"
    PARTLY = "partly"  #: a directory of which files are missing
    DAMAGED = "damaged"  #: what is there is not what its name says
    UNKNOWN = "?"
    NEVER = "-"  #: it does not belong there (git holds it, or it is not pushed)


class ArtifactPlaces(NamedTuple):
    """One DVC output at the experiment's commit; ``size`` in bytes, None where it is not known."""

    path: str
    role: str
    hash: str
    size: int | None
    files: int | None
    cached: Presence
    remote: Presence


def artifacts(
    project: Project, experiment: Experiment, *, ask_remote: bool = False
) -> tuple[list[ArtifactPlaces], list[str]]:
    """Every artifact, and remarks. Remotes that are no local folder are asked only if told to."""
    outputs = pointers.outputs_at(project.git, experiment.commit)
    known = {output.path: output for output in outputs if output.content}
    recorded = experiment.payload.artifacts
    siblings = _siblings(project)
    remote, notes = _on_remotes(project, list(known.values()), siblings, ask=ask_remote)
    located = [
        _artifact(project, output, siblings, remote.get(path, Presence.UNKNOWN))
        for path, output in known.items()
    ]
    for path, oid in recorded.items():
        if path not in known:
            kind = describe.role(path, project.config).value
            unknown = Presence.UNKNOWN
            located.append(ArtifactPlaces(path, kind, oid, None, None, unknown, unknown))
    return sorted(located, key=lambda artifact: artifact.path), notes


def _siblings(project: Project) -> list[Path]:
    if project.places.top is None:
        return []
    return project.tops()


def _artifact(
    project: Project, output: Output, siblings: Sequence[Path], remote: Presence
) -> ArtifactPlaces:
    return ArtifactPlaces(
        path=output.path,
        role=describe.role(output.path, project.config).value,
        hash=output.content or "",
        size=output.size,
        files=output.nfiles,
        cached=_in_cache(project, output, siblings),
        remote=remote,
    )


def _in_cache(project: Project, output: Output, siblings: Sequence[Path]) -> Presence:
    if not output.cached:
        return Presence.NEVER
    if project.places.top is None or output.oid is None:
        return Presence.UNKNOWN
    caches = cache_dirs(project.top / output.root, (s / output.root for s in siblings))
    if find_object(caches, output.oid, output.legacy) is None:
        return Presence.NO
    if not output.is_dir:
        return Presence.YES
    entries = manifest(output, caches)
    if entries is None:
        return Presence.PARTLY
    oids = {(entry.hash or "").partition(":")[2] for entry in entries}
    whole = all(find_object(caches, oid, output.legacy) for oid in oids if oid)
    return Presence.YES if whole else Presence.PARTLY


def _on_remotes(
    project: Project, outputs: Sequence[Output], siblings: Sequence[Path], *, ask: bool
) -> tuple[dict[str, Presence], list[str]]:
    """Path → presence on its remote, by listing local folders and, if told to, asking others."""
    if project.places.top is None:
        return {}, []
    presence: dict[str, Presence] = {}
    notes: list[str] = []
    asked: list[Output] = []
    for output in outputs:
        if not pushable(output):
            presence[output.path] = Presence.NEVER
        elif remote_name(project.top / output.root, output.remote) is None:
            presence[output.path] = Presence.NO
            notes.append("no DVC remote is set: dvc remote add -d NAME URL")
        elif ask or _is_folder(project, output):
            asked.append(output)
        else:
            presence[output.path] = Presence.UNKNOWN
            notes.append("the remote is not a local folder; --remote asks it")
    presence |= _asked(project, asked, siblings, notes)
    return presence, list(dict.fromkeys(notes))


def _is_folder(project: Project, output: Output) -> bool:
    return local_remote_dir(project.top / output.root, output.remote) is not None


def _asked(
    project: Project, outputs: Sequence[Output], siblings: Sequence[Path], notes: list[str]
) -> dict[str, Presence]:
    """What the remotes say, each asked once."""
    presence: dict[str, Presence] = {}
    remotes: dict[str | None, list[Output]] = {}
    for output in outputs:
        remotes.setdefault(output.remote, []).append(output)
    for group in remotes.values():
        try:
            lacking = missing_on_remote(project.top, group, None, siblings)
        except XexpError as error:
            notes.append(error.message)
            presence |= {output.path: Presence.UNKNOWN for output in group}
            continue
        by_oid = {item.oid: item for item in lacking}
        files = Counter(item.output.path for item in lacking)
        for output in group:
            own = by_oid.get(output.oid or "")
            if own is not None:
                presence[output.path] = Presence.DAMAGED if own.damaged else Presence.NO
            else:
                partly = files[output.path] > 0
                presence[output.path] = Presence.PARTLY if partly else Presence.YES
    return presence
