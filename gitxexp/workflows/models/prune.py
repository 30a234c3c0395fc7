"""``prune``: which candidates stay and which go, decided and proved before anything is touched.

``prune``, carried out: candidates moved aside, the pointer brought up to date, then deleted.

Proof that a model's bytes are somewhere else, so that a file may go.

Two things count: a remote that holds the object, verified by listing; or a tag that holds it while
a cache of this repository has its object, whole. ``git xexp prune --cache`` keeps what a tag holds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.common.text import counted
from gitxexp.repository import commit as repository_commit
from gitxexp.repository import undo_models
from gitxexp.repository.repository import Project, Running
from gitxexp.storage.dvc import remote
from gitxexp.storage.dvc.add import store
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.dvc.places import remote_name
from gitxexp.storage.objects import Progress, object_path
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.models import candidates, inventory, run_facts
from gitxexp.workflows.models.inventory import Model, Shelf, Stock
from gitxexp.workflows.models.run_facts import Book, Facts

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


def plan_prune(
    project: Project, rules: Rules, progress: Progress | None = None
) -> tuple[Pruning, Bench]:
    """The fate of every candidate of one slot or of all; changes nothing.

    Raises XexpError when the metric is none, or a folder's list of files is not to be had.
    """
    inventory.require_dvc(project)
    shelf, book = Shelf(project, progress), Book(project)
    chosen = [inventory.choose(shelf.slots, rules.slot)] if rules.slot else shelf.slots
    stocks = tuple(shelf.stock(slot) for slot in chosen)
    fates: list[Fate] = []
    metrics: dict[str, str | None] = {}
    problem = None
    for stock in stocks:
        inventory.require_list(stock)
        decided, metrics[stock.slot.name] = _decide(project, book, stock, rules)
        wanted = [fate.model for fate in decided if fate.wanted]
        if wanted:
            proved = prove(shelf, book, stock, wanted)
            problem = proved.problem or problem
            decided = [_proved(project, fate, proved) for fate in decided]
        fates += decided
    notes = [note for stock in stocks for note in candidates.stock_notes(stock)]
    return (
        Pruning(tuple(fates), metrics, (*notes, *book.notes), problem),
        Bench(shelf, book, stocks),
    )


def _proved(project: Project, fate: Fate, proved: Proved) -> Fate:
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
        run_facts.check_metric(book, rules.metric, found)
    metric = rules.metric or run_facts.primary(project, found)
    always = _always(book, stock)
    counts: Counter[str] = Counter()
    fates = []
    for at in candidates.ranked(project, models, found, metric):
        model, known = models[at], found[at]
        value = run_facts.number(known.metrics.get(metric)) if metric else None
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


@dataclass(frozen=True)
class Options:
    """How to carry a pruning out."""

    force: bool = False  #: also the only copies: their bytes are moved to the operation's keep
    commit: bool = True
    wait: bool = True


@dataclass(frozen=True)
class Pruned:
    """What went. ``kept``: the folder with the bytes that were moved instead of deleted."""

    gone: tuple[Fate, ...]
    freed: int
    kept: Path | None
    commit: str | None


def push(
    project: Project, seen: Pruning, bench: Bench, progress: Progress | None = None
) -> list[str]:
    """Send the objects of the unproved candidates to their remote; the paths that were sent.

    Raises XexpError when there is no remote, or it cannot be reached or written to.
    """
    models = [fate.model for fate in seen.unproved]
    for model in models:
        path = project.top / model.path
        if model.there:
            store(project.top / model.root, path, model.oid, legacy=model.legacy)
    outputs = [model.as_output() for model in models]
    siblings = bench.shelf.siblings
    report = remote.push(project.top, outputs, None, progress, siblings)
    lost = [*report.missing, *report.corrupt]
    if lost:
        raise XexpError(
            f"{lost[0].path} cannot be pushed: no cache has a sound copy",
            "dvc fetch, or restore the file",
        )
    return [model.path for model in models]


def prune(
    project: Project,
    rules: Rules,
    seen: Pruning,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Pruned:
    """Remove what ``seen`` says, as far as it is still so under the lock.

    A file is deleted last, after the operation is done, so that until then everything can be taken
    back by a rename.
    """
    options = options or Options()
    if not seen.gone and not (options.force and seen.unproved):
        return Pruned((), 0, None, None)
    if options.commit:
        repository_commit.check_ready(project)
    with project.operation("prune", wait=options.wait) as running:
        now, bench = plan_prune(project, rules, progress)
        gone = same(seen.gone, now.gone)
        if options.force:
            gone += same(seen.unproved, now.unproved)
        asides = _move(project, running, gone)
        touched = _pointers(running, bench, gone)
        count = counted(len(gone), "candidate")
        running.summary.append(count)
        commit = None
        if options.commit and touched:
            message = f"prune: {count}\n\n" + "".join(f"{fate.model.path}\n" for fate in gone)
            commit = repository_commit.commit(project, running, sorted(set(touched)), message)
    left = _delete(asides, keep=options.force)
    freed = sum(fate.freed for fate in gone) if not options.force else 0
    return Pruned(tuple(gone), freed, running.keep if left else None, commit)


def _move(project: Project, running: Running, gone: Sequence[Fate]) -> list[tuple[Fate, Path]]:
    """Every file out of the work tree into the operation's keep."""
    asides = []
    for number, fate in enumerate(fate for fate in gone if fate.model.there):
        path = project.top / fate.model.path
        known = inventory.file_facts(project, fate.model)
        kept = running.keep / "aside" / f"{number}.{path.name}"
        running.record("aside", path=str(path), old=known, kept=str(kept))
        undo_models.move(path, kept)
        if kept.stat().st_mtime_ns != known["mtime_ns"] or kept.stat().st_size != known["size"]:
            raise XexpError(f"{fate.model.path} is being written to", "wait, then prune again")
        asides.append((fate, kept))
    return asides


def _pointers(running: Running, bench: Bench, gone: Sequence[Fate]) -> list[str]:
    touched: list[str] = []
    for stock in bench.stocks:
        names = [fate.model for fate in gone if fate.model.slot == stock.slot.name]
        members: dict[str, str | None] = {m.path: None for m in names if m.recorded is not None}
        touched += inventory.point(bench.shelf, running, stock, members)
    return touched


def _delete(asides: Sequence[tuple[Fate, Path]], *, keep: bool) -> list[Path]:
    """Delete the files, unless their bytes are to be kept; what is left."""
    if keep:
        return [kept for _, kept in asides]
    for _, kept in asides:
        kept.unlink(missing_ok=True)
    return []


@dataclass(frozen=True)
class Proved:
    """Where else each model's bytes are, by path; None where that is not proved."""

    places: Mapping[str, str | None]
    problem: str | None = None  #: why no remote could be asked


def prove(shelf: Shelf, book: Book, stock: Stock, models: Sequence[Model]) -> Proved:
    """Where the bytes of these models are besides the work tree."""
    try:
        lacking, problem = set(candidates.lacking_on_remote(shelf, models)), None
    except XexpError as error:
        lacking, problem = {model.oid for model in models}, error.message
    held = candidates.holders(shelf, stock.slot, book.experiments, (m.hash for m in models))
    places: dict[str, str | None] = {}
    for model in models:
        if model.oid not in lacking:
            name = model.remote or remote_name(shelf.project.top / model.root)
            places[model.path] = f"remote {name}"
        elif model.hash in held and sound_copy(shelf, model) is not None:
            places[model.path] = f"{held[model.hash]} and the cache"
        else:
            places[model.path] = None
    return Proved(places, problem)


def sound_copy(shelf: Shelf, model: Model) -> Path | None:
    """A cache's object with exactly these bytes; one that was changed does not count."""
    for cache in shelf.caches(model.root):
        path = object_path(cache, model.oid, model.legacy)
        if not path.is_file():
            continue
        project = shelf.project
        known = file_hashes(project.top, [(path, model.legacy)], project.stat_cache)
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
