"""``git xexp promote``."""

from __future__ import annotations

from typing import Any

import click

from gitxexp.cli import hints, progress, prompts
from gitxexp.cli.options import (
    VersionType,
    json_option,
    message_option,
    no_wait_option,
    open_project,
)
from gitxexp.cli.render import console
from gitxexp.cli.render import promotions as pages
from gitxexp.common.errors import NoAnswer, UsageError
from gitxexp.repository.repository import Project
from gitxexp.repository.version import AnyVersion
from gitxexp.workflows.models import history
from gitxexp.workflows.models import promote as models_promote
from gitxexp.workflows.models.promote import Promoted, PromoteOptions, PromotePlan, PromoteRequest


@click.command()
@click.argument("version", type=VersionType(), required=False)
@click.option("--run", metavar="ID", help="The model of this run.")
@click.option("--best", metavar="METRIC", help="The best model by METRIC.")
@click.option("--from-worktree", "worktree", metavar="NAME", help="A model of another worktree.")
@click.option("--rollback", is_flag=True, help="Put back what was there before.")
@click.option("--history", is_flag=True, help="List who promoted what and when.")
@click.option("--slot", metavar="NAME", help="The model slot, where there are several.")
@message_option("Why; kept in the history.")
@click.option("--no-keep", is_flag=True, help="Do not keep the replaced model as a candidate.")
@click.option("--no-commit", is_flag=True, help="Leave the changed pointers uncommitted.")
@click.option("--tag", is_flag=True, help="Tag the result as the next version.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask, even where the model is worse.")
@click.option("-n", "--dry-run", is_flag=True, help="Show before and after, and do nothing.")
@no_wait_option
@json_option
def promote(version: AnyVersion | None, **options: Any) -> None:
    """Make a candidate, or the model of any version, the one in production.

    Without VERSION, --run or --best: the best by the primary metric. The replaced model becomes a
    candidate.
    """
    project = open_project()
    as_json = options["as_json"]
    if options["history"]:
        _show_history(project, options["slot"], as_json=as_json)
        return
    request = _request(version, options)
    with progress.line("reading") as show:
        plan = models_promote.plan_promotion(project, request, show)
    _say_notes(plan)
    if options["dry_run"]:
        console.out(console.as_json(pages.plan_object(plan)) if as_json else pages.plan_text(plan))
        if plan.already:
            console.remark("it is in production already: nothing would be done")
        return
    yes = options["yes"]
    if not plan.already:
        if not as_json:
            console.done(pages.plan_text(plan))
        _ask(plan, yes=yes)
    how = PromoteOptions(
        keep=not options["no_keep"],
        commit=not options["no_commit"],
        tag=options["tag"],
        yes=yes,
        wait=not options["no_wait"],
    )
    with progress.line("promoting") as show:
        done = models_promote.promote(project, request, plan, how, show)
    _show(done, as_json=as_json)


def _request(version: AnyVersion | None, options: dict[str, Any]) -> PromoteRequest:
    chosen = {
        "VERSION": version,
        "--run": options["run"],
        "--best": options["best"],
        "--from-worktree": options["worktree"],
        "--rollback": options["rollback"] or None,
    }
    given = [name for name, value in chosen.items() if value is not None]
    if len(given) > 1 and set(given) != {"--run", "--from-worktree"}:
        raise UsageError(f"{' and '.join(given)} exclude each other", "give one of them")
    if options["tag"] and options["no_commit"]:
        raise UsageError("--tag and --no-commit exclude each other", "leave one of them out")
    return PromoteRequest(
        version=version,
        run=options["run"],
        best=options["best"],
        worktree=options["worktree"],
        rollback=options["rollback"],
        slot=options["slot"],
        why=options["message"] or "",
    )


def _ask(plan: PromotePlan, *, yes: bool) -> None:
    """A question where the new model is worse, or nobody can tell; NoAnswer without a yes."""
    if plan.doubt is None or yes:
        return
    if not prompts.can_ask():
        raise NoAnswer(f"{plan.doubt}: nothing was promoted", "promote it all the same: --yes")
    if not prompts.confirm(f"{plan.doubt}. Promote it all the same?"):
        raise NoAnswer("nothing was promoted")


def _say_notes(plan: PromotePlan) -> None:
    for note in plan.notes:
        console.say(f"note: {note}")


def _show(done: Promoted, *, as_json: bool) -> None:
    if as_json:
        console.out(console.as_json(pages.promoted_object(done)))
        return
    name = done.plan.after.facts.run or done.plan.after.model.run or done.plan.after.origin
    if done.promotion is None:
        console.done(f"{name} is in production already: nothing to do")
        hints.hint()
        return
    console.done(f"promoted {name} to {done.plan.slot.production}")
    if done.kept:
        console.done(f"the replaced model is now {done.kept}")
    if done.tagged:
        version = console.paint(str(done.tagged.version), "yellow")
        console.done(f"{version}  {done.tagged.payload.headline}")


def _show_history(project: Project, slot: str | None, *, as_json: bool) -> None:
    found = history.history(project, slot)
    if as_json:
        console.out(console.as_json([promotion._asdict() for promotion in found]))
    elif found:
        console.page(pages.history_table(found))
    else:
        console.remark("nothing has been promoted yet")
