"""The worktrees for a sweep's runs: one per job, created in one process, reset between runs.

They are in the git common dir, are at the commit that the sweep runs, and share the DVC cache. Data
is linked or copied as ``worktree new`` does; what training writes is a real file. Results databases
have the user's tables without rows of runs, so that all rows belong to the run. The user's work
tree is not touched, and no branch, note or operation is created.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.repository.config import DeclaredHere, ProjectFolder
from gitxexp.repository.repository import Notify, Project
from gitxexp.storage import submodules
from gitxexp.storage.dvc import place
from gitxexp.storage.git import Git, GitError
from gitxexp.storage.objects import Progress
from gitxexp.workflows.experiments import stores
from gitxexp.workflows.sweeps.blank import write_blank
from gitxexp.workflows.worktrees.create import gather, kinds_of
from gitxexp.workflows.worktrees.git_entry import admin_of

#: The state of a file: mode, size, modification time (ns) and inode.
Stat = tuple[int, int, int, int]

#: Folders of DVC's own that it may write to in any run.
_LEFT_ALONE = (".dvc/tmp", ".dvc/cache")


@dataclass(frozen=True)
class UntrackedSource:
    """The source of an untracked file: a cache, or one of our folders.

    ``own``: a separate copy; ``shared``: data that is copied once for all worktrees, and read-only.
    """

    source: str
    own: bool
    executable: bool = False
    shared: bool = False


@dataclass(frozen=True)
class Differences:
    """What a run did to its worktree, by path from its top: files added, changed and removed."""

    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass
class Tree:
    """One worktree at ``top``; ``admin`` is git's entry for it."""

    number: int
    top: Path
    admin: Path
    commit: str
    kinds: tuple[str, ...] = ()
    placed: dict[str, UntrackedSource] = field(default_factory=dict)
    files: dict[str, Stat] = field(default_factory=dict)
    index: Stat | None = None
    sealed: Stat | None = None  #: stat of the state file next to it
    place: ProjectFolder | None = None  #: the project of its runs
    declared: DeclaredHere | None = None  #: its pipelines, as in the commit

    # -- its state ---------------------------------------------------------------------------------

    def seal(self) -> None:
        """Record the current state of the files, here and in a file next to the worktree for other
        processes."""
        self.files = _walk(self.top)
        self.index = stat_of(self.admin / "index")
        state = {
            "commit": self.commit,
            "admin": str(self.admin),
            "kinds": self.kinds,
            "placed": {
                p: [s.source, s.own, s.executable, s.shared] for p, s in self.placed.items()
            },
            "files": self.files,
            "index": self.index,
        }
        path = self.top.with_suffix(".json")
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(json.dumps(state).encode("utf-8", "surrogateescape"))
        temporary.replace(path)
        self.sealed = stat_of(path)

    @classmethod
    def load(cls, top: Path) -> Tree:
        """The sealed worktree at ``top``; raises XexpError if there is none."""
        path = top.with_suffix(".json")
        sealed = stat_of(path)
        try:
            text = path.read_bytes().decode("utf-8", "surrogateescape")
            state: dict[str, Any] = json.loads(text)
        except (OSError, ValueError) as error:
            raise XexpError(
                f"the worktree {top} of the sweep is gone: {error}",
                "run the same command again: it continues the sweep",
            ) from error
        return cls(
            int(top.name),
            top,
            Path(state["admin"]),
            state["commit"],
            tuple(state["kinds"]),
            {path: UntrackedSource(*value) for path, value in state["placed"].items()},
            {path: _as_stat(value) for path, value in state["files"].items()},
            _as_stat(state["index"]) if state["index"] else None,
            sealed,
        )

    def differences(self) -> Differences:
        """What is different since it was sealed."""
        now = _walk(self.top)
        before = self.files
        return Differences(
            tuple(sorted(path for path, info in now.items() if before.get(path) != info)),
            tuple(sorted(before.keys() - now.keys())),
        )

    # -- its files ---------------------------------------------------------------------------------

    def reset(self) -> None:
        """Restore every file to its sealed state; remove additional files.

        A worktree that a run deleted, or whose HEAD it moved, is created again.
        """
        is_whole = self._is_whole()
        if is_whole and self._head() == self.commit and self.index == stat_of(self.admin / "index"):
            found = self.differences()
            if not found.written and not found.removed:
                return
        else:
            found = None
        if not is_whole:
            self._make_anew()
        self._clear(found)
        git = Git(self.top, foreign=True)
        (self.admin / "index.lock").unlink(missing_ok=True)
        if found is None or any(p in self.files and p not in self.placed for p in _all(found)):
            if self._head() != self.commit:
                git.raw("checkout", "-q", "-f", "--no-recurse-submodules", "--detach", self.commit)
            git.raw("reset", "-q", "--hard", "--no-recurse-submodules", self.commit)
        self._place(self.placed)
        self.seal()

    def make(
        self,
        gathered: Mapping[str, UntrackedSource],
        kinds: Sequence[str],
        like: Path | None = None,
    ) -> None:
        """Place untracked files, and seal the worktree; ``like`` is a worktree that has the shared
        data."""
        self.placed, self.kinds = dict(gathered), tuple(kinds)
        self._place(self.placed, like)
        self.seal()

    def remove(self) -> None:
        """Remove it completely."""
        shutil.rmtree(self.top, onerror=make_writable)
        shutil.rmtree(self.admin, ignore_errors=True)
        self.top.with_suffix(".json").unlink(missing_ok=True)

    def _is_whole(self) -> bool:
        try:
            return (self.top / ".git").read_text("utf-8").strip() == f"gitdir: {self.admin}"
        except (OSError, UnicodeDecodeError):
            return False

    def _head(self) -> str:
        try:
            return (self.admin / "HEAD").read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def _make_anew(self) -> None:
        local = self.top.with_suffix(".local")
        shutil.rmtree(self.top, onerror=make_writable)
        self.top.mkdir(parents=True, exist_ok=True)
        (self.top / ".git").write_text(f"gitdir: {self.admin}\n", "utf-8")
        if not (self.admin / "HEAD").exists():
            raise XexpError(
                f"git has no entry for {self.top} any more", "run the same command to continue"
            )
        (self.admin / "index").unlink(missing_ok=True)
        git = Git(self.top, foreign=True)
        git.raw("update-ref", "--no-deref", "HEAD", self.commit)
        git.raw("reset", "-q", "--hard", "--no-recurse-submodules", self.commit)
        if local.exists():
            shutil.copyfile(local, self.top / ".dvc" / "config.local")

    def _clear(self, found: Differences | None) -> None:
        """Remove what differs. Placed files are restored afterwards."""
        found = found or self.differences()
        for path in found.written:
            if path not in self.files or path in self.placed:
                with suppress(FileNotFoundError):
                    (self.top / path).unlink()
        known = {parent for path in self.files for parent in _parents(path)}
        for folder, folders, _ in os.walk(self.top, topdown=False):
            for name in folders:
                path = os.path.relpath(f"{folder}/{name}", self.top)
                if path not in known and not path.startswith(_LEFT_ALONE) and path != ".dvc":
                    with suppress(OSError):
                        os.rmdir(f"{folder}/{name}")  # noqa: PTH106 - there may be many

    def _place(self, placed: Mapping[str, UntrackedSource], like: Path | None = None) -> None:
        linker = _linker(self.kinds or ("copy",))
        made: set[str] = set()
        for path, what in placed.items():
            target = f"{self.top}/{path}"
            folder = target.rpartition("/")[0]
            if folder not in made:
                made.add(folder)
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - text, as there may be many
            if os.path.lexists(target):
                if path in self.files:
                    continue
                os.unlink(target)  # noqa: PTH108 - git's own copy of a results database
            if like is not None and what.shared and _linked(f"{like}/{path}", target):
                continue
            file = place.CachedFile(path, "", what.source, _NO_OUTPUT, 1, True, what.own)
            linker.place(file, target)
            if what.executable:
                Path(target).chmod(Path(target).stat().st_mode | 0o111)
            if what.shared:
                os.chmod(target, 0o555 if what.executable else 0o444)  # noqa: PTH101


def _linked(source: str, target: str) -> bool:
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


_NO_OUTPUT: Any = None  #: files placed here no longer belong to an output


@cache
def _linker(kinds: tuple[str, ...]) -> place.Linker:
    """Shared by all threads: it reads the umask, which can only be read by setting it."""
    return place.Linker(kinds)


def make(
    project: Project,
    folder: Path,
    commit: str,
    count: int,
    progress: Progress | None = None,
    *,
    needs: Callable[[str], bool] = lambda _: True,
    databases: Mapping[str, Path] | None = None,
) -> list[Tree]:
    """``count`` worktrees below ``folder`` at ``commit``; raises XexpError, leaving none behind.

    ``needs(path)`` says whether a file that is in no cache or remote is an error. ``databases`` are
    the results databases to begin with (see :func:`blanks`), by path; None: the user's without
    runs.
    """
    remove(project, folder)
    folder.mkdir(parents=True)
    trees: list[Tree] = []
    try:
        for number in range(1, count + 1):
            trees.append(_checked_out(project, folder / str(number), commit))
        first = trees[0].top
        kinds = kinds_of(project, None)
        gathered = gather(project, first, progress)
        missing = [path for path in gathered.missing if needs(path)]
        if missing:
            names = ", ".join(missing[:3])
            raise XexpError(f"data is missing: {names}", "fetch it first: dvc fetch")
        copied = place.with_small_copied(gathered.files) if len(kinds) > 1 else gathered.files
        placed = {
            f.path: UntrackedSource(
                f.source, f.own, bool(f.output.executable), f.own and not before.own
            )
            for f, before in zip(copied, gathered.files, strict=True)
        }
        if databases is None:
            databases = _write_blanks(project, folder)
        placed |= {path: UntrackedSource(str(file), own=True) for path, file in databases.items()}
        placed |= _submodules(project, commit, folder / "submodules")
        for tree in trees:
            _share(first, tree.top)
            tree.make(placed, kinds, None if tree.top == first else first)
    except BaseException:
        remove(project, folder)
        raise
    return trees


def _submodules(project: Project, commit: str, store: Path) -> dict[str, UntrackedSource]:
    """The files of the submodules of ``commit``, laid into ``store``, by path from the top.

    ``git worktree`` leaves submodules empty, and ``git submodule update`` asks their remotes, which
    need not have the commit. Taken from the work trees that have them filled; others stay empty.
    """
    tops = (project.top, project.main_top)
    if project.at_top.blob(commit, ".gitmodules") is None:
        return {}
    _lay_out(tops, commit, store, project.notify)
    files = (file for file in store.rglob("*") if file.is_file())
    return {
        file.relative_to(store).as_posix(): UntrackedSource(
            str(file), own=True, executable=os.access(file, os.X_OK)
        )
        for file in files
    }


def _lay_out(tops: Iterable[Path], commit: str, store: Path, notify: Notify) -> None:
    """Write the files of each submodule of ``commit``, and of theirs, below ``store``."""
    tops = tuple(tops)
    for link in submodules.links(Git(tops[0], foreign=True), commit):
        git = submodules.repository_of(tops, link)
        if git is None:
            here = tops[0] / link.path
            if (here / ".git").exists() or not here.is_dir():  # else it is as empty here
                short = link.oid[:7]
                notify(
                    f"note: submodule {link.path} is empty: no work tree here has its commit {short}"
                )
            continue
        index = store.with_suffix(".index")
        env = {"GIT_INDEX_FILE": str(index)}
        git.call("read-tree", link.oid, env=env)
        git.call("checkout-index", "-q", "-a", f"--prefix={store / link.path}/", env=env)
        index.unlink(missing_ok=True)
        _lay_out((git.cwd,), link.oid, store / link.path, notify)


def remove(project: Project, folder: Path) -> None:
    """Remove all worktrees below ``folder``, including partial ones."""
    worktrees = project.places.common_dir / "worktrees"
    for pointer in sorted(worktrees.glob("*/gitdir")):
        with suppress(OSError):
            named = pointer.parent / os.fsdecode(pointer.read_bytes()).rstrip("\n")
            if Path(os.path.normpath(named)).parent.parent == folder:
                shutil.rmtree(pointer.parent, ignore_errors=True)
    shutil.rmtree(folder, onerror=make_writable)
    with suppress(OSError):
        worktrees.rmdir()  # as git does with the last one


def _checked_out(project: Project, top: Path, commit: str) -> Tree:
    git = Git(project.main_top, foreign=True)
    try:
        git.raw("worktree", "add", "-q", "--no-checkout", "--detach", "--", str(top), commit)
    except GitError as error:
        raise XexpError(f"git worktree add refused: {error.detail}") from error
    admin = admin_of(project.places.common_dir, top)
    if admin is None:
        raise XexpError(f"git did not register {top}", "git worktree list")
    (admin / "locked").write_text("of git xexp sweep, which removes it\n", "utf-8")
    Git(top, foreign=True).raw("reset", "-q", "--hard", "--no-recurse-submodules")
    return Tree(int(top.name), top, admin, commit)


def _share(first: Path, top: Path) -> None:
    """Copy the first worktree's configuration to each DVC project of another one."""
    for local in [*first.glob(".dvc/config.local"), *first.glob("**/.dvc/config.local")]:
        target = top / local.relative_to(first)
        if target != local and target.parent.is_dir():
            shutil.copy2(local, target)
        if local.parent.parent == first:
            shutil.copy2(local, top.with_suffix(".local"))


@contextmanager
def blanks(project: Project) -> Iterator[dict[str, Path]]:
    """The user's results databases without their runs, by path from the top, as a context manager."""
    with tempfile.TemporaryDirectory(prefix="git-xexp-") as folder:
        yield _write_blanks(project, Path(folder))


def _write_blanks(project: Project, folder: Path) -> dict[str, Path]:
    found = {}
    for number, path in enumerate(stores.databases(project.top, project.config)):
        name = project.inside(path)
        blank = folder / f"blank-{number}"
        if name is not None and write_blank(path, blank):
            found[name] = blank
    return found


def _all(found: Differences) -> Iterable[str]:
    return (*found.written, *found.removed)


def _walk(top: Path) -> dict[str, Stat]:
    """Yield every file below ``top`` except git's and those that DVC may write at any time."""
    files: dict[str, Stat] = {}
    base = len(str(top)) + 1
    folders = [str(top)]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            path = entry.path[base:]
            if path == ".git":
                continue
            if entry.is_dir(follow_symlinks=False):
                if path not in _LEFT_ALONE:
                    folders.append(entry.path)
                continue
            with suppress(OSError):
                info = entry.stat(follow_symlinks=False)
                files[path] = info.st_mode, info.st_size, info.st_mtime_ns, info.st_ino
    return files


def stat_of(path: Path) -> Stat | None:
    """The state of a file; None if it does not exist."""
    with suppress(OSError):
        info = path.stat()
        return info.st_mode, info.st_size, info.st_mtime_ns, info.st_ino
    return None


def _as_stat(values: Sequence[int]) -> Stat:
    mode, size, time, inode = values
    return mode, size, time, inode


def _parents(path: str) -> Iterable[str]:
    parts = path.split("/")[:-1]
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))


def make_writable(function: Any, path: str, _error: Any) -> None:
    """For ``shutil.rmtree``: a run may leave read-only folders."""
    with suppress(OSError):
        parent = Path(path).parent
        parent.chmod(parent.stat().st_mode | stat.S_IRWXU)
        function(path)
