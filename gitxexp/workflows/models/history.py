"""The promotion history, and what a rollback restores."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitxexp.common.errors import NoAnswer
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment

if TYPE_CHECKING:
    from gitxexp.repository.registry import Promotion
    from gitxexp.workflows.models.context import ModelContext
    from gitxexp.workflows.models.select import ModelChoice


_ROLLBACK = re.compile(r"rollback of ([0-9a-f]{8,})")


def history(project: Project, slot: str | None = None) -> list[Promotion]:
    """Every promotion that the registry holds (of one slot, if given), newest first."""
    return [p for p in project.registry.promotions() if slot in (None, p.slot)]


def of_experiment(project: Project, experiment: Experiment) -> list[Promotion]:
    """The promotions of an experiment's model: by its version, or by its run."""
    run = experiment.payload.run
    return [
        p
        for p in project.registry.promotions()
        if p.version == experiment.name or (run and p.run == run)
    ]


def rolled_back(promotion: Promotion) -> str | None:
    """Return the id of the promotion that this one reverted, if it is a rollback."""
    match = _ROLLBACK.match(promotion.why)
    return match[1] if match else None


def to_roll_back(promotions: Sequence[Promotion], slot: str) -> Promotion:
    """The newest promotion that is neither a rollback nor rolled back; raises NoAnswer."""
    own = [p for p in promotions if p.slot == slot]
    gone = {rolled_back(p) for p in own} - {None}
    left = [p for p in own if rolled_back(p) is None and p.id not in gone]
    if not left:
        raise NoAnswer(
            "there is no promotion to roll back", "all promotions: git xexp promote --history"
        )
    if not left[0].hash_before:
        raise NoAnswer(
            f"before the promotion of {left[0].at[:19]} there was no model in production",
            "all promotions: git xexp promote --history",
        )
    return left[0]


def previous(context: ModelContext) -> tuple[ModelChoice, Promotion]:
    """Return the model in production before the last promotion, and that promotion."""
    from gitxexp.workflows.models.select import by_hash  # late: a history fetches nothing

    slot, promotions = context.contents.slot, context.runs.promotions
    last = to_roll_back(promotions, slot.name)
    before = last.hash_before
    maker = next((p for p in promotions if p.hash_after == before and p.at <= last.at), None)
    run, version = (maker.run, maker.version) if maker else ("", "")
    if not run:
        for experiment in reversed(context.runs.experiments):
            payload = experiment.payload
            if payload.artifacts.get(slot.production) == before:
                run, version = payload.run, experiment.name
                break
    return by_hash(context, before, run, version, "the previous model"), last
