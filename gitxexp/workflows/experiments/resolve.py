"""Resolve a name on the command line to an experiment or a commit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.common.text import some
from gitxexp.repository.config import folders, is_prefix
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment, Tags
from gitxexp.repository.version import AnyVersion, parse, patterns

_HEX = re.compile(r"[0-9a-f]{4,64}")
_SHA = "sha256:"
_NAMED_AT_MOST = 5
#: Experiments queried at first, before all are.
_FIRST = 64
#: Experiments whose names an unknown one is compared with.
_MOST_SIMILAR = 5000


class ResolvedName(NamedTuple):
    """``name`` means ``commit``; ``experiment`` is the one tagged there, or the nearest before it."""

    name: str
    commit: str
    experiment: Experiment | None

    @property
    def exact(self) -> bool:
        """Whether the experiment is tagged at the commit itself."""
        return self.experiment is not None and self.experiment.commit == self.commit


def resolve(project: Project, name: str, known: Tags | None = None) -> ResolvedName:
    """Return the experiment or commit that ``name`` refers to.

    In this order: a version (with the project's prefix or without it), a tracker's run, a branch,
    tag or remote branch, the name of a worktree experiment (branch ``exp/NAME``), a unique prefix
    (at least 4 characters) of a configuration's hash (with or without ``sha256:``), of a run or of
    a commit, any other revision. ``known`` are the project's tags, if already listed. Raises
    XexpError with candidates if it is ambiguous or unknown.
    """
    version = parse(name)
    tags = _of_another(project, version) or (project.tags() if known is None else known)
    exact = tags.among({name, name.removeprefix("refs/tags/"), name.removeprefix("tags/")})
    if version is not None and not exact:
        exact = tags.among({str(project.own(version))})
    exact = exact or tags.of_run(name)
    if not exact:
        commit = _ref(project, name)
        if commit is not None:
            return _at(project, name, commit, tags)
        exact = _by_prefix(name, tags)
    commit = _abbreviated(project, name) if not name.startswith(_SHA) else None
    if exact:
        return _only(name, exact, commit)
    commit = commit or _revision(project, name)
    if commit is None:
        raise _unknown(project, name, tags)
    return _at(project, name, commit, tags)


def tags_of(project: Project, name: str) -> Tags:
    """Return the experiments to search for ``name``: those of another project in this repository if
    it is a version with that project's prefix."""
    return _of_another(project, parse(name)) or project.tags()


def _of_another(project: Project, version: AnyVersion | None) -> Tags | None:
    """The experiments of another project, where the version is one of them; a branch, too, may be called
    like a version after its slash."""
    if version is None or version.prefix == project.prefix or not is_prefix(version.prefix):
        return None
    tags = project.with_prefix(version.prefix)
    return tags if tags.holds(version) else None


def tagged(project: Project, name: str) -> Experiment:
    """Return the experiment that ``name`` refers to directly; raises XexpError if there is none."""
    found = resolve(project, name)
    if found.experiment is None or not found.exact:
        raise XexpError(f"'{name}' is not an experiment", "tag it first: git xexp tag")
    return found.experiment


def _revision(project: Project, name: str) -> str | None:
    """The commit of any revision (gitrevisions); ``:/text`` must not be followed by a suffix."""
    if not name or "\0" in name:
        return None
    if name.startswith(":/"):
        found = project.git.call("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        name = found.stdout.decode().strip() or name
    return project.git.resolve(name)


def _by_prefix(name: str, tags: Tags) -> list[Experiment]:
    digits = name.removeprefix(_SHA).lower()
    by_hash = tags.of_config(digits) if _HEX.fullmatch(digits) else []
    by_run = tags.of_run_starting(name) if len(name) >= 4 else []
    return by_hash + [each for each in by_run if each not in by_hash]


def _abbreviated(project: Project, name: str) -> str | None:
    """The commit that a hexadecimal abbreviation names."""
    return project.git.resolve(name) if _HEX.fullmatch(name) else None


def _only(name: str, found: Sequence[Experiment], commit: str | None) -> ResolvedName:
    """Return the only experiment in ``found``, unless the name could also abbreviate a commit."""
    one = found[0]
    if len(found) == 1 and (commit is None or commit == one.commit or name == one.payload.run):
        return ResolvedName(name, one.commit, one)
    candidates = [f"{e.name}  {e.payload.headline}" for e in found[:_NAMED_AT_MOST]]
    if len(found) > _NAMED_AT_MOST:
        candidates.append(f"and {len(found) - _NAMED_AT_MOST} more")
    if commit is not None:
        candidates.append(f"commit {commit}")
    raise XexpError(f"'{name}' is ambiguous; it may be", "\n".join(candidates))


def _ref(project: Project, name: str) -> str | None:
    """The commit of HEAD, a branch, a tag, a remote branch or a worktree experiment's branch."""
    if name in ("HEAD", "@"):
        return project.git.resolve("HEAD")
    if not name or name.startswith("-") or not name.isprintable():
        return None
    template = project.config.worktree_branch
    worktree = template.replace("{name}", name)
    for place in ("", "refs/heads/", "refs/tags/", "refs/remotes/"):
        ref = place + name
        if (place or name.startswith("refs/")) and (commit := project.git.resolve(ref)):
            return commit
    return project.git.resolve(f"refs/heads/{worktree}")


def _at(project: Project, name: str, commit: str, tags: Tags) -> ResolvedName:
    return ResolvedName(name, commit, nearest(project, commit, tags))


def nearest(project: Project, commit: str, tags: Tags) -> Experiment | None:
    """The newest experiment tagged at ``commit``, else the newest that ``commit`` contains."""
    return tags.newest_at(commit) or newest_in(project, commit, tags)


def newest_in(
    project: Project, commit: str, tags: Tags, before: Experiment | None = None
) -> Experiment | None:
    """The newest experiment that ``commit`` contains (and that comes after ``before`` in the list);
    the newest tags are queried first, because git opens every tag in a query."""
    for most in (_FIRST, None):
        names = tags.names_newest(most, before)
        few = len(names) <= 2 * _FIRST
        wanted = [f"refs/tags/{name}" for name in names] if few else patterns(tags.prefix)
        if not names:
            return None
        merged = project.git.lines(
            "for-each-ref", f"--merged={commit}", "--format=%(refname)", *wanted
        )
        inside = {ref.removeprefix("refs/tags/") for ref in merged}
        if found := next((name for name in names if name in inside), None):
            return tags.named(found)
        if len(names) < _FIRST:
            return None
    return None


def _unknown(project: Project, name: str, tags: Tags) -> XexpError:
    from difflib import get_close_matches  # only for an error

    if re.fullmatch("[0-9a-f]{1,3}", name.removeprefix(_SHA)):
        return XexpError(f"'{name}' is too short for a hash prefix", "give at least 4 characters")
    if run := _untagged_run(project, name):
        return XexpError(f"run '{run}' is not tagged", f"tag it: git xexp tag --run '{run}'")
    branches = [ref.removeprefix("refs/heads/") for ref in project.git.refs("refs/heads")]
    experiments = tags.newest(_MOST_SIMILAR)
    runs = [e.payload.run for e in experiments if e.payload.run]
    known = list(dict.fromkeys([*(e.name for e in experiments), *runs, *branches]))
    close = get_close_matches(name, known, 3, 0.6)
    if close:
        hint = f"did you mean {' or '.join(close)}?"
    elif experiments:
        newest = ", ".join(e.name for e in experiments[:_NAMED_AT_MOST])
        hint = f"the newest experiments are {newest}\nall of them: git xexp explore list"
    else:
        hint = f"there are no experiments {none_here(project)}"
    return XexpError(f"'{name}' is not an experiment, run or revision", hint)


def none_here(project: Project) -> str:
    """The end of "there are no experiments": a shallow clone is made without tags, and so may any."""
    shallow = "in this shallow clone; get them: git fetch --unshallow --tags"
    if project.places.shallow:
        return shallow
    top = project.places.top
    others = [f"{folder}/" for folder in folders(top) if folder != project.folder] if top else []
    if others:
        return f"of this project; of {some(others, 3)} and all: git xexp list --all-projects"
    with suppress(XexpError):
        if top and project.registry.versions():
            return (
                "here; the registry knows some: git fetch --tags, or git xexp registry restore-tags"
            )
    return "yet; make one: git xexp tag"


def _untagged_run(project: Project, name: str) -> str | None:
    """The id of the run ``name`` of the results databases; opened only for an error message."""
    from gitxexp.workflows.experiments import collect

    if project.places.top is None:
        return None
    try:
        runs = collect.all_runs(project.top, project.config)
    except XexpError:
        return None
    return next((run.id for run in runs if run.id == name), None)
