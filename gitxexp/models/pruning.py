"""``prune``: which candidates stay and which go, decided and proved before anything is touched."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from gitxexp import describe
from gitxexp.dvcio import Progress
from gitxexp.models import facts, listing, pieces, proof, slots
from gitxexp.models.facts import Book, Facts
from gitxexp.models.stock import Model, Shelf, Stock
from gitxexp.project import Project

#: The label that keeps a model for ever.
KEEP = "keep"


class Per(StrEnum):
    """What each group of ``--per`` has in common."""

    VERSION = "version"
    MODEL = "model"


@dataclass(frozen=True)
class Rules:
    """What to keep. ``older_than`` in seconds."""

    keep: int = 5
    metric: str | None = None
    per: Per | None = None
    older_than: float | None = None
    unranked: bool = False  #: also what has no metric may go
    slot: str | None = None


@dataclass(frozen=True)
class Fate:
    """What happens to one candidate. ``wanted``: the rules let it go; ``proof``: where else it is."""

    model: Model
    facts: Facts
    value: float | None
    wanted: bool
    why: str
    proof: str | None = None
    freed: int = 0  #: bytes that deleting it gives back (a link gives none)

    @property
    def goes(self) -> bool:
        """Whether it may be deleted: wanted, and proved to be elsewhere."""
        return self.wanted and self.proof is not None


@dataclass(frozen=True)
class Pruning:
    """The decision for every candidate. ``problem``: why no remote could be asked."""

    fates: tuple[Fate, ...]
    metrics: dict[str, str | None]
    notes: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def gone(self) -> list[Fate]:
        """Those that may be deleted."""
        return [fate for fate in self.fates if fate.goes]

    @property
    def unproved(self) -> list[Fate]:
        """Those that the rules let go and that are, as far as is known, the only copy."""
        return [fate for fate in self.fates if fate.wanted and fate.proof is None]


@dataclass(frozen=True)
class Bench:
    """What a pruning was made from: the stock of each slot."""

    shelf: Shelf
    book: Book
    stocks: tuple[Stock, ...]


def plan(project: Project, rules: Rules, progress: Progress | None = None) -> tuple[Pruning, Bench]:
    """The fate of every candidate of one slot or of all; changes nothing.

    Raises XexpError when the metric is none, or a folder's list of files is not to be had.
    """
    pieces.require_dvc(project)
    shelf, book = Shelf(project, progress), Book(project)
    chosen = [slots.choose(shelf.slots, rules.slot)] if rules.slot else shelf.slots
    stocks = tuple(shelf.stock(slot) for slot in chosen)
    fates: list[Fate] = []
    metrics: dict[str, str | None] = {}
    problem = None
    for stock in stocks:
        pieces.require_list(stock)
        decided, metrics[stock.slot.name] = _decide(project, book, stock, rules)
        wanted = [fate.model for fate in decided if fate.wanted]
        if wanted:
            proved = proof.prove(shelf, book, stock, wanted)
            problem = proved.problem or problem
            decided = [_proved(project, fate, proved) for fate in decided]
        fates += decided
    notes = [note for stock in stocks for note in listing.stock_notes(stock)]
    return (
        Pruning(tuple(fates), metrics, (*notes, *book.notes), problem),
        Bench(shelf, book, stocks),
    )


def _proved(project: Project, fate: Fate, proved: proof.Proved) -> Fate:
    if not fate.wanted:
        return fate
    place = proved.places.get(fate.model.path)
    if place is None:
        return replace(fate, why=f"{fate.why}, but it is the only copy")
    return replace(fate, proof=place, freed=_freed(project, fate.model))


def _freed(project: Project, model: Model) -> int:
    path = project.top / model.path
    if not model.there or path.is_symlink() or path.stat().st_nlink > 1:
        return 0
    return path.stat().st_size


def _decide(
    project: Project, book: Book, stock: Stock, rules: Rules
) -> tuple[list[Fate], str | None]:
    """The fate of each candidate by the rules alone, the best first, and the metric that ranks."""
    models = stock.candidates
    found = [book.of(model.run) for model in models]
    if rules.metric is not None and models:
        facts.check_metric(book, rules.metric, found)
    metric = rules.metric or facts.primary(project, found)
    always = _always(book, stock)
    counts: Counter[str] = Counter()
    fates = []
    for at in listing.ranked(project, models, found, metric):
        model, known = models[at], found[at]
        value = facts.number(known.metrics.get(metric)) if metric else None
        reason = always.get(model.hash) or _labelled(book, known) or _unnamed(model)
        group = _group(project, known, rules.per)
        if value is not None:
            counts[group] += 1
        kept = reason or _kept(book, model, known, (metric, value), counts[group], rules)
        why = kept or _out(metric, value, counts[group], rules)
        fates.append(Fate(model, known, value, kept is None, why))
    return fates, metric


def _always(book: Book, stock: Stock) -> dict[str, str]:
    """Hash → why it stays whatever its metric."""
    found = {}
    for experiment in book.experiments:
        said = experiment.payload
        if KEEP in said.labels or KEEP in book.labels(experiment.name):
            held = said.artifacts.get(stock.slot.production)
            if held:
                found[held] = f"{experiment.name} is labelled {KEEP}"
    last = next((p for p in book.promotions if p.slot == stock.slot.name), None)
    if last is not None:
        found[last.hash_after] = "the last promoted"
    if stock.production is not None:
        found[stock.production.hash] = "in production"
    return found


def _labelled(book: Book, known: Facts) -> str | None:
    named = KEEP in known.labels or (known.version and KEEP in book.labels(known.version))
    return f"labelled {KEEP}" if named else None


def _unnamed(model: Model) -> str | None:
    return None if model.run else "not named <run>_model"


def _group(project: Project, known: Facts, per: Per | None) -> str:
    """The version, or the architecture, that the candidate competes in."""
    if per is Per.VERSION:
        return known.version or known.recorded or ""
    if per is Per.MODEL:
        name = describe.find_param(known.params, project.config.params_model)
        return str(known.params[name]) if name else ""
    return ""


def _kept(
    book: Book,
    model: Model,
    known: Facts,
    measured: tuple[str | None, float | None],
    rank: int,
    rules: Rules,
) -> str | None:
    """Why the rules keep a candidate; None when they let it go."""
    metric, value = measured
    if value is None and not rules.unranked:
        if metric is None:
            return "no metric to rank by"
        return f"no number for {metric} ({book.why_not(model.run, metric)})"
    if value is not None and rank <= rules.keep:
        return f"number {rank} of the {rules.keep} kept"
    if rules.older_than is not None:
        made = known.seconds or model.mtime
        if not made or time.time() - made < rules.older_than:
            return "not old enough"
    return None


def _out(metric: str | None, value: float | None, rank: int, rules: Rules) -> str:
    if value is None:
        return "no number to rank it by"
    return f"number {rank} by {metric}, {rules.keep} are kept"


def same(seen: Sequence[Fate], now: Sequence[Fate]) -> list[Fate]:
    """Those of ``now`` that were already in ``seen``, with the same bytes."""
    known = {(fate.model.path, fate.model.hash) for fate in seen}
    return [fate for fate in now if (fate.model.path, fate.model.hash) in known]
