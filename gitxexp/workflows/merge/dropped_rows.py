"""Detect rows dropped by merges made without the driver (for CI: ``check --merge BASE``)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.storage.git import GitError
from gitxexp.tables import engine, row_diff
from gitxexp.tables.plan import MergeOptions, MergeReport, OnConflict
from gitxexp.tables.row_changes import RowChange, TableDiff, exact
from gitxexp.workflows.experiments import resolve
from gitxexp.workflows.merge import inputs
from gitxexp.workflows.merge.inputs import CommitContents, MergeSource


@dataclass(frozen=True)
class DroppedRows:
    """Rows of one table that a merge commit lacks, or has with an old value."""

    commit: str
    subject: str
    path: str
    table: str
    rows: tuple[RowChange, ...]


@dataclass(frozen=True)
class MergeCheck:
    """The number of merge commits checked, what they dropped, and what could not be compared."""

    merges: int
    dropped: tuple[DroppedRows, ...]
    problems: tuple[str, ...] = ()


def merges(project: Project, base: str) -> MergeCheck:
    """Check every merge commit that is in HEAD but not in ``base``.

    Each is compared with the three-way merge of its parents, row by row; rows in conflict may have
    any value, and rows that HEAD has again are not counted. Raises XexpError if ``base`` is
    unknown.
    """
    start = resolve.resolve(project, base).commit
    git = project.at_top
    lines = git.lines("rev-list", "--merges", "--parents", "--reverse", f"{start}..HEAD")
    dropped: list[DroppedRows] = []
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="xexp-check-") as folder:
        check = _MergeCheck(
            project, CommitContents(project, Path(folder), project.progress), Path(folder)
        )
        for number, line in enumerate(lines):
            if project.progress is not None:
                project.progress(number, len(lines), "merges")
            commit, first, *others = line.split(" ")
            for other in others:
                try:
                    dropped += check.merge(commit, first, other)
                except XexpError as error:
                    problems.append(f"{commit[:10]}: {error.message}")
    return MergeCheck(len(lines), tuple(dropped), tuple(problems))


class _MergeCheck:
    def __init__(self, project: Project, contents: CommitContents, folder: Path) -> None:
        self.project, self.contents, self.folder = project, contents, folder

    def merge(self, commit: str, ours: str, theirs: str) -> Iterator[DroppedRows]:
        """Return what the merge of two parents dropped, table by table."""
        git = self.project.at_top
        try:
            base = git.text("merge-base", ours, theirs)
        except GitError:
            base = ""
        subject = git.text("log", "-1", "--format=%s", commit)
        listed = inputs.mergeable_files(self.project, MergeSource(commit, (), commit), every=True)
        for path in (item.path for item in listed if engine.mergeable(item.path)):
            for table, rows in self.path(path, base, ours, theirs, commit):
                yield DroppedRows(commit, subject, path, table, rows)

    def path(
        self, path: str, base: str, ours: str, theirs: str, commit: str
    ) -> Iterator[tuple[str, tuple[RowChange, ...]]]:
        names = (base, ours, theirs, commit)
        files = [self.contents.at(name, path) if name else None for name in names]
        was, one, other, merged = files
        if one is None or other is None or merged is None or _same(one, other):
            return
        if was is not None and (_same(was, other) and _same(one, merged)):
            return
        expected = self.folder / "expected"
        expected.unlink(missing_ok=True)
        head = self.contents.at("HEAD", path)
        since = {t.name: t.rows for t in row_diff.diff_files(merged, head)} if head else {}
        options = MergeOptions(on_conflict=OnConflict.OURS)
        disputed = _disputed(engine.merge3(was, one, other, self.folder / "trial"))
        engine.merge3(was, one, other, expected, options)
        for table in row_diff.diff_files(merged, expected):
            back = _Back(since.get(table.name, ()))
            rows = tuple(
                row
                for row in _lost(table)
                if (table.name, _mark(row.key)) not in disputed and not back.has(row)
            )
            if rows:
                yield table.name, rows


class _Back:
    """Return what HEAD has in addition to the merge commit: rows restored since."""

    def __init__(self, since: Iterable[RowChange]) -> None:
        self.by_key: dict[str, list[RowChange]] = {}
        for change in since:
            if change.new is not None:
                self.by_key.setdefault(_mark(change.key), []).append(change)

    def has(self, lost: RowChange) -> bool:
        """Whether the row, or its cells, are restored; a tag may have filled more cells since."""
        cells = {c: exact(v) for c, v in (lost.new or {}).items() if v is not None}
        return any(
            all(c in new and exact(new[c]) == value for c, value in cells.items())
            for change in self.by_key.get(_mark(lost.key), ())
            if (new := change.new) is not None
        )


def _lost(table: TableDiff) -> Iterator[RowChange]:
    """Return rows that the merge lacks, and rows where it kept a value that the other side had
    changed."""
    return (row for row in table.rows if row.kind in ("added", "changed"))


def _disputed(report: MergeReport) -> set[tuple[str, str]]:
    return {(c.table, _mark(c.key)) for c in report.conflicts}


def _mark(key: object) -> str:
    return repr(sorted(dict(key).items())) if isinstance(key, dict) else repr(key)


def _same(a: Path, b: Path) -> bool:
    import filecmp

    return a == b or filecmp.cmp(a, b, shallow=False)
