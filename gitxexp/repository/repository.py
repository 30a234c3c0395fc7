"""A project: one repository with its adapters, opened once and lazily, and its operations.

Every change runs inside :meth:`Project.operation`: one lock per repository, the undo information
recorded before each step, a rollback on any failure, one row in the log.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.common.files import watched
from gitxexp.common.notes import stays
from gitxexp.repository import config
from gitxexp.repository import tags as repository_tags
from gitxexp.repository.config import Config
from gitxexp.repository.tags import Experiment
from gitxexp.repository.version import AnyVersion
from gitxexp.storage import git as storage_git
from gitxexp.storage.git import PROJECTS, SETTINGS, Git, Places

if TYPE_CHECKING:
    from gitxexp.repository.annotations import Annotations
    from gitxexp.repository.files import FileChanged
    from gitxexp.repository.operation import Operation, OpLog, Step
    from gitxexp.repository.registry import Registry
    from gitxexp.storage.dvc.pointers import Output


#: ``notify(text)``: shows the user a message during the work (on standard error).
Notify = Callable[[str], None]


#: ``progress(done, total, unit)``: called often, cheap; ``total`` is 0 if unknown.
Progress = Callable[[int, int, str], None]


#: The command that adds our own folder to a sparse checkout.
CHECK_OUT = "git sparse-checkout add .xexp"


def _silent(_text: str) -> None:
    return


class Running(NamedTuple):
    """The running operation. ``keep`` is its folder for backups."""

    id: int
    log: OpLog
    keep: Path
    #: What ``undo`` has to know about the result; the command fills it in. ``unchanged``: nothing
    #: was done, so ``undo`` skips it.
    outcome: dict[str, Any]
    summary: list[str]  #: the last one is the log's line
    changing: dict[Path, tuple[int, FileChanged]]  #: the files of :meth:`save_file`
    top: Path | None = None  #: the work tree, if there is one

    def record(self, step: Step) -> int:
        """Record a step before it is taken; returns its number."""
        return self.log.record(self.id, step)

    def amend(self, seq: int, step: Step) -> None:
        """Complete a recorded step with its outcome."""
        self.log.amend(self.id, seq, step)

    def save_file(self, path: Path, *, renamed: bool = False) -> None:
        """Record that ``path`` is about to be replaced, and back it up.

        The caller then replaces it atomically (:func:`gitxexp.common.files.put`). ``renamed``: by
        nothing but such a rename, so that the file itself is the backup and no copy is made.
        """
        from gitxexp.repository.files import (  # late: no read needs it
            FileChanged,
            FileState,
            keep_copy,
            keep_link,
        )

        if self.top is not None and path.is_relative_to(self.top):
            from gitxexp.storage.dvc.places import work_file  # late, as above

            work_file(self.top, path.relative_to(self.top).as_posix())
        found = FileState.of(path)
        keep = keep_link if renamed else keep_copy
        backup = None if found is None else keep(path, self.keep)
        step = FileChanged(str(path), backup, found)
        self.changing[path] = self.record(step), step

    def about_to_replace(self, path: Path, temporary: Path) -> None:
        """Record what a file of :meth:`save_file` becomes, before the rename."""
        from dataclasses import replace  # late, with inspect: no read needs it

        from gitxexp.repository.files import FileState

        for saved, (seq, step) in list(self.changing.items()):
            if saved.name == path.name and _same_folder(saved, path):  # the path may be below /proc
                step = replace(step, earlier=step.left, left=FileState.of(temporary), known=True)
                self.amend(seq, step)
                self.changing[saved] = seq, step

    def remove_file(self, path: Path) -> None:
        """Delete a file of :meth:`save_file`."""
        from dataclasses import replace

        seq, step = self.changing[path]
        self.amend(seq, replace(step, earlier=step.left, left=None, known=True))
        path.unlink()


def _same_folder(one: Path, other: Path) -> bool:
    with suppress(FileNotFoundError):
        return one.parent.samefile(other.parent)
    return False


class Project:
    """The repository around a folder. Nothing is read before it is needed."""

    def __init__(
        self, git: Git, places: Places, notify: Notify = _silent, folder: str | None = None
    ) -> None:
        self.git = git
        self.places = places
        self.notify = notify
        self._folder = folder
        self.every_project = False  #: the experiments of all projects, not of this one alone
        self.progress: Progress | None = (
            None  #: receives the progress of long work; set by a command
        )
        self.finished: list[
            int
        ] = []  #: operations of dead processes that :meth:`recover` completed
        self.state = places.common_dir / "xexp"
        self._has_told = self._has_warned = False

    @classmethod
    def open(cls, path: Path | str = ".", notify: Notify = _silent) -> Project:
        """The project around ``path``; raises XexpError if there is no repository."""
        git = Git(path)
        return cls(git, git.places(), notify)

    def for_thread(self) -> Project:
        """Return the same project for another thread: a git process serves one thread at a time."""
        other = Project(Git(self.git.cwd), self.places, self.notify, self._folder)
        other.every_project = self.every_project
        return other

    @property
    def top(self) -> Path:
        """The top of this work tree; raises XexpError in a bare repository."""
        if self.places.top is not None:
            return self.places.top
        import shlex  # only for an error

        if not self._is_bare:
            raise XexpError(
                "this operation must be run in a work tree", f"cd {shlex.quote(str(self.main_top))}"
            )
        raise XexpError(
            "this is a bare repository: it has no files to work with",
            "use a clone of it, or a worktree: git worktree add PATH",
        )

    @cached_property
    def _is_bare(self) -> bool:
        return self.git.text("rev-parse", "--is-bare-repository") == "true"

    @cached_property
    def main_top(self) -> Path:
        """The top of the main work tree (where the DVC cache lives by default)."""
        return Path(self.worktrees()[0]["worktree"])

    def worktrees(self) -> list[dict[str, str]]:
        """The worktrees of the repository; see :func:`gitxexp.storage.git.list_worktrees`."""
        return storage_git.list_worktrees(self.git)

    def tops(self) -> list[Path]:
        """The tops of the repository's work trees, the main one first."""
        return [Path(tree["worktree"]) for tree in self.worktrees() if "bare" not in tree]

    def inside(self, path: Path) -> str | None:
        """Return ``path`` relative to the top of this work tree; None if outside."""
        if ".." in path.parts:
            path = path.resolve() if path.name == ".." else path.parent.resolve() / path.name
        return path.relative_to(self.top).as_posix() if path.is_relative_to(self.top) else None

    def shown(self, path: Path) -> str:
        """Return ``path`` from the top of this work tree; as it is if outside."""
        return self.inside(path) or str(path)

    def typed(self, *paths: str) -> str:
        """Paths from the top as words of a command, for the folder where the user types it."""
        import shlex  # only for advice

        here = Path.cwd()
        if here != self.top and here.is_relative_to(self.top):
            paths = tuple(os.path.relpath(self.top / path, here) for path in paths)
        return shlex.join(paths)

    @cached_property
    def store(self) -> Path:
        """The folder whose DVC settings name the caches and remotes: the top of the work tree, or in a
        bare repository a folder of its own that has those of HEAD. Raises XexpError inside ``.git``."""
        if self.places.top is not None or not self._is_bare:
            return self.top
        from gitxexp.storage.dvc.bare import settings_folder

        return settings_folder(self.git, self.state / "bare")

    @property
    def commits(self) -> Git:
        """git for what commits have: paths mean what ``ls-tree`` says, and no work tree is needed."""
        return self.at_top if self.places.top is not None else self.git

    @cached_property
    def at_top(self) -> Git:
        """git at the top of this work tree, so that paths mean what ``ls-tree`` says."""
        return Git(self.top)

    @cached_property
    def config(self) -> Config:
        """The tracked configuration overridden by git's own."""
        loaded = config.load(self.places.top, self.settings, self.folder)
        top = self.places.top
        unused = config.unused(top, self.places.prefix) if top else None
        for sentence in (*loaded.refused, *((unused,) if unused else ())):
            self.notify(f"warning: {sentence}")
        return loaded

    @cached_property
    def settings(self) -> dict[str, list[str]]:
        """``git config xexp.*``."""
        every = self.git.config(SETTINGS)
        return {key: values for key, values in every.items() if key.startswith("xexp.")}

    def forget_config(self) -> None:
        """Reread the configuration on next use."""
        for name in ("config", "settings", "folder", "prefix"):
            self.__dict__.pop(name, None)

    @cached_property
    def folder(self) -> str:
        """The folder, from the top, of the project that contains the current folder; see
        :mod:`gitxexp.repository.config`."""
        if self._folder is not None or self.places.top is None:
            return self._folder or ""
        return config.folder_of(self.places.top, self.places.prefix)

    def set_up_in(self, folder: str) -> None:
        """Make the current folder, given by its path from the top, a project."""
        self.forget_config()
        self._folder = folder

    @cached_property
    def prefix(self) -> str:
        """The prefix of the project's versions. Settings are read only if there may be one."""
        top = self.places.top
        named = "xexp.tag.prefix" in self.settings or (top and config.has_prefix(top, self.folder))
        return self.config.tag_prefix if named else ""

    def own(self, version: AnyVersion) -> AnyVersion:
        """Add the project's prefix to a version given without one."""
        return version if version.prefix else version._replace(prefix=self.prefix)

    def git_remote(self, branch: str | None, wanted: str | None = None) -> str:
        """The git remote to push to: see :func:`gitxexp.storage.git.choose_remote`."""
        return storage_git.choose_remote(self.git, branch, wanted, self.config.tag_remote)

    def git_remote_if_any(self, branch: str | None, wanted: str | None = None) -> str | None:
        """As :meth:`git_remote`; None if there is no remote and none is named."""
        return self.git_remote(branch, wanted) if wanted or self.git.lines("remote") else None

    def outputs(self) -> list[Output]:
        """The project's DVC outputs in the work tree, by path, and those of the next commit that a
        sparse checkout leaves out. Raises XexpError naming a broken pointer."""
        from gitxexp.storage.dvc import pointers  # late: a listing does not need it

        every = pointers.outputs_in(self.top, self.git, left_out=True)
        return [out for out in every if self.config.has(out.path)]

    @cached_property
    def log(self) -> OpLog:
        """The log of operations."""
        from gitxexp.repository.operation import OpLog

        return OpLog(self.state / "oplog.db")

    @cached_property
    def registry(self) -> Registry:
        """The registry of this work tree."""
        from gitxexp.repository.registry import Registry

        return Registry(self.top / config.REGISTRY, self.top)

    @cached_property
    def proofs(self) -> Path:
        """The record of what remotes were verified to have."""
        return self.state / "proved.db"

    @cached_property
    def stat_cache(self) -> Path:
        """The cache of file hashes by stat."""
        return self.state / "stat.db"

    def experiments(self) -> list[Experiment]:
        """Every experiment of the repository, newest first, with current descriptions and labels."""
        return self.experiments_later()()

    def experiments_later(self) -> Callable[[], list[Experiment]]:
        """Start :meth:`experiments` now; calling the result waits for it."""
        later = self.tags_later()
        return lambda: later().experiments

    def tags(self) -> repository_tags.Tags:
        """The experiments, and the versions that are taken."""
        return self.tags_later()()

    def tags_later(self) -> Callable[[], repository_tags.Tags]:
        """Start :meth:`tags` now; calling the result waits for it."""
        later = self._tags_later()
        return lambda: self._annotated(later())

    def tags_as_made(self) -> repository_tags.Tags:
        """Like :meth:`tags`, with each tag as originally written."""
        return self._tags_later()()

    def tags_of_all(self) -> repository_tags.Tags:
        """Like :meth:`tags_as_made`, those of every project: the registry is the repository's."""
        return self._told(self._listed(None)())

    def _tags_later(self) -> Callable[[], repository_tags.Tags]:
        later = self._listed(None if self.every_project else self.prefix)
        return lambda: self._told(later())

    def _listed(self, prefix: str | None) -> Callable[[], repository_tags.Tags]:
        name = "tags.cache" if prefix == "" else f"tags.{(prefix or '').replace('/', '%')}.cache"
        return repository_tags.tags_later(self.git, self.state / name, prefix)

    def with_prefix(self, prefix: str) -> repository_tags.Tags:
        """The experiments of the project that has this prefix."""
        return self.tags() if prefix == self.prefix else self._annotated(self._listed(prefix)())

    def _annotated(self, tags: repository_tags.Tags) -> repository_tags.Tags:
        found = self.annotations
        if not found:
            return tags
        return tags.laid_over(lambda e: e._replace(payload=found.over(e.name, e.payload)))

    @property
    def annotations(self) -> Annotations:
        """Labels and descriptions given after tagging, from this work tree's registry.

        If the registry cannot be read, warn that such labels are not shown.
        """
        from gitxexp.repository import annotations

        if self.places.top is None:
            return annotations.Annotations()
        cache = self.places.git_dir / "xexp-changes"
        try:
            return annotations.load(self.top / config.REGISTRY, cache)
        except XexpError as error:
            if not self._has_warned:
                self.notify(f"warning: labels given later are not shown: {error.message}")
            self._has_warned = True
            return annotations.Annotations()

    def _told(self, tags: repository_tags.Tags) -> repository_tags.Tags:
        for name, why in tags.skipped.items() if not self._has_told else ():
            self.notify(f"note: tag {name} is not read: its message {why}")
        self._has_told = True
        return tags

    def require_set_up(self, *, registry: bool = True) -> None:
        """Raise XexpError if ``git xexp init`` was not run, or if the ``registry`` of the last
        commit is missing: a new one would be almost empty."""
        if not config.is_set_up(self.top / self.folder):
            self.require_checked_out()
            others = () if self.folder else config.folders(self.top)
            raise XexpError(
                "git xexp is not set up in this repository"
                if not others
                else "there is no project at the top of this repository, only in folders",
                f"run it in one: cd {self.typed(others[0])}" if others else "run: git xexp init",
            )
        tracked = f"HEAD:{config.REGISTRY}"
        if registry and not self.registry.path.exists() and self.git.ok("cat-file", "-e", tracked):
            raise XexpError(
                f"the registry {self.registry.path} is missing, and the last commit has it",
                f"restore it: git checkout -- '{self.registry.path}', or: git xexp registry rebuild",
            )

    def require_checked_out(self) -> None:
        """Raise XexpError if a sparse checkout excludes the project's own folder."""
        if self.is_left_out():
            raise XexpError(
                f"{config.FILE} is outside of this sparse checkout",
                f"include it: {CHECK_OUT}",
            )

    def is_left_out(self) -> bool:
        """Whether the index has the settings but excludes them from the work tree (skip-worktree,
        git-sparse-checkout(1))."""
        if config.is_set_up(self.top / self.folder):
            return False
        file = (Path(self.folder) / config.FILE).as_posix()
        return f"S {file}" in self.at_top.fields(*PROJECTS)

    # -- operations ----------------------------------------------------------------------------

    @contextmanager
    def operation(self, verb: str, *, wait: bool = True) -> Iterator[Running]:
        """Run the block as one operation; on any failure every recorded step is undone."""
        from gitxexp.repository import undo as repository_undo

        with self.locked(wait=wait):
            self.recover()
            self._under_way.touch()
            number = self.log.begin(verb, self.places.top or self.places.git_dir)
            running = Running(
                number, self.log, self.state / "ops" / str(number), {}, [], {}, self.places.top
            )
            try:
                with watched(running.about_to_replace):
                    yield running
            except BaseException:
                with repository_undo.uninterrupted():
                    repository_undo.roll_back(self, number)
                    self.log.finish(number, "failed")
                    self._under_way.unlink(missing_ok=True)
                raise
            summary = running.summary[-1] if running.summary else ""
            status = "unchanged" if running.outcome.get("unchanged") else "done"
            self.log.finish(number, status, summary, running.outcome)
            self._under_way.unlink(missing_ok=True)
            if status == "done":
                stays(f"'{verb}'{summary and f' ({summary})'} is done; undo it: git xexp undo")
            repository_undo.forget_old(self.state)

    @contextmanager
    def locked(self, *, wait: bool = True) -> Iterator[None]:
        """Hold the repository's lock; the kernel releases it when the process ends.

        Raises XexpError if it is held and ``wait`` is false, or if the work tree has no ``.git``: what
        follows could not be taken back.
        """
        top = self.places.top
        if top is not None and not os.path.lexists(top / ".git"):
            import shlex  # only for an error

            file, text = (
                shlex.quote(str(top / ".git")),
                shlex.quote(f"gitdir: {self.places.git_dir}"),
            )
            raise XexpError(
                f"{top} has no .git: only GIT_DIR or core.worktree ties it to its repository, and DVC"
                " and other worktrees do not know those",
                f"tie it: echo {text} > {file}",
            )
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise XexpError(
                f"cannot write to {self.state}: {error.strerror}",
                "check the folder's permissions and the free space",
            ) from error
        try:
            self._take(descriptor, wait=wait)
            with storage_git.asked_anew():
                yield
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, *, wait: bool) -> None:
        told = not wait
        deadline = time.monotonic() + 0.3
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if not wait:
                    raise XexpError(
                        "another git xexp operation is running in this repository",
                        "wait for it, or leave out --no-wait",
                    ) from None
            if not told and time.monotonic() > deadline:
                self.notify("waiting for another git xexp operation to finish...")
                told = True
            time.sleep(0.02)

    @property
    def _under_way(self) -> Path:
        """A file that exists while an operation runs, so that most commands need not read the log."""
        return self.state / "running"

    def half_done(self) -> list[Operation]:
        """Operations of processes that died; changes nothing."""
        if not self._under_way.exists():
            return []
        with suppress(OSError), (self.state / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # BlockingIOError: it is running
            statuses = ("undoing", "redoing", "running")
            return [one for status in statuses for one in self.log.operations(status)]
        return []

    def recover_first(self, *, wait: bool = True) -> None:
        """Run :meth:`recover` before planning, so that no plan is based on a partial operation."""
        if self._under_way.exists():
            with self.locked(wait=wait):
                self.recover()

    def recover(self) -> None:
        """Undo what a dead process left half done. The lock must be held."""
        from gitxexp.repository import undo as repository_undo
        from gitxexp.storage.dvc.session import remove_torn_lock

        self.finished += repository_undo.recover(self)
        if self.places.top and remove_torn_lock(self.places.top / ".dvc" / "tmp"):
            self.notify("removed an incomplete .dvc/tmp/rwlock that a killed DVC process left")
        self._under_way.unlink(missing_ok=True)
