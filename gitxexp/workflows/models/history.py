"""Who promoted what and when, and what a rollback puts back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitxexp.common.errors import NoAnswer
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment

if TYPE_CHECKING:
    from gitxexp.repository.registry import Promotion
    from gitxexp.workflows.models.select import Choice, Search


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
    """The id of the promotion that this one took back, if it is a rollback."""
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


def previous(search: Search) -> tuple[Choice, Promotion]:
    """The model that was in production before the last promotion, and that promotion."""
    from gitxexp.workflows.models.select import (
        by_hash,  # late: what fetches, which a history needs not
    )

    promotion = to_roll_back(search.book.promotions, search.stock.slot.name)
    before = promotion.hash_before
    earlier = (p for p in search.book.promotions if p.hash_after == before and p.at <= promotion.at)
    made = next(earlier, None)
    run, version = (made.run, made.version) if made else ("", "")
    if not run:
        for experiment in reversed(search.book.experiments):
            said = experiment.payload
            if said.artifacts.get(search.stock.slot.production) == before:
                run, version = said.run, experiment.name
                break
    return by_hash(search, before, run, version, "the model before"), promotion
