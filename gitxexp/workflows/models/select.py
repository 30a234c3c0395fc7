"""Which model ``promote`` means, and where its bytes are.

The best model by a metric. Ties, and what has no number, are said and never guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gitxexp.common.errors import XexpError, suggestion
from gitxexp.common.text import some
from gitxexp.repository import tag_message
from gitxexp.repository.tags import Experiment, run_of_content
from gitxexp.repository.version import AnyVersion
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.sources import Stores, Strategy
from gitxexp.workflows.artifacts.locate import Commit, Item
from gitxexp.workflows.experiments import collect
from gitxexp.workflows.experiments.collect import Wanted
from gitxexp.workflows.models import inventory
from gitxexp.workflows.models import run_facts as known
from gitxexp.workflows.models.candidates import production_run
from gitxexp.workflows.models.inventory import Model, Shelf, Slot, Stock
from gitxexp.workflows.models.run_facts import Book, Facts


@dataclass(frozen=True)
class Wish:
    """What ``promote`` was asked for. None of the first five: the best by the primary metric."""

    version: AnyVersion | None = None
    run: str | None = None
    best: str | None = None
    worktree: str | None = None
    rollback: bool = False
    slot: str | None = None
    why: str = ""


@dataclass(frozen=True)
class Choice:
    """A model to promote. ``file``: where it is on disk now; ``commit``: else where it is tagged."""

    model: Model
    facts: Facts
    origin: str  #: "candidate", "production", "e0.3.0", "worktree NAME"
    file: Path | None = None
    commit: str | None = None
    notes: tuple[str, ...] = ()


@dataclass
class Search:
    """The places to look in, opened once."""

    shelf: Shelf
    book: Book
    stock: Stock

    def stores(self) -> Stores:
        """Caches and remotes, nearest first."""
        project = self.shelf.project
        return Stores(
            project.top, lambda: self.shelf.siblings, Strategy.AUTO, None, self.shelf.progress
        )

    def workspace(self, model: Model, notes: Sequence[str] = ()) -> Choice:
        """A model of this work tree. Raises XexpError when it was edited by hand."""
        run = production_run(self.book, self.stock) if model.production else model.run
        if not model.production and model.state == "edited":
            raise XexpError(
                f"{model.path} differs from its pointer: it was changed by hand",
                f"take it as it is now: dvc add '{model.path}'\n"
                f"or put the recorded one back: dvc checkout -f '{model.path}'",
            )
        file = self.shelf.project.top / model.path if model.there else None
        origin = "production" if model.production else "candidate"
        return Choice(model._replace(run=run), self.book.of(run), origin, file, None, tuple(notes))


def by_run(search: Search, run: str) -> Choice:
    """The model of a run: a candidate here, production, or at the newest tag of that run.

    Raises XexpError: no such run, or a run without a model file.
    """
    stock = search.stock
    found = [model for model in stock.candidates if model.run == run]
    found = found or _by_prefix([m for m in stock.candidates if m.run], run)
    if found:
        return search.workspace(found[0])
    if stock.production and production_run(search.book, stock) == run:
        return search.workspace(stock.production)
    for experiment in search.book.by_run.get(run, ()):
        choice = at_tag(search, experiment)
        if choice is not None:
            return choice
    return _without_model(search, run)


def _by_prefix(models: Sequence[Model], run: str) -> list[Model]:
    found = [model for model in models if (model.run or "").startswith(run)]
    names = sorted({model.run or "" for model in found})
    if len(names) > 1:
        raise XexpError(f"run '{run}' is ambiguous: {', '.join(names[:5])}", "give more of its id")
    return found


def _without_model(search: Search, run: str) -> Choice:
    """The error for a run that has no model; a longer id that ``run`` begins is taken first."""
    project = search.shelf.project
    full = run
    if run not in search.book.by_run:
        found = collect.collect(project.top, project.config, Wanted(run=run)).run
        full = found.id if found else run
    if full != run:
        return by_run(search, full)
    raise XexpError(
        f"run {run} has no model file: none in {search.stock.slot.candidates}/, none at a tag",
        f"add it first: git xexp candidates add PATH --run {run}",
    )


def by_version(search: Search, version: AnyVersion) -> Choice:
    """The model of an experiment: the candidate of its run here, else what its tag holds."""
    experiment = next((e for e in search.book.experiments if e.version == version), None)
    if experiment is None:
        newest = ", ".join(e.name for e in search.book.experiments[:5])
        raise XexpError(f"there is no experiment {version}", f"the newest are: {newest or 'none'}")
    run = experiment.payload.run
    tagged = at_tag(search, experiment)
    here = next((m for m in search.stock.candidates if run and m.run == run), None)
    if here is not None:
        differs = tagged is not None and tagged.model.hash != here.hash
        note = f"{here.path} is not what {version} holds; the candidate here is taken"
        return search.workspace(here, [note] if differs else [])
    if tagged is None:
        raise XexpError(
            f"{version} holds no model ({search.stock.slot.production})",
            f"its files: git xexp explore show {version}\n"
            "another file is the model in production? [models] production in .xexp/config.toml",
        )
    return tagged


def at_tag(search: Search, experiment: Experiment) -> Choice | None:
    """The candidate of the experiment's run at its tag, else production there; None if neither."""
    project, slot = search.shelf.project, search.stock.slot
    commit = Commit(project.at_top, experiment.commit, search.stores().manifest)
    items = _items(commit, slot.candidates)
    run = experiment.payload.run
    item = next((i for i in items if run and inventory.run_of(i.path) == run), None)
    item = item or next(iter(_items(commit, slot.production)), None)
    if item is None:
        return None
    facts = search.book.of_experiment(experiment)
    model = _of_item(search, slot, item, run or None)
    return Choice(model, facts, experiment.name, None, experiment.commit)


def _items(commit: Commit, path: str) -> Iterator[Item]:
    try:
        found = commit.exact(path)
    except XexpError:
        return
    yield from (item for item in (found.items if found else ()) if item.blob or item.oid)


def _of_item(search: Search, slot: Slot, item: Item, run: str | None) -> Model:
    size, digest = item.size, item.oid
    if item.blob is not None:
        content = search.shelf.project.git.raw("cat-file", "blob", item.blob)
        size, digest = len(content), hashlib.md5(content, usedforsecurity=False).hexdigest()
    out = item.output
    return Model(
        slot.name, item.path, run, False, f"md5:{digest}", size, there=False,
        legacy=out is not None and out.legacy, root=out.root if out else "",
        remote=out.remote if out else None,
    )  # fmt: skip


def by_hash(search: Search, digest: str, run: str, version: str, origin: str) -> Choice:
    """The model with these bytes, wherever it is: a candidate here, a tag, a cache or remote."""
    here = next((m for m in search.stock.candidates if m.hash == digest), None)
    if here is not None and here.state != "edited":
        return search.workspace(here)
    slot = search.stock.slot
    owner = search.shelf.owner(slot.production)
    root = owner.root if owner else ""
    model = Model(
        slot.name, slot.production, run or None, False, digest, None, there=False, root=root
    )
    known = search.book.of(run or None)
    facts = known if known.version or known.metrics else Facts(run or None, version or None)
    return Choice(model, facts, origin)


def in_worktree(search: Search, name: str, run: str | None) -> Choice:
    """A model of another worktree: the candidate of ``run`` (default: its latest), or production."""
    project, slot = search.shelf.project, search.stock.slot
    top = worktree_at(search.shelf, name)
    chosen = collect.collect(top, project.config, Wanted(run=run)).run
    folder = top / slot.candidates
    names = [path for path in sorted(folder.glob("*")) if path.is_file()]
    wanted = chosen.id if chosen else run
    file = next((p for p in names if wanted and inventory.run_of(p.name) == wanted), None)
    file = file or (top / slot.production if (top / slot.production).is_file() else None)
    if file is None:
        raise XexpError(
            f"worktree {name} has no model: neither {slot.production} nor a candidate of its run",
            f"look there: ls '{top}'",
        )
    digest = file_hashes(top, [(file, False)], project.stat_cache)[file]
    path = file.relative_to(top).as_posix()
    made = run_of_content(search.book.experiments, path, f"md5:{digest}")
    if made and run is None and path == slot.production:  # the latest run may be a merged one
        wanted = made
    model = Model(slot.name, path, wanted, False, f"md5:{digest}", file.stat().st_size)
    facts = Facts(wanted, None, None, chosen.params, chosen.metrics) if chosen else Facts(wanted)
    if wanted in search.book.by_run:
        facts = search.book.of(wanted)
    return Choice(model, facts, f"worktree {name}", file)


def worktree_at(shelf: Shelf, name: str) -> Path:
    """The folder of a worktree, named by its folder, its branch, the name it was made with, or path."""
    project = shelf.project
    branch = project.config.worktree_branch.replace("{name}", name)
    template = Path(project.config.worktree_path.replace("{name}", name)).name
    named = []
    for tree in project.worktrees():
        path = Path(tree["worktree"])
        own = tree.get("branch", "").removeprefix("refs/heads/")
        if own in (name, branch) or path.name in (name, template) or str(path) == name:
            return path
        named.append(path.name)
    hint = suggestion(name, named, f"there are: {', '.join(named)}")
    raise XexpError(f"there is no worktree {name}", hint)


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
                f"{winner.name} has {metric}={tag_message.show(winner.value)} but no model file"
            )
            continue
        equal = [rival for rival in left if rival.value == winner.value]
        if equal:
            names = some([rival.name for rival in equal], _NAMED)
            notes.append(
                f"{metric}={tag_message.show(winner.value)} is shared by {names}; took {winner.name}"
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
            better.append((sign * number, f"run {run.id} has {metric}={tag_message.show(number)}"))
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
