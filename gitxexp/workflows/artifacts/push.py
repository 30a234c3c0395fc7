"""``push``: artifacts of experiments, verified, then branches and tags atomically."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.common.notes import note
from gitxexp.common.text import counted, some
from gitxexp.repository import unproved
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment
from gitxexp.storage import submodules
from gitxexp.storage.dvc import pointers, proofs
from gitxexp.storage.dvc import remote as dvc_remote
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.remote import MissingObject, PushReport, missing_on_remote
from gitxexp.storage.dvc.repair import WorkTreeFiles, restore
from gitxexp.storage.git import PushRejected
from gitxexp.storage.git_write import GitWriter
from gitxexp.storage.objects import Progress, pushable
from gitxexp.workflows.artifacts.get import other_worktrees


@dataclass(frozen=True, slots=True)
class Believed:
    """Experiments on the git remote whose artifacts are not checked again.

    ``never``: those whose artifacts this clone never verified; ``vanished``: those of which some were
    no longer there when the remote was last asked; ``since``: the oldest verification of the others,
    in seconds since 1970.
    """

    experiments: int = 0
    never: int = 0
    vanished: int = 0
    since: float | None = None


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What to push: the artifacts of these experiments, and these refs to this git remote.

    ``clashing``: the remote has another experiment, or another tag of it, under that version. If
    one of these is new here (``taken``), nothing is sent, because the branch would include its row.
    ``earlier``: outputs only in intermediate commits of the branches. They are pushed as far as
    their objects exist, as git-lfs pushes every object of the pushed commits.
    """

    experiments: tuple[Experiment, ...]
    outputs: tuple[Output, ...]
    git_remote: str | None  #: None if the repository has no git remote
    refs: tuple[str, ...]
    clashing: tuple[Experiment, ...] = ()
    taken: tuple[Experiment, ...] = ()
    behind: bool = False  #: the remote's branch has commits that are not here
    earlier: tuple[Output, ...] = ()
    believed: Believed = Believed()

    @property
    def every(self) -> tuple[Output, ...]:
        """All outputs to push."""
        return *self.outputs, *self.earlier


@dataclass(frozen=True, slots=True)
class Pushed:
    """The result. ``artifacts`` is DVC's part; ``refs`` are on ``git_remote`` now."""

    experiments: tuple[str, ...]
    artifacts: PushReport
    checked: int  #: outputs whose objects were all checked on the remote
    git_remote: str | None
    refs: tuple[str, ...]
    believed: Believed = Believed()


def plan(
    project: Project,
    chosen: Sequence[Experiment] | None = None,
    *,
    git_remote: str | None = None,
    everything: bool = False,
) -> PushPlan:
    """Plan a push of ``chosen``; None: every experiment whose tag the git remote lacks
    (``everything``: all, which also checks artifacts of experiments that were pushed before), and
    the current branch with the artifacts of its last commit, if it has new commits.

    Without a git remote all experiments count. Raises XexpError if a git remote cannot be chosen or
    reached.
    """
    branch, head = project.git.head()
    name = project.git_remote_if_any(branch, git_remote)
    experiments = list(chosen if chosen is not None else project.experiments())
    clashing: list[Experiment] = []
    behind = False
    believed = Believed()
    if name is not None:
        refs_there = GitWriter(project.git).remote_refs(
            name, f"refs/tags/{project.prefix}e*", f"refs/heads/{branch}"
        )
        there = {ref.removeprefix("refs/tags/"): oid for ref, oid in refs_there.items()}
        clashing = [e for e in experiments if there.get(e.name, e.oid) != e.oid]
        skipped = {e.name for e in clashing} if everything or chosen is not None else set(there)
        if not everything and chosen is None:
            believed = _believed(project, [e for e in experiments if there.get(e.name) == e.oid])
        experiments = [experiment for experiment in experiments if experiment.name not in skipped]
        tip = refs_there.get(f"refs/heads/{branch}")
        behind = tip is not None and not project.git.ok("merge-base", "--is-ancestor", tip, "HEAD")
    unknown = ("--max-count=1", "--not", f"--remotes={name}", "--not")
    taken = [e for e in clashing if project.git.lines("rev-list", *unknown, e.commit)]
    commits = list(dict.fromkeys(experiment.commit for experiment in experiments))
    if chosen is None and branch and head and (everything or _ahead(project, name)):
        commits = list(dict.fromkeys([*commits, head]))
    _refuse_conflicted(project, commits)
    outputs = _outputs_of(project, commits)
    refs = [
        *_branches(project, branch, head, commits),
        *(f"refs/tags/{e.name}" for e in experiments),
    ]
    heads = [ref for ref in refs if ref.startswith("refs/heads/")]
    earlier = _earlier(project, heads, name, outputs)
    return PushPlan(
        tuple(experiments),
        tuple(outputs),
        name,
        tuple(refs),
        tuple(clashing),
        tuple(taken),
        behind,
        earlier,
        believed,
    )


def _believed(project: Project, experiments: Sequence[Experiment]) -> Believed:
    lost = proofs.vanished(project.proofs)
    gone = {
        e.oid
        for e in (experiments if lost else ())
        if any(oid.partition(":")[2] in lost for oid in e.payload.artifacts.values())
    }
    left = [e.oid for e in experiments if e.oid not in gone]
    known = proofs.times(project.proofs, proofs.TAGS, left)
    since = min(known.values(), default=None)
    return Believed(len(experiments), len(left) - len(known), len(gone), since)


def push(
    project: Project,
    planned: PushPlan,
    *,
    remote: str | None = None,
    incomplete: bool = False,
    progress: Progress | None = None,
) -> Pushed:
    """Push the artifacts, verify by a full listing that the remote has them all, then push the
    refs.

    The remote is complete afterwards, whatever was interrupted before; run it again after any
    failure. Raises NoAnswer if objects are nowhere (unless ``incomplete``), XexpError if a remote
    cannot be reached or refuses.
    """
    if planned.taken:
        raise clash(planned)
    report = _push_both(
        project, planned.outputs, planned.earlier, remote, progress, incomplete=incomplete
    )
    if planned.git_remote is not None and planned.refs:
        _push_refs(project, planned, progress)
        _note_submodules(project, [experiment.commit for experiment in planned.experiments])
    unproved.proved(project.state, (experiment.oid for experiment in planned.experiments))
    if report.complete:
        tags = [proofs.Proof(e.oid, e.name, e.oid) for e in planned.experiments]
        proofs.keep(project.proofs, proofs.TAGS, tags, ())
    names = tuple(experiment.name for experiment in planned.experiments)
    refs = planned.refs if planned.git_remote else ()
    checked = sum(map(_is_kept, planned.every))
    return Pushed(names, report, checked, planned.git_remote, refs, planned.believed)


#: Commits whose submodules are looked at.
_MOST = 20


def _note_submodules(project: Project, commits: Sequence[str]) -> None:
    """Note the submodules whose commit, as one of the newest of ``commits`` has it, is on no remote of
    theirs: nobody else can check it out."""
    top = project.places.top
    if top is None or not (top / ".gitmodules").is_file():
        return
    for commit in commits[:_MOST]:
        for link in submodules.links(project.at_top, commit):
            git = submodules.repository_of((top,), link)
            if git is not None and not git.lines("branch", "-r", "--contains", link.oid):
                fix = f"git -C {project.typed(git.cwd.relative_to(top).as_posix())} push"
                note(f"commit {link.oid[:7]} of submodule {link.path} is on no remote of it: {fix}")


def _refuse_conflicted(project: Project, commits: Iterable[str]) -> None:
    """Raise XexpError for pointers with conflict markers, whose data could not be fetched."""
    for commit in commits:
        broken = pointers.conflicted_at(project.at_top, commit)
        if broken:
            raise XexpError(
                f"commit {commit[:7]} holds conflict markers in {some(broken, 3)}",
                "settle them (git xexp conflicts resolve, or by hand), commit, and push again",
            )


def clash(planned: PushPlan) -> NoAnswer:
    """Raise an error where two clones tagged at the same time, or a tag was moved: only the user
    can decide."""
    remote, first = planned.git_remote, planned.clashing[0]
    names = ", ".join(experiment.name for experiment in planned.clashing)
    mine = f"give yours the next number: git xexp tag --renumber {first.name}"
    if planned.behind:
        mine = f"bring its work in: git pull --rebase {remote}, then {mine}"
    return NoAnswer(
        f"not pushed: {remote} has another {names}",
        f"{mine}\nor take what {remote} has: git fetch --tags --force {remote}",
    )


def push_artifacts(project: Project, commit: str, git_remote: str) -> None:
    """Push the artifacts of a commit and verify the remote; artifacts only in earlier commits that
    ``git_remote`` lacks are included. Raises as :func:`push` does."""
    _refuse_conflicted(project, [commit])
    outputs = _outputs_of(project, [commit])
    earlier = _earlier(project, [commit], git_remote, outputs)
    _push_both(project, outputs, earlier, None, project.progress)


def _push_both(
    project: Project,
    outputs: Iterable[Output],
    earlier: Iterable[Output],
    remote: str | None,
    progress: Progress | None,
    *,
    incomplete: bool = False,
) -> PushReport:
    """Push ``outputs``, which must be complete (unless ``incomplete``), then ``earlier``, which may
    have lost their objects, or (cloud-versioned) have no version in their commit's pointers."""
    earlier = [out for out in earlier if not out.unsent]
    report = _push_outputs(project, outputs, remote, progress)
    if not report.complete and not incomplete:
        raise _incomplete(report)
    return report.and_then(_push_outputs(project, earlier, remote, progress))


def _push_outputs(
    project: Project,
    outputs: Iterable[Output],
    remote: str | None,
    progress: Progress | None,
) -> PushReport:
    mine = [out for out in outputs if _is_kept(out)]
    if not mine:
        return PushReport()
    trees = other_worktrees(project)
    report = dvc_remote.push(project.top, mine, remote, progress, trees, project.proofs)
    if report.complete:
        return report
    lost = [*report.missing, *report.corrupt]
    damaged = [item.cached for item in report.corrupt if item.cached]
    outputs = list(dict.fromkeys(item.output for item in lost))
    if not restore(project.top, outputs, WorkTreeFiles((project.top, *trees)), damaged):
        return report
    again = dvc_remote.push(project.top, mine, remote, progress, trees, project.proofs)
    return replace(report, missing=(), corrupt=()).and_then(again)


def _is_kept(out: Output) -> bool:
    return pushable(out) or out.versioned


def unpushed(
    project: Project, commits: Iterable[str], remote: str | None = None
) -> list[MissingObject]:
    """Every object of these commits' artifacts that its remote lacks, by full listing."""
    outputs = _outputs_of(project, commits)
    return missing_on_remote(project.top, outputs, remote, other_worktrees(project), project.proofs)


def _ahead(project: Project, git_remote: str | None) -> bool:
    """Whether HEAD is a commit that no branch of ``git_remote`` was known to hold."""
    news = ("rev-list", "--max-count=1", "HEAD", "--not", f"--remotes={git_remote}")
    return git_remote is not None and bool(project.git.lines(*news))


def _branches(
    project: Project, branch: str | None, head: str | None, commits: Sequence[str]
) -> list[str]:
    """The branches to push: the current one where it holds one of the commits, and every local
    branch that ends at one."""
    branches: dict[str, None] = {}
    inside = any(
        head == c or project.git.ok("merge-base", "--is-ancestor", c, "HEAD") for c in commits
    )
    if branch and head and inside:
        branches[f"refs/heads/{branch}"] = None
    tips = project.git.refs("refs/heads")
    branches |= dict.fromkeys(name for name, tip in tips.items() if tip in set(commits))
    return list(branches)


def _outputs_of(project: Project, commits: Iterable[str]) -> list[Output]:
    """The outputs of these commits; those that need the same objects of the same remote once."""
    outputs = [out for commit in commits for out in pointers.outputs_at(project.at_top, commit)]
    return list({_needs(out): out for out in outputs}.values())


def _needs(out: Output) -> tuple[object, ...]:
    return out.root, out.remote, out.content, out.legacy, out.unsent


def _earlier(
    project: Project, tips: Sequence[str], git_remote: str | None, known: Iterable[Output]
) -> tuple[Output, ...]:
    """The outputs of all commits up to ``tips`` that no branch of ``git_remote`` was known to hold,
    without those that are ``known``."""
    if git_remote is None or not tips:
        return ()
    news = ("rev-list", "--full-history", *tips, "--not", f"--remotes={git_remote}")
    commits = project.at_top.lines(*news, "--", "*.dvc", "*dvc.lock")
    others = {_needs(out) for out in known}
    return tuple(out for out in _outputs_of(project, commits) if _needs(out) not in others)


def _push_refs(project: Project, planned: PushPlan, progress: Progress | None) -> None:
    name = planned.git_remote
    assert name is not None
    try:
        GitWriter(project.git).push(name, planned.refs, progress)
    except PushRejected as error:
        raise XexpError(
            error.outcome("the artifacts are pushed, no ref is"), error.advice
        ) from error


def _incomplete(report: PushReport) -> NoAnswer:
    lost = [
        f"{item.path}: damaged on remote {item.remote}, and in no cache"
        if item.damaged
        else f"{item.path}: neither in a cache nor on remote {item.remote}"
        for item in report.missing
    ]
    lost += [f"{item.path}: corrupt in the cache ({item.cached})" for item in report.corrupt]
    more = [f"and {len(lost) - 10} more"] if len(lost) > 10 else []
    return NoAnswer(
        f"{counted(len(lost), 'object')} cannot be pushed, so no branch or tag was pushed",
        "\n".join([*lost[:10], *more, "push what there is: --incomplete"]),
    )
