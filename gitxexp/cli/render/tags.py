"""Print what would be tagged, and what was."""

from __future__ import annotations

from typing import Any

from gitxexp.cli.render import console
from gitxexp.common.text import counted
from gitxexp.repository import tag_message
from gitxexp.workflows.experiments.plan import Plan
from gitxexp.workflows.experiments.renumber import Renumbered
from gitxexp.workflows.experiments.tag import Tagged


def show_next(plan: Plan, *, as_json: bool) -> None:
    """Print the next version."""
    if as_json:
        console.print_json({"version": str(plan.version), "reason": plan.reason})
    else:
        console.out(str(plan.version))


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """Print what would be tagged, with the whole message."""
    message = tag_message.encode(plan.payload)
    if as_json:
        value = _facts(str(plan.version), plan.reason, plan.payload)
        value |= {"files": list(plan.files), "message": message, "evidence": list(plan.evidence)}
        console.print_json(value)
        return
    console.out(f"{plan.version}  {plan.reason}", "", *message.split("\n"), *plan.evidence)
    for output in plan.changed:
        console.out(f"would add     {output.path}")
    for path in plan.files:
        console.out(f"would commit  {path}")
    console.notes(plan.notes)


def show(done: Tagged, *, as_json: bool) -> None:
    """Print what was tagged; the version alone where it is to be quiet."""
    console.notes(done.notes)
    if as_json:
        facts = _facts(str(done.version), done.reason, done.payload)
        console.print_json(facts | {"commit": done.commit, "tag": done.tag})
        return
    for path in done.added:
        console.done(f"added   {path}")
    if done.stamped:
        console.done(f"stamped {counted(done.stamped, 'row')} of run {done.payload.run}")
    version = console.paint(str(done.version), "yellow")
    console.out(version if console.quiet() else f"{version}  {done.reason}")
    console.done(done.payload.headline)


def show_renumbered(done: Renumbered, *, as_json: bool) -> None:
    """Print which number an experiment has now."""
    if as_json:
        facts = {"old": str(done.old), "version": str(done.new), "commit": done.commit}
        console.out(console.as_json(facts | {"rows": done.rows, "theirs": done.theirs}))
        return
    whose = f"; {done.old} is the remote's now" if done.theirs else ""
    console.out(f"{done.old} is {console.paint(str(done.new), 'yellow')}{whose}")


def _facts(version: str, reason: str, payload: tag_message.Payload) -> dict[str, Any]:
    return {
        "version": version,
        "reason": reason,
        "headline": payload.headline,
        "config_hash": payload.config_hash,
        "data": payload.data,
        "run": payload.run,
        "run_commit": payload.run_commit,
        "labels": list(payload.labels),
        "params": dict(payload.params),
        "metrics": dict(payload.metrics),
        "context": dict(payload.context),
        "artifacts": dict(payload.artifacts),
    }
