"""Workers that cannot see our files: each clones the git remote, pulls the data that it needs, and
sends back the outputs of its runs.

A worker clones once for a sweep and makes a worktree for each of its threads there, as the
coordinator does here for workers that share its files. Outputs go into the run's folder as if the
run had left them there: up to :data:`BYTES` with the answer, the rest through the DVC remote.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import field, replace
from pathlib import Path
from queue import Empty, SimpleQueue

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.secrets import without_secrets
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc import places, pointers, remote
from gitxexp.storage.dvc.share import name_remotes
from gitxexp.storage.git import Git, GitError
from gitxexp.storage.objects import hash_file
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.sweeps import job as sweeps_job
from gitxexp.workflows.sweeps import pool
from gitxexp.workflows.sweeps.job import Job, JobOutcome, Kept

#: Bytes of files sent with the answer of a run. Dask holds an answer in memory.
BYTES = 64_000_000
#: Bytes of a log to send if it is too large.
_LOG_END = 1_000_000
#: Seconds that a clone's runs have to end before it is deleted.
_PATIENCE = 15.0


class Unprepared(Exception):
    """A worker cannot make a clone that is ready to run."""


@dataclass(frozen=True)
class CloneSource:
    """What a worker clones. ``folders``: remotes of DVC that are local folders, by DVC project and name,
    for workers that see them; ``blanks``: results databases without runs, by path."""

    sweep: str
    url: str
    revision: str
    branch: str
    default: Mapping[str, str]  #: DVC project → name of its default remote
    folders: Mapping[str, Mapping[str, str]]
    blanks: Mapping[str, bytes]


@dataclass(frozen=True)
class Sent:
    """A worker's answer for a run. ``stored``: md5 of the files that are on the DVC remote; the
    log's path is ""."""

    outcome: JobOutcome
    files: Mapping[str, bytes] = field(default_factory=dict)
    stored: Mapping[str, str] = field(default_factory=dict)


# -- here ------------------------------------------------------------------------------------------


def source_of(project: Project, sweep: str, revision: str) -> CloneSource:
    """What the workers of a sweep clone. Raises XexpError if no git remote has the commit."""
    git = project.at_top
    branch, _ = git.head()
    name = project.git_remote(branch)
    refs = git.lines("for-each-ref", "--contains", revision, "--format=%(refname)",
                     f"refs/remotes/{name}/")  # fmt: skip
    if not refs:
        raise XexpError(
            f"commit {revision[:12]} is not on {name}, from which workers clone",
            f"push it first: git push {name} {branch or 'HEAD'}",
        )
    url = without_secrets(git.text("remote", "get-url", "--", name))  # a worker has its own
    if "://" not in url and (project.top / url).exists():  # not HOST:PATH
        url = str((project.top / url).resolve())
    roots = {out.root for out in pointers.outputs_in(project.top)}
    folders: dict[str, dict[str, str]] = {}
    for root in roots:
        for remote_name in places.remote_urls(project.top / root):
            folder = places.local_remote_dir(project.top / root, remote_name)
            if folder is not None:
                folders.setdefault(root, {})[remote_name] = str(folder)
    default = {root: places.remote_name(project.top / root) or "" for root in roots}
    with pool.blanks(project) as blanks:
        databases = {path: file.read_bytes() for path, file in blanks.items()}
    tracking = refs[0].removeprefix(f"refs/remotes/{name}/")
    return CloneSource(sweep, url, revision, tracking, default, folders, databases)


def accept(project_top: Path, job: Job, sent: Sent) -> JobOutcome:
    """Store a worker's answer in the run's folder. Raises XexpError or OSError if that fails."""
    job.kept.mkdir(parents=True, exist_ok=True)
    for path, data in sent.files.items():
        _place_of(job, path).write_bytes(data)
    for path, md5 in sent.stored.items():
        remote.receive_file(project_top, md5, _place_of(job, path))
    sent.outcome.save(job.folder)
    return sent.outcome


def _place_of(job: Job, path: str) -> Path:
    return job.file(path) if path else job.folder / "log"


# -- on the worker ---------------------------------------------------------------------------------


class Clone:
    """Create a clone below ``home`` with ``count`` prepared worktrees. Raises Unprepared."""

    def __init__(self, source: CloneSource, home: Path, count: int) -> None:
        self.source = source
        self.home = home / f"{source.sweep}-{secrets.token_hex(3)}"
        self.count = count
        self.top = self.home / "clone"
        self.free: SimpleQueue[Path] = SimpleQueue()
        try:
            self._make()
        except BaseException as error:
            shutil.rmtree(self.home, ignore_errors=True)
            _remove_empty(home)
            if isinstance(error, XexpError):
                raise Unprepared(error.message) from error
            raise

    def _make(self) -> None:
        source = self.source
        self.home.mkdir(parents=True)
        try:
            git = Git(self.home, foreign=True)
            git.raw("clone", "-q", "--no-checkout", "--branch", source.branch, "--", source.url,
                    str(self.top))  # fmt: skip
            own = Git(self.top, foreign=True)
            own.raw("checkout", "-q", "--detach", source.revision)
        except GitError as error:
            raise XexpError(
                f"git clone refused: {error.detail}", f"workers must reach {source.url}"
            ) from error
        for root in {*source.folders, *source.default}:
            self._configure(root)
        project = Project.open(self.top)
        blanks = {}
        for number, (path, data) in enumerate(source.blanks.items()):
            blanks[path] = self.home / f"blank-{number}"
            blanks[path].write_bytes(data)
        config = project.config
        for tree in pool.make(
            project, self.home / "trees", source.revision, self.count,
            needs=lambda path: describe.role(path, config) is describe.OutputRole.DATA,
            databases=blanks,
        ):  # fmt: skip
            self.free.put(tree.top)

    def _configure(self, root: str) -> None:
        """Configure the DVC remotes that are folders on the coordinator and also exist here."""
        folder = self.top / root / ".dvc"
        folders = self.source.folders.get(root, {})
        here = {name: path for name, path in folders.items() if Path(path).is_dir()}
        if folder.is_dir() and not folder.is_symlink():
            name_remotes(folder.parent, self.source.default.get(root), here)

    def run(self, job: Job, stop: Callable[[], bool]) -> Sent:
        """Run a job in a free worktree; see :func:`.job.run`."""
        tree = self.free.get()
        folder = self.home / "runs" / job.context.run
        context = replace(job.context, log=folder / "log")
        own = replace(job, tree=tree, folder=folder, context=context)
        try:
            sweeps_job.end_processes(job.context.run)  # of an attempt whose worker was lost
            return self._sent(own, sweeps_job.run(own, stop, tied=True))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self.free.put(tree)

    def _sent(self, job: Job, outcome: JobOutcome) -> Sent:
        """The files of a run, the small ones with the answer first."""
        files: dict[str, bytes] = {}
        stored: dict[str, str] = {}
        notes = list(outcome.notes)
        kept: list[Kept] = []
        left = BYTES
        for each in sorted(outcome.kept, key=lambda one: one.size):
            file = job.file(each.path)
            if each.size <= left:
                files[each.path] = file.read_bytes()
                left -= each.size
            elif (why := self._store(file, each.path, stored)) is not None:
                notes.append(f"{each.path} ({each.size / 1e6:.0f} MB) was not sent back: {why}")
                continue
            kept.append(each)
        log = job.context.log
        hash_of_log = outcome.log_hash
        if log.is_file():
            size = log.stat().st_size
            if size <= max(left, _LOG_END):
                files[""] = log.read_bytes()
            elif (why := self._store(log, "", stored)) is not None:
                with log.open("rb") as stream:
                    stream.seek(size - _LOG_END)
                    files[""] = stream.read()
                hash_of_log = f"sha256:{hashlib.sha256(files['']).hexdigest()}"
                notes.append(f"only the end of its log was sent back: {why}")
        order = {each.path: at for at, each in enumerate(outcome.kept)}
        kept.sort(key=lambda one: order[one.path])
        done = replace(outcome, kept=tuple(kept), notes=tuple(notes), log_hash=hash_of_log)
        return Sent(done, files, stored)

    def _store(self, file: Path, path: str, stored: dict[str, str]) -> str | None:
        """Send a file through the DVC remote; return why that failed."""
        try:
            md5 = hash_file(file)
            remote.send_file(self.top, file, md5)
        except XexpError as error:
            return error.message
        stored[path] = md5
        return None

    def remove(self) -> None:
        """Delete it once its runs have ended."""
        for _ in range(self.count):
            try:
                self.free.get(timeout=_PATIENCE)
            except Empty:
                break
        shutil.rmtree(self.home, onerror=pool.make_writable)


_clones: list[Clone] = []
_lock = threading.Lock()


def clone_for(source: CloneSource, home: Path, count: int) -> Clone:
    """The clone of this process for a sweep, created on first use. Raises Unprepared."""
    with _lock:
        for clone in _clones:
            if clone.source == source and clone.top.is_dir():
                return clone
        made = Clone(source, home, count)
        _clones.append(made)
        return made


def remove_clones(sweep: str) -> None:
    """Delete the clones of a sweep in this process."""
    with _lock:
        mine = [clone for clone in _clones if clone.source.sweep == sweep]
        _clones[:] = [clone for clone in _clones if clone not in mine]
    for clone in mine:
        clone.remove()
        _remove_empty(clone.home.parent)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
