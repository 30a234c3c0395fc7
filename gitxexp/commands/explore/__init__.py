"""``git xexp explore``: the read-only verbs."""

from __future__ import annotations

import click

from gitxexp.lazygroup import LazyGroup

VERBS = {
    "list": ("gitxexp.commands.explore.listing", "list experiments, the newest or best first"),
    "show": ("gitxexp.commands.explore.showing", "show all that is known of one experiment"),
    "diff": ("gitxexp.commands.explore.comparing", "compare two experiments, or one with now"),
}


@click.group(cls=LazyGroup, verbs=VERBS, default="list")
def explore() -> None:
    """List, show and compare experiments. Changes nothing; without a verb it lists."""
