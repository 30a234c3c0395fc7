"""``registry delete``: delete an experiment's tag together with its row; ``undo`` restores both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import GitError, NoAnswer, PushRejected, XexpError
from gitxexp.common.text import some
from gitxexp.repository import commit as repository_commit
from gitxexp.repository import registry
from gitxexp.repository.commit import RefMoved
from gitxexp.repository.repository import Project, Running
from gitxexp.storage.dvc import pointers
from gitxexp.storage.git_write import GitWriter
from gitxexp.storage.objects import Objects
from gitxexp.workflows.models.context import ModelContext
from gitxexp.workflows.models.inventory import ModelStore
from gitxexp.workflows.models.run_facts import RunIndex
from gitxexp.workflows.registry.select import Entry, commit_registry, entries


@dataclass(frozen=True)
class CachedOnly:
    """An output in the DVC cache that no experiment or pointer here names any more."""

    path: str
    hash: str


@dataclass(frozen=True)
class DeletePlan:
    """What would be deleted. ``refusals``: why that needs force, a sentence each."""

    entries: tuple[Entry, ...]
    remote: str | None  #: the git remote that has their tags, if asked
    there: Mapping[str, str]  #: version → tag object, for those on the remote
    refusals: tuple[str, ...]


@dataclass(frozen=True)
class Deleted:
    """What was deleted: local tags, tags on ``remote``; and what is left."""

    versions: tuple[str, ...]
    remote: str | None
    commit: str | None
    cached: tuple[CachedOnly, ...]
    unreachable: tuple[str, ...]  #: commits no longer reachable from any ref


def plan(
    project: Project,
    names: Sequence[str],
    *,
    remote: str | None = None,
    from_remote: bool = False,
    force: bool = False,
) -> DeletePlan:
    """Plan the deletion of experiments. Without ``force`` the git remote (``remote``, or the push
    remote) is asked whether it has them.

    Raises XexpError for an unknown experiment, or if the remote cannot be asked.
    """
    project.require_set_up()
    experiments = entries(project, names)
    remote_name, there = None, dict[str, str]()
    if from_remote or not force:
        branch, _ = project.git.head()
        remote_name = project.git_remote_if_any(branch, remote)
        there = _tags_of(project, remote_name, experiments) if remote_name else {}
    if from_remote and remote_name is None:
        raise XexpError("there is no git remote to delete from", "leave out --remote")
    others = [
        e.version for e in experiments if e.tag and there.get(e.version, e.tag.oid) != e.tag.oid
    ]
    if from_remote and others:
        raise NoAnswer(
            f"not deleted: {remote_name} has another {some(others, 3)}",
            "leave it there: without --remote",
        )
    refusals = (
        [] if from_remote else [f"{name} was pushed to {remote_name}" for name in sorted(there)]
    )
    used = _in_production(project, experiments)
    refusals += [f"the model of {name} is in production ({path})" for name, path in used.items()]
    return DeletePlan(tuple(experiments), remote_name, there, tuple(refusals))


def _tags_of(project: Project, remote: str, found: Iterable[Entry]) -> dict[str, str]:
    patterns = [f"refs/tags/{entry.version}" for entry in found]
    try:
        return GitWriter(project.git).remote_tags(remote, *patterns)
    except GitError as error:
        raise XexpError(
            f"cannot tell whether {remote} has it: {error.detail}",
            "delete it here without asking: --force",
        ) from error


def _in_production(project: Project, found: Sequence[Entry]) -> dict[str, str]:
    """The experiments whose model is in production: version → path of the model."""
    try:
        store, runs = ModelStore(project), RunIndex(project)
        contexts = [ModelContext(store, runs, store.contents(slot)) for slot in store.slots]
    except XexpError:  # no DVC, or unreadable models: then unknown
        return {}
    used: dict[str, str] = {}
    for context in contexts:
        model = context.contents.production
        if model is None:
            continue
        newest = next((p for p in runs.promotions if p.hash_after == model.hash), None)
        run = context.production_run()
        for entry in found:
            payload = entry.payload
            is_same = payload.artifacts.get(model.path) == model.hash
            if (newest is not None and newest.version == entry.version) or (
                is_same and payload.run == (run or "")
            ):
                used[entry.version] = model.path
    return used


def delete(
    project: Project,
    planned: DeletePlan,
    *,
    from_remote: bool = False,
    force: bool = False,
    commit: bool = True,
    wait: bool = True,
) -> Deleted:
    """Delete tags and rows in one operation, from the remote too if asked; all or nothing.

    Raises NoAnswer if the plan has refusals, unless ``force``, or if the remote has a different tag
    of that name by now.
    """
    if planned.refusals and not force:
        raise NoAnswer(f"not deleted: {'; '.join(planned.refusals)}", "delete it anyway: --force")
    versions = tuple(entry.version for entry in planned.entries)
    names = some(versions, 5)
    if commit:
        repository_commit.check_ready(project)
    with project.operation("registry delete", wait=wait) as running:
        made = None
        if any(entry.row is not None for entry in planned.entries):
            running.save_file(project.registry.path, renamed=True)
            with project.registry.rewrite() as db:
                for version in versions:
                    registry.delete(db, version)
            made = commit_registry(project, running, f"Delete {names}") if commit else None
        for entry in planned.entries:
            _delete_tag(project, running, entry)
        if from_remote and planned.there:
            assert planned.remote is not None
            _delete_there(project, planned.remote, planned.there)
            running.outcome["pushed"] = planned.remote
        running.summary.append(names)
    return Deleted(
        versions,
        planned.remote if from_remote and planned.there else None,
        made,
        tuple(_cached_only(project, planned.entries)),
        tuple(_unreachable(project, planned.entries)),
    )


def _delete_tag(project: Project, running: Running, entry: Entry) -> None:
    if entry.tag is None:
        return
    ref = f"refs/tags/{entry.version}"
    running.record(RefMoved(ref, entry.tag.oid, "", deleted=True))
    project.git.raw("update-ref", "-d", ref, entry.tag.oid)


def _delete_there(project: Project, remote: str, there: Mapping[str, str]) -> None:
    refs = {f"refs/tags/{version}": oid for version, oid in there.items()}
    try:
        GitWriter(project.git).delete(remote, refs)
    except PushRejected as error:
        raise NoAnswer(
            error.outcome("nothing was deleted"),
            "somebody changed it meanwhile: git fetch --tags"
            if error.is_overtaken
            else error.advice,
        ) from error


def _cached_only(project: Project, gone: Sequence[Entry]) -> Iterable[CachedOnly]:
    """Return outputs of deleted experiments that nothing here names any more but the cache still
    has."""
    tagged = [entry.tag for entry in gone if entry.tag is not None]
    if not any(entry.payload.artifacts for entry in gone):
        return
    named = {h for e in project.experiments() for h in e.payload.artifacts.values()}
    named |= {output.hash for output in pointers.outputs_in(project.top) if output.hash}
    objects = Objects(project.top, project.tops)
    seen = set[str]()
    for tag in tagged:
        for output in pointers.outputs_at(project.git, tag.commit):
            if output.hash is None or output.hash in named or output.hash in seen:
                continue
            seen.add(output.hash)
            if objects.find(output) is not None:
                yield CachedOnly(output.path, output.hash)


def _unreachable(project: Project, gone: Sequence[Entry]) -> Iterable[str]:
    for commit in dict.fromkeys(entry.tag.commit for entry in gone if entry.tag is not None):
        if not project.git.lines("for-each-ref", f"--contains={commit}", "--count=1"):
            yield commit
