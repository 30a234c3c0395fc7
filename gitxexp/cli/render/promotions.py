"""Print a promotion: before and after, and who promoted what and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gitxexp.cli import hints
from gitxexp.cli.render import console
from gitxexp.cli.render.console import Column, or_dash, paint, rounded, size
from gitxexp.cli.render.details import section
from gitxexp.repository.registry import Promotion
from gitxexp.repository.repository import Project
from gitxexp.workflows.models.history import history, rolled_back
from gitxexp.workflows.models.inventory import Model
from gitxexp.workflows.models.promote import MetricDelta, Promoted, PromotePlan
from gitxexp.workflows.models.run_facts import RunFacts


def show_plan(plan: PromotePlan, *, as_json: bool) -> None:
    """Print what would be promoted."""
    if as_json:
        console.print_json(plan_object(plan))
    else:
        console.out(*plan_text(plan))
    if plan.already:
        console.remark("it is already in production: nothing would change")


def show(done: Promoted, *, as_json: bool) -> None:
    """Print what was promoted."""
    if as_json:
        console.print_json(promoted_object(done))
        return
    name = done.plan.after.facts.run or done.plan.after.model.run or done.plan.after.origin
    if done.promotion is None:
        console.done(f"{name} is already in production: nothing to do")
        before = done.plan.before
        if before is not None and not before.there:
            path = done.plan.context.project.typed(before.path)
            hints.hint(f"it is not checked out: dvc checkout {path}")
        else:
            hints.hint()
        return
    if done.plan.already:
        console.done(f"{name} is in production already; the promotion is recorded")
    else:
        console.done(f"promoted {name} to {done.plan.slot.production}")
    if done.kept:
        console.done(f"the replaced model is now {done.kept}")
    if done.tagged:
        version = console.paint(str(done.tagged.version), "yellow")
        console.done(f"{version}  {done.tagged.payload.headline}")


def show_history(project: Project, slot: str | None, *, as_json: bool) -> None:
    """Print who promoted what and when."""
    found = history(project, slot)
    if as_json:
        console.print_json([promotion._asdict() for promotion in found])
    elif found:
        console.page(history_table(found))
    else:
        console.remark("nothing has been promoted yet")


def plan_text(plan: PromotePlan) -> list[str]:
    """Before and after: metrics with what became better or worse, sizes, hashes."""
    before, after = plan.before, plan.after
    rows = [("", "before", "after", "", "")]
    rows.append(("run", _name(plan.before_facts, before), _name(after.facts, after.model), "", ""))
    rows.append(("version", plan.before_facts.version or "-", after.facts.version or "-", "", ""))
    rows += [_delta(delta) for delta in plan.deltas]
    rows.append(("size", size(before.size) if before else "-", size(after.model.size), "", ""))
    rows.append(("hash", before.oid[:8] if before else "-", after.model.oid[:8], "", ""))
    return section(f"{plan.slot.production}  ←  {after.origin}", rows)[:-1]


def _name(facts: RunFacts, model: Model | None) -> str:
    return facts.run or (model.run if model else None) or "-"


def _delta(delta: MetricDelta) -> tuple[str, str, str, str, str]:
    before, after = map(or_dash, (delta.before, delta.after))
    if not delta.delta:
        return delta.name, before, after, "", "same" if delta.delta == 0 else "?"
    sign = "+" if delta.delta > 0 else "-"
    verdict = paint("better", "green") if delta.better else paint("worse", "red")
    return delta.name, before, after, f"{sign}{rounded(abs(delta.delta))}", verdict


def plan_object(plan: PromotePlan) -> dict[str, Any]:
    """A promotion's plan as JSON holds it."""
    after = plan.after
    return {
        "slot": plan.slot.name,
        "production": plan.slot.production,
        "before": _side(plan.before, plan.before_facts),
        "after": _side(after.model, after.facts),
        "origin": after.origin,
        "metric": plan.metric,
        "metrics": [asdict(delta) for delta in plan.deltas],
        "already": plan.already,
        "doubt": plan.doubt,
        "notes": list(plan.notes),
    }


def _side(model: Model | None, facts: RunFacts) -> dict[str, Any] | None:
    if model is None:
        return None
    return {
        "run": facts.run or model.run,
        "version": facts.version,
        "hash": model.hash,
        "size": model.size,
    }


def promoted_object(done: Promoted) -> dict[str, Any]:
    """``promote --json``."""
    return plan_object(done.plan) | {
        "promotion": done.promotion._asdict() if done.promotion else None,
        "kept": done.kept,
        "commit": done.commit,
        "tag": str(done.tagged.version) if done.tagged else None,
    }


def history_table(found: Sequence[Promotion]) -> list[str]:
    """Who promoted what and when, the newest first."""
    several = len({p.slot for p in found}) > 1
    runs = {p.id: p.run for p in found}
    columns = [
        Column(
            "at",
            [p.at[: 16 if console.is_terminal() else 19].replace("T", " ") + "Z" for p in found],
        )
    ]
    if several:
        columns.append(Column("slot", [p.slot for p in found]))
    return console.table(
        [
            *columns,
            Column("version", [p.version or "-" for p in found]),
            Column("run", [p.run or "-" for p in found], flexible=True),
            Column("metric", [_measured(p) for p in found]),
            Column("before", [p.hash_before[4:12] or "-" for p in found], optional=1),
            Column("after", [p.hash_after[4:12] for p in found], optional=1),
            Column("who", [p.who for p in found], flexible=True),
            Column("why", [_why(p, runs) for p in found], flexible=True),
        ]
    )


def _why(promotion: Promotion, runs: Mapping[str, str | None]) -> str:
    """The reason; of a rollback with the run that was in production, not the id that JSON has."""
    taken = rolled_back(promotion)
    return promotion.why.replace(taken, runs.get(taken) or taken[:8]) if taken else promotion.why


def _measured(promotion: Promotion) -> str:
    if promotion.value is None:
        return "-"
    return f"{promotion.metric}={or_dash(promotion.value)}"
