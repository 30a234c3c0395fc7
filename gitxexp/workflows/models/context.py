"""One slot of a work tree: its models, and facts about their runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitxexp.common.dataclass import dataclass
from gitxexp.repository.repository import Project
from gitxexp.repository.version import Version, parse
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.models import run_facts
from gitxexp.workflows.models.inventory import Model, ModelStore, SlotContents
from gitxexp.workflows.models.run_facts import RunFacts, RunIndex

if TYPE_CHECKING:
    from gitxexp.storage.sources import Stores


@dataclass(frozen=True)
class ModelContext:
    """The data that model commands use, read once."""

    store: ModelStore
    runs: RunIndex
    contents: SlotContents

    @property
    def project(self) -> Project:
        """The repository around the work tree."""
        return self.store.project

    def object_stores(self) -> Stores:
        """Caches and remotes, nearest first."""
        from gitxexp.storage.objects import Objects
        from gitxexp.storage.sources import Stores, Strategy  # late: a list does not need it

        project, progress = self.project, self.store.progress
        objects = Objects(project.top, lambda: self.store.siblings)
        return Stores(objects, Strategy.AUTO, None, progress)

    def run_of(self, model: Model) -> str | None:
        """Return the run of a model in the slot; None if none is recorded."""
        return self.production_run() if model.production else model.run

    def facts(self) -> list[RunFacts]:
        """Facts about the run of each model, in the order of ``contents.models``."""
        return [self.runs.facts(self.run_of(model)) for model in self.contents.models]

    def production_run(self) -> str | None:
        """The run of the production model.

        Taken from the last promotion of its content, else the candidate with the same content, else
        the oldest tag with it in production.
        """
        model = self.contents.production
        if model is None:
            return None
        for promotion in self.runs.promotions:
            if promotion.slot == self.contents.slot.name and promotion.hash_after == model.hash:
                return promotion.run or None
        twins = (c.run for c in self.contents.candidates if c.hash == model.hash and c.run)
        twin = next(twins, None)
        if twin is not None:
            return twin
        for experiment in reversed(self.runs.experiments):
            payload = experiment.payload
            if payload.run and payload.artifacts.get(model.path) == model.hash:
                return str(payload.run)
        return None


def ranked(
    project: Project, models: Sequence[Model], facts: Sequence[RunFacts], metric: str | None
) -> list[int]:
    """Return indices of the models, best first. Models without a number come last and are never
    best. Ties: newest first, then the higher version.

    A tag's date is in whole seconds, and others are compared with it so.
    """
    sign = -1 if metric and describe.maximize(project.config, metric) else 1

    def key(at: int) -> tuple[bool, float, int, tuple[int, ...], float, str]:
        value = run_facts.number(facts[at].metrics.get(metric)) if metric else None
        seconds = facts[at].seconds or 0.0
        version = parse(facts[at].version or "")
        numbers: tuple[int, ...] = (1,)  # none comes last
        if isinstance(version, Version):
            numbers = (-version.major, -version.minor, -version.patch)
        number = sign * (value or 0.0)
        return value is None, number, -int(seconds), numbers, -seconds, models[at].path

    return sorted(range(len(models)), key=key)
