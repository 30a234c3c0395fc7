"""``git xexp explore``: the read-only verbs."""

from __future__ import annotations

import click

from gitxexp.lazygroup import LazyGroup

VERBS = {
    "list": ("gitxexp.commands.explore.listing", "list experiments, the newest or best first"),
    "show": ("gitxexp.commands.explore.showing", "show all that is known of one experiment"),
    "diff": ("gitxexp.commands.explore.comparing", "compare two experiments, or one with now"),
    "checkout": (
        "gitxexp.commands.explore_worktrees",
        "a past experiment in a worktree of its own",
    ),
    "worktrees": ("gitxexp.commands.explore_worktrees", "list what checkout made"),
    "cleanup": ("gitxexp.commands.explore_worktrees", "remove what checkout made"),
}


@click.group(cls=LazyGroup, verbs=VERBS, default="list")
def explore() -> None:
    """List, show and compare experiments. Changes nothing; without a verb it lists."""
