"""The safety checklist of ``worktree remove``: what would be lost, and the command that saves it.

Finds what exists only in a worktree, for ``list`` and the safety checklist.
"""

from __future__ import annotations

import filecmp
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import rows_wait
from gitxexp.common.sql import quote
from gitxexp.common.text import some
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.changes import ChangeKind, OutputChange, file_hashes, status
from gitxexp.storage.dvc.places import cache_dirs, local_remote_dir, remote_name
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.remote import MissingObject, missing_on_remote
from gitxexp.storage.git import Git
from gitxexp.storage.objects import Progress, find_object, pushable
from gitxexp.trackers.databases import reading
from gitxexp.trackers.tables import RunTable, event_tables
from gitxexp.workflows.experiments.stores import databases
from gitxexp.workflows.worktrees.records import Worktree

_SHOWN = 3


@dataclass(frozen=True)
class SafetyCheck:
    """One line. ``ok`` is False if it blocks removal; ``fix`` is then the command that helps."""

    name: str
    ok: bool
    text: str
    fix: str | None = None
    unasked: bool = False  #: unknown, because a remote did not answer


def checklist(
    project: Project, tree: Worktree, progress: Progress | None = None
) -> list[SafetyCheck]:
    """Every check of the worktree, in the order in which to fix them."""
    if tree.gone:
        return [SafetyCheck("folder", True, "gone already")]
    return [
        *_locked(tree),
        _files(tree),
        *_submodules(project, tree),
        _data(project, tree, progress),
        _tagged(project, tree),
        _commits(tree),
        _artifacts(project, tree),
        _results(project, tree),
    ]


def _at(tree: Worktree, command: str) -> str:
    return f"git -C {shlex.quote(str(tree.path))} {command}"


def _locked(tree: Worktree) -> Iterator[SafetyCheck]:
    if tree.locked is not None:
        reason = f": {tree.locked}" if tree.locked else ""
        fix = f"git worktree unlock {shlex.quote(str(tree.path))}"
        yield SafetyCheck("lock", False, f"the worktree is locked{reason}", fix)


def _files(tree: Worktree) -> SafetyCheck:
    changed = changed_files(tree)
    if not changed:
        return SafetyCheck("files", True, "no uncommitted changes")
    fix = _at(tree, "add -A") + " && " + _at(tree, "commit")
    return SafetyCheck("files", False, f"uncommitted changes: {some(changed, _SHOWN)}", fix)


def _submodules(project: Project, tree: Worktree) -> Iterator[SafetyCheck]:
    """Whether the submodules' commits are on their remotes, or in the main worktree's submodules: their
    repositories are removed with the worktree. Changes in them count as changed files."""
    names = filled_submodules(tree)
    if not names:
        return
    unpushed = {name: own_commits_of(tree.path / name, project.main_top / name) for name in names}
    lost = [name for name, count in unpushed.items() if count]
    if not lost:
        yield SafetyCheck("submodules", True, "every commit of the submodules is elsewhere, too")
        return
    count = sum(unpushed.values())
    things = "commit is" if count == 1 else "commits are"
    fix = f"git -C {shlex.quote(str(tree.path / lost[0]))} push"
    text = f"{count} {things} on no remote of submodule {some(lost, _SHOWN)}"
    yield SafetyCheck("submodules", False, text, fix)


def filled_submodules(tree: Worktree) -> list[str]:
    """The submodules of the worktree that have files, and those within them."""
    if not (tree.path / ".gitmodules").exists():
        return []
    listed = git_at(tree).text("submodule", "status", "--recursive").splitlines()
    return [line[1:].split(" ", 1)[1].rsplit(" (", 1)[0] for line in listed if line[:1] != "-"]


def own_commits_of(path: Path, other: Path) -> int:
    """How many commits of a repository, stashed ones included, are on no remote branch and not in the
    repository ``other``, if there is one."""
    git = Git(path, foreign=True)
    stash = ("refs/stash",) if git.resolve("refs/stash") else ()
    revs = ("HEAD", *stash, "--branches", "--not", "--remotes")
    own = git.lines("rev-list", *revs)
    if not own or not (other / ".git").exists():
        return len(own)
    there = Git(other, foreign=True).lines("rev-list", "HEAD", "--all")
    return len(set(own).difference(there))


def _data(project: Project, tree: Worktree, progress: Progress | None) -> SafetyCheck:
    try:
        changes = changed_data(project, tree, progress)
    except XexpError as error:
        return SafetyCheck("data", False, f"cannot be compared: {error.message}", error.hint)
    if not changes:
        return SafetyCheck("data", True, "every DVC output is as its pointer says")
    names = [f"{change.output.path} ({change.kind})" for change in changes]
    return SafetyCheck(
        "data", False, f"DVC outputs not in the cache: {some(names, _SHOWN)}", _at(tree, "xexp tag")
    )


def _tagged(project: Project, tree: Worktree) -> SafetyCheck:
    experiments = experiments_of(project, tree)
    if experiments:
        return SafetyCheck("tag", True, f"tagged {experiments[0].name}")
    if not since_start(tree):
        return SafetyCheck("tag", True, "no commits of its own to tag")
    return SafetyCheck(
        "tag", False, "its commits are not tagged as an experiment", _at(tree, "xexp tag")
    )


def _commits(tree: Worktree) -> SafetyCheck:
    own = own_commits(tree)
    if not own:
        return SafetyCheck("commits", True, "a tag or another branch holds every commit")
    things = "commit is" if len(own) == 1 else "commits are"
    return SafetyCheck(
        "commits",
        False,
        f"{len(own)} {things} on no other branch and no tag",
        _at(tree, "xexp tag"),
    )


def _artifacts(project: Project, tree: Worktree) -> SafetyCheck:
    outputs = outputs_of(project, tree)
    try:
        lacking = unpushed(project, tree, outputs)
    except XexpError as error:
        return SafetyCheck("artifacts", False, error.message, error.hint, unasked=True)
    gone = [m for m in lacking if m.cached is None and not _has_bytes(project, tree, m)]
    lacking = [m for m in lacking if m not in gone]
    if lacking:
        text = f"not on the remote: {some(list(dict.fromkeys(m.path for m in lacking)), _SHOWN)}"
        return SafetyCheck("artifacts", False, text, f"git xexp worktree remove {tree.name} --push")
    if outputs and not with_remote(tree, outputs):
        own = _only_here(project, tree, outputs)
        if own:
            text = f"no DVC remote is set, and only this worktree has: {some(own, _SHOWN)}"
            fix = f"copy it, or: dvc remote add -d NAME URL && {_at(tree, 'xexp push')}"
            return SafetyCheck("artifacts", False, text, fix)
        return SafetyCheck("artifacts", True, "no DVC remote is set; the cache keeps them")
    if gone:
        text = f"nothing to lose here: no place has {some(sorted({m.path for m in gone}), _SHOWN)}"
        return SafetyCheck("artifacts", True, text)
    return SafetyCheck("artifacts", True, "every artifact is on the remote" if outputs else "none")


def _results(project: Project, tree: Worktree) -> SafetyCheck:
    try:
        rows = unmerged_rows(project, tree)
    except XexpError as error:
        return SafetyCheck("results", False, f"cannot be read: {error.message}", error.hint)
    if not rows and not (project.main_top / ".git").exists():
        return SafetyCheck(
            "results", True, "no main worktree to compare with: the commits have the rows"
        )
    if not rows:
        return SafetyCheck("results", True, "the main worktree has every row")
    source = tree.branch or tree.name
    things = "row is" if rows == 1 else "rows are"
    main = shlex.quote(str(project.main_top))
    return SafetyCheck(
        "results", False, f"{rows} {things} not in the main worktree's database",
        f"git -C {main} xexp merge {source}",
    )  # fmt: skip


def _has_bytes(project: Project, tree: Worktree, lacking: MissingObject) -> bool:
    """Whether the worktree's file, or a directory as it may be, has an object's bytes."""
    path = tree.path / lacking.path
    if not path.is_file():
        return path.is_dir()
    known = file_hashes(tree.path, [(path, lacking.output.legacy)], project.stat_cache)
    return known[path] == lacking.oid


def _only_here(project: Project, tree: Worktree, outputs: Sequence[Output]) -> list[str]:
    """The outputs that the worktree has, and no cache outside of it."""
    found = []
    for out in outputs:
        if out.oid is None or not out.cached or not os.path.lexists(tree.path / out.path):
            continue
        caches = cache_dirs(tree.path / out.root, [project.main_top / out.root])
        outside = [cache for cache in caches if not cache.is_relative_to(tree.path.resolve())]
        if find_object(outside, out.oid, out.legacy) is None:
            found.append(out.path)
    return found


def git_at(tree: Worktree) -> Git:
    """git in the worktree."""
    return Git(tree.path, foreign=True)


#: Files that DVC itself creates untracked in a project.
_DVC_MAKES = ("?? .dvc/.gitignore", "?? .dvc/tmp/")


def changed_files(tree: Worktree) -> list[str]:
    """Tracked files that differ from HEAD and untracked ones (folders end with a slash)."""
    fields = iter(git_at(tree).fields("status", "--porcelain=v1", "-z", "-unormal", "--no-renames"))
    return [field[3:] for field in fields if field not in _DVC_MAKES]


def changed_data(
    project: Project, tree: Worktree, progress: Progress | None = None
) -> list[OutputChange]:
    """DVC outputs that exist and differ from their pointer, or have no hash yet."""
    outputs = pointers.outputs_in(tree.path, git_at(tree))
    changes = status(tree.path, outputs, project.stat_cache, progress)
    return [change for change in changes if change.kind is not ChangeKind.MISSING]


def own_commits(tree: Worktree) -> list[str]:
    """Commits of HEAD that are in no tag, other branch or remote branch, newest first."""
    others = (f"--exclude={tree.branch}",) if tree.branch else ()
    return git_at(tree).lines(
        "rev-list", "HEAD", "--not", *others, "--branches", "--tags", "--remotes"
    )


def since_start(tree: Worktree) -> set[str]:
    """Commits of HEAD since the worktree was made; without a note those that exist only there."""
    if tree.note is None:
        return set(own_commits(tree))
    git = git_at(tree)
    if git.resolve(tree.note.commit) is None:
        return set(git.lines("rev-list", "HEAD"))
    return set(git.lines("rev-list", "HEAD", f"^{tree.note.commit}"))


def experiments_of(project: Project, tree: Worktree) -> list[Experiment]:
    """The experiments tagged in the worktree: at HEAD and on its own commits, newest first."""
    commits = since_start(tree) | {tree.commit}
    return [e for e in project.experiments() if e.commit in commits]


def last_experiment(project: Project, tree: Worktree) -> Experiment | None:
    """The newest experiment in the history of HEAD."""
    merged = git_at(tree).lines(
        "for-each-ref", "--merged=HEAD", "--format=%(refname:short)", "refs/tags"
    )
    names = set(merged)
    return next((e for e in project.experiments() if e.name in names), None)


def outputs_of(project: Project, tree: Worktree) -> list[Output]:
    """Every output of HEAD and of the experiments tagged here, each content once."""
    revs = dict.fromkeys(["HEAD", *(e.commit for e in experiments_of(project, tree))])
    git = git_at(tree)
    outputs = {(out.path, out.hash): out for rev in revs for out in pointers.outputs_at(git, rev)}
    return list(outputs.values())


def with_remote(tree: Worktree, outputs: Sequence[Output]) -> list[Output]:
    """The outputs that have a remote to go to."""
    roots = {out.root: remote_name(tree.path / out.root) for out in outputs}
    return [out for out in outputs if pushable(out) and (out.remote or roots[out.root])]


def on_folders(tree: Worktree, outputs: Sequence[Output]) -> bool:
    """Whether the remotes of these outputs are local folders, which answer at once."""
    wanted = {(out.root, out.remote) for out in with_remote(tree, outputs)}
    return all(
        local_remote_dir(tree.path / root, pointer=name) is not None for root, name in wanted
    )


def unpushed(project: Project, tree: Worktree, outputs: Sequence[Output]) -> list[MissingObject]:
    """Objects that their remote lacks, by full listing; XexpError if it cannot be reached."""
    wanted = with_remote(tree, outputs)
    return (
        missing_on_remote(tree.path, wanted, None, [project.main_top], project.proofs)
        if wanted
        else []
    )


# -- results -----------------------------------------------------------------------------------


def unmerged_rows(project: Project, tree: Worktree) -> int:
    """Rows in the results databases that the main worktree's lack.

    Rows of one run are counted; if a table has no run column, whole rows are compared.
    """
    if tree.main or not (project.main_top / ".git").exists():  # a bare repository has no database
        return 0
    rows = 0
    for path in databases(tree.path, project.config):
        theirs = project.main_top / path.relative_to(tree.path)
        if theirs.is_file() or not _is_pointed_to(project, tree, path):
            rows += _missing_rows(path, theirs)
    return rows


def _is_pointed_to(project: Project, tree: Worktree, path: Path) -> bool:
    """Whether the main worktree's pointer names these bytes: it may not be checked out there."""
    name = path.relative_to(tree.path).as_posix()
    main = Git(project.main_top, foreign=True)
    out = next((o for o in pointers.outputs_in(project.main_top, main) if o.path == name), None)
    if out is None or rows_wait(path):
        return False
    return file_hashes(tree.path, [(path, out.legacy)], project.stat_cache)[path] == out.oid


def _missing_rows(mine: Path, theirs: Path) -> int:
    if theirs.is_file() and not rows_wait(mine) and filecmp.cmp(mine, theirs, shallow=False):
        return 0
    known = {t.name: t for t in event_tables(theirs)} if theirs.is_file() else {}
    missing = 0
    for table in event_tables(mine):
        there = _counted(theirs, table, known[table.name]) if table.name in known else Counter()
        missing += (_counted(mine, table, table) - there).total()
    return missing


def _counted(path: Path, mine: RunTable, here: RunTable) -> Counter[tuple[object, ...]]:
    """Rows by run, or by their whole content as far as ``here`` has ``mine``'s columns."""
    run = mine.run_column
    if run is not None and run not in here.columns:
        return Counter()
    if run is not None:
        sql = f"SELECT {quote(run)}, count(*) FROM {quote(here.name)} GROUP BY 1"
        return reading(path, lambda db: Counter({(row[0],): row[1] for row in db.rows(sql)}))
    columns = [quote(name) if name in here.columns else "NULL" for name in mine.columns]
    sql = f"SELECT {', '.join(columns)} FROM {quote(here.name)}"
    return reading(path, lambda db: Counter(tuple(row) for row in db.rows(sql)))


# -- disk --------------------------------------------------------------------------------------


def disk_used(tree: Worktree) -> int:
    """Bytes on disk beyond what is shared with the cache: links to it cost nothing.

    Blocks that a reflink shares cannot be told apart by stat; unchanged outputs of a worktree made
    with reflinks are therefore counted as shared.
    """
    shared: set[str] = set()
    if tree.note and tree.note.link == "reflink":
        outputs = pointers.outputs_in(tree.path, git_at(tree))
        shared = {str(tree.path / out.path) for out in outputs}
    total, stack = 0, [str(tree.path)]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.path in shared:
                    continue
                info = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    if not os.path.lexists(f"{entry.path}/.git"):
                        stack.append(entry.path)
                elif info.st_nlink == 1:
                    total += info.st_blocks * 512
    return total
