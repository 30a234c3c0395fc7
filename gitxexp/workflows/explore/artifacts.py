"""The artifacts of an experiment, and where their data is: in a cache, on the remote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment
from gitxexp.storage.dvc import pointers, proofs
from gitxexp.storage.dvc.places import cache_dirs, local_remote_dir, remote_name
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.objects import find_object, manifest, pushable
from gitxexp.workflows.experiments import describe


class Presence(StrEnum):
    """Whether a place has an artifact."""

    YES = "yes"
    NO = "no"
    PARTLY = "partly"  #: a directory with missing files
    DAMAGED = "damaged"  #: the object is corrupt
    PROVED = "proved"  #: it had it when last asked
    UNKNOWN = "?"
    NEVER = "-"  #: it does not belong there (git tracks it, or it is not pushed)


class ArtifactPlaces(NamedTuple):
    """One DVC output at the experiment's commit; ``size`` in bytes, None if it is not known."""

    path: str
    role: str
    hash: str
    size: int | None
    files: int | None
    cached: Presence
    remote: Presence
    proved: float | None = None  #: when the remote was last known to have it, seconds since 1970


def artifacts(
    project: Project, experiment: Experiment, *, ask_remote: bool = False
) -> tuple[list[ArtifactPlaces], list[str]]:
    """Return every artifact, and notes. Non-local remotes are asked only on request."""
    read = pointers.outputs_here(project.git, experiment.commit)
    outputs = read or []
    named = experiment.payload.artifacts
    apart = bool(experiment.version.prefix and named)  # other projects have outputs in its commit
    outputs = [out for out in outputs if out.content and (not apart or out.path in named)]
    located, notes = _located(project, outputs, ask=ask_remote)
    known, role = {artifact.path for artifact in located}, _roles(project)
    for path, oid in experiment.payload.artifacts.items():
        if path not in known:
            located.append(_unknown(path, oid, role(path)))
    notes += [_UNREAD] if read is None else []
    return sorted(located, key=lambda artifact: artifact.path), notes


def artifacts_of_all(
    project: Project, experiments: Sequence[Experiment]
) -> tuple[list[ArtifactPlaces], list[str]]:
    """Return every artifact named in the tags of ``experiments`` (newest first), each content of a
    path once, and notes. Non-local remotes are not asked.

    The pointers of the newest :data:`_READ` are read, for sizes and for how DVC stores each path;
    an older experiment's content of such a path is searched in the same places.
    """
    known: dict[tuple[str, str], Output] = {}
    paths: dict[str, Output] = {}
    for experiment in experiments[:_READ]:
        read = pointers.outputs_here(project.git, experiment.commit)
        if read is None:
            continue
        for out in read:
            if out.content:
                known.setdefault((out.path, out.content), out)
                paths.setdefault(out.path, out)
    recorded = dict.fromkeys(pair for e in experiments for pair in e.payload.artifacts.items())
    for path, content in recorded:
        if path in paths and (path, content) not in known and content.startswith("md5:"):
            older = paths[path]._replace(hash=content, size=None, nfiles=None, files=())
            known[path, content] = older
    located, notes = _located(project, list(known.values()), ask=False)
    role = _roles(project)
    located += [_unknown(*pair, role(pair[0])) for pair in recorded if pair not in known]
    return sorted(located, key=lambda artifact: artifact.path), notes


_UNREAD = (
    "the remote of this partial clone does not answer: the artifacts are those of the tag alone"
)

#: Maximum number of experiments whose pointers are read.
_READ = 20


def _unknown(path: str, content: str, role: str) -> ArtifactPlaces:
    unknown = Presence.UNKNOWN
    return ArtifactPlaces(path, role, content, None, None, unknown, unknown)


def _located(
    project: Project, outputs: Sequence[Output], *, ask: bool
) -> tuple[list[ArtifactPlaces], list[str]]:
    siblings, role = _siblings(project), _roles(project)
    remote, notes = _on_remotes(project, outputs, siblings, ask=ask)
    return [
        _artifact(
            project,
            out,
            siblings,
            remote.get(_key(out), RemoteState(Presence.UNKNOWN)),
            role(out.path),
        )
        for out in outputs
    ], notes


def _roles(project: Project) -> Callable[[str], str]:
    """Properties of the artifact at a path, the same for all its versions."""
    return cache(lambda path: describe.role(path, project.config).value)


def _key(output: Output) -> tuple[str, str | None]:
    return output.path, output.content


def _siblings(project: Project) -> list[Path]:
    if project.places.top is None:
        return []
    return project.tops()


class RemoteState(NamedTuple):
    """What is known about a remote, and since when if it was not asked now."""

    presence: Presence
    proved: float | None = None


def _artifact(
    project: Project, output: Output, siblings: Sequence[Path], remote: RemoteState, role: str
) -> ArtifactPlaces:
    return ArtifactPlaces(
        path=output.path,
        role=role,
        hash=output.content or "",
        size=output.size,
        files=output.nfiles,
        cached=_in_cache(project, output, siblings),
        remote=remote.presence,
        proved=remote.proved,
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
) -> tuple[dict[tuple[str, str | None], RemoteState], list[str]]:
    """Return the state of each output on its remote, by listing local folders and, on request,
    other remotes; else as last verified."""
    if project.places.top is None:
        return {}, []
    presence: dict[tuple[str, str | None], RemoteState] = {}
    groups: dict[tuple[str, str | None, str], list[Output]] = {}
    notes: list[str] = []
    for output in outputs:
        if not pushable(output):
            presence[_key(output)] = RemoteState(Presence.NEVER)
        else:  # check directories separately if that is free: shared objects are listed once
            apart = output.is_dir and local_remote_dir(
                project.top / output.root, pointer=output.remote
            )
            own = f"{output.path} {output.content}" if apart else ""
            groups.setdefault((output.root, output.remote, own), []).append(output)
    for (root, remote, _), group in groups.items():
        if remote_name(project.top / root, pointer=remote) is None:
            presence |= dict.fromkeys(map(_key, group), RemoteState(Presence.NO))
            notes.append("no DVC remote is set: dvc remote add -d NAME URL")
        elif ask or local_remote_dir(project.top / root, pointer=remote) is not None:
            presence |= _asked(project, group, siblings, notes)
        else:
            presence |= _known(project, group, notes)
    return presence, list(dict.fromkeys(notes))


def _known(
    project: Project, group: Sequence[Output], notes: list[str]
) -> dict[tuple[str, str | None], RemoteState]:
    """Return when a remote that is not asked now was last verified to have these outputs."""
    found = {}
    oids = [output.oid for output in group if output.oid]
    times: dict[bool, dict[str, float]] = {}
    for output in group:
        if output.legacy not in times:
            place = proofs.place_of(project.top, output)
            times[output.legacy] = proofs.times(project.proofs, place, oids) if place else {}
        at = times[output.legacy].get(output.oid or "")
        found[_key(output)] = RemoteState(Presence.UNKNOWN if at is None else Presence.PROVED, at)
    if any(known.proved is None for known in found.values()):
        notes.append("the remote is not a local folder; --remote asks it")
    return found


def _asked(
    project: Project, group: Sequence[Output], siblings: Sequence[Path], notes: list[str]
) -> dict[tuple[str, str | None], RemoteState]:
    from gitxexp.storage.dvc.remote import missing_on_remote  # only with --remote

    try:
        lacking = missing_on_remote(project.top, group, None, siblings, project.proofs)
    except XexpError as error:
        notes.append(error.message)
        return dict.fromkeys(map(_key, group), RemoteState(Presence.UNKNOWN))
    by_oid = {item.oid: item for item in lacking}
    files = Counter(_key(item.output) for item in lacking)
    found = {}
    for output in group:
        own = by_oid.get(output.oid or "")
        if own is not None:
            presence = Presence.DAMAGED if own.damaged else Presence.NO
        else:
            presence = Presence.PARTLY if files[_key(output)] else Presence.YES
        found[_key(output)] = RemoteState(presence)
    return found
