"""``candidates list``: every model of every slot, ranked, with where its bytes are.

Which tag holds a model: as production, or in its list of candidates.

A list of candidates is a directory manifest, named by its own hash, so what was read of one once
is kept (``xexp/manifests.db``, sixteen bytes for each file) and never stale.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment
from gitxexp.storage.dvc.places import local_remote_dir
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.dvc.remote import missing_on_remote
from gitxexp.storage.objects import has_object, manifest
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.models import run_facts
from gitxexp.workflows.models.inventory import Model, Shelf, Slot, Stock
from gitxexp.workflows.models.run_facts import Book, Facts

if TYPE_CHECKING:
    from gitxexp.storage.dvc.remote import MissingObject
    from gitxexp.storage.objects import Progress


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
        from gitxexp.workflows.models.inventory import choose

        choose(shelf.slots, slot)
    rows: list[Row] = []
    metrics: dict[str, str | None] = {}
    notes: list[str] = []
    for one in known:
        stock = shelf.stock(one)
        found = facts_of(book, stock)
        if metric is not None and stock.models:
            run_facts.check_metric(book, metric, found)
        by = metric or run_facts.primary(project, found)
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
    held = holders(shelf, stock.slot, book.experiments, (model.hash for model in stock.models))
    remote = _remote(shelf, stock, ask=ask_remote)
    order = ranked(shelf.project, stock.models, found, metric)
    rows = []
    for place, at in enumerate(order):
        model = stock.models[at]
        value = found[at].metrics.get(metric) if metric else None
        rank = None if run_facts.number(value) is None else place + 1
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
        value = run_facts.number(found[at].metrics.get(metric)) if metric else None
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
            folders[key] = local_remote_dir(top / model.root, model.remote)
        folder = folders[key]
        if folder is not None:
            found[model.hash] = has_object(str(folder), model.oid, model.legacy)
    return found


def lacking_on_remote(shelf: Shelf, models: Iterable[Model]) -> dict[str, MissingObject]:
    """The models' objects that their remote lacks, by full listing; hash → what is known of it.

    Raises XexpError when there is no remote or it cannot be reached.
    """
    outputs = [model.as_output() for model in models]
    lacking = missing_on_remote(shelf.project.top, outputs, None, shelf.siblings)
    return {item.oid: item for item in lacking}


_DIGEST = 16


def holders(
    shelf: Shelf, slot: Slot, experiments: Sequence[Experiment], hashes: Iterable[str]
) -> dict[str, str]:
    """Hash ("md5:…") → the newest tag that holds it. Manifests in no local cache hold nothing."""
    wanted = {value for value in hashes if value}
    found: dict[str, str] = {}
    folders: dict[str, str] = {}
    for experiment in experiments:
        artifacts = experiment.payload.artifacts
        held = artifacts.get(slot.production)
        if held in wanted:
            found.setdefault(held, experiment.name)
        folder = artifacts.get(slot.candidates)
        if folder:
            folders.setdefault(folder, experiment.name)
    order = {e.name: at for at, e in enumerate(experiments)}
    with closing(Manifests(shelf)) as manifests:
        for value, name in manifests.first(slot, folders, wanted).items():
            if value not in found or order[name] < order[found[value]]:
                found[value] = name
    return found


class Manifests:
    """The members of candidates' folders by the hash of the folder."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.new: dict[str, bytes] = {}
        self.db = _open(shelf.project.state / "manifests.db")

    def close(self) -> None:
        """Keep what was read; a failure only costs time later."""
        if self.db is None:
            return
        with suppress(sqlite3.Error), self.db:
            self.db.executemany(
                "INSERT OR REPLACE INTO members VALUES (?, ?)", list(self.new.items())
            )
        self.db.close()

    def first(
        self, slot: Slot, folders: Mapping[str, str], wanted: Iterable[str]
    ) -> dict[str, str]:
        """Wanted hash → name of the first folder that has it; ``folders``: hash → name."""
        left = {bytes.fromhex(value[4:]): value for value in wanted if len(value) == 36}
        found: dict[str, str] = {}
        for folder, name in folders.items():
            if not left:
                break
            members = self.members(slot, folder)
            if not members:
                continue
            inside = {members[at : at + _DIGEST] for at in range(0, len(members), _DIGEST)}
            for digest in left.keys() & inside:
                found[left.pop(digest)] = name
        return found

    def members(self, slot: Slot, folder: str) -> bytes | None:
        """The digests of a folder's files, one after another; None when no cache has its list."""
        if self.db is not None:
            row = self.db.execute("SELECT digests FROM members WHERE folder = ?", (folder,))
            for (digests,) in row:
                return bytes(digests)
        root = self.shelf.owner(slot.candidates)
        for legacy in (False, True):
            out = Output(
                path=slot.candidates, hash=folder, size=None, nfiles=None, remote=None, pointer="",
                stage=None, legacy=legacy, root=root.root if root else "",
            )  # fmt: skip
            entries = manifest(out, self.shelf.caches(out.root))
            if entries is not None:
                values = (entry.hash or "" for entry in entries)
                digests = b"".join(bytes.fromhex(v[4:]) for v in values if len(v) == 36)
                self.new[folder] = digests
                return digests
        return None


def _open(path: Path) -> sqlite3.Connection | None:
    """The cache, made anew when it is broken; None where it cannot be written."""
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(path, timeout=5)
            db.execute("PRAGMA synchronous = OFF")  # it can always be read again
            db.execute(
                "CREATE TABLE IF NOT EXISTS members (folder TEXT PRIMARY KEY, digests BLOB NOT NULL)"
            )
            return db
        except sqlite3.OperationalError:
            return None
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
        except OSError:
            return None
    return None
