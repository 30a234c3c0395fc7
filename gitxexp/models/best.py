"""The best model by a metric. Ties, and what has no number, are said and never guessed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gitxexp import collect, payload
from gitxexp.errors import XexpError
from gitxexp.history import Experiment
from gitxexp.models import facts as known
from gitxexp.models.facts import Facts
from gitxexp.models.finding import Choice, Search, at_tag
from gitxexp.models.listing import production_run
from gitxexp.models.stock import Model
from gitxexp.wording import some

_NAMED = 3


@dataclass(frozen=True)
class _Rival:
    """A model here or at a tag, with its value."""

    facts: Facts
    value: float
    model: Model | None = None
    experiment: Experiment | None = None

    @property
    def order(self) -> tuple[bool, bool, float]:
        """Among equals: production, then candidates here, then the newest."""
        production = self.model is not None and self.model.production
        return not production, self.model is None, -(self.facts.seconds or 0.0)

    @property
    def name(self) -> str:
        return self.facts.run or self.facts.version or (self.model.path if self.model else "?")


def best(search: Search, metric: str | None) -> Choice:
    """The model with the best number for ``metric`` (default: the primary one), of all that are
    here or at a tag.

    Raises XexpError when nothing has one, or the metric is none.
    """
    here = _here(search)
    tagged = _tagged(search, {facts.run for _, facts in here})
    every = [facts for _, facts in here] + [facts for _, facts in tagged]
    if not every:
        raise XexpError(
            f"there is no model: nothing in {search.stock.slot.candidates}/ and none at a tag",
            "add one: git xexp candidates add PATH",
        )
    name = metric or known.primary(search.shelf.project, every)
    if name is None:
        raise XexpError("no model has a metric to choose by", "name the run: --run ID")
    known.check_metric(search.book, name, every)
    rivals = [
        _Rival(f, v, model=m)
        for m, f in here
        if (v := known.number(f.metrics.get(name))) is not None
    ]
    rivals += [
        _Rival(f, v, experiment=e)
        for e, f in tagged
        if (v := known.number(f.metrics.get(name))) is not None
    ]
    choice, notes = _first(search, name, rivals)
    said = [*_unranked(search, name, here), *notes]
    if metric is None:
        said.insert(0, f"chosen as the best by {name}")
    return replace(choice, notes=(*choice.notes, *said))


def _here(search: Search) -> list[tuple[Model, Facts]]:
    found = []
    for model in search.stock.models:
        run = production_run(search.book, search.stock) if model.production else model.run
        found.append((model, search.book.of(run)))
    return found


def _tagged(search: Search, runs: set[str | None]) -> list[tuple[Experiment, Facts]]:
    """The experiments that hold a model of a run that is not here, the newest of each run."""
    slot = search.stock.slot
    seen = set(runs)
    found = []
    for experiment in search.book.experiments:
        said = experiment.payload
        if said.run and said.run in seen:
            continue
        if slot.production in said.artifacts or slot.candidates in said.artifacts:
            seen |= {said.run} - {""}
            found.append((experiment, search.book.of_experiment(experiment)))
    return found


def _first(search: Search, metric: str, rivals: list[_Rival]) -> tuple[Choice, list[str]]:
    """The best rival whose model is really to be had."""
    sign = -1 if collect.maximize(search.shelf.project.config, metric) else 1
    notes: list[str] = []
    left = sorted(rivals, key=lambda r: (sign * r.value, *r.order))
    while left:
        winner = left.pop(0)
        choice = _resolve(search, winner)
        if choice is None:
            notes.append(
                f"{winner.name} has {metric}={payload.show(winner.value)} but no model file"
            )
            continue
        equal = [rival for rival in left if rival.value == winner.value]
        if equal:
            names = some([rival.name for rival in equal], _NAMED)
            notes.append(
                f"{metric}={payload.show(winner.value)} is shared by {names}; took {winner.name}"
            )
        return choice, [*_missed(search, metric, sign, winner.value), *notes]
    raise XexpError(
        f"no model has a number for {metric}", "rank by another metric: git xexp candidates list"
    )


def _resolve(search: Search, rival: _Rival) -> Choice | None:
    if rival.model is not None:
        return search.workspace(rival.model)
    assert rival.experiment is not None
    return at_tag(search, rival.experiment)


def _missed(search: Search, metric: str, sign: int, value: float) -> list[str]:
    """Runs that are better and left no model."""
    names = {model.run for model in search.stock.candidates} | set(search.book.by_run)
    better = []
    for run in search.book.runs.values():
        number = known.number(run.metrics.get(metric))
        if run.id not in names and number is not None and sign * number < sign * value:
            better.append((sign * number, f"run {run.id} has {metric}={payload.show(number)}"))
    return [f"{text} but no model file" for _, text in sorted(better)[:_NAMED]]


def _unranked(search: Search, metric: str, here: list[tuple[Model, Facts]]) -> list[str]:
    without = [(m, f) for m, f in here if known.number(f.metrics.get(metric)) is None]
    if not without:
        return []
    said = [
        f"{f.run or m.run or m.path} ({search.book.why_not(f.run or m.run, metric)})"
        for m, f in without[:_NAMED]
    ]
    more = f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
    return [f"without a number for {metric}, so not considered: {', '.join(said)}{more}"]
