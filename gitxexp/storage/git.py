"""The interface to git.

Every call is one git process (a plumbing read takes about 2 ms). Output is decoded as UTF-8 with
``surrogateescape``, so that any path round-trips.

Also wraps ``git worktree list``, correcting what git itself gets wrong or could not do in older
versions,

and chooses the git remote to push to.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, NamedTuple

from gitxexp.common.errors import GitError as GitError
from gitxexp.common.errors import PushRejected as PushRejected
from gitxexp.common.errors import XexpError, suggestion

#: What ``git rev-parse --local-env-vars`` lists, less ``GIT_CONFIG_*`` (``git -c`` must reach every
#: call): a hook sets these for one repository, and they must not leak into another.
LOCAL_ENV = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
)

PLACES = ("rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir",
          "--is-shallow-repository", "--show-prefix", "--show-toplevel")  # fmt: skip
REFS = ("for-each-ref", "--format=%(objectname) %(refname)")
CONFIG = ("config", "-z", "--get-regexp")
HEAD = ("rev-parse", "HEAD", "--symbolic-full-name", "HEAD")
#: Lists the pointers of a work tree, tracked or not, from any folder of it.
DVC_FILES = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--full-name", "--",
             ":/*.dvc", ":/dvc.lock", ":/*/dvc.lock", ":/dvc.yaml", ":/*/dvc.yaml")  # fmt: skip
#: Lists the settings of our projects and of DVC's, from the top; "S" stands before those that a
#: sparse checkout leaves out (git-ls-files(1)).
PROJECTS = ("ls-files", "-t", "-z", "--", ".xexp/config.toml", "*/.xexp/config.toml", ".dvc/config",
            "*/.dvc/config")  # fmt: skip
#: Lists the blob of the registry in the index, twice if the file is modified or deleted.
REGISTRY = ("ls-files", "-z", "-s", "-m", "--", ".xexp/registry.db")
BRANCHES = (*REFS, "refs/heads", "refs/remotes")
#: Lists what shows the folders of MLflow and DVCLive, ignored ones included.
TRACKER_FOLDERS = ("ls-files", "-z", "--cached", "--others", "--", "dvclive/metrics.json",
                   "*/dvclive/metrics.json", "mlruns/*/meta.yaml", "*/mlruns/*/meta.yaml")  # fmt: skip
IDENTITY = ("var", "GIT_COMMITTER_IDENT")
UNTRACKED = ("ls-files", "-z", "--others", "--exclude-standard")
#: What differs from HEAD, from any folder.
CHANGES = ("status", "--porcelain=v2", "-z", "--no-renames", "-unormal")
#: Our own keys and those of git that we obey, for :meth:`Git.config`: one process reads them all.
SETTINGS = r"^(xexp\..*|merge\.xexp\.driver|advice\.xexp|color\.(xexp|ui)|tag\.gpgsign)$"
#: Lists every file of the commit that follows.
TREE = ("ls-tree", "-z", "--full-tree", "-r")
#: Objects requested from git at a time.
_BATCH = 4096
OLDEST = "2.34"  #: retried without options that this git lacks


#: A question to git: the folder that it is asked in, and the arguments.
Question = tuple[str, tuple[str, ...]]
#: What :func:`asked_once` has been answered.
_answers: ContextVar[dict[Question, subprocess.CompletedProcess[bytes]] | None] = ContextVar(
    "answers", default=None
)
#: Processes that :func:`begun` started, in this thread, and whose answers nobody has asked for yet.
_begun: ContextVar[dict[Question, subprocess.Popen[bytes]] | None] = ContextVar(
    "begun", default=None
)

#: The settings of each folder, as :func:`settings_read_once` has read them.
_settings: ContextVar[dict[str, list[str]] | None] = ContextVar("settings", default=None)


@contextmanager
def settings_read_once() -> Iterator[None]:
    """Within the block the :data:`SETTINGS` of a folder are read once, also where other answers of git
    change: one command has one configuration, but for what :meth:`Git.configure` writes."""
    token = _settings.set({})
    try:
        yield
    finally:
        _settings.reset(token)


@contextmanager
def asked_once() -> Iterator[None]:
    """Within the block git is asked the same question once: for work that only reads. Where it
    changes something, that is done in :func:`asked_anew`."""
    known = _answers.get()
    token = _answers.set({} if known is None else known)
    try:
        yield
    finally:
        _answers.reset(token)


@contextmanager
def asked_anew() -> Iterator[None]:
    """Within the block, and after it, no answer from before counts: what git says may change."""
    drop()
    known = _answers.get()
    token = _answers.set(None)
    try:
        yield
    finally:
        _answers.reset(token)
        if known is not None:
            known.clear()


@contextmanager
def begun(git: Git, questions: Iterable[tuple[str, ...]]) -> Iterator[None]:
    """Start questions that the block will ask git, so that their answers are there by then; not
    those that are answered or begun already."""
    outer, known = _begun.get(), _answers.get() or {}
    started = {} if outer is None else outer
    mine: list[Question] = []
    token = _begun.set(started)
    with suppress(XexpError, OSError):  # such as git missing: the actual query will report it
        for args in questions:
            if question := git.begin(args, known, started):
                mine.append(question)
    try:
        yield
    finally:
        _stop(started.pop(question, None) for question in mine)
        _begun.reset(token)


def drop() -> None:
    """Stop the processes that :func:`begun` started and whose answers were not used."""
    started = _begun.get() or {}
    left = [*started.values()]
    started.clear()
    _stop(left)


def _stop(processes: Iterable[subprocess.Popen[bytes] | None]) -> None:
    for process in processes:
        if process is not None:
            process.kill()
            process.communicate()


#: The user's settings that would change what the commands read here print (git-config(1)); other
#: commands are plumbing, which none of them reaches.
_SETTLED = {
    "diff": ("color.ui=false", "color.diff=false", "diff.noprefix=false", "diff.mnemonicPrefix=false",
             "diff.relative=false", "diff.submodule=short", "diff.context=3", "diff.interHunkContext=0",
             "diff.wsErrorHighlight=none", "diff.suppressBlankEmpty=false", "diff.srcPrefix=a/",
             "diff.dstPrefix=b/"),
    "grep": ("color.ui=false", "color.grep=false", "grep.patternType=default", "grep.lineNumber=false",
             "grep.extendedRegexp=false", "grep.column=false", "grep.fullName=false",
             "submodule.recurse=false"),
    "log": ("color.ui=false", "color.diff=false", "log.showSignature=false", "log.follow=false",
            "i18n.logOutputEncoding=UTF-8"),
    "status": ("color.ui=false", "color.status=false", "status.showUntrackedFiles=normal"),
}  # fmt: skip


def _settled(args: Sequence[str]) -> list[str]:
    """Return ``-c`` options that put these settings of the command in ``args`` to git's defaults."""
    command = next((word for word in args if word in _SETTLED or word == "--"), "")
    return [word for setting in _SETTLED.get(command, ()) for word in ("-c", setting)]


def decode(data: bytes) -> str:
    """Decode git's bytes; :func:`encode` returns the same bytes, UTF-8 or not."""
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Encode text, from :func:`decode` or elsewhere, for git."""
    return text.encode("utf-8", "surrogateescape")


class TreeEntry(NamedTuple):
    """One line of ``git ls-tree``: ``mode`` octal text, ``kind`` blob, tree or commit."""

    mode: str
    kind: str
    oid: str
    path: str


class Places(NamedTuple):
    """The location of a repository. ``top`` is None in a bare repository; all paths are absolute."""

    top: Path | None
    git_dir: Path
    common_dir: Path
    prefix: str  #: the caller's folder below ``top``, with a trailing slash, or ""
    shallow: bool


class Git:
    """Runs git in one folder. ``foreign`` drops environment variables that tie git to another
    repository."""

    _reads = True  #: whether an answer may be one of :func:`asked_once` or :func:`begun`

    def __init__(self, cwd: Path | str, *, foreign: bool = False) -> None:
        self.cwd = Path(cwd)
        self._env = dict(os.environ)
        self._env["GIT_OPTIONAL_LOCKS"] = "0"  # a read must never take index.lock from the user
        if foreign:
            self._reads = False
            for name in LOCAL_ENV:
                self._env.pop(name, None)

    def environment(self) -> dict[str, str]:
        """Return the environment that git runs in."""
        return dict(self._env)

    def raw(
        self,
        *args: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        ok: Iterable[int] = (0,),
    ) -> bytes:
        """Return the standard output of ``git ARGS``; raises :class:`GitError` on an exit code not
        in ``ok``."""
        done = self.call(*args, stdin=stdin, env=env)
        if done.returncode not in ok:
            raise GitError(args, done.returncode, decode(done.stderr))
        return done.stdout

    def call(
        self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Return the finished process, whatever its exit code; nothing reaches the terminal."""
        known = _answers.get() if self._reads and stdin is None and env is None else None
        if known is None:
            return self._called(args, stdin, env)
        question = self.question(args)
        if question not in known:
            known[question] = self._called(args, None, None)
        return known[question]

    def question(self, args: Sequence[str]) -> Question:
        """What tells these arguments in this folder from others."""
        return os.path.abspath(self.cwd), tuple(args)  # noqa: PTH100  # a tenth of Path's time

    def _called(
        self, args: Sequence[str], stdin: bytes | None, env: Mapping[str, str] | None
    ) -> subprocess.CompletedProcess[bytes]:
        process = self._start(args, stdin is not None, env)
        try:
            out, err = process.communicate(stdin)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def _start(
        self, args: Sequence[str], fed: bool = False, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        started = _begun.get() if self._reads and not fed and env is None else None
        process = started.pop(self.question(args), None) if started else None
        return process or self.start(args, fed, env)

    def begin(
        self,
        args: Sequence[str],
        known: Collection[Question],
        started: dict[Question, subprocess.Popen[bytes]],
    ) -> Question | None:
        """Start a question, unless it is answered or begun already; returns it if it was started."""
        question = self.question(args)
        if question in known or question in started:
            return None
        started[question] = self.start(args)
        return question

    def start(
        self, args: Sequence[str], fed: bool = False, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Return a new process; ``fed``: it reads its standard input."""
        try:
            return subprocess.Popen(
                ["git", *_settled(args), *args],
                cwd=self.cwd,
                env=self._env if env is None else self._env | dict(env),
                stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError as error:
            if self.cwd.is_dir():
                raise XexpError("git is not on PATH", f"install git {OLDEST} or later") from error
            raise XexpError(f"no such folder: {self.cwd}", "check the path") from error

    def text(
        self,
        *args: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        ok: Iterable[int] = (0,),
    ) -> str:
        """Like :meth:`raw`, decoded, without the last newline."""
        return decode(self.raw(*args, stdin=stdin, env=env, ok=ok)).removesuffix("\n")

    def fields(
        self, *args: str, env: Mapping[str, str] | None = None, ok: Iterable[int] = (0,)
    ) -> list[str]:
        """Return NUL-separated output (``-z``) as a list."""
        out = decode(self.raw(*args, env=env, ok=ok))
        return out.removesuffix("\0").split("\0") if out else []

    def lines(self, *args: str, env: Mapping[str, str] | None = None) -> list[str]:
        """Return the output as a list of lines."""
        out = decode(self.raw(*args, env=env))
        return out.removesuffix("\n").split("\n") if out else []

    def ok(self, *args: str) -> bool:
        """Return whether ``git ARGS`` exits 0."""
        return self.call(*args).returncode == 0

    # -- names ---------------------------------------------------------------------------------

    def places(self) -> Places:
        """Locate the repository around ``cwd`` in one call.

        Raises XexpError outside a repository.
        """
        done = self.call(*PLACES)
        lines = decode(done.stdout).split("\n")
        if len(lines) < 4 or not lines[1]:
            stderr = decode(done.stderr)
            if "not a git repository" in stderr:
                raise XexpError(
                    GitError((), 0, stderr).message,
                    "change into your project, or make one: git init && git xexp init",
                )
            raise GitError(("rev-parse",), done.returncode, stderr)
        if lines[0].startswith("--"):  # an unknown option is printed back (git < 2.31)
            told = decode(self.call("--version").stdout).strip()
            raise XexpError(f"this is {told}, which is too old", f"install git {OLDEST} or later")
        bare = done.returncode != 0
        if len(lines) != (5 if bare else 6):  # a line break in a folder's name
            lines = [self._printed(*PLACES[:2], name) for name in PLACES[2:]]
        return Places(
            top=None if bare else Path(lines[4]),
            git_dir=Path(lines[0]),
            common_dir=Path(lines[1]),
            prefix="" if bare else lines[3],
            shallow=lines[2] == "true",
        )

    def _printed(self, *args: str) -> str:
        return decode(self.call(*args).stdout).removesuffix("\n")

    def resolve(self, rev: str, kind: str = "commit") -> str | None:
        """Return the object id that ``rev`` names, peeled to ``kind``; ``None`` if there is no such
        object."""
        done = self.call(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{{kind}}}"
        )
        return done.stdout.decode().strip() or None if done.returncode == 0 else None

    def head(self) -> tuple[str | None, str | None]:
        """Return ``(branch, commit)``; branch is None if HEAD is detached, commit if it is unborn."""
        both = decode(self.call(*HEAD).stdout).split()
        if len(both) == 2:
            return None if both[1] == "HEAD" else both[1].removeprefix("refs/heads/"), both[0]
        branch = decode(self.call("symbolic-ref", "--quiet", "HEAD").stdout).strip()
        return branch.removeprefix("refs/heads/") or None, self.resolve("HEAD")

    def refs(self, *patterns: str) -> dict[str, str]:
        """Return ref name → object id (not peeled) of all matching refs; reads no object."""
        return self.refs_later(*patterns)()

    def refs_later(self, *patterns: str) -> Callable[[], dict[str, str]]:
        """Start :meth:`refs` now; calling the result waits for it."""
        listed = self.listed_later(*patterns)

        def result() -> dict[str, str]:
            pairs = (line.partition(" ") for line in decode(listed()).split("\n") if line)
            return {name: oid for oid, _, name in pairs}

        return result

    def listed_later(self, *patterns: str) -> Callable[[], bytes]:
        """Start listing the lines of :meth:`refs` (object id, blank, name) now; calling the result
        waits for it.

        2,000 loose tags take git 15 ms, in which the caller can do other work.
        """
        args = (*REFS, *patterns)
        known, started = _answers.get(), _begun.get()
        if known is not None:
            if started is not None:
                self.begin(args, known, started)
            return lambda: self.raw(*args)
        process = self._start(args)

        def result() -> bytes:
            out, err = process.communicate()
            if process.returncode:
                raise GitError(args, process.returncode, decode(err))
            return out

        return result

    # -- objects -------------------------------------------------------------------------------

    def cat(self, names: Iterable[str]) -> Iterator[tuple[str, str, bytes] | None]:
        """Yield ``(oid, kind, content)`` of each name in order, from one process; None for a
        missing object."""
        asked = list(names)
        if not asked:
            return
        for data in self._batches(asked):
            position = 0
            while position < len(data):
                end = data.index(b"\n", position)
                head = decode(data[position:end]).rsplit(" ", 2)
                position = end + 1
                if len(head) < 3 or not head[2].isdigit():
                    yield None
                    continue
                size = int(head[2])
                yield head[0], head[1], data[position : position + size]
                position += size + 1

    def _batches(self, names: Sequence[str]) -> Iterator[bytes]:
        """Yield the output of ``git cat-file --batch`` in parts. With many names the next part is
        read while the last one is processed; uses files instead of pipes, which would have to be
        drained."""
        args = ("cat-file", "--batch")
        if len(names) <= _BATCH:
            yield self.raw(*args, stdin=encode("\n".join(names) + "\n"))
            return
        import tempfile  # late: few commands request so many

        def start(at: int) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
            out = tempfile.TemporaryFile()  # noqa: SIM115
            with tempfile.TemporaryFile() as fed:
                fed.write(encode("\n".join(names[at : at + _BATCH]) + "\n"))
                fed.seek(0)
                process = subprocess.Popen(
                    ["git", *args], cwd=self.cwd, env=self._env, stdin=fed, stdout=out,
                    stderr=subprocess.DEVNULL,
                )  # fmt: skip
            return process, out

        ahead = start(0)
        for at in range(_BATCH, len(names) + _BATCH, _BATCH):
            process, out = ahead
            if at < len(names):
                ahead = start(at)
            with out:
                if process.wait():
                    raise GitError(args, process.returncode, "")
                out.seek(0)
                yield out.read()

    def ls_tree(self, rev: str, *paths: str, recursive: bool = False) -> list[TreeEntry]:
        """Return the entries of ``rev``'s tree, with paths relative to the top of the repository."""
        spec = ("--", *paths) if paths else ()
        out = self.fields(*(TREE if recursive else TREE[:-1]), rev, *spec)
        entries = []
        for line in out:
            meta, _, path = line.partition("\t")
            mode, kind, oid = meta.split(" ")
            entries.append(TreeEntry(mode, kind, oid, path))
        return entries

    def blob(self, rev: str, path: str) -> bytes | None:
        """Return the content of ``path`` (from the top) in ``rev``, or None if there is no such
        file."""
        args = ("cat-file", "blob", f"{rev}:{path}")
        done = self.call(*args)
        if done.returncode and b"promisor remote" in done.stderr:  # not fetched is not absent
            raise GitError(args, done.returncode, decode(done.stderr))
        return done.stdout if done.returncode == 0 else None

    def tracks(self, path: str) -> bool:
        """Return whether the index has ``path``."""
        return self.ok("ls-files", "--error-unmatch", "--", path)

    def projects(self, settings: str) -> list[str]:
        """Return the folders that have ``settings`` (``.xexp/config.toml``, ``.dvc/config``) in the
        index, from the top of a work tree, where this is asked; "" is the top itself."""
        listed = (field[2:] for field in self.fields(*PROJECTS))
        found = (name.removesuffix(settings) for name in listed if name.endswith(settings))
        return [name.removesuffix("/") for name in found if not name or name.endswith("/")]

    # -- configuration -------------------------------------------------------------------------

    def config(self, pattern: str) -> dict[str, list[str]]:
        """Return every value of every key that matches the regular expression ``pattern``, in
        order."""
        values: dict[str, list[str]] = {}
        for key, value in self._config(pattern):
            values.setdefault(key, []).append("" if value is None else value)
        return values

    def setting(self, *keys: str) -> str | None:
        """Return the last value of the first of these keys of :data:`SETTINGS` that is set, "true" for
        one without a value (git-config(1), boolean); None if none is."""
        found = dict(self._config(SETTINGS))
        for key in keys:
            if key in found:
                value = found[key]
                return "true" if value is None else value
        return None

    def configure(self, *args: str, ok: Iterable[int] = (0,)) -> None:
        """Run ``git config --local ARGS``, which writes; raises :class:`GitError` on an exit code not
        in ``ok``."""
        if known := _settings.get():
            known.clear()
        self.raw("config", "--local", *args, ok=ok)

    def _config(self, pattern: str) -> Iterator[tuple[str, str | None]]:
        known = _settings.get() if self._reads and pattern == SETTINGS else None
        folder, _ = self.question(())
        items = known.get(folder) if known is not None else None
        if items is None:
            items = self.fields(*CONFIG, pattern, ok=(0, 1))
            if known is not None:
                known[folder] = items
        for item in items:
            key, given, value = item.partition("\n")
            yield key, value if given else None


def boolean(value: str) -> bool | None:
    """Return what a value means where git wants a truth value (git-config(1), Values); None if it is
    none."""
    text = value.lower()
    if text in ("true", "yes", "on", ""):
        return bool(text)
    if text in ("false", "no", "off"):
        return False
    digits = text[:-1] if text[-1] in "kmg" else text
    if "_" in digits or digits != digits.rstrip():  # numbers of Python alone
        return None
    try:
        return int(digits, 8 if digits.lstrip("+-")[:1] == "0" and digits.isdigit() else 0) != 0
    except ValueError:
        return None


_LIST = ("worktree", "list", "--porcelain")


def list_worktrees(git: Git) -> list[dict[str, str]]:
    """Return ``git worktree list`` as dicts: worktree (path), HEAD, branch, detached, locked,
    prunable.

    The main worktree comes first.
    """
    worktrees: list[dict[str, str]] = []
    for field in _fields(git):
        name, _, value = field.partition(" ")
        if name == "worktree":
            worktrees.append({})
        if name:
            worktrees[-1][name] = value
    main = Path(worktrees[0]["worktree"])
    if "bare" not in worktrees[0] and (main / "objects").is_dir() and (main / "HEAD").is_file():
        worktrees[0]["worktree"] = str(_top_of(git, main))
    return worktrees


def _fields(git: Git) -> list[str]:
    try:
        return git.fields(*_LIST, "-z")
    except GitError as error:
        if error.returncode != 129:
            raise
        return git.lines(*_LIST)  # git < 2.36 has no -z there


def _top_of(git: Git, git_dir: Path) -> Path:
    """Return the work tree of a git folder outside it (a submodule's), for which git lists the git
    folder itself."""
    asked = ("rev-parse", "--path-format=absolute", "--git-dir", "--show-toplevel")
    here = decode(git.call(*asked).stdout).splitlines()
    if len(here) == 2 and Path(here[0]) == git_dir:
        return Path(here[1])
    there = Git(git_dir, foreign=True).call("rev-parse", "--show-toplevel")
    return Path(decode(there.stdout).removesuffix("\n") or git_dir)


def choose_remote(git: Git, branch: str | None, wanted: str | None, configured: str) -> str:
    """Return the git remote to push to: the requested, the configured, the branch's own, or the
    only one.

    Always the name of a configured remote: an address could be parsed as a git option, or run a
    program. Raises XexpError if there is none, or several and no reason to prefer one.
    """
    remotes = git.lines("remote")
    if name := wanted or configured:
        if name in remotes:
            return name
        hint = suggestion(name, remotes, "git remote -v lists them; git remote add NAME URL")
        raise XexpError(f"there is no git remote '{name}'", hint)
    own = rf"branch\.{_escaped(branch)}\.(pushremote|remote)|" if branch else ""
    set_up = git.config(rf"^({own}remote\.pushdefault)$")
    # The order is git's: git-config(1), remote.pushDefault.
    for key in (f"branch.{branch}.pushremote", "remote.pushdefault", f"branch.{branch}.remote"):
        if set_up.get(key, [""])[-1] in remotes:
            return set_up[key][-1]
    if "origin" in remotes or len(remotes) == 1:
        return "origin" if "origin" in remotes else remotes[0]
    if not remotes:
        raise XexpError("this repository has no git remote", "git remote add origin URL")
    chosen = "choose one: git config remote.pushDefault NAME"  # in every verb, whatever its option
    raise XexpError(f"several git remotes: {', '.join(remotes)}", chosen)


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if not char.isalnum() else char for char in text)
