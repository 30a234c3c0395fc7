"""``candidates list``: every model of every slot, ranked, with where its bytes are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitxexp import describe, dvcio
from gitxexp.errors import XexpError
from gitxexp.models import facts, holders
from gitxexp.models.facts import Book, Facts
from gitxexp.models.stock import Model, Shelf, Stock
from gitxexp.project import Project

if TYPE_CHECKING:
    from gitxexp.dvcio import MissingObject, Progress


class Row(NamedTuple):
    """One model. ``on_remote`` is None where that was not asked, or could not be."""

    model: Model
    facts: Facts
    rank: int | None  #: by the primary metric within its slot, from 1; None without a number
    cached: bool
    on_remote: bool | None
    tag: str | None  #: the newest tag that holds its bytes

    @property
    def places(self) -> tuple[str, ...]:
        """Where its bytes are: workspace, cache, remote."""
        names = ("workspace", "cache", "remote")
        have = (self.model.there, self.cached, bool(self.on_remote))
        return tuple(name for name, has in zip(names, have, strict=True) if has)


class Listing(NamedTuple):
    """Rows by slot, production in its rank; the metric that ranks each slot; remarks."""

    rows: tuple[Row, ...]
    metrics: dict[str, str | None]
    notes: tuple[str, ...]


def listing(
    project: Project,
    slot: str | None = None,
    metric: str | None = None,
    *,
    ask_remote: bool = False,
    progress: Progress | None = None,
) -> Listing:
    """Every candidate and production of one slot or of all, the best by its metric first.

    ``ask_remote``: a remote that is no local folder is asked as well. Raises XexpError when
    ``metric`` is none.
    """
    book, shelf = Book(project), Shelf(project, progress)  # git lists the tags meanwhile
    known = [s for s in shelf.slots if slot in (None, s.name)]
    if slot is not None and not known:
        from gitxexp.models.slots import choose

        choose(shelf.slots, slot)
    rows: list[Row] = []
    metrics: dict[str, str | None] = {}
    notes: list[str] = []
    for one in known:
        stock = shelf.stock(one)
        found = facts_of(book, stock)
        if metric is not None and stock.models:
            facts.check_metric(book, metric, found)
        by = metric or facts.primary(project, found)
        metrics[one.name] = by
        rows += _rows(shelf, book, stock, found, by, ask_remote)
        notes += stock_notes(stock)
    return Listing(tuple(rows), metrics, (*notes, *book.notes))


def stock_notes(stock: Stock) -> Iterable[str]:
    """What is not right with a slot."""
    if not stock.listed and stock.output is not None:
        yield (
            f"the list of {stock.slot.candidates} is not in the cache:"
            f" dvc fetch '{stock.output.pointer}'"
        )
    for model in stock.models:
        if model.state == "edited":
            yield f"{model.path} differs from its pointer: it was changed by hand"


def facts_of(book: Book, stock: Stock) -> list[Facts]:
    """The facts of each model of a slot, in order."""
    return [
        book.of(production_run(book, stock) if model.production else model.run)
        for model in stock.models
    ]


def production_run(book: Book, stock: Stock) -> str | None:
    """The run that the production model is of.

    The last promotion of these bytes says so, else the candidate with the same bytes, else the
    oldest tag that has them in production.
    """
    model = stock.production
    if model is None:
        return None
    for promotion in book.promotions:
        if promotion.slot == stock.slot.name and promotion.hash_after == model.hash:
            return promotion.run or None
    twin = next((c.run for c in stock.candidates if c.hash == model.hash and c.run), None)
    if twin is not None:
        return twin
    for experiment in reversed(book.experiments):
        said = experiment.payload
        if said.run and said.artifacts.get(model.path) == model.hash:
            return str(said.run)
    return None


def _rows(
    shelf: Shelf,
    book: Book,
    stock: Stock,
    found: Sequence[Facts],
    metric: str | None,
    ask_remote: bool,
) -> list[Row]:
    held = holders.holders(
        shelf, stock.slot, book.experiments, (model.hash for model in stock.models)
    )
    remote = _remote(shelf, stock, ask=ask_remote)
    order = ranked(shelf.project, stock.models, found, metric)
    rows = []
    for place, at in enumerate(order):
        model = stock.models[at]
        value = found[at].metrics.get(metric) if metric else None
        rank = None if facts.number(value) is None else place + 1
        cached = shelf.is_cached(model)
        tag = held.get(model.hash)
        rows.append(Row(model, found[at], rank, cached, remote.get(model.hash), tag))
    return rows


def ranked(
    project: Project, models: Sequence[Model], found: Sequence[Facts], metric: str | None
) -> list[int]:
    """Places of the models, best first. No number: last, never best. Equal ones: newest first."""
    sign = -1 if metric and describe.maximize(project.config, metric) else 1

    def key(at: int) -> tuple[bool, float, float, str]:
        value = facts.number(found[at].metrics.get(metric)) if metric else None
        newest = -(found[at].seconds or 0.0)
        return value is None, sign * (value or 0.0), newest, models[at].path

    return sorted(range(len(models)), key=key)


def _remote(shelf: Shelf, stock: Stock, *, ask: bool) -> dict[str, bool]:
    """Hash → whether the remote has it, as far as that is known."""
    top = shelf.project.top
    if ask:
        try:
            lacking = lacking_on_remote(shelf, stock.models)
        except XexpError:
            return {}
        return {model.hash: model.oid not in lacking for model in stock.models}
    found: dict[str, bool] = {}
    folders: dict[tuple[str, str | None], Path | None] = {}
    for model in stock.models:
        key = (model.root, model.remote)
        if key not in folders:
            folders[key] = dvcio.local_remote_dir(top / model.root, model.remote)
        folder = folders[key]
        if folder is not None:
            found[model.hash] = dvcio.has_object(str(folder), model.oid, model.legacy)
    return found


def lacking_on_remote(shelf: Shelf, models: Iterable[Model]) -> dict[str, MissingObject]:
    """The models' objects that their remote lacks, by full listing; hash → what is known of it.

    Raises XexpError when there is no remote or it cannot be reached.
    """
    outputs = [model.as_output() for model in models]
    lacking = dvcio.missing_on_remote(shelf.project.top, outputs, None, shelf.siblings)
    return {item.oid: item for item in lacking}
