"""``promote``: what it would do, as a value that can be shown, and whether to ask first."""

from __future__ import annotations

from dataclasses import dataclass

from gitxexp import collect
from gitxexp.dvcio import Progress
from gitxexp.errors import XexpError
from gitxexp.models import best, facts, finding, pieces, promotions, slots
from gitxexp.models.facts import Book, Facts
from gitxexp.models.finding import Choice, Search, Wish
from gitxexp.models.listing import production_run
from gitxexp.models.slots import Slot
from gitxexp.models.stock import Model, Shelf, Stock
from gitxexp.project import Project
from gitxexp.registry import Promotion


@dataclass(frozen=True)
class Delta:
    """One metric before and after; ``better`` is None when it is the same or cannot be compared."""

    name: str
    before: object
    after: object
    delta: float | None
    better: bool | None


@dataclass(frozen=True)
class Plan:
    """A promotion. ``before`` is None when there is nothing in production yet."""

    slot: Slot
    before: Model | None
    before_facts: Facts
    after: Choice
    metric: str | None  #: that decides whether it is better
    deltas: tuple[Delta, ...]
    takes_back: Promotion | None  #: for a rollback
    notes: tuple[str, ...]

    @property
    def already(self) -> bool:
        """Whether exactly this model is in production."""
        return self.before is not None and self.before.there and self._same

    @property
    def _same(self) -> bool:
        return self.before is not None and self.before.hash == self.after.model.hash

    @property
    def doubt(self) -> str | None:
        """Why one should think twice: it is worse, or nobody can tell."""
        deciding = next((d for d in self.deltas if d.name == self.metric), None)
        if self.before is None or self.takes_back is not None or deciding is None:
            return None
        if deciding.better is False:
            return f"it is worse than production by {deciding.name}"
        if deciding.delta is None and facts.number(deciding.before) is not None:
            return f"it has no number for {deciding.name}, and production has"
        return None


@dataclass(frozen=True)
class Desk:
    """What a plan was made from, for whoever carries it out."""

    shelf: Shelf
    book: Book
    stock: Stock


def plan(project: Project, wish: Wish, progress: Progress | None = None) -> tuple[Plan, Desk]:
    """The promotion that ``wish`` asks for; changes nothing.

    Raises XexpError when there is no such run, version, metric or model, or its file was edited.
    """
    pieces.require_dvc(project)
    shelf, book = Shelf(project, progress), Book(project)
    stock = shelf.stock(slots.choose(shelf.slots, wish.slot))
    pieces.require_list(stock)
    search = Search(shelf, book, stock)
    choice, back = _choose(search, wish)
    run = production_run(book, stock)
    before = book.of(run) if stock.production else facts.NOTHING
    metric = wish.best or facts.primary(project, [before, choice.facts])
    notes = (*choice.notes, *_remarks(stock), *book.notes)
    return (
        Plan(
            slot=stock.slot,
            before=stock.production,
            before_facts=before,
            after=choice,
            metric=metric,
            deltas=tuple(_deltas(project, before, choice.facts, metric)),
            takes_back=back,
            notes=notes,
        ),
        Desk(shelf, book, stock),
    )


def _choose(search: Search, wish: Wish) -> tuple[Choice, Promotion | None]:
    if wish.rollback:
        return promotions.previous(search)
    if wish.worktree is not None:
        return finding.in_worktree(search, wish.worktree, wish.run), None
    if wish.run is not None:
        return finding.by_run(search, wish.run), None
    if wish.version is not None:
        return finding.by_version(search, wish.version), None
    return best.best(search, wish.best), None


def _remarks(stock: Stock) -> list[str]:
    production = stock.production
    if production is None or production.state != "edited":
        return []
    return [f"{production.path} differs from its pointer; it is kept as it is now"]


def _deltas(project: Project, before: Facts, after: Facts, metric: str | None) -> list[Delta]:
    """Every metric of either side, the one that decides first."""
    names = dict.fromkeys([*([metric] if metric else []), *before.metrics, *after.metrics])
    found = []
    for name in names:
        old, new = before.metrics.get(name), after.metrics.get(name)
        one, other = facts.number(old), facts.number(new)
        delta = None if one is None or other is None else other - one
        better = (delta > 0) == collect.maximize(project.config, name) if delta else None
        found.append(Delta(name, old, new, delta, better))
    return found


def require_file(choice: Choice, stock: Stock) -> None:
    """Raises XexpError when the chosen file went since the plan was made."""
    if choice.file is not None and not choice.file.is_file():
        raise XexpError(f"{choice.file} is gone", f"what is there: ls '{stock.slot.candidates}'")
