"""``pull``: bring in a colleague's work completely: commits, experiments, and their outputs.

git merges or rebases as configured, row by row where the drivers are registered. Content of the
work tree that is in no cache is the user's own work: it stays as it is, and is listed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.common.text import some
from gitxexp.repository import version
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc import remote as dvc_remote
from gitxexp.storage.dvc.changes import ChangeKind, is_written_since, status
from gitxexp.storage.dvc.places import has_dvc
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.session import NoRemote
from gitxexp.storage.git_write import GitWriter
from gitxexp.storage.objects import Objects, Progress, objects_of
from gitxexp.workflows.artifacts.get import other_worktrees
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.experiments.renumber import fetched, renumber
from gitxexp.workflows.merge.driver import install

if TYPE_CHECKING:
    from gitxexp.repository.registry import Promotion

#: Refspecs of tags that may be experiments.
_PATTERNS = ("refs/tags/e*", "refs/tags/*/e*")


@dataclass(frozen=True)
class PullRequest:
    """What to pull. ``remote`` and ``branch`` None: the current branch's upstream."""

    remote: str | None = None
    branch: str | None = None
    rebase: bool | None = None  #: None: as configured in git, else a merge
    data: bool = True  #: also pull outputs


@dataclass(frozen=True)
class Pulled:
    """The result. ``kept``: outputs changed here and left alone; ``missing``: outputs whose content
    is in no cache or remote; ``renumbered``: experiments of this clone whose number the remote had
    given to another, with their new number; ``clashing``: those that kept it."""

    before: str | None
    after: str | None
    commits: int
    experiments: tuple[str, ...]
    updated: tuple[str, ...]
    fetched: int
    kept: tuple[str, ...]
    missing: tuple[str, ...]
    renumbered: tuple[tuple[str, str], ...]
    clashing: tuple[str, ...]
    remote: str  #: the git remote
    promotions: tuple[Promotion, ...]  #: newest first
    production: tuple[Promotion, ...]  #: promotions now in production, one per slot
    registered: bool  #: the merge drivers were registered for this clone
    notes: tuple[str, ...] = ()
    unasked: bool = False  #: a DVC remote did not answer


def pull(project: Project, request: PullRequest, progress: Progress | None = None) -> Pulled:
    """Bring in commits, tags and outputs.

    Raises XexpError if git refuses (then nothing changed), NoAnswer if its merge stops with
    conflicts: resolve them as after ``git pull``.
    """
    project.require_set_up(registry=False)
    registered = install.register_here(project)
    before = project.git.resolve("HEAD")
    known = set(project.git.refs("refs/tags"))
    promoted = {promotion.id for promotion in _promotions(project)}
    branch, _ = project.git.head()
    remote = project.git_remote(branch, request.remote)
    numbers = _renumbered(project, _fetch_tags(project, remote, progress), remote)
    has_data = request.data and has_dvc(project.top)
    own = _written_here(project) if has_data else frozenset[str]()
    _git_pull(project, request, remote, branch)
    after = project.git.resolve("HEAD")
    span = f"{before}..{after}" if before else str(after)
    commits = len(project.git.lines("rev-list", span)) if after and before != after else 0
    new = {name.removeprefix("refs/tags/") for name in set(project.git.refs("refs/tags")) - known}
    brought = _Brought()
    if has_data:
        brought = _bring(project, own, progress)
    promotions = _promotions(project)
    latest = {promotion.slot: promotion for promotion in reversed(promotions)}
    return Pulled(
        before=before,
        after=after,
        commits=commits,
        experiments=tuple(e.name for e in project.experiments() if e.name in new),
        updated=brought.updated,
        fetched=brought.fetched,
        kept=brought.kept,
        missing=brought.missing,
        renumbered=numbers.renumbered,
        clashing=numbers.clashing,
        remote=remote,
        promotions=tuple(p for p in promotions if p.id not in promoted),
        production=tuple(p for p in latest.values() if p.id not in promoted),
        registered=registered,
        notes=(*numbers.notes, *brought.notes),
        unasked=brought.unasked,
    )


def _promotions(project: Project) -> list[Promotion]:
    try:
        return project.registry.promotions()
    except XexpError:  # a conflict that is not resolved yet
        return []


# -- git -------------------------------------------------------------------------------------------


def _git_pull(
    project: Project,
    request: PullRequest,
    remote: str,
    branch: str | None,
) -> None:
    """Run ``git pull``; raises as :func:`pull` does."""
    named = [remote, *([request.branch] if request.branch else [])]
    if request.remote is None and request.branch is None and _follows(project, branch):
        named = []
    elif not request.branch and branch:
        named = [remote, branch]
    if any(name.startswith("-") for name in named):
        raise XexpError(f"'{named[-1]}' is not a name of a branch", "git branch -r lists them")
    # fetch.prune with fetch.pruneTags would delete experiments that were not pushed yet
    args = ["pull", "--no-edit", "--no-prune", *_how(project, request.rebase)]
    done = GitWriter(project.at_top).call(*args, *(["--", *named] if named else []))
    if done.returncode == 0:
        return
    unmerged = project.at_top.fields("diff", "--name-only", "--diff-filter=U", "-z")
    if unmerged:
        raise NoAnswer(
            f"git pull stopped at conflicts: {some(unmerged, 5)}",
            "rows and pointers: git xexp conflicts; then git commit (or git rebase --continue),"
            " and git xexp pull once more\nor give up: git merge --abort, git rebase --abort",
        )
    said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    refused = [line for line in said if line.startswith(("error:", "fatal:"))] or said[-1:]
    message = "; ".join(line.partition(": ")[2] or line for line in refused[:3])
    hint = "commit, tag (git xexp tag) or stash (git stash) what you changed, then pull again"
    raise XexpError(f"git pull refused: {message}", hint if "overwritten" in message else None)


@dataclass(frozen=True)
class _Numbers:
    renumbered: tuple[tuple[str, str], ...]
    clashing: tuple[str, ...]
    notes: tuple[str, ...]


def _renumbered(project: Project, clashing: Sequence[str], remote: str) -> _Numbers:
    """Renumber our experiments where the remote has another one with the same number."""
    renumbered, left, notes = [], [], []
    for name in clashing:
        old = version.parse(name)
        assert old is not None
        was = _tagged_again(project, name, remote)
        if was is not None:
            notes.append(f"{name} was tagged again: now as {remote} has it (was {was})")
            continue
        try:
            renumbered.append((name, str(renumber(project, old, remote).new)))
        except XexpError as error:
            left.append(name)
            notes.append(f"{name} was not renumbered: {error.message}")
    return _Numbers(tuple(renumbered), tuple(left), tuple(notes))


def _tagged_again(project: Project, name: str, remote: str) -> str | None:
    """Take the remote's tag if it names the same commit as ours and one of them is handwritten: it
    is the same experiment described differently. Returns our former tag."""
    ours = project.tags_as_made().named(name)
    theirs = fetched(project, remote, ours) if ours is not None else None
    if ours is None or theirs is None or theirs.commit != ours.commit:
        return None
    if not (ours.payload.handwritten or theirs.payload.handwritten):
        return None  # two people tagged one commit
    project.git.raw("update-ref", f"refs/tags/{name}", theirs.oid, ours.oid)
    return project.git.text("rev-parse", "--short", ours.oid)


def _follows(project: Project, branch: str | None) -> bool:
    return branch is not None and project.git.ok("rev-parse", "--verify", "-q", "@{upstream}")


def _how(project: Project, rebase: bool | None) -> list[str]:
    """Return the option for reconciling diverged branches, if it is not configured."""
    if rebase is not None:
        return ["--rebase"] if rebase else ["--no-rebase"]
    configured = project.git.config(r"^(pull\.(rebase|ff)|branch\..*\.rebase)$")
    return [] if configured else ["--no-rebase"]


def _fetch_tags(project: Project, remote: str, progress: Progress | None) -> list[str]:
    """Return the experiment tags that only the remote has, and the names that differ between both."""
    git = GitWriter(project.git)
    listed = git.remote_tags(remote, *_PATTERNS)
    theirs = {name: oid for name, oid in listed.items() if "/" not in name or version.spelled(name)}
    mine = {name.removeprefix("refs/tags/"): oid for name, oid in git.refs("refs/tags").items()}
    absent = [name for name in theirs if name not in mine]
    if absent:
        git.fetch(remote, [f"refs/tags/{name}:refs/tags/{name}" for name in absent], progress)
    ours = {experiment.name for experiment in project.experiments()}
    return sorted(n for n, oid in theirs.items() if n in ours and mine.get(n, oid) != oid)


# -- outputs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Brought:
    updated: tuple[str, ...] = ()
    fetched: int = 0
    kept: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unasked: bool = False


def _written_here(project: Project) -> frozenset[str]:
    """The outputs that were written since their pointers: the user's own work, even where a cache has
    it, as that of a candidate. Asked before git writes pointers."""
    try:
        outputs = pointers.outputs_in(project.top, project.git)
    except XexpError:
        return frozenset()
    changes = status(project.top, outputs, project.stat_cache)
    return frozenset(
        change.output.path for change in changes
        if change.kind is ChangeKind.MODIFIED and is_written_since(project.top, change.output)
    )  # fmt: skip


def _bring(project: Project, written: Collection[str], progress: Progress | None) -> _Brought:
    """Check out every output as its pointer says, except those with the user's own work."""
    top = project.top
    try:
        outputs = pointers.outputs_in(top, project.git)
    except XexpError as error:
        return _Brought(notes=(f"outputs were left as they are: {error.message}",))
    objects = Objects(top, lambda: other_worktrees(project))
    kept: list[Output] = []
    stale: list[Output] = []
    for change in status(top, outputs, project.stat_cache, progress):
        if change.kind is ChangeKind.NEW or not (change.output.hash or change.output.files):
            continue
        own = change.kind is ChangeKind.MODIFIED and (
            change.output.path in written or not _is_stored(objects, change.output, change.actual)
        )
        (kept if own else stale).append(change.output)
    if not stale:
        return _Brought(kept=tuple(out.path for out in kept))
    notes: list[str] = []
    fetched: Sequence[str] = ()
    missing: set[str] = set()
    unasked = False
    try:
        report = dvc_remote.fetch(top, stale, None, progress, other_worktrees(project))
        fetched, lost = report.fetched, report.missing
        missing = {o.path for o in stale if any(map(o.holds, lost))}
    except XexpError as error:
        notes.append(error.message)
        unasked = not isinstance(error, NoRemote)
        missing = {o.path for o in stale if not _is_whole(objects, o)}
    there = [out for out in stale if out.path not in missing]
    _checkout(project, there)
    return _Brought(
        updated=tuple(out.path for out in there),
        fetched=len(fetched),
        kept=tuple(out.path for out in kept),
        missing=tuple(sorted(missing)),
        notes=tuple(notes),
        unasked=unasked,
    )


def _is_stored(objects: Objects, out: Output, actual: str | None) -> bool:
    """Whether the work tree's content is in a cache: then it belongs to another commit and cannot
    be lost."""
    oid = actual.partition(":")[2] if actual else ""
    return bool(oid) and objects.find(out, oid) is not None


def _is_whole(objects: Objects, out: Output) -> bool:
    entries = objects.manifest(out) if out.is_dir else ()
    wanted = objects_of(out, entries)
    return entries is not None and all(objects.find(out, want.oid) for want in wanted)


def _checkout(project: Project, outputs: Sequence[Output]) -> None:
    """Place data with DVC's configured link type, and writable outputs as real files."""
    config = project.config
    data = [out for out in outputs if describe.role(out.path, config) is describe.OutputRole.DATA]
    made = [out for out in outputs if out not in data]
    for members, links in ((data, None), (made, ["reflink", "copy"])):
        if members:
            dvc_remote.checkout(project.top, members, force=True, links=links)
