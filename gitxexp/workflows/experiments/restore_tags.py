"""``registry restore-tags``: restore tags of experiments that are only in the registry.

A tag is missing where git pruned it or a clone has none (``--no-tags``, a CI checkout). The
remote's own tag is fetched if it exists, because a different one would clash; else the tag is
recreated from the registry's row, at the commit that added the row.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import GitError, XexpError
from gitxexp.repository import commit as repository_commit
from gitxexp.repository import config, registry, tag_message
from gitxexp.repository.commit import RefMoved
from gitxexp.repository.repository import Project, Running
from gitxexp.storage.git_write import GitWriter


@dataclass(frozen=True)
class RestoredTags:
    """Versions whose tag was fetched, those recreated, and those without a known commit here."""

    fetched: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class TagOrigin:
    """The commit that an experiment's tag belongs to, and when it was made."""

    commit: str
    date: str  #: seconds and zone, as git's environment takes it


def restore_tags(
    project: Project, remote: str | None = None, *, fetch: bool = True, wait: bool = True
) -> RestoredTags:
    """Restore the tag of every experiment in this work tree's registry, whatever its project.

    Without ``fetch`` no remote is asked. Raises XexpError if one cannot be reached.
    """
    project.recover_first(wait=wait)
    project.require_set_up()
    rows = project.registry.rows()
    missing = sorted(rows.keys() - set(project.tags_of_all().names))
    if not missing:
        return RestoredTags()
    with project.operation("registry restore-tags", wait=wait) as running:
        fetched = _fetch(project, running, remote, missing) if fetch else []
        rest = [name for name in missing if name not in fetched]
        origins = _origins(project, rest)
        for name, origin in origins.items():
            message = tag_message.encode(rows[name]._replace(version=name))
            repository_commit.tag(project, running, name, message, origin.commit, origin.date)
        running.summary.append(f"{len(fetched) + len(origins)} tags restored")
        if not fetched and not origins:
            running.outcome["unchanged"] = True
    lost = tuple(name for name in rest if name not in origins)
    return RestoredTags(tuple(fetched), tuple(origins), lost)


def _fetch(
    project: Project, running: Running, remote: str | None, missing: Iterable[str]
) -> list[str]:
    """Fetch those tags that the remote has; their names."""
    branch, _ = project.git.head()
    name = project.git_remote_if_any(branch, remote)
    if name is None:
        return []
    git = GitWriter(project.git)
    try:
        there = git.remote_tags(name)
        versions = [version for version in missing if version in there]
        for version in versions:
            running.record(RefMoved(f"refs/tags/{version}", None, "", new=there[version]))
        if versions:
            refs = [f"refs/tags/{version}" for version in versions]
            git.fetch(name, [f"{ref}:{ref}" for ref in refs], project.progress)
    except GitError as error:
        raise XexpError(
            error.detail, "make the tags again without asking it: --no-fetch"
        ) from error
    return versions


def _origins(project: Project, names: Iterable[str]) -> dict[str, TagOrigin]:
    """Return the commit that added each version's row: the first whose registry has it.

    The oldest commits of a shallow clone contain rows that earlier ones added; such a commit counts
    only if tagging the version created it.
    """
    wanted = set(names)
    if not wanted:
        return {}
    git = project.at_top
    log = git.text(
        "log", "-z", "--reverse", "--topo-order", "--full-history", "--date=raw",
        "--format=%H%x1f%cd%x1f%s", "HEAD", "--branches", "--remotes", "--", config.REGISTRY,
    )  # fmt: skip
    commits = [line.split("\x1f", 2) for line in log.split("\0") if line]
    cut = _shallow(project.places.common_dir)
    blobs = git.cat(f"{commit}:{config.REGISTRY}" for commit, _, _ in commits)
    origins: dict[str, TagOrigin] = {}
    known: dict[str, set[str]] = {}
    for (commit, date, subject), item in zip(commits, blobs, strict=True):
        if item is None:
            continue
        if item[0] not in known:
            known[item[0]] = registry.versions_in(item[2]) & wanted
        for version in known[item[0]] - origins.keys():
            if commit not in cut or subject.startswith(f"{version}: "):
                origins[version] = TagOrigin(commit, date)
    return {version: origins[version] for version in sorted(origins)}


def _shallow(common_dir: Path) -> set[str]:
    """The commits whose parents a shallow clone lacks (gitrepository-layout(5))."""
    file = common_dir / "shallow"
    return set(file.read_text().split()) if file.is_file() else set()
