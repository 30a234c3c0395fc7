"""``git xexp rebase``."""

from __future__ import annotations

from typing import Any

import click

from gitxexp.cli import prompts
from gitxexp.cli.commands.merge import merge_options, run
from gitxexp.cli.render import console, merges
from gitxexp.common.errors import NoAnswer
from gitxexp.common.text import counted
from gitxexp.tables.plan import Mode
from gitxexp.workflows.merge.merge import Merged


@click.command()
@merge_options
@click.option("-y", "--yes", is_flag=True, help="Replace without asking.")
def rebase(yes: bool, **options: Any) -> None:
    """Bring the rows of other experiments in, replacing rows with the same key.

    The key is --key, else version or experiment_version, else the run id. Asks before rows are
    replaced; git xexp undo brings them back.
    """

    def confirm(plan: Merged) -> None:
        replaced = sum(t.replaced for a in plan.artifacts for t in a.report.tables)
        if not replaced:
            if plan.changed:
                console.remark("nothing is replaced: git xexp merge would do the same")
            return
        _ask(plan, replaced)

    run(options, Mode.REBASE, None if yes or options["dry_run"] else confirm)


def _ask(plan: Merged, replaced: int) -> None:
    rows = counted(replaced, "row")
    if not prompts.can_ask():
        raise NoAnswer(f"this replaces {rows}", "go on with --yes, or look first with --dry-run")
    console.say(merges.merged(plan))
    if not prompts.confirm(f"replace {rows}?"):
        raise NoAnswer("nothing was replaced")
