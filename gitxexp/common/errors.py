"""The errors that a user may see.

Every error says what happened and, in ``hint``, how to continue. Exit codes follow git's habit
(git-scm.com/docs/git#_git_commands, usage.c): 129 for wrong usage, 128 for a fatal error, 1 for a
plain "no".
"""

from __future__ import annotations

from gitxexp.common.secrets import masked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


FATAL = 128
USAGE = 129
NO = 1


class XexpError(Exception):
    """An error that a user can understand and act on.

    ``message`` is one sentence without a prefix, and perhaps lines of detail that begin with two
    spaces; ``hint`` is the next step, possibly several lines: for an error that is raised from one of
    the operating system, what helps against that, if nothing is given.
    """

    exit_code: int = FATAL

    def __init__(self, message: str, hint: str | None = None, exit_code: int | None = None) -> None:
        self.message = masked(message)
        self._hint = hint and masked(hint)
        super().__init__(self.message)
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message

    @property
    def hint(self) -> str | None:
        """How to continue."""
        cause = self.__cause__
        return self._hint or (system_hint(cause) if isinstance(cause, OSError) else None)

    @property
    def lines(self) -> list[str]:
        """The message split into lines. Line breaks inside names are kept out: only detail lines
        begin with spaces."""
        first, *more = self.message.split("\n  ")
        return [first, *(f"  {line}" for line in more)]


def system_hint(error: OSError) -> str | None:
    """What helps against an error of the operating system (errno(3))."""
    import errno

    hints = {
        ("EACCES", "EPERM", "EROFS"): "check its permissions",
        ("ENOSPC", "EDQUOT"): "free some space and try again",
        ("EFBIG",): "the limit on the size of files: ulimit -f",
        ("ENOENT",): "check the path",
        ("EISDIR",): "a folder is where a file should be: move it away",
        ("ENOTDIR", "EEXIST"): "a file is where a folder should be: move it away",
        ("ENAMETOOLONG",): "use a shorter name",
        ("ELOOP",): "check its symbolic links",
        ("EMFILE", "ENFILE"): "the limit on open files: ulimit -n",
    }
    name = errno.errorcode.get(error.errno or 0)
    return next((hint for names, hint in hints.items() if name in names), None)


def is_full(error: Exception) -> bool:
    """Whether a write failed because no space is left, or a limit of the system is reached."""
    import errno

    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
    return getattr(error, "sqlite_errorname", "") in _FULL


#: SQLite's names of a failed write.
_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE",
         "SQLITE_IOERR_SHMSIZE")  # fmt: skip


class UsageError(XexpError):
    """The command line itself is wrong."""

    exit_code = USAGE


class NoAnswer(XexpError):
    """The command was understood and the answer is no (a refusal, a conflict, a difference)."""

    exit_code = NO


def only_one(options: Mapping[str, object], hint: str = "use only one of them") -> str | None:
    """Return the name of the option that was given, one whose value is true; None if none was.

    Raises UsageError if several were: they exclude each other.
    """
    given = [name for name, value in options.items() if value]
    if len(given) > 1:
        names = f"{', '.join(given[:-1])} and {given[-1]}"
        raise UsageError(f"{names} cannot be used together", hint)
    return given[0] if given else None


def suggestion(name: str, known: Sequence[str], otherwise: str | None = None) -> str | None:
    """Suggest the names in ``known`` that are similar to ``name``; return ``otherwise`` if there
    are none.

    Names much less similar than the best match are dropped.
    """
    from difflib import SequenceMatcher, get_close_matches  # imported only for an error

    from gitxexp.common.text import one_line

    lowered = {item.lower(): item for item in known}
    close = get_close_matches(name.lower(), lowered, 3, 0.5)
    alike = [SequenceMatcher(None, item, name.lower()).ratio() for item in close]
    named = [
        one_line(lowered[item])
        for item, is_ in zip(close, alike, strict=True)
        if is_ > alike[0] - 0.2
    ]
    return f"did you mean {' or '.join(named)}?" if named else otherwise


def require_utf8(*texts: str) -> None:
    """Raise UsageError for a text that the registry, DVC and DuckDB cannot hold."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            from gitxexp.common.text import not_utf8

            raise UsageError(
                f"'{not_utf8(text)}' is not UTF-8", "the registry, DVC and SQL hold UTF-8 only"
            ) from None


#: git-clone(1), --filter
_PARTIAL = (
    "this clone is partial, and its remote does not answer; with it, to have every file here:\n"
    "git config --unset remote.origin.partialclonefilter && git fetch --refetch"
)


GONE = "this folder was deleted: change into another"
#: What helps against git's errors, by words of theirs.
_GIT_HINTS = {
    "promisor remote": _PARTIAL,
    "Unable to read current working directory": GONE,
    "index file smaller than expected": "build it again: rm .git/index && git reset",
    "index file corrupt": "build it again: rm .git/index && git reset",
    "bad config line": "fix that file",
    "not a tree object": "git fsck shows which objects are missing",
    "bad object": "git fsck shows which objects are missing",
    "No space left on device": "free some space where the repository is, and try again",
    "Disk quota exceeded": "free some space where the repository is, and try again",
    "File too large": "the limit on the size of files: ulimit -f",
    "File size limit exceeded": "the limit on the size of files: ulimit -f",
}


class GitError(XexpError):
    """A git command failed; the message is git's own."""

    def __init__(self, args: Sequence[str], returncode: int, stderr: str) -> None:
        self.args_line = "git " + " ".join(args)
        self.returncode = returncode
        self.stderr = stderr
        ended = f"exited {returncode}"
        if returncode < 0:  # often before it could say anything
            import signal

            ended = f"was ended by a signal: {signal.strsignal(-returncode)}"
        super().__init__(
            _first_message(stderr) or f"{self.args_line} {ended}",
            next((hint for words, hint in _GIT_HINTS.items() if words in stderr + ended), None),
        )

    @property
    def unfetched(self) -> bool:
        """Whether a partial clone lacks an object, and the remote that promised it does not answer."""
        return "promisor remote" in self.stderr

    @property
    def lines(self) -> list[str]:
        """git's own lines; git has already escaped the names in them."""
        return self.message.splitlines()

    @property
    def detail(self) -> str:
        """The message, for the end of another error's: its further lines are lines of detail."""
        return _with_detail(*self.lines)


def _with_detail(first: str, *more: str) -> str:
    """One message whose further lines are lines of detail; empty ones are left out."""
    return "\n  ".join([first, *(line.rstrip() for line in more if line.strip())])


def _first_message(stderr: str) -> str:
    """git's error message without its prefix; multiple lines are kept."""
    lines = [line for line in stderr.strip().splitlines() if not line.startswith("hint:")]
    text = "\n".join(lines)
    for prefix in ("fatal: ", "error: "):
        text = text.removeprefix(prefix)
    return text


class PushRejected(XexpError):
    """The remote rejected some refs, and so accepted none (the push is atomic).

    ``refs`` maps each ref it named to its reason, such as ``already exists`` or ``fetch first``;
    ``said`` is what a hook of the remote wrote.
    """

    def __init__(self, remote: str, refs: Mapping[str, str], stderr: str) -> None:
        self.remote = remote
        self.refs = dict(refs)
        named = "; ".join(f"{ref}: {why}" for ref, why in refs.items())
        lines = [line.strip() for line in stderr.splitlines()]
        self.said = tuple(line for line in lines if line.removeprefix("remote:").strip()
                          and line.startswith("remote:"))  # fmt: skip
        super().__init__(f"{remote} rejected the push ({named or _first_message(stderr)})")

    def outcome(self, what: str) -> str:
        """The message with ``what`` became of the work, and the words of the remote's hook."""
        return _with_detail(f"{self.message}; {what}", *self.said)

    @property
    def first(self) -> dict[str, str]:
        """The refs that were rejected for a reason of their own, not because another was."""
        return {ref: why for ref, why in self.refs.items() if why != "atomic push failure"}

    @property
    def is_overtaken(self) -> bool:
        """Whether others pushed first; else the remote's rules refuse what is pushed.

        The reasons are those of git's builtin/push.c, send-pack.c and receive-pack.c.
        """
        import re  # 3 ms, and every command imports this file

        return all(re.search(_OVERTAKEN, why) for why in self.first.values())

    @property
    def advice(self) -> str:
        """How to continue."""
        first, remote = self.first, self.remote
        if "branch is currently checked out" in first.values():
            return f"'{remote}' has a work tree: push to a bare repository (git-push(1), denyCurrentBranch)"
        if not self.is_overtaken:
            return f"a hook or rule of '{remote}' refuses this push; it is not out of date"
        if any(ref.startswith("refs/tags/") for ref in first):
            return (
                f"'{remote}' has another experiment under that version: git fetch --tags {remote}"
            )
        return f"bring its work in first: git pull --rebase {remote}"


#: Why git rejects a ref that somebody else pushed meanwhile.
_OVERTAKEN = (
    "^(fetch first|non-fast-forward|already exists|stale info|atomic transaction failed)$"
    "|reference already exists|lock ref|failed to update ref|incorrect old value"
)
