"""``git xexp rebase``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitxexp.cli import prompts
from gitxexp.cli.commands.merge import Given, merge_options, run
from gitxexp.cli.group import Command
from gitxexp.cli.options import shared
from gitxexp.cli.render import console
from gitxexp.common.errors import NoAnswer
from gitxexp.common.text import counted
from gitxexp.tables.plan import Mode

if TYPE_CHECKING:
    from gitxexp.workflows.merge.merge import Merged


@click.command(cls=Command)
@merge_options
@shared(yes="Replace without asking.")
def rebase(given: Given, yes: bool) -> None:
    """Bring the rows of other experiments in, replacing rows with the same key.

    The key is --key, else version or experiment_version, else the run id. Asks before rows are
    replaced; git xexp undo restores them.
    """
    run(given, Mode.REBASE, None if yes else _confirm)


def _confirm(plan: Merged) -> None:
    replaced = sum(t.replaced for a in plan.artifacts for t in a.report.tables)
    if not replaced:
        if plan.changed:
            console.remark("nothing would be replaced: git xexp merge would do the same")
        return
    rows = counted(replaced, "row")
    if not prompts.can_ask():
        raise NoAnswer(f"this replaces {rows}", "continue with --yes, or look first with --dry-run")
    from gitxexp.cli.render import merges

    console.say(*merges.merged(plan))
    if not prompts.confirm(f"replace {rows}?"):
        raise NoAnswer("nothing was replaced")
