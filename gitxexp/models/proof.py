"""Proof that a model's bytes are somewhere else, so that a file may go.

Two things count: a remote that holds the object, verified by listing; or a tag that holds it while
a cache of this repository has its object, whole. ``git xexp prune --cache`` keeps what a tag holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gitxexp import dvcio
from gitxexp.errors import NoAnswer, XexpError
from gitxexp.models import holders, listing
from gitxexp.models.facts import Book
from gitxexp.models.stock import Model, Shelf, Stock


@dataclass(frozen=True)
class Proved:
    """Where else each model's bytes are, by path; None where that is not proved."""

    places: Mapping[str, str | None]
    problem: str | None = None  #: why no remote could be asked


def prove(shelf: Shelf, book: Book, stock: Stock, models: Sequence[Model]) -> Proved:
    """Where the bytes of these models are besides the work tree."""
    try:
        lacking, problem = set(listing.lacking_on_remote(shelf, models)), None
    except XexpError as error:
        lacking, problem = {model.oid for model in models}, error.message
    held = holders.holders(shelf, stock.slot, book.experiments, (m.hash for m in models))
    places: dict[str, str | None] = {}
    for model in models:
        if model.oid not in lacking:
            name = model.remote or dvcio.remote_name(shelf.project.top / model.root)
            places[model.path] = f"remote {name}"
        elif model.hash in held and sound_copy(shelf, model) is not None:
            places[model.path] = f"{held[model.hash]} and the cache"
        else:
            places[model.path] = None
    return Proved(places, problem)


def sound_copy(shelf: Shelf, model: Model) -> Path | None:
    """A cache's object with exactly these bytes; one that was changed does not count."""
    for cache in shelf.caches(model.root):
        path = dvcio.object_path(cache, model.oid, model.legacy)
        if not path.is_file():
            continue
        project = shelf.project
        known = dvcio.file_hashes(project.top, [(path, model.legacy)], project.stat_cache)
        if known[path] == model.oid:
            return path
    return None


def require(shelf: Shelf, book: Book, stock: Stock, model: Model) -> None:
    """Raises NoAnswer unless the bytes of ``model`` are proved to be somewhere else."""
    if prove(shelf, book, stock, [model]).places[model.path] is None:
        raise NoAnswer(
            f"{model.path} ({model.oid[:8]}) is the only copy of that model",
            "leave out --no-keep, or make it safe first: git xexp tag, or dvc push",
        )
