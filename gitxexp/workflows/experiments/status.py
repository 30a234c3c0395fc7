"""Repository status: what plain ``git xexp`` shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.repository import config, unproved
from gitxexp.repository.numbers import untagged
from gitxexp.repository.prefetch import STATUS_HEAD
from gitxexp.repository.repository import CHECK_OUT, Project
from gitxexp.repository.tags import Experiment, Tags
from gitxexp.repository.unfinished import unfinished
from gitxexp.storage.dvc.places import has_dvc
from gitxexp.storage.dvc.standing import Standing
from gitxexp.storage.git import BRANCHES, REFS, begun

if TYPE_CHECKING:
    from gitxexp.repository.registry import Promotion


#: The commits among which the last experiment is looked for at first.
_NEAR = "--max-count=500"


class Head(NamedTuple):
    """Where HEAD is. ``ahead`` and ``behind``: commits only on the branch, or only on its upstream
    as last seen here."""

    branch: str | None = None
    commit: str | None = None
    changed: int = 0  #: tracked files that differ from HEAD
    upstream: str | None = None
    ahead: int = 0
    behind: int = 0
    conflicts: int = 0  #: of ``changed``, files with conflicts


class Status(NamedTuple):
    """``last`` is the newest experiment that HEAD contains. Counts use local knowledge only:
    remotes are not asked."""

    head: Head
    total: int  #: number of experiments
    last: Experiment | None
    since: int  #: commits made since ``last``
    has_remote: bool
    unpushed: tuple[
        str, ...
    ]  #: experiments on commits that no remote branch has; all without a remote
    unmerged: tuple[str, ...]  #: experiments on branches that HEAD does not contain
    outputs: Standing = Standing()  #: the project's DVC outputs that differ from their pointers
    elsewhere: int = 0  #: DVC outputs of other projects in the repository that differ
    untracked: tuple[str, ...] = ()  #: data, models, results; searched only before the first tag
    incomplete: tuple[str, ...] = ()  #: tagged here, pushed by plain git without artifacts
    drivers: bool = True  #: whether git merges rows here, as far as configured
    next: str = ""  #: a command
    untagged: tuple[str, ...] = ()  #: experiments only in this work tree's registry
    promoted: tuple[Promotion, ...] = ()  #: production models that the last pull or merge changed
    unfinished: str | None = None  #: the unfinished git command here: ``merge``


def status(project: Project) -> Status:
    """Return the status of the repository, from plumbing calls and the tag cache."""
    later = project.tags_later()
    where = _head(project)
    commit = where.commit
    has_remote, *questions = _sides(project, commit)
    with begun(project.git, filter(None, questions)):
        tags = later()
        local, apart = (set(project.git.lines(*each)) if each else set() for each in questions)
    without = unproved.read(project.state) if has_remote else set()
    last, since = _last(project, commit, tags)
    aside = [e for e in tags.objects(without) if e.commit not in local]
    left = _on_no_branch(project, aside)
    outputs, elsewhere = _outputs(project)
    page = Status(
        where, tags.count, last, since, has_remote,
        unpushed=tuple(tags.names_at(local | left) if has_remote else tags.names_newest()),
        unmerged=tuple(tags.names_at(apart)),
        outputs=outputs,
        elsewhere=elsewhere,
        incomplete=tuple(e.name for e in aside if e.commit not in left),
        untagged=untagged(project, tags) if project.places.top else (),
        untracked=() if tags.count or project.places.top is None else _untracked(project),
    )  # fmt: skip
    top = project.places.top
    page = page._replace(drivers=top is None or _has_drivers(project, top))
    if top is not None:
        page = page._replace(promoted=_promoted(project), unfinished=unfinished(project))
    return page._replace(next=_next(project, page))


class _Sides(NamedTuple):
    """Questions to git: which commits no remote branch has, and which HEAD lacks; empty where the
    refs alone show that there are none."""

    has_remote: bool
    local: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()


def _sides(project: Project, commit: str | None) -> _Sides:
    remote, heads = set[str](), {commit} if commit else set[str]()
    for name, oid in project.git.refs(*BRANCHES[len(REFS) :]).items():
        (heads if name.startswith("refs/heads/") else remote).add(oid)
    head = ("HEAD",) if commit else ()
    local = remote and not heads <= remote
    return _Sides(
        bool(remote),
        ("rev-list", "--branches", *head, "--not", "--remotes") if local else (),
        ("rev-list", "--branches", "--not", "HEAD") if commit and heads != {commit} else (),
    )


def _on_no_branch(project: Project, found: Sequence[Experiment]) -> set[str]:
    """Return commits of experiments that are on no local or remote branch: amended, rebased, or
    made on a detached HEAD."""
    commits = {experiment.commit for experiment in found}
    if not commits:
        return set()
    return commits & set(project.git.lines("rev-list", *commits, "--not", "--remotes"))


def _head(project: Project) -> Head:
    if project.places.top is None:  # a bare repository has no work tree to ask about
        return Head(*project.git.head())
    fields = project.git.fields(*STATUS_HEAD)
    said = {f.split(" ")[1]: f.split(" ", 2)[2] for f in fields if f.startswith("# ")}
    branch, commit = said.get("branch.head"), said.get("branch.oid")
    ahead, behind = (abs(int(count)) for count in said.get("branch.ab", "+0 -0").split())
    return Head(
        None if branch == "(detached)" else branch,
        None if commit == "(initial)" else commit,
        sum(field[:2] in ("1 ", "2 ", "u ") for field in fields),
        said.get("branch.upstream"),
        ahead,
        behind,
        sum(field[:2] == "u " for field in fields),
    )


def _outputs(project: Project) -> tuple[Standing, int]:
    """Return the state of the project's DVC outputs, which git status does not show because git
    ignores them, and how many outputs of other projects differ."""
    top = project.places.top
    if top is None or not has_dvc(top):
        return Standing(), 0
    from gitxexp.storage.dvc import pointers  # late: what follows is for repositories with DVC
    from gitxexp.storage.dvc.changes import standing

    try:
        outputs = pointers.outputs_in(top, project.git)
    except XexpError:  # a broken pointer is reported by the command that needs it
        return Standing(), 0
    others = [out for out in outputs if _is_of_another(project, top, out.path)]
    mine = [out for out in outputs if out not in others] if others else outputs
    elsewhere = standing(top, others, project.stat_cache, project.git)
    return standing(top, mine, project.stat_cache, project.git), sum(map(len, elsewhere[:3]))


def _is_of_another(project: Project, top: Path, path: str) -> bool:
    """Whether an output belongs to another project than the current folder's, if that is in one."""
    above = {folder.as_posix() for folder in PurePosixPath(path).parents} - {".", project.folder}
    return (
        any(config.is_set_up(top / folder) for folder in above)
        and config.is_set_up(top / project.folder)
        and not project.config.has(path)
    )


def _untracked(project: Project) -> tuple[str, ...]:
    from gitxexp.workflows.experiments.outputs import untracked  # late: rarely needed

    try:
        return untracked(project).every
    except XexpError:  # a broken database is reported by the command that needs it
        return ()


def _last(project: Project, commit: str | None, tags: Tags) -> tuple[Experiment | None, int]:
    """The newest experiment in HEAD's history, and how many commits HEAD is past it."""
    if commit is None or not tags.count:
        return None, 0
    if here := tags.newest_at(commit):
        return here, 0
    commits = project.git.lines("rev-list", _NEAR, "HEAD")
    tagged = tags.tagged(commits)
    for number, each in enumerate(commits):
        if each in tagged:
            return tags.newest_at(each), number
    from gitxexp.workflows.experiments.resolve import nearest

    found = nearest(project, commit, tags)
    behind = len(project.git.lines("rev-list", f"{found.commit}..HEAD")) if found else 0
    return found, behind


def _promoted(project: Project) -> tuple[Promotion, ...]:
    """Return the newest promotion of each slot if it came with the last pull, merge or rebase,
    which save the previous HEAD in ORIG_HEAD (git-merge(1), git-rebase(1))."""
    if not (project.places.git_dir / "ORIG_HEAD").exists():
        return ()
    names = [f"{rev}:{config.REGISTRY}" for rev in ("ORIG_HEAD", "HEAD")]
    if len(set(project.git.text("rev-parse", *names, ok=(0, 128)).split())) != 2:
        return ()
    before = next(iter(project.git.cat(names[:1])), None)
    from gitxexp.repository import registry  # late: a page without such a change does without it

    known = registry.promotions_in(before[2]) if before else set()
    try:
        promotions = project.registry.promotions()
    except XexpError:  # reported by the command that needs it
        return ()
    newest = {p.slot: p for p in reversed(promotions)}.values()
    if all(p.id in known for p in newest):
        return ()
    known |= {str(o.result.get("promotion")) for o in project.log.operations("done")}
    return tuple(p for p in newest if p.id not in known)


def _has_drivers(project: Project, top: Path) -> bool:
    """Whether this clone has the merge driver, if the tracked attributes name it."""
    path = top / ".gitattributes"
    named = path.is_file() and b"merge=xexp" in path.read_bytes()
    return not named or project.git.setting("merge.xexp.driver") is not None


def _next(project: Project, found: Status) -> str:
    """Return the command to suggest next."""
    top = project.places.top
    if top is not None and project.is_left_out():
        return CHECK_OUT
    is_set_up = top is not None and config.is_set_up(top / project.folder)
    if top is not None and not (found.drivers and is_set_up):
        others = () if is_set_up else config.folders(top)  # no project at the top, but in folders
        if not others:
            return "git xexp init"
        import shlex  # late: 1 ms

        return f"cd {shlex.quote(others[0])}"
    if found.unfinished:
        return (
            "git xexp conflicts" if found.head.conflicts else f"git {found.unfinished} --continue"
        )
    if found.untagged and not found.total:
        return "git xexp registry restore-tags"
    outputs = found.outputs
    asked = outputs.changed or found.head.changed  # a training may have recreated them
    if not asked and (outputs.stale or 0 < outputs.total == len(outputs.missing)):
        return "dvc pull" if outputs.remote else "dvc checkout"  # after a pull, switch or clone
    if not found.total and top is not None:
        command = project.config.run_command
        if not project.git.lines("ls-files", ":/.xexp"):  # the files of init are not committed yet
            ours = "." if command else project.typed(".xexp", ".gitattributes")
            return f"git add {ours} && git commit"
        if command and not asked:
            return "git xexp run"
    if found.untracked:
        return "git xexp tag --track" + (" --all" if found.head.changed else "")
    if found.last and found.since and not asked and project.config.run_command:
        return "git xexp run"
    if found.last is None or found.head.changed or found.since or outputs.changed:
        return "git xexp tag" + (" --all" if found.head.changed else "")
    if found.unmerged:
        return f"git xexp merge {found.unmerged[0]}"
    if found.incomplete:
        return "git xexp push " + " ".join(found.incomplete[:3])
    if found.head.ahead or (found.unpushed and found.has_remote):
        return "git xexp push"
    return "git xexp explore list"
