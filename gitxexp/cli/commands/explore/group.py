"""``git xexp explore``: the read-only verbs."""

from __future__ import annotations

import click

from gitxexp.cli.group import Group

_SUMMARIES = {
    "list": "list experiments, the newest or best first",
    "show": "show everything about one experiment",
    "log": "print the log of a run",
    "columns": "show the role of each results column, and why",
    "verify": "verify the claims of past tags",
    "diff": "compare two experiments, or one with the work tree",
    "plot": "plot a metric by version, date, step or parameter",
    "checkout": "check out a past experiment in its own worktree",
    "worktrees": "list the worktrees that checkout made",
    "cleanup": "remove the worktrees that checkout made",
}
_HERE = "gitxexp.cli.commands.explore"
_VERBS = {
    "list": f"{_HERE}.list.list_",
    "show": f"{_HERE}.show.show",
    "log": f"{_HERE}.log.log",
    "columns": f"{_HERE}.columns.columns",
    "verify": f"{_HERE}.verify.verify",
    "diff": f"{_HERE}.diff.diff",
    "plot": f"{_HERE}.plot.plot",
    "checkout": f"{_HERE}.worktrees.checkout",
    "worktrees": f"{_HERE}.worktrees.worktrees",
    "cleanup": f"{_HERE}.worktrees.cleanup",
}


_SHORT = "Short for these: git xexp list, show, info (show), compare (diff), plot, checkout."


@click.group(
    cls=Group, lazy=_VERBS, sections={"Commands": _SUMMARIES}, default="list", epilog=_SHORT
)
def explore() -> None:
    """List, show and compare experiments. Changes nothing; without a verb, lists them."""
