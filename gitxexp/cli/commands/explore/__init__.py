"""``git xexp explore``: the read-only verbs."""

from __future__ import annotations

import click

from gitxexp.cli.group import LazyGroup

VERBS = {
    "list": ("gitxexp.cli.commands.explore.list_", "list experiments, the newest or best first"),
    "show": ("gitxexp.cli.commands.explore.show", "show all that is known of one experiment"),
    "columns": (
        "gitxexp.cli.commands.explore.columns",
        "show what each column of the results is, and why",
    ),
    "diff": ("gitxexp.cli.commands.explore.diff", "compare two experiments, or one with now"),
    "checkout": (
        "gitxexp.cli.commands.explore.worktrees",
        "a past experiment in a worktree of its own",
    ),
    "worktrees": ("gitxexp.cli.commands.explore.worktrees", "list what checkout made"),
    "cleanup": ("gitxexp.cli.commands.explore.worktrees", "remove what checkout made"),
}


@click.group(cls=LazyGroup, verbs=VERBS, default="list")
def explore() -> None:
    """List, show and compare experiments. Changes nothing; without a verb it lists."""
