"""``tag --renumber``: renumber our experiment if a colleague pushed another under its number.

Two clones working in parallel choose the same next number. Theirs was pushed first, so ours gets
the next free one, with its text, labels, rows, registry row and promotions; theirs gets the old
one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.repository import commit as repository_commit
from gitxexp.repository import config as settings
from gitxexp.repository import registry, tag_message, version
from gitxexp.repository.commit import RefMoved
from gitxexp.repository.files import FileState, copy_file
from gitxexp.repository.repository import Project, Running
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.tags import Experiment
from gitxexp.repository.version import AnyVersion, Level, NamedVersion
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.add import add
from gitxexp.storage.git_write import GitWriter
from gitxexp.trackers.stamps import restamp
from gitxexp.workflows.experiments import collect, describe
from gitxexp.workflows.experiments.code_hash import code_hash
from gitxexp.workflows.experiments.describe import OutputRole
from gitxexp.workflows.experiments.outputs import outputs_of
from gitxexp.workflows.experiments.stamp import DatabaseWritten, RowsRestamped
from gitxexp.workflows.models.cache import objects_noted

#: Where the remote's tag of the same name is fetched to.
_THEIRS = "refs/xexp/theirs/"


@dataclass(frozen=True)
class Renumbered:
    """``old`` is now ``new``; ``theirs``: the remote's experiment has the old number here as well."""

    old: AnyVersion
    new: AnyVersion
    commit: str  #: the commit that records it
    rows: int  #: rows of the results that name the new version
    theirs: bool


def renumber(
    project: Project, old: AnyVersion, remote: str | None = None, *, wait: bool = True
) -> Renumbered:
    """Give our experiment ``old`` the next free number. Undone by ``git xexp undo``.

    Raises XexpError if there is no such experiment here, or the remote has the same one.
    """
    project.recover_first(wait=wait)
    project.require_set_up()
    branch, head = repository_commit.check_ready(project)
    old = project.own(old)
    ours = project.tags_as_made().named(str(old))
    if ours is None:
        raise XexpError(f"there is no experiment {old} here", "git xexp explore list")
    name = project.git_remote_if_any(branch, remote)
    there = GitWriter(project.git).remote_tags(name, f"refs/tags/{old.prefix}e*") if name else {}
    if there.get(ours.name) == ours.oid:
        raise XexpError(
            f"{name} has this very {old}: others may use it",
            "undo a pushed experiment with: git xexp undo --force",
        )
    with project.operation("tag --renumber", wait=wait) as running:
        theirs = fetched(project, name, ours) if ours.name in there else None
        new = _next(project, ours, there)
        rows, touched = _rows(project, running, ours, new)
        here = _is_here(project, ours, head)
        payload = _payload(project, ours, new, here=here)
        _register(project, running, ours, theirs, payload)
        files = sorted({*touched, settings.REGISTRY})
        subject = f"Renumber {ours.name} to {new}\n"
        commit = repository_commit.commit(project, running, files, subject, everything=False)
        at = commit if here else ours.commit
        repository_commit.tag(project, running, str(new), tag_message.encode(payload), at)
        _give_way(project, running, ours, theirs)
        running.summary.append(f"{ours.name} is {new}")
        running.outcome.update(version=str(new), commit=commit)
    return Renumbered(old, new, commit, rows, theirs is not None)


def fetched(project: Project, remote: str | None, ours: Experiment) -> Experiment | None:
    """The remote's experiment of the same name; None if its tag is not ours."""
    assert remote is not None
    ref = f"{_THEIRS}{ours.name}"
    GitWriter(project.git).fetch(remote, [f"+refs/tags/{ours.name}:{ref}"], project.progress)
    oid = project.git.text("rev-parse", ref)
    project.git.raw("update-ref", "-d", ref)
    found = next(iter(project.git.cat([oid])))
    if found is None or found[1] != "tag":
        return None
    message = found[2].decode("utf-8", "replace").partition("\n\n")[2]
    commit = project.git.text("rev-parse", f"{oid}^{{commit}}")
    return ours._replace(oid=oid, commit=commit, payload=tag_message.decode(message))


def _next(project: Project, ours: Experiment, there: Iterable[str]) -> AnyVersion:
    """The next number at the level that ours has, free here, in the registry and on the remote."""
    names = {*project.tags().names, *project.registry.versions(), *there}
    used = [found for name in names if (found := version.parse(name)) is not None]
    own = ours.version
    if isinstance(own, NamedVersion):
        return version.following_named(used, own.name, own.prefix)
    level = ours.payload.reason.partition(":")[0]
    known = {str(each) for each in Level}
    return version.following(used, Level(level) if level in known else Level.PATCH, own.prefix)


def _rows(
    project: Project, running: Running, ours: Experiment, new: AnyVersion
) -> tuple[int, tuple[str, ...]]:
    """Rename the version in our run's rows; return the files for git to track.

    A database with untagged work is left to the next tag.
    """
    before = {output.path for output in outputs_of(project).changed}
    count, written = 0, set[Path]()
    for run in collect.all_runs(project.top, project.config):
        if run.id != ours.payload.run or ours.name not in run.versions:
            continue
        path, backup = run.database, running.keep / f"renumbered.{run.database.name}"
        running.keep.mkdir(parents=True, exist_ok=True)
        copy_file(path, backup)
        for part in run.parts:
            running.record(RowsRestamped(str(path), part.table, part.run, ours.name, str(new)))
            count += restamp(path, part.table, part.run, ours.name, str(new))
        left = FileState.of(path)
        if left is not None:
            running.record(DatabaseWritten(str(path), str(backup), left))
        written.add(path)
    mine = {project.inside(path) for path in written}
    changed = [out for out in outputs_of(project).changed if out.path in mine - before]
    names = [output.path for output in changed]
    tracked = [name for name in mine if name is not None and project.at_top.tracks(name)]
    if not names:
        return count, tuple(tracked)
    with objects_noted(project, running, names) as noted:
        for pointer in {output.pointer for output in changed}:
            running.save_file(project.top / pointer)
            running.save_file(project.top / PurePosixPath(pointer).parent / ".gitignore")
        added = add(project.top, names, project.progress)
        noted += added.every
    return count, (*tracked, *added.touched)


def _is_here(project: Project, ours: Experiment, head: str) -> bool:
    """Whether HEAD has our experiment's code and outputs, except results, which a merge adds to. If
    so, the new tag points at the new commit, else at the commit of the old one."""
    if ours.commit == head:
        return True
    code = code_hash(project.at_top, head, project.config)
    if ours.payload.code and ours.payload.code != code:
        return False
    hashes = pointers.contents(pointers.outputs_at(project.git, head))
    return all(
        hashes.get(path) == oid
        for path, oid in ours.payload.artifacts.items()
        if describe.role(path, project.config) is not OutputRole.RESULTS
    )


def _payload(project: Project, ours: Experiment, new: AnyVersion, *, here: bool) -> Payload:
    """Return the content of the new tag: the old one's, with current hashes if it is ``here``."""
    payload = ours.payload._replace(version=str(new), handwritten=False)
    if not here:
        return payload
    hashes = pointers.contents(outputs_of(project).every)
    artifacts = {path: hashes.get(path, oid) for path, oid in payload.artifacts.items()}
    return payload._replace(artifacts=artifacts)


def _register(
    project: Project,
    running: Running,
    ours: Experiment,
    theirs: Experiment | None,
    payload: Payload,
) -> None:
    running.save_file(project.registry.path, renamed=True)
    made = {*ours.payload.artifacts.values(), *payload.artifacts.values()}
    promotions = [
        replaced
        for one in project.registry.promotions()
        if one.version == ours.name
        and (one.run == ours.payload.run or one.hash_after in made)
        and (replaced := one._replace(version=payload.version))
    ]
    with project.registry.rewrite() as db:
        registry.remove(db, ours.name)
        if theirs is not None:
            registry.put(db, ours.name, theirs.payload)
        registry.put(db, payload.version, tag_message.decode(tag_message.encode(payload)))
        registry.rename(db, ours.name, payload.version)
        for promotion in promotions:
            db.table("promotions").update(promotion.id, {"version": promotion.version})


def _give_way(
    project: Project, running: Running, ours: Experiment, theirs: Experiment | None
) -> None:
    """Replace the old tag by theirs, or delete it."""
    git = project.at_top
    ref = f"refs/tags/{ours.name}"
    if theirs is None:
        running.record(RefMoved(ref, ours.oid, "", deleted=True))
        git.raw("update-ref", "-d", ref, ours.oid)
        return
    running.record(RefMoved(ref, ours.oid, "", new=theirs.oid))
    git.raw("update-ref", ref, theirs.oid, ours.oid)
