"""Row differences of artifacts between two versions, revisions, work trees or files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError
from gitxexp.common.files import Folder
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc.places import readable
from gitxexp.tables import engine, row_diff
from gitxexp.tables.row_changes import TableDiff
from gitxexp.workflows.merge import inputs
from gitxexp.workflows.merge.inputs import CommitContents, MergeSource


@dataclass(frozen=True)
class DiffRequest:
    """Sides A and B (B None: this work tree), paths, and how rows are paired and listed."""

    a: str
    b: str | None = None
    paths: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    limit: int | None = None  #: rows listed per table; counts stay complete


@dataclass(frozen=True)
class FileDiff:
    """What differs in one file, by path from the top; ``problem`` says why it could not be
    compared."""

    path: str
    tables: tuple[TableDiff, ...] = ()
    problem: str = ""


def of_files(request: DiffRequest) -> list[FileDiff] | None:
    """The difference of two plain files; None if A and B are not both files."""
    a, b = Path(request.a), Path(request.b or "")
    if request.b is None or not (a.is_file() and b.is_file()):
        return None
    if not all(_has_rows(path) for path in (a, b)):
        return None
    tables = row_diff.diff_files(a, b, request.key, request.limit)
    return [FileDiff(str(b), tables)] if tables else []


def _has_rows(path: Path) -> bool:
    from gitxexp.common.files import kind_of

    if engine.mergeable(path.name):
        return True
    try:
        return bool(kind_of(path))
    except XexpError:
        return False


def differences(project: Project, request: DiffRequest) -> Iterator[FileDiff]:
    """Yield each artifact that differs, by path. Raises XexpError for an unknown side."""
    with _contents(project) as contents:
        a = _DiffSide(project, contents, request.a)
        b = _DiffSide(project, contents, request.b)
        known = sorted({*a.paths, *b.paths})
        chosen = inputs.choose_paths(project, request.paths, known)
        for number, path in enumerate(chosen):
            if project.progress is not None:
                project.progress(number, len(chosen), "files")
            if a.identity(path) is not None and a.identity(path) == b.identity(path):
                continue
            file_diff = _file(a, b, path, request)
            if file_diff.tables or file_diff.problem:
                yield file_diff


def _file(a: _DiffSide, b: _DiffSide, path: str, request: DiffRequest) -> FileDiff:
    try:
        before, after = a.file(path), b.file(path)
        tables = row_diff.diff_files(before, after, request.key, request.limit)
    except UsageError:
        raise
    except XexpError as error:
        return FileDiff(path, (), error.message)
    stored = {file.stem for file in (before, after) if file}
    if len(tables) == 1 and tables[0].name in stored:  # parquet: its table is named by the file,
        tables = (
            replace(tables[0], name=PurePosixPath(path).stem),
        )  # not by its hash in the cache
    return FileDiff(path, tables)


@contextmanager
def _contents(project: Project) -> Iterator[CommitContents]:
    try:
        project.state.mkdir(parents=True, exist_ok=True)
        folder = Folder(project.state)
    except (OSError, XexpError):  # a read-only repository
        folder = Folder()
    try:
        yield CommitContents(project, folder.path, project.progress)
    finally:
        folder.close()


class _DiffSide:
    """One side: its artifacts, and their content as files."""

    def __init__(self, project: Project, contents: CommitContents, name: str | None) -> None:
        self.contents = contents
        self.source = self.find(project, name)
        listed = inputs.mergeable_files(project, self.source, every=True)
        self.artifacts = {item.path: item for item in listed if engine.mergeable(item.path)}
        self.blobs: dict[str, str] = {}
        if self.source.worktree is None and self.source.commit is not None:
            entries = project.commits.ls_tree(self.source.commit, recursive=True)
            self.blobs = {e.path: e.oid for e in entries if e.path in self.artifacts}

    @staticmethod
    def find(project: Project, name: str | None) -> MergeSource:
        if name is not None:
            source = inputs.find_sources(project, name)
            if source.files:
                raise UsageError(f"{name} is a file, and the other side is not", "name two files")
            return source
        commit = project.git.resolve("HEAD")
        if commit is None:
            raise XexpError("there is no commit yet", "commit something first")
        return MergeSource("the work tree", (), commit, project.top)

    @property
    def paths(self) -> list[str]:
        return list(self.artifacts)

    def identity(self, path: str) -> str | None:
        """A fingerprint that is equal only for equal content; None if the content must be compared."""
        item = self.artifacts.get(path)
        if item is None or self.source.worktree is not None:
            return None
        return item.output.hash if item.output else self.blobs.get(path)

    def file(self, path: str) -> Path | None:
        """The content; None if this side has no such file."""
        if path not in self.artifacts:
            return None
        if self.source.worktree is not None:
            file = readable(self.source.worktree, path)
            return file if file is not None and file.is_file() else None
        assert self.source.commit is not None
        return self.contents.at(self.source.commit, path)
