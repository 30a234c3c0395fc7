"""Where one is: what ``git xexp`` alone shows."""

from __future__ import annotations

from typing import NamedTuple

from gitxexp import config
from gitxexp.ahead import STATUS_COMMITS, STATUS_HEAD
from gitxexp.history import Experiment
from gitxexp.project import Project


class Status(NamedTuple):
    """``last`` is the newest experiment that HEAD contains. Counts are of what git knows here: the
    remotes are not asked."""

    branch: str | None
    commit: str | None
    changed: int  #: tracked files that differ from HEAD
    total: int  #: number of experiments
    last: Experiment | None
    behind: int  #: commits made since ``last``
    has_remote: bool
    unpushed: tuple[
        str, ...
    ]  #: experiments on commits that no remote branch has; all without a remote
    unmerged: tuple[str, ...]  #: experiments on branches that HEAD does not contain
    next: str = ""  #: a command


def status(project: Project) -> Status:
    """The status of the repository, from plumbing calls and the cache of tags."""
    later = project.experiments_later()
    branch, commit, changed = _head(project)
    has_remote = bool(project.git.refs("refs/remotes"))
    head = ["HEAD"] if commit else []
    local = _commits(project, "--branches", *head, "--not", "--remotes") if has_remote else set()
    apart = _commits(project, "--branches", "--not", "HEAD") if commit else set()
    experiments = later()
    last, behind = _last(project, commit, experiments)
    found = Status(
        branch, commit, changed, len(experiments), last, behind, has_remote,
        unpushed=tuple(e.name for e in experiments if not has_remote or e.commit in local),
        unmerged=tuple(e.name for e in experiments if e.commit in apart),
    )  # fmt: skip
    return found._replace(next=_next(project, found))


def _head(project: Project) -> tuple[str | None, str | None, int]:
    """Branch, commit and the number of changed tracked files; none in a bare repository."""
    if project.places.top is None:
        return *project.git.head(), 0
    fields = project.git.fields(*STATUS_HEAD)
    head = {f.split(" ")[1]: f.split(" ", 2)[2] for f in fields if f.startswith("# ")}
    changed = sum(field[:2] in ("1 ", "2 ", "u ") for field in fields)
    branch, commit = head.get("branch.head"), head.get("branch.oid")
    return (
        None if branch == "(detached)" else branch,
        None if commit == "(initial)" else commit,
        changed,
    )


def _commits(project: Project, *args: str) -> set[str]:
    return set(project.git.lines("rev-list", *args))


def _last(
    project: Project, commit: str | None, experiments: list[Experiment]
) -> tuple[Experiment | None, int]:
    """The newest experiment in HEAD's history, and how many commits HEAD is past it."""
    if commit is None or not experiments:
        return None, 0
    known: dict[str, Experiment] = {}
    for experiment in experiments:
        known.setdefault(experiment.commit, experiment)
    for number, line in enumerate(project.git.lines(*STATUS_COMMITS)):
        if line in known:
            return known[line], number
    from gitxexp.resolving import nearest

    found = nearest(project, commit, experiments)
    behind = len(project.git.lines("rev-list", f"{found.commit}..HEAD")) if found else 0
    return found, behind


def _next(project: Project, found: Status) -> str:
    """The next sensible command."""
    if project.places.top is not None and not config.is_set_up(project.places.top):
        return "git xexp init"
    if found.last is None or found.changed or found.behind:
        return "git xexp tag" + (" --all" if found.changed else "")
    if found.unmerged:
        return f"git xexp merge {found.unmerged[0]}"
    if found.unpushed and found.has_remote:
        return "git xexp push"
    return "git xexp explore list"
