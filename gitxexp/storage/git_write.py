"""The interface to GitPython: git commands that write, or talk to another repository.

Everything that only reads uses :class:`gitxexp.storage.git.Git`, which starts git itself: ``import
git`` takes 100 ms.
"""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gitxexp.common.errors import GitError, PushRejected, XexpError
from gitxexp.storage.git import OLDEST, Git

if TYPE_CHECKING:
    from pathlib import Path

    import git

    from gitxexp.storage.objects import Progress


#: Set while this program itself fetches and pushes, so that its own hook does nothing.
OURS = "GIT_XEXP_PUSH"


class GitWriter(Git):
    """Runs git through GitPython, in the folder and environment of ``git``.

    GitPython refuses options that make git run another program (``--upload-pack``,
    ``--receive-pack``, ``--exec``) and transports that do (``ext::``); nothing here tells it
    otherwise. Hooks, signing, messages and exit codes are the same as when the user runs git.
    """

    _reads = False

    def __init__(self, git: Git) -> None:
        self.cwd = git.cwd
        self._env = git.environment()

    def _start(
        self, args: Sequence[str], fed: bool = False, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        if not self.cwd.is_dir():  # GitPython would continue in the current folder
            raise XexpError(f"no such folder: {self.cwd}", "check the path")
        gitpython = import_gitpython()
        _refuse_unsafe(args)
        # GitPython sets LC_ALL=C, which hooks would inherit; empty is as good as not set
        wanted = {"LC_ALL": "", "LANGUAGE": "", **self.environment(), **(env or {})}
        try:
            with _without(os.environ.keys() - wanted.keys()):
                process = gitpython.cmd.Git(self.cwd).execute(
                    ["git", *args],
                    istream=subprocess.PIPE if fed else None,
                    as_process=True,
                    env=wanted,
                )
        except gitpython.GitCommandNotFound as error:
            raise XexpError("git is not on PATH", f"install git {OLDEST} or later") from error
        started: subprocess.Popen[bytes] = process.proc
        process.proc = None  # or GitPython kills it as soon as this wrapper is collected
        return started

    def remote_refs(self, remote: str, *patterns: str) -> dict[str, str]:
        """Return full name → object of the refs on ``remote``; asks the remote."""
        lines = self.lines("ls-remote", "--refs", "--", remote, *patterns)
        return {name: oid for oid, _, name in (line.partition("\t") for line in lines)}

    def remote_tags(self, remote: str, *patterns: str) -> dict[str, str]:
        """Return short name → object of the tags on ``remote``; asks the remote."""
        refs = self.remote_refs(remote, *(patterns or ("refs/tags/*",)))
        return {name.removeprefix("refs/tags/"): oid for name, oid in refs.items()}

    def fetch(self, remote: str, refspecs: Sequence[str], progress: Progress | None = None) -> None:
        """Fetch exactly ``refspecs``, without other tags. Raises GitError if that fails."""
        args = ("fetch", "--no-tags", "--no-prune", "--no-write-fetch-head", *_shown(progress))
        done = self._watched((*args, "--", remote, *refspecs), progress)
        if done.returncode:
            raise GitError((*args, remote), done.returncode, done.stderr)

    def push(self, remote: str, refspecs: Sequence[str], progress: Progress | None = None) -> None:
        """Push all refs or none.

        Raises PushRejected with each ref's reason, or GitError if the remote cannot be reached.
        """
        self._push(remote, (), refspecs, progress)

    def delete(self, remote: str, refs: Mapping[str, str]) -> None:
        """Delete refs on ``remote``, all or none, and only if each is still the object that
        ``refs`` gives. Raises like :meth:`push`."""
        leases = [f"--force-with-lease={ref}:{oid}" for ref, oid in refs.items()]
        self._push(remote, leases, [f":{ref}" for ref in refs], None)

    def _push(
        self,
        remote: str,
        options: Sequence[str],
        refspecs: Sequence[str],
        progress: Progress | None,
    ) -> None:
        args = ("push", "--porcelain", "--atomic", "--no-follow-tags", *_shown(progress), *options)
        done = self._watched((*args, "--", remote, *refspecs), progress)
        if done.returncode == 0:
            return
        reasons = {}
        for line in done.stdout.splitlines():
            flag, _, rest = line.partition("\t")
            if flag == "!":
                names, _, summary = rest.partition("\t")
                if "(atomic push failed)" not in summary:
                    reasons[names.partition(":")[2]] = summary.partition("(")[2].rstrip(")")
        if reasons:
            raise PushRejected(remote, reasons, done.stderr)
        raise GitError((*args, remote), done.returncode, done.stderr)

    def _watched(
        self, args: Sequence[str], progress: Progress | None
    ) -> subprocess.CompletedProcess[str]:
        """Return the finished process; its progress is reported to ``progress`` while it runs."""
        gitpython = import_gitpython()
        process: Any = self._start(args, env={**_in_english(self.environment()), OURS: "1"})
        process.stdout, process.stderr = _as_text(process.stdout), _as_text(process.stderr)
        out: list[str] = []
        told = _listener(gitpython.RemoteProgress, progress)
        try:
            gitpython.cmd.handle_process_output(
                process, out.append, told.new_message_handler(), decode_streams=False
            )
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(args, code, "".join(out), "\n".join(told.said))


def gitpython_repo(path: Path) -> git.Repo:
    """Return the repository around ``path`` as a GitPython object."""
    repo: git.Repo = import_gitpython().Repo(path)
    return repo


def import_gitpython() -> Any:
    """Return GitPython, which works without git, too."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # else it fails to import without git
    import git

    return git


def _refuse_unsafe(args: Sequence[str]) -> None:
    """Apply GitPython's checks to ``args``; raises XexpError for arguments that could run another
    program."""
    gitpython = import_gitpython()
    remote, command = gitpython.Remote, gitpython.cmd.Git
    unsafe = {
        "ls-remote": command.unsafe_git_ls_remote_options,
        "fetch": remote.unsafe_git_fetch_options,
        "push": remote.unsafe_git_push_options,
    }.get(args[0])
    if unsafe is None:
        return
    options = args[1 : args.index("--")] if "--" in args else args[1:]
    try:
        command.check_unsafe_options([o for o in options if o.startswith("-")], unsafe)
        for value in args[1 + len(options) :]:
            command.check_unsafe_protocols(value)
    except (gitpython.UnsafeOptionError, gitpython.UnsafeProtocolError) as error:
        raise XexpError(f"git {args[0]} refused: {error}") from error


@contextmanager
def _without(names: set[str]) -> Iterator[None]:
    """The environment without ``names``: GitPython can add variables but not remove them."""
    kept = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(kept)


def _in_english(env: Mapping[str, str]) -> dict[str, str]:
    """Environment for parseable messages, with the user's character encoding."""
    everything = env.get("LC_ALL")
    kinds = {"LC_CTYPE": everything} if everything else {}
    return {"LC_ALL": "", "LANGUAGE": "", "LC_MESSAGES": "C", **kinds}


def _as_text(stream: Any) -> io.TextIOWrapper:
    """Yield lines of a pipe, also split at carriage returns, with which git draws progress."""
    return io.TextIOWrapper(stream, "utf-8", "surrogateescape", newline=None)


def _shown(progress: Progress | None) -> tuple[str, ...]:
    return ("--progress",) if progress is not None else ()


def _listener(remote_progress: Any, progress: Progress | None) -> Any:
    """Return a RemoteProgress that reports to ``progress`` and collects git's other output in
    ``said``."""

    class Listener(remote_progress):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.said: list[str] = []

        def update(
            self, op_code: int, cur_count: float, max_count: float | None = None, message: str = ""
        ) -> None:
            if progress is not None:
                progress(int(cur_count or 0), int(max_count or 0), "objects")

        def line_dropped(self, line: str) -> None:
            self.said.append(line)

        def _parse_progress_line(self, line: str) -> None:
            super()._parse_progress_line(line)
            if line.startswith(("error:", "fatal:")):
                self.said.append(line)

    return Listener()
