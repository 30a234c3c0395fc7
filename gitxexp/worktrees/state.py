"""What is in a worktree that is nowhere else: the facts behind ``list`` and the safety checklist."""

from __future__ import annotations

import filecmp
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gitxexp import dvcio, pointers
from gitxexp.collect import databases
from gitxexp.dvcio import Change, Kind, MissingObject, Progress
from gitxexp.gitio import Git
from gitxexp.history import Experiment
from gitxexp.pointers import Output
from gitxexp.project import Project
from gitxexp.results import event_tables
from gitxexp.results.engines import reading
from gitxexp.results.tables import Table, quoted
from gitxexp.worktrees.known import Tree


def git_at(tree: Tree) -> Git:
    """git in the worktree."""
    return Git(tree.path, foreign=True)


def changed_files(tree: Tree) -> list[str]:
    """Tracked files that differ from HEAD and untracked ones (folders end with a slash)."""
    fields = iter(git_at(tree).fields("status", "--porcelain=v1", "-z", "-unormal", "--no-renames"))
    return [field[3:] for field in fields]


def changed_data(project: Project, tree: Tree, progress: Progress | None = None) -> list[Change]:
    """DVC outputs that are there and differ from their pointer, or have none with a hash yet."""
    outputs = pointers.outputs_in(tree.path, git_at(tree))
    changes = dvcio.status(tree.path, outputs, project.stat_cache, progress)
    return [change for change in changes if change.kind is not Kind.MISSING]


def own_commits(tree: Tree) -> list[str]:
    """Commits of HEAD that no tag, no other branch and no remote branch holds, newest first."""
    others = (f"--exclude={tree.branch}",) if tree.branch else ()
    return git_at(tree).lines(
        "rev-list", "HEAD", "--not", *others, "--branches", "--tags", "--remotes"
    )


def since_start(tree: Tree) -> set[str]:
    """Commits of HEAD since the worktree was made; without a note those that are only there."""
    if tree.note is None:
        return set(own_commits(tree))
    git = git_at(tree)
    if git.resolve(tree.note.commit) is None:
        return set(git.lines("rev-list", "HEAD"))
    return set(git.lines("rev-list", "HEAD", f"^{tree.note.commit}"))


def experiments_of(project: Project, tree: Tree) -> list[Experiment]:
    """The experiments tagged in the worktree: at HEAD and on its own commits, newest first."""
    commits = since_start(tree) | {tree.commit}
    return [e for e in project.experiments() if e.commit in commits]


def last_experiment(project: Project, tree: Tree) -> Experiment | None:
    """The newest experiment in the history of HEAD."""
    merged = git_at(tree).lines(
        "for-each-ref", "--merged=HEAD", "--format=%(refname:short)", "refs/tags"
    )
    names = set(merged)
    return next((e for e in project.experiments() if e.name in names), None)


def outputs_of(project: Project, tree: Tree) -> list[Output]:
    """Every output of HEAD and of the experiments tagged here, each content once."""
    revs = dict.fromkeys(["HEAD", *(e.commit for e in experiments_of(project, tree))])
    git = git_at(tree)
    found = {(out.path, out.hash): out for rev in revs for out in pointers.outputs_at(git, rev)}
    return list(found.values())


def with_remote(tree: Tree, outputs: Sequence[Output]) -> list[Output]:
    """The outputs that have a remote to go to."""
    roots = {out.root: dvcio.remote_name(tree.path / out.root) for out in outputs}
    return [out for out in outputs if dvcio.pushable(out) and (out.remote or roots[out.root])]


def unpushed(project: Project, tree: Tree, outputs: Sequence[Output]) -> list[MissingObject]:
    """Objects that their remote lacks, by full listing; XexpError if it cannot be reached."""
    wanted = with_remote(tree, outputs)
    return dvcio.missing_on_remote(tree.path, wanted, None, [project.main_top]) if wanted else []


# -- results -----------------------------------------------------------------------------------


def unmerged_rows(project: Project, tree: Tree) -> int:
    """Rows of the results databases that the main worktree's do not have.

    Rows of one run are counted; where a table has no run column, whole rows are compared.
    """
    if tree.main or not (project.main_top / ".git").exists():  # a bare one has no database
        return 0
    rows = 0
    for path in databases(tree.path, project.config):
        rows += _missing_rows(path, project.main_top / path.relative_to(tree.path))
    return rows


def _missing_rows(mine: Path, theirs: Path) -> int:
    if theirs.is_file() and not _pending(mine) and filecmp.cmp(mine, theirs, shallow=False):
        return 0
    known = {t.name: t for t in event_tables(theirs)} if theirs.is_file() else {}
    missing = 0
    for table in event_tables(mine):
        there = _counted(theirs, table, known[table.name]) if table.name in known else Counter()
        missing += (_counted(mine, table, table) - there).total()
    return missing


def _pending(path: Path) -> bool:
    """Whether rows wait in a ``-wal`` beside the database."""
    wal = path.with_name(path.name + "-wal")
    return wal.exists() and wal.stat().st_size > 0


def _counted(path: Path, mine: Table, here: Table) -> Counter[tuple[object, ...]]:
    """Rows by run, or by their whole content as far as ``here`` has ``mine``'s columns."""
    run = mine.run_column
    if run is not None and run not in here.columns:
        return Counter()
    if run is not None:
        sql = f"SELECT {quoted(run)}, count(*) FROM {quoted(here.name)} GROUP BY 1"
        return reading(path, lambda db: Counter({(row[0],): row[1] for row in db.rows(sql)}))
    columns = [quoted(name) if name in here.columns else "NULL" for name in mine.columns]
    sql = f"SELECT {', '.join(columns)} FROM {quoted(here.name)}"
    return reading(path, lambda db: Counter(tuple(row) for row in db.rows(sql)))


# -- disk --------------------------------------------------------------------------------------


def disk_used(tree: Tree) -> int:
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
