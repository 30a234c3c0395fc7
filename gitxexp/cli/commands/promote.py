"""``git xexp promote``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitxexp.cli import progress, prompts
from gitxexp.cli.group import Command
from gitxexp.cli.options import VersionType, open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import NoAnswer, only_one

if TYPE_CHECKING:
    from gitxexp.repository.version import AnyVersion
    from gitxexp.workflows.models.promote import PromotePlan


@click.command(cls=Command)
@click.argument("version", type=VersionType(), required=False)
@click.option("--run", metavar="ID", help="Promote the model of this run.")
@click.option("--best", metavar="METRIC", help="Promote the best model by METRIC.")
@click.option(
    "--from-worktree", "worktree", metavar="NAME", help="Promote a model of another worktree."
)
@click.option("--rollback", is_flag=True, help="Restore the previous production model.")
@click.option("--history", is_flag=True, help="List who promoted what and when.")
@click.option("--slot", metavar="NAME", help="The model slot, where there are several.")
@shared(message="The reason, kept in the history.")
@click.option("--no-keep", is_flag=True, help="Do not keep the replaced model as a candidate.")
@click.option("--no-commit", is_flag=True, help="Do not commit the changed pointers.")
@click.option("--tag", is_flag=True, help="Tag the result as the next version.")
@shared(
    yes="Do not ask, even if the model is worse.",
    dry_run="Show what would change.",
    no_wait=True,
    json=True,
)
def promote(
    version: AnyVersion | None,
    run: str | None,
    best: str | None,
    worktree: str | None,
    rollback: bool,
    history: bool,
    slot: str | None,
    message: str | None,
    no_keep: bool,
    no_commit: bool,
    tag: bool,
    yes: bool,
    dry_run: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Make a candidate, or the model of any version, the one in production.

    Without VERSION, --run or --best: the best by the primary metric. The replaced model becomes a
    candidate.
    """
    from gitxexp.cli.render import promotions
    from gitxexp.workflows.models import promote as models

    if history:
        promotions.show_history(open_project(), slot, as_json=as_json)
        return
    only_one({"VERSION": version, "--run": run and worktree is None, "--best": best,
              "--from-worktree": worktree, "--rollback": rollback})  # fmt: skip
    only_one({"--tag": tag, "--no-commit": no_commit})
    project = open_project()
    request = models.PromoteRequest(version=version, run=run, best=best, worktree=worktree, rollback=rollback,
                slot=slot, why=message or "")  # fmt: skip
    with progress.line("reading") as show:
        plan = models.plan_promotion(project, request, show)
    console.notes(plan.notes)
    if dry_run:
        promotions.show_plan(plan, as_json=as_json)
        return
    if not plan.already:
        if not as_json:
            console.done(*promotions.plan_text(plan))
        _ask(plan, yes=yes)
    how = models.PromoteOptions(
        keep=not no_keep, commit=not no_commit, tag=tag, yes=yes, wait=not no_wait
    )
    with progress.line("promoting") as show:
        done = models.promote(project, request, plan, how, show)
    promotions.show(done, as_json=as_json)


def _ask(plan: PromotePlan, *, yes: bool) -> None:
    """A question where the new model is worse, or nobody can tell; NoAnswer without a yes."""
    if plan.doubt is None or yes:
        return
    if not prompts.can_ask():
        raise NoAnswer(f"{plan.doubt}: nothing was promoted", "promote it anyway: --yes")
    if not prompts.confirm(f"{plan.doubt}. Promote it anyway?"):
        raise NoAnswer("nothing was promoted")
