"""``git xexp ui``."""

from __future__ import annotations

import sys

import click

from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project
from gitxexp.common.errors import UsageError


@click.command(cls=Command)
@click.option("--runs", is_flag=True, help="Start with runs instead of experiments.")
@click.option("--filter", "filter_", default="", metavar="TEXT",
              help="Start with this filter: words, or 'f1 > 0.8'.")  # fmt: skip
def ui(runs: bool, filter_: str) -> None:
    """Browse experiments and runs in the terminal.

    Filter as you type, look at details, differences, curves and logs; check out, get, promote,
    label, or start a worktree. Each command is confirmed before it runs, and git xexp undo undoes
    it. The question mark lists the keys.
    """
    if not _is_terminal():
        raise UsageError(
            "the browser needs a terminal", "for a program: git xexp explore list --json"
        )
    project = open_project()
    try:
        from gitxexp.cli.ui.app import browse
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        from gitxexp.common.missing import missing_package

        raise missing_package("textual", "git xexp ui needs it", "ui") from None
    browse(project, runs=runs, text=filter_)


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
