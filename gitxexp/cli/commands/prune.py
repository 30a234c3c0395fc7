"""``git xexp prune``: candidates, the cache, worktrees that are finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gitxexp.cli import hints, progress, prompts
from gitxexp.cli.options import Age, json_option, no_wait_option, open_project
from gitxexp.cli.render import console
from gitxexp.cli.render import prunings as pages
from gitxexp.cli.render.numbers import size
from gitxexp.common.errors import NO, NoAnswer, UsageError
from gitxexp.common.text import counted
from gitxexp.repository.repository import Project
from gitxexp.workflows.models import cache
from gitxexp.workflows.models import prune as models_prune
from gitxexp.workflows.models.prune import GroupBy, Pruned, PruneOptions, PrunePlan, PruneRules
from gitxexp.workflows.worktrees import finished, records


@click.command()
@click.option("--keep", type=click.IntRange(min=0), metavar="K", help="Keep the best K (5).")
@click.option("--metric", metavar="M", help="Rank by M (default: the primary metric).")
@click.option("--per", type=click.Choice(list(GroupBy), case_sensitive=False), help="K of each.")
@click.option("--older-than", type=Age(), metavar="AGE", help="Only what is older: 12h, 30d, 6mo.")
@click.option("--include-unranked", is_flag=True, help="Also what has no number for the metric.")
@click.option("--slot", metavar="NAME", help="Only this model slot.")
@click.option("--push", is_flag=True, help="Push what is the only copy; then it may go.")
@click.option("--force", is_flag=True, help="Also the only copy: its bytes are moved, not deleted.")
@click.option("--cache", is_flag=True, help="Free the DVC cache of what nothing refers to.")
@click.option(
    "--project", "projects", type=click.Path(exists=True, path_type=Path), multiple=True,
    metavar="PATH", help="With --cache: a further project that uses it (repeatable).",
)  # fmt: skip
@click.option("--worktrees", is_flag=True, help="Remove worktrees that are provably finished.")
@click.option("--explore", is_flag=True, help="Remove unchanged worktrees of explore checkout.")
@click.option("--no-commit", is_flag=True, help="Leave the changed pointer uncommitted.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would go, and do nothing.")
@no_wait_option
@json_option
def prune(**options: Any) -> None:
    """Remove candidates that are not among the best, if their bytes are safe elsewhere.

    Production, the last promoted and what is labelled keep always stay. Nothing goes that is not
    proved to be on a remote, or held by a tag and in the cache.
    """
    _check(options)
    project = open_project()
    if options["cache"]:
        _cache(project, options)
    elif options["worktrees"] or options["explore"]:
        _trees(project, options)
    else:
        raise click.exceptions.Exit(_candidates(project, options))


_CANDIDATES = ("keep", "metric", "per", "older_than", "include_unranked", "slot", "push")


def _check(options: dict[str, Any]) -> None:
    special = [name for name in ("cache", "worktrees", "explore") if options[name]]
    if "cache" in special and len(special) > 1:
        raise UsageError("--cache and worktrees are pruned one after the other", "give one of them")
    wrong = [name for name in _CANDIDATES if special and options[name] not in (None, False)]
    if wrong:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
        raise UsageError(f"{names}: only for candidates, not with --{special[0]}")
    if options["projects"] and "cache" not in special:
        raise UsageError("--project goes with --cache")


# -- candidates ------------------------------------------------------------------------------------


def _candidates(project: Project, options: dict[str, Any]) -> int:
    rules = PruneRules(
        keep=5 if options["keep"] is None else options["keep"],
        metric=options["metric"],
        per=GroupBy(options["per"]) if options["per"] else None,
        older_than=options["older_than"],
        unranked=options["include_unranked"],
        slot=options["slot"],
    )
    plan = _plan(project, rules, push=options["push"] and not options["dry_run"])
    as_json = options["as_json"]
    for note in plan.notes:
        console.say(f"note: {note}")
    if not as_json:
        _show_plan(plan, options)
    going = [*plan.deletable, *(plan.only_copies if options["force"] else [])]
    if options["dry_run"] or not going:
        hints.hint()
        if as_json:
            console.out(console.as_json(pages.plan_object(plan)))
        elif plan.decisions and not (plan.only_copies or going):
            console.remark("nothing to prune")
        return NO if plan.only_copies and not going else 0
    _confirm(f"remove {len(going)} of {counted(len(plan.decisions), 'candidate')}?", options)
    how = PruneOptions(options["force"], not options["no_commit"], not options["no_wait"])
    _show_done(plan, models_prune.prune(project, rules, plan, how), as_json=as_json)
    return 0


def _plan(project: Project, rules: PruneRules, *, push: bool) -> PrunePlan:
    """What would go; with ``push`` the only copies are sent to their remote first."""
    with progress.line("reading") as show:
        plan = models_prune.plan_prune(project, rules, show)
    if not push or not plan.only_copies:
        return plan
    with progress.line("pushing") as show:
        sent = models_prune.push(project, plan, show)
    for path in sent:
        console.remark(f"pushed {path}")
    return models_prune.plan_prune(project, rules)


def _show_plan(plan: PrunePlan, options: dict[str, Any]) -> None:
    if not plan.decisions:
        console.remark("there are no candidates")
        return
    asked = options["dry_run"] or not (plan.deletable or options["force"])
    (console.out if asked else console.done)(pages.table(plan))
    if plan.only_copies and not options["force"]:
        console.say(f"not proved to be anywhere else: {len(plan.only_copies)}; they stay")
        if plan.problem:
            console.say(f"note: {plan.problem}")
        hints.hint(
            "put them on the remote and prune them: git xexp prune --push",
            "or let a tag hold them: git xexp tag",
        )


def _confirm(question: str, options: dict[str, Any]) -> None:
    if options["yes"] or not prompts.can_ask():
        return
    if not prompts.confirm(question):
        raise NoAnswer("nothing was removed")


def _show_done(plan: PrunePlan, done: Pruned, *, as_json: bool) -> None:
    if as_json:
        console.out(console.as_json(pages.done_object(plan, done)))
        return
    console.done(f"removed {len(done.gone)} of {len(plan.decisions)}, {size(done.freed)} freed")
    if done.kept:
        console.done(f"their bytes are kept in {done.kept} for as long as git xexp undo reaches")


# -- the rest --------------------------------------------------------------------------------------


def _cache(project: Project, options: dict[str, Any]) -> None:
    def free(*, dry_run: bool) -> cache.FreedCache:
        wait = not options["no_wait"]
        others = options["projects"]
        return cache.prune_cache(
            project, others, dry_run=dry_run, force=options["force"], wait=wait
        )

    found = free(dry_run=True)
    if not options["dry_run"] and found.objects:
        what = f"{counted(found.objects, 'object')}, {size(found.size)}"
        _confirm(f"delete {what} that nothing refers to?", options)
        found = free(dry_run=False)
    if options["as_json"]:
        console.out(console.as_json(pages.freed_object(found)))
        return
    verb, show = ("would free", console.out) if options["dry_run"] else ("freed", console.done)
    show(
        f"{verb} {counted(found.size, 'byte')} ({size(found.size)}):"
        f" {counted(found.objects, 'object')} unused, {found.kept} kept"
    )


def _trees(project: Project, options: dict[str, Any]) -> None:
    chosen = {
        records.WORKTREE: options["worktrees"],
        records.EXPLORE: options["explore"],
    }
    with progress.line("checking") as show:
        found = finished.check_finished(project, [kind for kind, on in chosen.items() if on], show)
    going = [check for check in found if check.finished]
    as_json = options["as_json"]
    if found and not as_json:
        shown = console.out if options["dry_run"] or not going else console.done
        shown(pages.trees_table(found))
    gone = []
    if going and not options["dry_run"]:
        _confirm(f"remove {len(going)} of {counted(len(found), 'worktree')}?", options)
        gone = finished.remove(project, going, wait=not options["no_wait"])
    if as_json:
        console.out(console.as_json(pages.trees_objects(found, gone)))
    elif not options["dry_run"]:
        undo = " (git xexp undo brings the last one back)" if gone else ""
        if not gone:
            hints.hint()
        console.done(f"removed {len(gone)} of {counted(len(found), 'worktree')}{undo}")
