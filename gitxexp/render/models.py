"""How models look: the list of candidates, and a promotion's before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gitxexp import naming, payload, render
from gitxexp.models.facts import Facts
from gitxexp.models.listing import Listing, Row
from gitxexp.models.placing import Promoted
from gitxexp.models.promoting import Delta, Plan
from gitxexp.models.stock import Model
from gitxexp.registry import Promotion
from gitxexp.render import Column, paint
from gitxexp.render.details import section, size
from gitxexp.render.lists import rounded

#: How many metrics a table shows besides the one that ranks.
_MOST = 3


def table(found: Listing) -> str:
    """Production and candidates, the best first; ``*`` marks the best, production is named."""
    rows = found.rows
    several = len({row.model.slot for row in rows}) > 1
    columns = [Column("slot", [row.model.slot for row in rows])] if several else []
    columns += [
        Column("model", [_role(row) for row in rows]),
        Column("run", [row.facts.run or row.model.run or "-" for row in rows], flexible=True),
        Column("version", [row.facts.version or row.facts.recorded or "-" for row in rows]),
    ]
    best = frozenset(at for at, row in enumerate(rows) if row.rank == 1)
    for name in _metrics(found):
        values = [row.facts.metrics.get(name) for row in rows]
        marked = best if name in found.metrics.values() and len(rows) > 1 else frozenset()
        cells = [_value(value) for value in values]
        columns.append(Column(name, cells, right=True, marked=marked))
    columns += [
        Column("size", [size(row.model.size) for row in rows], right=True),
        Column("where", [_where(row) for row in rows]),
        Column("tag", [row.tag or "-" for row in rows]),
        Column("hash", [row.model.oid[:8] for row in rows]),
        Column("file", [row.model.path for row in rows], flexible=True),
    ]
    return render.table(columns)


def _role(row: Row) -> str:
    role = "production" if row.model.production else "candidate"
    return (
        role if row.model.state in ("tracked", "not checked out") else f"{role}, {row.model.state}"
    )


def _where(row: Row) -> str:
    places = ", ".join(row.places) or "nowhere"
    return f"{places}, remote?" if row.on_remote is None else places


def _value(value: Any) -> str:
    if value is None:
        return "-"
    return rounded(value) if render.is_terminal() else payload.show(value)


def _metrics(found: Listing) -> list[str]:
    """The metrics that rank, then the best known of the others."""
    first = [name for name in found.metrics.values() if name]
    known = dict.fromkeys(name for row in found.rows for name in row.facts.metrics)
    others = [name for name in naming.key_metrics_order(known) if name not in first]
    return list(dict.fromkeys([*first, *others[:_MOST]]))


def as_objects(found: Listing) -> list[dict[str, Any]]:
    """``candidates list --json``."""
    return [_object(row, found.metrics.get(row.model.slot)) for row in found.rows]


def _object(row: Row, metric: str | None) -> dict[str, Any]:
    model = row.model
    return {
        "slot": model.slot,
        "production": model.production,
        "path": model.path,
        "run": row.facts.run or model.run,
        "version": row.facts.version or row.facts.recorded,
        "rank": row.rank,
        "ranked_by": metric,
        "metrics": dict(row.facts.metrics),
        "size": model.size,
        "hash": model.hash,
        "recorded": model.recorded,
        "state": model.state,
        "workspace": model.there,
        "cache": row.cached,
        "remote": row.on_remote,
        "tag": row.tag,
    }


# -- promote -------------------------------------------------------------------------------------


def plan_text(plan: Plan) -> str:
    """Before and after: metrics with what became better or worse, sizes, hashes."""
    before, after = plan.before, plan.after
    rows = [("", "before", "after", "", "")]
    rows.append(("run", _name(plan.before_facts, before), _name(after.facts, after.model), "", ""))
    rows.append(("version", plan.before_facts.version or "-", after.facts.version or "-", "", ""))
    rows += [_delta(delta) for delta in plan.deltas]
    rows.append(("size", size(before.size) if before else "-", size(after.model.size), "", ""))
    rows.append(("hash", before.oid[:8] if before else "-", after.model.oid[:8], "", ""))
    return "\n".join(section(f"{plan.slot.production}  ←  {after.origin}", rows)).rstrip("\n")


def _name(facts: Facts, model: Model | None) -> str:
    return facts.run or (model.run if model else None) or "-"


def _delta(delta: Delta) -> tuple[str, str, str, str, str]:
    before, after = (_plain(value) for value in (delta.before, delta.after))
    if not delta.delta:
        return delta.name, before, after, "", "same" if delta.delta == 0 else "?"
    sign = "+" if delta.delta > 0 else "-"
    verdict = paint("better", "green") if delta.better else paint("worse", "red")
    return delta.name, before, after, f"{sign}{rounded(abs(delta.delta))}", verdict


def _plain(value: Any) -> str:
    return "-" if value is None else rounded(value)


def plan_object(plan: Plan) -> dict[str, Any]:
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


def _side(model: Model | None, facts: Facts) -> dict[str, Any] | None:
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
        "promotion": asdict(done.promotion) if done.promotion else None,
        "kept": done.kept,
        "commit": done.commit,
        "tag": str(done.tagged.version) if done.tagged else None,
    }


def history_table(found: Sequence[Promotion]) -> str:
    """Who promoted what and when, the newest first."""
    several = len({p.slot for p in found}) > 1
    columns = [Column("at", [p.at[:19].replace("T", " ") + "Z" for p in found])]
    if several:
        columns.append(Column("slot", [p.slot for p in found]))
    return render.table(
        [
            *columns,
            Column("version", [p.version or "-" for p in found]),
            Column("run", [p.run or "-" for p in found], flexible=True),
            Column("metric", [_measured(p) for p in found]),
            Column("before", [p.hash_before[4:12] or "-" for p in found]),
            Column("after", [p.hash_after[4:12] for p in found]),
            Column("who", [p.who for p in found], flexible=True),
            Column("why", [p.why for p in found], flexible=True),
        ]
    )


def _measured(promotion: Promotion) -> str:
    if promotion.value is None:
        return "-"
    return f"{promotion.metric}={_value(promotion.value)}"
