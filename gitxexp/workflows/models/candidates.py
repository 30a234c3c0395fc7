"""``candidates list``: every model of every slot, ranked, with its locations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc import proofs
from gitxexp.storage.dvc.places import local_remote_dir
from gitxexp.storage.objects import has_object
from gitxexp.workflows.models import run_facts
from gitxexp.workflows.models.context import ModelContext, ranked
from gitxexp.workflows.models.inventory import Model, ModelStore, SlotContents, choose_slot
from gitxexp.workflows.models.manifests import tags_holding
from gitxexp.workflows.models.run_facts import RunFacts, RunIndex

if TYPE_CHECKING:
    from gitxexp.storage.dvc.remote import MissingObject
    from gitxexp.storage.objects import Progress


class ListedModel(NamedTuple):
    """One model. ``on_remote`` is None if the remote was not or could not be asked; ``proved`` is
    then when it was last verified there, in seconds since 1970."""

    model: Model
    facts: RunFacts
    rank: int | None  #: by the primary metric within its slot, from 1; None without a number
    cached: bool
    on_remote: bool | None
    tag: str | None  #: the newest tag with its content
    proved: float | None = None
    in_git: bool = False  #: git itself, or Git LFS, tracks the file

    @property
    def state(self) -> str:
        """The state of the model, or "in git"."""
        return "in git" if self.in_git else self.model.state

    @property
    def places(self) -> tuple[str, ...]:
        """Its locations: workspace, cache, remote."""
        names = ("workspace", "cache", "remote")
        have = (self.model.there, self.cached, bool(self.on_remote))
        return tuple(name for name, has in zip(names, have, strict=True) if has)


class ModelList(NamedTuple):
    """Models by slot, production by its rank; the ranking metric of each slot; notes."""

    rows: tuple[ListedModel, ...]
    metrics: dict[str, str | None]
    notes: tuple[str, ...]


def list_models(
    project: Project,
    slot: str | None = None,
    metric: str | None = None,
    *,
    ask_remote: bool = False,
    progress: Progress | None = None,
) -> ModelList:
    """Return every candidate and production model of one slot or of all, best first by metric.

    ``ask_remote``: also query non-local remotes. Raises XexpError for an unknown ``metric``.
    """
    runs, store = RunIndex(project), ModelStore(project, progress)  # git lists the tags meanwhile
    rows: list[ListedModel] = []
    metrics: dict[str, str | None] = {}
    notes: list[str] = []
    for one in [choose_slot(store.slots, slot)] if slot is not None else store.slots:
        context = ModelContext(store, runs, store.contents(one))
        facts = context.facts()
        if metric is not None and facts:
            run_facts.check_metric(runs, metric, facts)
        metrics[one.name] = metric or run_facts.primary_metric(project, facts)
        rows += _rows(context, facts, metrics[one.name], ask_remote)
        notes += slot_notes(context.contents)
    rows = _in_git(project, rows)
    return ModelList(tuple(rows), metrics, (*notes, *runs.notes))


def _in_git(project: Project, rows: list[ListedModel]) -> list[ListedModel]:
    """Mark the models that git itself tracks, of those that DVC does not."""
    loose = [row.model.path for row in rows if row.model.state == "untracked"]
    if not loose:
        return rows
    held = set(project.at_top.fields("--literal-pathspecs", "ls-files", "-z", "--", *loose))
    return [row._replace(in_git=row.model.path in held) for row in rows]


def slot_notes(contents: SlotContents) -> Iterable[str]:
    """Return the problems of a slot."""
    if not contents.listed and contents.output is not None:
        yield (
            f"the list of {contents.slot.candidates} is not in the cache:"
            f" dvc fetch '{contents.output.pointer}'"
        )
    for model in contents.models:
        if model.state == "edited":
            yield f"{model.path} differs from its pointer: it was changed by hand"


def _rows(
    context: ModelContext, facts: Sequence[RunFacts], metric: str | None, ask_remote: bool
) -> list[ListedModel]:
    store, contents, experiments = context.store, context.contents, context.runs.experiments
    hashes = (model.hash for model in contents.models)
    tags = tags_holding(store, contents.slot, experiments, hashes)
    remote = _on_remote(store, contents, ask=ask_remote)
    before = _proved(store, [m for m in contents.models if m.hash not in remote])
    rows = []
    for place, at in enumerate(ranked(context.project, contents.models, facts, metric)):
        model = contents.models[at]
        value = facts[at].metrics.get(metric) if metric else None
        rank = None if run_facts.number(value) is None else place + 1
        cached, tag = store.is_cached(model), tags.get(model.hash)
        known = remote.get(model.hash)
        proved = None if known is not None else before.get(model.hash)
        rows.append(ListedModel(model, facts[at], rank, cached, known, tag, proved))
    return rows


def _on_remote(store: ModelStore, contents: SlotContents, *, ask: bool) -> dict[str, bool]:
    """Hash → whether the remote has it, as far as known."""
    top = store.project.top
    if ask:
        try:
            lacking = lacking_on_remote(store, contents.models)
        except XexpError:
            return {}
        return {model.hash: model.oid not in lacking for model in contents.models}
    there: dict[str, bool] = {}
    folders: dict[tuple[str, str | None], Path | None] = {}
    for model in contents.models:
        key = (model.root, model.remote)
        if key not in folders:
            folders[key] = local_remote_dir(top / model.root, pointer=model.remote)
        folder = folders[key]
        if folder is not None:
            there[model.hash] = has_object(str(folder), model.oid, model.legacy)
    return there


def _proved(store: ModelStore, models: Iterable[Model]) -> dict[str, float]:
    """Hash → when the remote was last verified to have it."""
    project = store.project
    found: dict[str, float] = {}
    groups: dict[tuple[str, str | None, bool], list[Model]] = {}
    for model in models:
        groups.setdefault((model.root, model.remote, model.legacy), []).append(model)
    for there in groups.values():
        place = proofs.place_of(project.top, there[0].as_output())
        if place is None:
            continue
        known = proofs.times(project.proofs, place, [model.oid for model in there])
        found |= {model.hash: known[model.oid] for model in there if model.oid in known}
    return found


def lacking_on_remote(store: ModelStore, models: Iterable[Model]) -> dict[str, MissingObject]:
    """Return the models' objects that their remote lacks, by a full listing; hash → state.

    Raises XexpError if there is no remote or it cannot be reached.
    """
    from gitxexp.storage.dvc.remote import missing_on_remote  # only with --remote

    outputs = [model.as_output() for model in models]
    lacking = missing_on_remote(
        store.project.top, outputs, None, store.siblings, store.project.proofs
    )
    return {item.oid: item for item in lacking}
