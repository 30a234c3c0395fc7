"""The click group, verbs registered lazily, and the one mapping of errors to exit codes.

Exit codes are git's: 129 usage, 128 fatal, 1 a plain "no", 130 and 141 for Ctrl-C and a closed pipe.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from gitxexp.cli import arguments as argv_module
from gitxexp.cli import hints
from gitxexp.cli.arguments import Line
from gitxexp.cli.group import LazyGroup
from gitxexp.common import streams
from gitxexp.common.errors import FATAL, USAGE, XexpError, suggestion

if TYPE_CHECKING:
    from gitxexp.storage.git import Git


#: What the verbs are for → verb → (module below gitxexp.commands, one line of help). The module has
#: a command named like the verb; nothing is imported before a verb is used.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Start": {
        "init": ("init", "set a repository up, once and again"),
        "demo": ("demo", "a real experiment repository, walked through"),
        "setup": ("setup", "make man pages and completion work"),
        "completion": ("completion", "print the completion script of a shell"),
    },
    "Make and share experiments": {
        "tag": ("tag", "snapshot the experiment as the next version"),
        "worktree": ("worktree", "one experiment, one branch, one folder"),
        "push": ("push", "push artifacts, branches and tags of experiments"),
    },
    "Look at them": {
        "explore": ("explore", "list, show and compare experiments"),
        "get": ("get", "get a file of any experiment"),
        "diff": ("diff", "show the rows that differ between two versions"),
    },
    "Bring their results together": {
        "merge": ("merge", "bring in the rows of other experiments, losing none"),
        "rebase": ("rebase", "bring in the rows of other experiments, replacing by key"),
        "conflicts": ("conflicts", "list and settle rows that git merge could not merge"),
        "check": ("check", "say whether a merge dropped rows"),
        "drivers": ("drivers", "let git merge and show results row by row"),
    },
    "Choose models": {
        "candidates": ("candidates", "list the models beside production, or add one"),
        "promote": ("promote", "make a candidate the model in production"),
        "prune": ("prune", "remove candidates whose bytes are safe elsewhere"),
    },
    "Go back and repair": {
        "undo": ("undo", "take the last operation back"),
        "log": ("log", "list the operations of this repository"),
        "registry": ("registry", "rebuild the registry from the tags"),
    },
}

VERBS = {name: known for verbs in SECTIONS.values() for name, known in verbs.items()}

SETTINGS = {"help_option_names": ["-h"], "max_content_width": 100}


@click.group(
    cls=LazyGroup,
    verbs={
        name: (f"gitxexp.cli.commands.{module}", text) for name, (module, text) in VERBS.items()
    },
    sections={title: list(verbs) for title, verbs in SECTIONS.items()},
    context_settings=SETTINGS,
    invoke_without_command=True,
    epilog="Every command takes -q, -v, --color=WHEN, -h and --help (its manual page).",
)
@click.option("--version", is_flag=True, help="Print the version.")
@click.option("--json", "as_json", is_flag=True, help="Print the status page as JSON.")
@click.pass_context
def main(ctx: click.Context, version: bool, as_json: bool) -> None:
    """Version machine-learning experiments with git, DVC and the database your tracker writes.

    Without a command: where you are, the last experiment, and the next sensible command.
    """
    if version:
        from gitxexp._version import __version__

        streams.write(f"git-xexp version {__version__}\n")
    elif ctx.invoked_subcommand is None:
        from gitxexp.cli.commands.status import status

        status(as_json=as_json)


def run(argv: Sequence[str], git: Git | None = None) -> int:
    """Run the command line; returns the exit code and lets no exception out, but that nobody
    reads what is written: ClosedPipe or BrokenPipeError, for :mod:`gitxexp.entry`.

    ``git`` is git in the current folder, where it has been asked something already.
    """
    _catch_termination()
    line = Line(as_json="--json" in argv)
    try:
        line = argv_module.read(main, list(argv))
        hints.apply(line)
        if line.manual:
            return _manual(line)
        code = main.main(line.words, prog_name="git xexp", standalone_mode=False, obj=git)
        streams.flush()
        if not code:
            hints.advise(line)
        return code if isinstance(code, int) else 0
    except (streams.ClosedPipe, BrokenPipeError):
        raise
    except (KeyboardInterrupt, click.Abort):
        return _interrupted(as_json=line.as_json)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except Exception as error:
        if "Query interrupted" in str(error):  # DuckDB's word for a KeyboardInterrupt it took
            return _interrupted(as_json=line.as_json)
        try:
            return _failed(error, line)
        except KeyboardInterrupt:  # it came with the error, and is why there is one
            return _interrupted(as_json=line.as_json)


def _interrupted(*, as_json: bool) -> int:
    code, text = 128 + signal.SIGINT, "interrupted: nothing was left half done"
    shown = "\n" if sys.stderr.isatty() else ""  # after the terminal's own ^C
    _say(hints.error_as_json(text, None, code) if as_json else f"{shown}{text}")
    return code


def _manual(line: Line) -> int:
    """The manual page, or the usage where man is missing."""
    code = hints.manual(line.path)
    if code is not None:
        return code
    main.main([*line.path.split(), "-h"], prog_name="git xexp", standalone_mode=False)
    return 0


def _failed(error: Exception, line: Line) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not line.as_json:
        _say(error.message)
        return USAGE
    if isinstance(error, XexpError):
        told = error.message, error.hint, error.exit_code
    elif isinstance(error, click.UsageError):
        verb = error.ctx.command_path if error.ctx else f"git xexp {line.path}".rstrip()
        told = _words(error), _elsewhere(error, line) or f"{verb} -h shows how it is used", USAGE
    elif isinstance(error, click.ClickException):
        told = error.format_message(), None, FATAL
    else:
        told = _unexpected(error)
    if line.as_json:
        _say(hints.error_as_json(*told))
        return told[2]
    return _report(*told)


#: What git's own command of that name has, and how it is done here.
_ELSEWHERE = {
    "tag": {
        **dict.fromkeys(("-d", "--delete"), "git xexp undo takes the last experiment back"),
        "--list": "git xexp explore list",
        **dict.fromkeys(
            ("-f", "--force"), "a version is never moved: leave it out for the next one"
        ),
    },
    **dict.fromkeys(
        ("merge", "rebase"),
        dict.fromkeys(
            ("--abort", "--continue"), "nothing is left half done; git xexp undo takes a merge back"
        ),
    ),
    "worktree": {"add": "did you mean new?"},
}


def _elsewhere(error: click.UsageError, line: Line) -> str | None:
    """A hint for those who know git's own command."""
    ways = _ELSEWHERE.get(line.path, {})
    if isinstance(error, click.NoSuchOption):
        return ways.get(error.option_name)
    return ways.get(line.words[1]) if line.path == "worktree" and len(line.words) > 1 else None


def _words(error: click.UsageError) -> str:
    """click's message in the words of the others: the name in front, no full stop."""
    text = error.message.rstrip(".") if error.message else error.format_message().rstrip(".")
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return f"{_named(error.param)} is missing"
    if isinstance(error, click.BadParameter) and error.param is not None:
        text = re.sub(r"is not a valid integer( range)?$", "is not a number", text)
        text = re.sub(r"is not in the range x>=(\d+)$", r"is less than \1", text)
        return f"{_named(error.param)}: {text}"
    if isinstance(error, click.NoSuchOption):
        close = suggestion(error.option_name, error.possibilities or ())
        text = f"{text}. D{close[1:]}" if close else text
    return f"{text[:1].lower()}{text[1:]}"


def _named(param: click.Parameter) -> str:
    if isinstance(param, click.Argument):
        return (param.metavar or str(param.name).upper()).strip("[]")
    return max(param.opts, key=len)


def _unexpected(error: Exception) -> tuple[str, str | None, int]:
    if isinstance(error, FileNotFoundError) and not error.filename and not _somewhere():
        return f"Unable to read current working directory: {error.strerror}", None, FATAL  # git's
    if isinstance(error, OSError) and error.errno is not None:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}", _OS_HINTS.get(error.errno), FATAL
    if os.environ.get("XEXP_TRACEBACK"):
        raise error
    if isinstance(error, UnicodeEncodeError):  # a path's bytes, as Python has them
        name = (re.findall(r"[^\s\"']*[\udc80-\udcff][^\s\"']*", error.object) or [error.object])[0]
        return (
            f"'{name}' is not UTF-8, which names in the registry and in DVC are",
            "rename it",
            FATAL,
        )
    if isinstance(error, ImportError):
        return f"this installation is damaged: {error}", "install git-xexp again", FATAL
    return (
        f"unexpected {type(error).__name__}: {error}",
        "this is a bug; XEXP_TRACEBACK=1 shows where it happened",
        FATAL,
    )


_OS_HINTS = dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "check its permissions") | (
    dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space and try again")
)


def _somewhere() -> bool:
    """Whether the current folder is still there."""
    try:
        return Path.cwd().is_dir()
    except OSError:
        return False


def _report(message: str, hint: str | None, code: int) -> int:
    _say(f"{'error' if code == 1 else 'fatal'}: {message}")
    if hint:
        hints.hint(*hint.splitlines())
    return code


def _say(text: str) -> None:
    with suppress(XexpError):  # what went wrong first is said
        streams.flush()
    streams.tell(text)


def _catch_termination() -> None:
    """SIGTERM takes the way of Ctrl-C, so that a rollback runs."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
