"""How a pruning looks: a table of what stays and what goes, and why; the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gitxexp.cli.render import console
from gitxexp.cli.render.console import Column
from gitxexp.cli.render.numbers import size
from gitxexp.repository import tag_message
from gitxexp.workflows.models.cache import Freed
from gitxexp.workflows.models.finished_worktrees import Verdict
from gitxexp.workflows.models.prune import Fate, Pruned, Pruning


def table(plan: Pruning) -> str:
    """Every candidate with its fate, in rank order."""
    fates = plan.fates
    metrics = [plan.metrics.get(fate.model.slot) for fate in fates]
    values = [
        f"{name}={tag_message.show(fate.value)}" if fate.value is not None else "-"
        for name, fate in zip(metrics, fates, strict=True)
    ]
    return console.table(
        [
            Column("fate", [_fate(fate) for fate in fates], red=_going(fates)),
            Column("file", [fate.model.path for fate in fates], flexible=True),
            Column("run", [fate.model.run or "-" for fate in fates], flexible=True),
            Column("metric", values),
            Column("size", [size(fate.model.size) for fate in fates], right=True, optional=1),
            Column("frees", [size(fate.freed) if fate.goes else "-" for fate in fates], right=True),
            Column("why", [fate.why for fate in fates], flexible=True),
            Column("also in", [fate.proof or "-" for fate in fates]),
        ]
    )


def _fate(fate: Fate) -> str:
    if fate.goes:
        return "goes"
    return "not proved" if fate.wanted else "stays"


def _going(fates: Sequence[Fate | Verdict]) -> frozenset[int]:
    return frozenset(at for at, fate in enumerate(fates) if fate.goes)


def plan_object(plan: Pruning) -> dict[str, Any]:
    """``prune --dry-run --json``."""
    return {
        "candidates": [_object(fate) for fate in plan.fates],
        "metrics": plan.metrics,
        "frees": sum(fate.freed for fate in plan.gone),
        "problem": plan.problem,
        "notes": list(plan.notes),
    }


def _object(fate: Fate) -> dict[str, Any]:
    return {
        "slot": fate.model.slot,
        "path": fate.model.path,
        "run": fate.model.run,
        "value": fate.value,
        "size": fate.model.size,
        "hash": fate.model.hash,
        "goes": fate.goes,
        "wanted": fate.wanted,
        "why": fate.why,
        "proof": fate.proof,
        "frees": fate.freed,
    }


def done_object(plan: Pruning, done: Pruned) -> dict[str, Any]:
    """``prune --json``."""
    return plan_object(plan) | {
        "removed": [fate.model.path for fate in done.gone],
        "freed": done.freed,
        "kept": str(done.kept) if done.kept else None,
        "commit": done.commit,
    }


def freed_object(found: Freed) -> dict[str, Any]:
    """``prune --cache --json``."""
    return {
        "caches": [str(cache) for cache in found.caches],
        "objects": found.objects,
        "freed": found.size,
        "kept": found.kept,
    }


def trees_table(found: Sequence[Verdict]) -> str:
    """Every worktree with whether it is finished."""
    return console.table(
        [
            Column(
                "fate",
                ["goes" if verdict.goes else "stays" for verdict in found],
                red=_going(found),
            ),
            Column("worktree", [verdict.tree.name for verdict in found]),
            Column("kind", [verdict.kind for verdict in found]),
            Column("why", [verdict.why for verdict in found], flexible=True),
            Column("path", [str(verdict.tree.path) for verdict in found], flexible=True),
        ]
    )


def trees_objects(found: Sequence[Verdict], gone: Sequence[Verdict]) -> list[dict[str, Any]]:
    """``prune --worktrees --json``."""
    return [
        {
            "name": verdict.tree.name,
            "kind": verdict.kind,
            "path": str(verdict.tree.path),
            "finished": verdict.goes,
            "why": verdict.why,
            "removed": verdict in gone,
        }
        for verdict in found
    ]
