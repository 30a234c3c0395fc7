"""``git xexp prune``: candidates, the cache, worktrees that are finished."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitxexp.cli import hints, progress, prompts
from gitxexp.cli.group import Command
from gitxexp.cli.options import Age, open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import FATAL, NO, NoAnswer, UsageError, only_one
from gitxexp.common.text import counted

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.workflows.models.prune import PruneOptions, PrunePlan, PruneRules

#: As :class:`gitxexp.workflows.models.prune.GroupBy` has them.
PER = ("version", "model")
_KEEP = 5


@click.command(cls=Command)
@click.option("--keep", type=click.IntRange(min=0), metavar="K", help="Keep the best K (5).")
@click.option("--metric", metavar="M", help="Rank by M (default: the primary metric).")
@click.option("--per", type=click.Choice(PER, case_sensitive=False), help="Keep K per group.")
@click.option(
    "--older-than", type=Age(), metavar="AGE", help="Only models older than this: 12h, 30d, 6mo."
)
@click.option(
    "--include-unranked", is_flag=True, help="Include models without a value for the metric."
)
@click.option("--slot", metavar="NAME", help="Prune only this model slot.")
@click.option("--push", is_flag=True, help="Push models that exist nowhere else, then remove them.")
@click.option("--force", is_flag=True, help="Remove even the only copy, keeping a backup for undo.")
@click.option("--cache", is_flag=True, help="Delete cache objects that nothing refers to.")
@click.option(
    "--project", "projects", type=click.Path(exists=True, path_type=Path), multiple=True,
    metavar="PATH", help="With --cache: another project that uses the cache (repeatable).",
)  # fmt: skip
@click.option(
    "--worktrees", is_flag=True, help="Remove worktrees that are tagged, merged and pushed."
)
@click.option("--explore", is_flag=True, help="Remove unchanged worktrees of explore checkout.")
@click.option("--no-commit", is_flag=True, help="Do not commit the changed pointer.")
@shared(yes="Do not ask.", dry_run="Show what would be removed.", no_wait=True, json=True)
@click.pass_context
def prune(
    ctx: click.Context,
    keep: int | None,
    metric: str | None,
    per: str | None,
    older_than: float | None,
    include_unranked: bool,
    slot: str | None,
    push: bool,
    force: bool,
    cache: bool,
    projects: tuple[Path, ...],
    worktrees: bool,
    explore: bool,
    no_commit: bool,
    yes: bool,
    dry_run: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Remove candidates that are not among the best, if they are stored elsewhere.

    Production, the last promoted and what is labelled keep always stay. Nothing goes that is not
    proved to be on a remote, or held by a tag and in the cache.
    """
    from gitxexp.workflows.models.prune import GroupBy, PruneOptions, PruneRules

    _check(ctx)
    project, wait = open_project(), not no_wait
    asks = _Asks(yes=yes, dry_run=dry_run, as_json=as_json)
    if cache:
        _cache(project, projects, asks, force=force, wait=wait)
    elif worktrees or explore:
        chosen = {"worktree": worktrees, "explore": explore}
        _trees(project, [kind for kind, on in chosen.items() if on], asks, wait=wait)
    else:
        rules = PruneRules(
            keep=_KEEP if keep is None else keep,
            metric=metric,
            per=GroupBy(per) if per else None,
            older_than=older_than,
            unranked=include_unranked,
            slot=slot,
        )
        plan = _plan(project, rules, push=push and not dry_run)
        ctx.exit(_candidates(project, rules, plan, PruneOptions(force, not no_commit, wait), asks))


@dataclass(frozen=True)
class _Asks:
    """How the command line wants to be asked and told."""

    yes: bool
    dry_run: bool
    as_json: bool

    def confirm(self, question: str) -> None:
        """Raises NoAnswer where the user is asked and says no."""
        if not self.yes and prompts.can_ask() and not prompts.confirm(question):
            raise NoAnswer("nothing was removed")


_CANDIDATES = ("keep", "metric", "per", "older_than", "include_unranked", "slot", "push")


def _check(ctx: click.Context) -> None:
    given = ctx.params
    special = [name for name in ("cache", "worktrees", "explore") if given[name]]
    if given["cache"]:
        only_one({f"--{name}": True for name in special}, "prune one after the other")
    for name in _CANDIDATES if special else ():
        option = f"--{name.replace('_', '-')}"
        only_one({option: given[name] not in (None, False), f"--{special[0]}": True},
                 f"{option} is for candidates")  # fmt: skip
    if given["projects"] and not given["cache"]:
        raise UsageError("--project goes with --cache", "git xexp prune --cache --project DIR")


# -- candidates ------------------------------------------------------------------------------------


def _plan(project: Project, rules: PruneRules, *, push: bool) -> PrunePlan:
    """What would go; with ``push`` the only copies are sent to their remote first."""
    from gitxexp.workflows.models import prune

    with progress.line("reading") as show:
        plan = prune.plan_prune(project, rules, show)
    if not push or not plan.only_copies:
        return plan
    with progress.line("pushing") as show:
        sent = prune.push(project, plan, show)
    for path in sent:
        console.remark(f"pushed {path}")
    return prune.plan_prune(project, rules)


def _candidates(
    project: Project, rules: PruneRules, plan: PrunePlan, how: PruneOptions, asks: _Asks
) -> int:
    from gitxexp.cli.render import prunings
    from gitxexp.workflows.models.prune import prune

    console.notes(plan.notes)
    if not asks.as_json:
        prunings.show_plan(plan, force=how.force, dry_run=asks.dry_run)
    going = plan.going(force=how.force)
    if asks.dry_run or not going:
        hints.hint()
        if asks.as_json:
            console.print_json(prunings.plan_object(plan, force=how.force))
        elif plan.decisions and not (plan.only_copies or going):
            console.remark("nothing to prune")
        if not plan.only_copies or going:
            return 0
        return FATAL if plan.unasked else NO
    asks.confirm(f"remove {len(going)} of {counted(len(plan.decisions), 'candidate')}?")
    done = prune(project, rules, plan, how)
    prunings.show_done(plan, done, force=how.force, as_json=asks.as_json)
    return 0


# -- the rest --------------------------------------------------------------------------------------


def _cache(
    project: Project, others: tuple[Path, ...], asks: _Asks, *, force: bool, wait: bool
) -> None:
    from gitxexp.cli.render import prunings
    from gitxexp.workflows.models.cache import prune_cache

    freed = prune_cache(project, others, dry_run=True, force=force, wait=wait)
    if not asks.dry_run and freed.objects:
        what = f"{counted(freed.objects, 'object')}, {console.size(freed.size)}"
        asks.confirm(f"delete {what} that nothing refers to?")
        freed = prune_cache(project, others, force=force, wait=wait)
    prunings.show_freed(freed, dry_run=asks.dry_run, as_json=asks.as_json)


def _trees(project: Project, kinds: list[str], asks: _Asks, *, wait: bool) -> None:
    from gitxexp.cli.render import prunings
    from gitxexp.workflows.worktrees.finished import check_finished, remove

    with progress.line("checking") as show:
        checks = check_finished(project, kinds, show)
    going = [check for check in checks if check.finished]
    if checks and not asks.as_json:
        shown = console.out if asks.dry_run or not going else console.done
        shown(*prunings.trees_table(checks))
    gone = []
    if going and not asks.dry_run:
        asks.confirm(f"remove {len(going)} of {counted(len(checks), 'worktree')}?")
        gone = remove(project, going, wait=wait)
    if asks.as_json:
        console.print_json(prunings.trees_objects(checks, gone))
    elif not asks.dry_run:
        undo = " (git xexp undo restores the last one)" if gone else ""
        if not gone:
            hints.hint()
        console.done(f"removed {len(gone)} of {counted(len(checks), 'worktree')}{undo}")
