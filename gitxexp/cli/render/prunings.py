"""Print what is removed and kept, and why: as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gitxexp.cli import hints
from gitxexp.cli.render import console
from gitxexp.cli.render.console import Column, rounded, size
from gitxexp.common.text import counted
from gitxexp.workflows.models.cache import FreedCache
from gitxexp.workflows.models.prune import Pruned, PruneDecision, PrunePlan
from gitxexp.workflows.worktrees.finished import FinishedCheck


def show_plan(plan: PrunePlan, *, force: bool, dry_run: bool) -> None:
    """Print what stays and what goes, and how the rest can be made to go."""
    if not plan.decisions:
        console.remark("there are no candidates")
        return
    asked = dry_run or not (plan.deletable or force)
    (console.out if asked else console.done)(*table(plan, force=force))
    if plan.only_copies and not force:
        console.say(f"not known to be stored elsewhere: {len(plan.only_copies)}; they stay")
        if plan.problem:
            console.say(f"note: {plan.problem}")
        hints.hint(
            "push them and prune them: git xexp prune --push",
            "or tag them: git xexp tag",
        )


def show_done(plan: PrunePlan, done: Pruned, *, force: bool, as_json: bool) -> None:
    """Print what was removed."""
    if as_json:
        console.print_json(done_object(plan, done, force=force))
        return
    console.done(f"removed {len(done.gone)} of {len(plan.decisions)}, {size(done.freed)} freed")
    if done.kept:
        console.done(f"they are kept in {done.kept} for as long as git xexp undo reaches")


def show_freed(found: FreedCache, *, dry_run: bool, as_json: bool) -> None:
    """Print what a cache gave back, or would."""
    if as_json:
        console.print_json(freed_object(found))
        return
    verb, show = ("would free", console.out) if dry_run else ("freed", console.done)
    show(
        f"{verb} {counted(found.size, 'byte')} ({size(found.size)}):"
        f" {counted(found.objects, 'object')} unused, {found.kept} kept"
    )


def table(plan: PrunePlan, *, force: bool) -> list[str]:
    """Every candidate with what happens to it, in rank order."""
    decisions = plan.decisions
    models = [one.model for one in decisions]
    going = plan.going(force=force)
    red = frozenset(at for at, one in enumerate(decisions) if one in going)
    frees = [size(one.freed) if one.deletable else "-" for one in decisions]
    return console.table(
        [
            Column("action", [_action(one, one in going) for one in decisions], red=red),
            Column("file", [model.path for model in models], flexible=True),
            Column("run", [model.run or "-" for model in models], flexible=True),
            Column("metric", [_measured(one, plan.metrics) for one in decisions]),
            Column("size", [size(model.size) for model in models], right=True, optional=1),
            Column("frees", frees, right=True),
            Column("why", [one.why for one in decisions], flexible=True),
            Column("also in", [one.copy or "-" for one in decisions]),
        ]
    )


def _measured(decision: PruneDecision, metrics: Mapping[str, str | None]) -> str:
    if decision.value is None:
        return "-"
    return f"{metrics.get(decision.model.slot)}={rounded(decision.value)}"


def _action(decision: PruneDecision, goes: bool) -> str:
    only = " (only copy)" if decision.excess and not decision.deletable else ""
    return f"{'remove' if goes else 'keep'}{only}"


def plan_object(plan: PrunePlan, *, force: bool) -> dict[str, Any]:
    """``prune --dry-run --json``."""
    going = plan.going(force=force)
    return {
        "candidates": [_object(decision, decision in going) for decision in plan.decisions],
        "metrics": plan.metrics,
        "frees": sum(decision.freed for decision in plan.deletable),
        "problem": plan.problem,
        "notes": list(plan.notes),
    }


def _object(decision: PruneDecision, goes: bool) -> dict[str, Any]:
    return {
        "slot": decision.model.slot,
        "path": decision.model.path,
        "run": decision.model.run,
        "value": decision.value,
        "size": decision.model.size,
        "hash": decision.model.hash,
        "goes": goes,
        "wanted": decision.excess,
        "why": decision.why,
        "proof": decision.copy,
        "frees": decision.freed,
    }


def done_object(plan: PrunePlan, done: Pruned, *, force: bool) -> dict[str, Any]:
    """``prune --json``."""
    return plan_object(plan, force=force) | {
        "removed": [decision.model.path for decision in done.gone],
        "freed": done.freed,
        "kept": str(done.kept) if done.kept else None,
        "commit": done.commit,
    }


def freed_object(freed: FreedCache) -> dict[str, Any]:
    """``prune --cache --json``."""
    return {
        "caches": [str(cache) for cache in freed.caches],
        "objects": freed.objects,
        "freed": freed.size,
        "kept": freed.kept,
    }


def trees_table(checks: Sequence[FinishedCheck]) -> list[str]:
    """Every worktree with whether it is finished."""
    return console.table(
        [
            Column(
                "action",
                ["remove" if check.finished else "keep" for check in checks],
                red=frozenset(at for at, check in enumerate(checks) if check.finished),
            ),
            Column("worktree", [check.tree.name for check in checks]),
            Column("kind", [check.kind for check in checks]),
            Column("why", [check.why for check in checks], flexible=True),
            Column("path", [str(check.tree.path) for check in checks], flexible=True),
        ]
    )


def trees_objects(
    checks: Sequence[FinishedCheck], gone: Sequence[FinishedCheck]
) -> list[dict[str, Any]]:
    """``prune --worktrees --json``."""
    return [
        {
            "name": check.tree.name,
            "kind": check.kind,
            "path": str(check.tree.path),
            "finished": check.finished,
            "why": check.why,
            "removed": check in gone,
        }
        for check in checks
    ]
