"""Small tools shared by all tests: a repository to work in and the two ways to run the program."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: On PYTHONPATH: trainings of the demo that do not wait for xetrack's import.
WITHOUT_XETRACK = str(Path(__file__).parent / "cli/without_xetrack")


@dataclass(frozen=True)
class Done:
    """A finished command: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output parsed as JSON."""
        return json.loads(self.out)

    def good(self) -> Done:
        """Itself, after asserting exit code 0."""
        assert self.code == 0, f"exit {self.code}\n{self.out}\n{self.err}"
        return self


def run(*args: str | Path, cwd: Path, stdin: str | None = None, env: dict[str, str] | None = None,
        timeout: float = 120) -> Done:  # fmt: skip
    """Run any command; never a terminal."""
    done = subprocess.run(
        [str(arg) for arg in args],
        cwd=cwd,
        input="" if stdin is None else stdin,
        env=None if env is None else os.environ | env,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=timeout,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def sql(path: Path, *statements: str) -> Path:
    """Run the statements in a SQLite file, which is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)
    return path


def copy_tree(
    source: Path | str, target: Path | str, _linked: dict[int, str] | None = None
) -> None:
    """``cp -a SOURCE TARGET`` (modes, times, symbolic and hard links) into a folder that is not there,
    in this process, which takes a third of the time."""
    linked = {} if _linked is None else _linked
    os.mkdir(target)  # noqa: PTH102
    with os.scandir(source) as entries:
        for entry in entries:
            to = os.path.join(target, entry.name)  # noqa: PTH118
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), to)  # noqa: PTH115, PTH211
            elif entry.is_dir():
                copy_tree(entry.path, to, linked)
            else:
                _copy_file(entry, to, linked)
    there = os.stat(source)  # noqa: PTH116
    os.chmod(target, there.st_mode & 0o7777)  # noqa: PTH101
    os.utime(target, ns=(there.st_atime_ns, there.st_mtime_ns))


def _copy_file(entry: os.DirEntry[str], to: str, linked: dict[int, str]) -> None:
    there = entry.stat(follow_symlinks=False)
    if there.st_nlink > 1 and linked.setdefault(there.st_ino, to) != to:
        os.link(linked[there.st_ino], to)
        return
    old = os.open(entry.path, os.O_RDONLY)
    new = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        while os.sendfile(new, old, None, 1 << 30):
            pass
        os.fchmod(new, there.st_mode & 0o7777)
        os.utime(new, ns=(there.st_atime_ns, there.st_mtime_ns))
    finally:
        os.close(old)
        os.close(new)


def xexp_process(*args: str | Path, cwd: Path, **kwargs: Any) -> Done:
    """``git-xexp ARGS`` in a process of its own, as a user would."""
    return run(sys.executable, "-m", "gitxexp", *args, cwd=cwd, **kwargs)


def xexp_inside(*args: str | Path, cwd: Path) -> Done:
    """``git-xexp ARGS`` in this process: ten times faster, and counted by coverage.

    Standard streams are replaced at the file descriptor, so that the output of children is
    caught too.
    """
    from gitxexp.entry import main

    with _inside(cwd, ["git-xexp", *map(str, args)]) as streams:
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else int(done.code is not None)
    return Done(int(code or 0), *streams)


def dvc_inside(*args: str, cwd: Path) -> Done:
    """``dvc ARGS`` in this process."""
    from dvc.cli import main

    dvc = logging.getLogger("dvc")
    level = dvc.level
    try:
        with _inside(cwd, ["dvc", *args]) as streams:
            code = main(list(args))
    finally:
        dvc.setLevel(level)
    return Done(code, *streams)


class Forked:
    """``git-xexp ARGS`` in a copy of this process, which need not import anything first: a process
    of its own with its own streams, which can be signalled and killed.

    What it does not have is a start of its own, so tests of start-up, of the environment that an
    interpreter starts in and of terminals use :func:`xexp_process`. And it has the locks that this
    process holds (flock(2)): one to wait for has to be another process's.
    """

    def __init__(
        self, *args: str | Path, cwd: Path, env: dict[str, str] | None = None, alone: bool = False
    ) -> None:
        """``alone``: it leads a session, and so a process group, of its own."""
        self._files = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self._code: int | None = None
        with suppress(AttributeError):
            sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            gc.freeze()  # a collection would copy every page
            code = 70
            try:
                if alone:
                    os.setsid()
                code = self._become(args, cwd, env or {})
            finally:
                os._exit(code)

    def _become(self, args: Iterable[str | Path], cwd: Path, env: dict[str, str]) -> int:
        from gitxexp.entry import main

        os.chdir(cwd)
        os.environ.update(env)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, fd in enumerate((null, *(file.fileno() for file in self._files))):
            os.dup2(fd, number)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115
        sys.stderr = sys.__stderr__ = open(2, "w", 1, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115
        sys.argv = ["git-xexp", *map(str, args)]
        try:
            code = main(sys.argv[1:])
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else int(done.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
        return int(code or 0)

    def poll(self) -> int | None:
        """The exit code, or minus the signal, once it has ended."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def said(self, number: int = 2) -> str:
        """What it has written so far: to its standard error, or its output (1)."""
        fd = self._files[number - 1].fileno()
        return os.pread(fd, os.fstat(fd).st_size, 0).decode("utf-8", "surrogateescape")

    def wait_until(self, reached: Callable[[], object], timeout: float = 60) -> None:
        """Wait for something that it does; fails where it ends without."""
        end = time.monotonic() + timeout
        while not reached():
            assert self.poll() is None or reached(), self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.003)

    def done(self, timeout: float = 120) -> Done:
        """Its exit code and streams when it has ended, which it has to within ``timeout``."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                self.kill()
                raise AssertionError(f"it runs for more than {timeout} s: {self.said()}")
            time.sleep(0.003)
        out, err = self.said(1), self.said(2)
        for file in self._files:
            file.close()
        return Done(self._code or 0, out, err)


def dies(*args: str, cwd: Path, moment: int, around: Iterable[tuple[Any, str]]) -> int:
    """Run ``git-xexp ARGS`` in a copy of this process that dies by SIGKILL at the ``moment``-th of
    the times before and after one of the functions ``around`` (holder, name) is called. Its exit
    code: -9 when it died, another when it ended before that moment."""
    pid = os.fork()
    if pid == 0:
        gc.freeze()  # a collection would copy every page
        code, left = 70, moment

        def count() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                count()
                result = function(*args, **kwargs)
                count()
                return result

            return wrapped

        try:
            for holder, name in around:
                setattr(holder, name, counted(getattr(holder, name)))
            code = xexp_inside(*args, cwd=cwd).code
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


@contextmanager
def _inside(cwd: Path, argv: list[str]) -> Iterator[list[str]]:
    """The process as a command sees it; the list yielded holds both outputs afterwards."""
    outputs: list[str] = []
    before = Path.cwd(), sys.argv, sys.stdin
    interrupt = signal.getsignal(signal.SIGINT)
    os.chdir(cwd)
    try:
        with (
            Path(os.devnull).open() as sys.stdin,
            _caught("stdout", outputs),
            _caught("stderr", outputs),
        ):
            sys.argv = argv
            yield outputs
    finally:
        signal.signal(signal.SIGINT, interrupt)
        os.chdir(before[0])
        sys.argv, sys.stdin = before[1:]
        outputs.reverse()  # the inner stream (stderr) is closed, and so listed, first


@contextmanager
def _caught(name: str, outputs: list[str]) -> Iterator[None]:
    """Standard stream ``name`` in a file, appended to ``outputs`` as text at the end."""
    fd = {"stdout": 1, "stderr": 2}[name]
    before = getattr(sys, name)
    before.flush()
    saved = os.dup(fd)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), fd)
        stream = open(fd, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        try:
            yield
        finally:
            stream.flush()
            setattr(sys, name, before)
            os.dup2(saved, fd)
            os.close(saved)
            file.seek(0)
            outputs.append(file.read().decode("utf-8", "surrogateescape"))


class Clock:
    """The date that git writes into commits and tags: fixed, and moved only by a test."""

    START = 1_700_000_000  # 2023-11-14T22:13:20Z

    def __init__(self) -> None:
        self.now = self.START
        self.tick(0)

    def tick(self, seconds: int = 60) -> int:
        """Move on; the new time in seconds since 1970."""
        self.now += seconds
        for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
            os.environ[name] = f"{self.now} +0000"
        return self.now


class Repo:
    """A git repository under test."""

    def __init__(self, path: Path, remote: Path | None = None) -> None:
        self.path = path
        self.remote = remote  #: DVC's local remote, a folder

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def git(self, *args: str, stdin: str | None = None) -> str:
        """Standard output of ``git ARGS`` without the last newline; asserts that it worked."""
        done = run("git", *args, cwd=self.path, stdin=stdin)
        assert done.code == 0, f"git {' '.join(args)}: exit {done.code}\n{done.err}"
        return done.out.removesuffix("\n")

    def dvc(self, *args: str) -> str:
        """Standard output of ``dvc ARGS``, in this process: a new one takes a second."""
        return dvc_inside(*args, cwd=self.path).good().out

    def dvc_init(self) -> None:
        """DVC's ``init``, in this process, with the folder ``remote`` beside this one as its remote."""
        from dvc.repo import Repo as Dvc

        with _inside(self.path, ["dvc"]), Dvc.init(".") as dvc, dvc.config.edit("repo") as config:
            config["remote"]["store"] = {"url": "../remote"}
            config["core"]["remote"] = "store"

    def dvc_add(self, *paths: str) -> None:
        """DVC's ``add``, in this process, that leaves the files as they are (no link to the cache)."""
        from dvc.repo import Repo as Dvc

        with _inside(self.path, ["dvc"]), Dvc(".") as dvc:
            dvc.add(list(paths), relink=False)

    def dvc_checkout(self, *targets: str) -> None:
        """``dvc checkout --force TARGETS``, in this process."""
        self.dvc("checkout", "--quiet", "--force", *targets)

    def xexp(self, *args: str | Path) -> Done:
        """``git xexp ARGS`` in this process."""
        return xexp_inside(*args, cwd=self.path)

    def xexp_process(self, *args: str | Path, **kwargs: Any) -> Done:
        """``git xexp ARGS`` in a process of its own."""
        return xexp_process(*args, cwd=self.path, **kwargs)

    def forked(self, *args: str | Path, **kwargs: Any) -> Forked:
        """``git xexp ARGS`` in a process of its own that starts at once."""
        return Forked(*args, cwd=self.path, **kwargs)

    def python(self, *args: str, env: dict[str, str] | None = None) -> Done:
        """The interpreter of the tests, run in the repository."""
        return run(sys.executable, *args, cwd=self.path, env=env)

    def write(self, path: str, content: str | bytes) -> Path:
        """Write a file, making its folders."""
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def commit(self, message: str = "change", *paths: str) -> str:
        """Commit ``paths`` (default: everything); the commit's id."""
        self.git("add", "-A", *(("--", *paths) if paths else ()))
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head

    @property
    def head(self) -> str:
        """The id of HEAD's commit: read where it usually stands, which starts no process."""
        with suppress(OSError):
            where = (self.path / ".git/HEAD").read_text().strip()
            named = self.path / ".git" / where.removeprefix("ref: ")
            oid = named.read_text().strip() if where.startswith("ref: ") else where
            if len(oid) == 40:
                return oid
        return self.git("rev-parse", "HEAD")

    @property
    def tags(self) -> list[str]:
        """All tags, by name."""
        return self.git("tag", "-l").split()

    def refs(self) -> str:
        """Every ref with its object: compare before and after what must change nothing."""
        return self.git("for-each-ref", "--format=%(objectname) %(refname)")
