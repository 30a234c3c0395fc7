"""The click group, verbs registered lazily, and the one mapping of errors to exit codes.

Exit codes are git's: 129 usage, 128 fatal, 1 a plain "no", 130 and 141 for Ctrl-C and a closed pipe.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

import click

from gitxexp.errors import FATAL, USAGE, XexpError
from gitxexp.lazygroup import ClosedPipe, LazyGroup

if TYPE_CHECKING:
    from gitxexp.gitio import Git

#: verb → (module below gitxexp.commands, one line of help). The module has a command named like
#: the verb; nothing is imported before a verb is used.
VERBS: dict[str, tuple[str, str]] = {
    "init": ("init", "set a repository up, once and again"),
    "tag": ("tag", "snapshot the experiment as the next version"),
    "worktree": ("worktree", "one experiment, one branch, one folder"),
    "get": ("get", "get a file of any experiment"),
    "push": ("push", "push artifacts, branches and tags of experiments"),
    "merge": ("merge", "bring in the rows of other experiments, losing none"),
    "rebase": ("rebase", "bring in the rows of other experiments, replacing by key"),
    "diff": ("diff", "show the rows that differ between two versions"),
    "check": ("check", "say whether a merge dropped rows"),
    "conflicts": ("conflicts", "list and settle rows that git merge could not merge"),
    "drivers": ("drivers", "let git merge and show results row by row"),
    "candidates": ("candidates", "list the models beside production, or add one"),
    "promote": ("promote", "make a candidate the model in production"),
    "prune": ("prune", "remove candidates whose bytes are safe elsewhere"),
    "explore": ("explore", "list, show and compare experiments"),
    "registry": ("registry", "rebuild the registry from the tags"),
    "undo": ("undo", "take the last operation back"),
    "log": ("log", "list the operations of this repository"),
    "demo": ("demo", "a real experiment repository, walked through"),
}

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(
    cls=LazyGroup,
    verbs={name: (f"gitxexp.commands.{module}", text) for name, (module, text) in VERBS.items()},
    context_settings=SETTINGS,
    invoke_without_command=True,
)
@click.option("--version", is_flag=True, help="Print the version.")
@click.pass_context
def main(ctx: click.Context, version: bool) -> None:
    """Version machine-learning experiments with git, DVC and the database your tracker writes."""
    if version:
        from gitxexp._version import __version__

        click.echo(f"git-xexp version {__version__}")
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit(1)


def run(argv: Sequence[str], git: Git | None = None) -> int:
    """Run the command line; returns the exit code and lets no exception out.

    ``git`` is git in the current folder, where it has been asked something already.
    """
    _catch_termination()
    try:
        code = main.main(list(argv), prog_name="git xexp", standalone_mode=False, obj=git)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except XexpError as error:
        return _report(error.message, error.hint, error.exit_code)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.UsageError as error:
        return _usage(error)
    except click.ClickException as error:
        return _report(error.format_message(), None, FATAL)
    except (KeyboardInterrupt, click.Abort):
        _say("\ninterrupted: nothing was left half done")
        return 128 + signal.SIGINT
    except (ClosedPipe, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno is not None:
        where = f": {error.filename}" if error.filename else ""
        return _report(f"{error.strerror}{where}", "check permissions and free space", FATAL)
    if os.environ.get("XEXP_TRACEBACK"):
        raise error
    return _report(
        f"unexpected {type(error).__name__}: {error}",
        "this is a bug; XEXP_TRACEBACK=1 shows where it happened",
        FATAL,
    )


def _usage(error: click.UsageError) -> int:
    verb = error.ctx.command_path if error.ctx else "git xexp"
    return _report(error.format_message(), f"{verb} -h shows how it is used", USAGE)


def _report(message: str, hint: str | None, code: int) -> int:
    _say(f"{'error' if code == 1 else 'fatal'}: {message}")
    for line in (hint or "").splitlines():
        _say(f"hint: {line}")
    return code


def _say(text: str) -> None:
    encoding = sys.stderr.encoding or "utf-8"
    sys.stdout.flush()
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)


def _catch_termination() -> None:
    """SIGTERM takes the way of Ctrl-C, so that a rollback runs."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
