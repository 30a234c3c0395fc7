"""``prune``: decide which candidates to keep, verify copies elsewhere, then delete the others.

A file may be deleted if its content is verified elsewhere: on a remote, by listing; or in a tag,
while a cache of this repository has an intact object. ``git xexp prune --cache`` keeps what a tag
references.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.common.text import counted
from gitxexp.repository import commit as repository_commit
from gitxexp.repository.repository import Project, Running
from gitxexp.storage.dvc import remote
from gitxexp.storage.dvc.add import store as store_object
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.dvc.databases import own_copy
from gitxexp.storage.dvc.places import remote_name
from gitxexp.storage.dvc.session import NoRemote
from gitxexp.storage.objects import Progress, object_path
from gitxexp.workflows.experiments import describe
from gitxexp.workflows.models import candidates, changes, inventory, run_facts
from gitxexp.workflows.models.context import ModelContext, ranked
from gitxexp.workflows.models.inventory import Model, ModelStore
from gitxexp.workflows.models.manifests import tags_holding
from gitxexp.workflows.models.run_facts import RunFacts, RunIndex
from gitxexp.workflows.models.steps import ModelRemoved, move

#: The label that protects a model from pruning.
KEEP = "keep"


class GroupBy(StrEnum):
    """What each group of ``--per`` has in common."""

    VERSION = "version"
    MODEL = "model"


@dataclass(frozen=True)
class PruneRules:
    """What to keep. ``older_than`` in seconds."""

    keep: int = 5
    metric: str | None = None
    per: GroupBy | None = None
    older_than: float | None = None
    unranked: bool = False  #: also delete models without the metric
    slot: str | None = None


@dataclass(frozen=True)
class PruneDecision:
    """The decision for one candidate, and the reason."""

    model: Model
    facts: RunFacts
    value: float | None
    excess: bool  #: the rules allow deleting it
    why: str
    copy: str | None = None  #: where else its content is
    freed: int = 0  #: bytes freed by deleting it (none for a link)

    @property
    def deletable(self) -> bool:
        """Whether it may be deleted: the rules allow it, and its content is elsewhere."""
        return self.excess and self.copy is not None


@dataclass(frozen=True)
class PrunePlan:
    """The decision for every candidate. ``problem``: why no remote could be queried."""

    decisions: tuple[PruneDecision, ...]
    metrics: dict[str, str | None]
    contexts: tuple[ModelContext, ...] = field(repr=False, compare=False)  #: one for each slot
    notes: tuple[str, ...] = ()
    problem: str | None = None
    unasked: bool = False  #: a remote did not answer, so its content is unknown

    @property
    def deletable(self) -> list[PruneDecision]:
        """Those that may be deleted."""
        return [decision for decision in self.decisions if decision.deletable]

    @property
    def only_copies(self) -> list[PruneDecision]:
        """Those that the rules allow to delete but that are, as far as known, the only copy."""
        return [one for one in self.decisions if one.excess and one.copy is None]

    def going(self, *, force: bool) -> list[PruneDecision]:
        """Those that are removed; with ``force`` the only copies, too."""
        return [*self.deletable, *(self.only_copies if force else ())]


def plan_prune(project: Project, rules: PruneRules, progress: Progress | None = None) -> PrunePlan:
    """Decide for every candidate of one slot or of all; changes nothing.

    Raises XexpError for an unknown metric, or if a folder's manifest is unavailable.
    """
    inventory.require_dvc(project)
    store, runs = ModelStore(project, progress), RunIndex(project)
    slots = [inventory.choose_slot(store.slots, rules.slot)] if rules.slot else store.slots
    contexts = tuple(ModelContext(store, runs, store.whole(slot)) for slot in slots)
    decisions: list[PruneDecision] = []
    metrics: dict[str, str | None] = {}
    problem, unasked = None, False
    for context in contexts:
        decided, metrics[context.contents.slot.name] = _decide(context, rules)
        excess = [decision.model for decision in decided if decision.excess]
        if excess:
            copies = find_copies(context, excess)
            problem, unasked = copies.problem or problem, unasked or copies.unasked
            decided = [_with_copy(project, decision, copies) for decision in decided]
        decisions += decided
    notes = [note for context in contexts for note in candidates.slot_notes(context.contents)]
    return PrunePlan(tuple(decisions), metrics, contexts, (*notes, *runs.notes), problem, unasked)


def _with_copy(project: Project, decision: PruneDecision, copies: StoredCopies) -> PruneDecision:
    if not decision.excess:
        return decision
    place = copies.places.get(decision.model.path)
    if place is None:
        return replace(decision, why=f"{decision.why}, but it is the only copy")
    return replace(decision, copy=place, freed=_freed(project, decision.model))


def _freed(project: Project, model: Model) -> int:
    path = project.top / model.path
    if not model.there or path.is_symlink() or path.stat().st_nlink > 1:
        return 0
    return path.stat().st_size


def _decide(context: ModelContext, rules: PruneRules) -> tuple[list[PruneDecision], str | None]:
    """Return the decision for each candidate by the rules alone, best first, and the ranking
    metric."""
    project, runs, models = context.project, context.runs, context.contents.candidates
    facts = [runs.facts(model.run) for model in models]
    if rules.metric is not None and models:
        run_facts.check_metric(runs, rules.metric, facts)
    metric = rules.metric or run_facts.primary_metric(project, facts)
    always = _always_kept(context)
    counts: Counter[str] = Counter()
    decisions = []
    for at in ranked(project, models, facts, metric):
        model, known = models[at], facts[at]
        value = run_facts.number(known.metrics.get(metric)) if metric else None
        group = _group(project, known, rules.per)
        if value is not None:
            counts[group] += 1
        place = _Rank(metric, value, counts[group])
        kept = (
            always.get(model.hash)
            or _labelled(runs, known)
            or (None if model.run else "not named <run>_model")
            or _kept(runs, model, known, place, rules)
        )
        why = kept or _excess(place, rules)
        decisions.append(PruneDecision(model, known, value, kept is None, why))
    return decisions, metric


@dataclass(frozen=True)
class _Rank:
    """A candidate's number, and its rank in its group."""

    metric: str | None
    value: float | None
    rank: int


def _always_kept(context: ModelContext) -> dict[str, str]:
    """Hash → why it is kept whatever its metric."""
    runs, contents = context.runs, context.contents
    reasons = {}
    for experiment in runs.experiments:
        payload = experiment.payload
        if KEEP in payload.labels or KEEP in runs.labels(experiment.name):
            held = payload.artifacts.get(contents.slot.production)
            if held:
                reasons[held] = f"{experiment.name} is labelled {KEEP}"
    last = next((p for p in runs.promotions if p.slot == contents.slot.name), None)
    if last is not None:
        reasons[last.hash_after] = "the last promoted"
    if contents.production is not None:
        reasons[contents.production.hash] = "in production"
    return reasons


def _labelled(runs: RunIndex, facts: RunFacts) -> str | None:
    named = KEEP in facts.labels or (facts.version and KEEP in runs.labels(facts.version))
    return f"labelled {KEEP}" if named else None


def _group(project: Project, facts: RunFacts, per: GroupBy | None) -> str:
    """The group (version or architecture) of the candidate."""
    if per is GroupBy.VERSION:
        return facts.version or facts.recorded or ""
    if per is GroupBy.MODEL:
        name = describe.find_param(facts.params, project.config.params_model)
        return str(facts.params[name]) if name else ""
    return ""


def _kept(
    runs: RunIndex, model: Model, facts: RunFacts, place: _Rank, rules: PruneRules
) -> str | None:
    """Why the rules keep a candidate; None if they do not."""
    if place.value is None and not rules.unranked:
        if place.metric is None:
            return "no metric to rank by"
        return f"no value for {place.metric} ({runs.why_not(model.run, place.metric)})"
    if place.value is not None and place.rank <= rules.keep:
        return f"number {place.rank} of the {rules.keep} kept"
    if rules.older_than is not None:
        made = facts.seconds or model.mtime
        if not made or time.time() - made < rules.older_than:
            return "not old enough"
    return None


def _excess(place: _Rank, rules: PruneRules) -> str:
    if place.value is None:
        return "no value to rank it by"
    return f"number {place.rank} by {place.metric}, {rules.keep} are kept"


# -- the operation ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class PruneOptions:
    """How to carry a plan out."""

    force: bool = False  #: also delete only copies: they are moved to the operation's keep folder
    commit: bool = True
    wait: bool = True


@dataclass(frozen=True)
class Pruned:
    """What was removed. ``kept``: the folder with the bytes that were moved instead of deleted."""

    gone: tuple[PruneDecision, ...]
    freed: int
    kept: Path | None
    commit: str | None


def push(project: Project, plan: PrunePlan, progress: Progress | None = None) -> list[str]:
    """Push the objects of the only copies to their remote; return the pushed paths.

    Raises XexpError if there is no remote, or it cannot be reached or written to.
    """
    models = [decision.model for decision in plan.only_copies]
    for model in models:
        path = project.top / model.path
        if model.there:
            store_object(project.top / model.root, path, model.oid, legacy=model.legacy)
    outputs = [model.as_output() for model in models]
    siblings = plan.contexts[0].store.siblings if plan.contexts else []
    report = remote.push(project.top, outputs, None, progress, siblings)
    lost = [*report.missing, *report.corrupt]
    if lost:
        raise XexpError(
            f"{lost[0].path} cannot be pushed: no cache has a valid copy",
            "dvc fetch, or restore the file",
        )
    return [model.path for model in models]


def prune(
    project: Project,
    rules: PruneRules,
    seen: PrunePlan,
    options: PruneOptions | None = None,
    progress: Progress | None = None,
) -> Pruned:
    """Remove the candidates of the plan ``seen`` for which it still holds under the lock.

    Files are deleted last, after the operation is done, so that until then a rename can undo
    everything.
    """
    options = options or PruneOptions()
    project.recover_first(wait=options.wait)
    if not seen.going(force=options.force):
        return Pruned((), 0, None, None)
    if options.commit:
        repository_commit.check_ready(project)
    with project.operation("prune", wait=options.wait) as running:
        now = plan_prune(project, rules, progress)
        gone = _still(seen.going(force=options.force), now.going(force=options.force))
        moved = _move(project, running, gone)
        touched = _update_pointers(running, now, gone)
        count = counted(len(gone), "candidate")
        running.summary.append(count)
        commit = None
        if options.commit and touched:
            message = f"prune: {count}\n\n" + "".join(f"{one.model.path}\n" for one in gone)
            commit = repository_commit.commit(project, running, sorted(set(touched)), message)
    if not options.force:
        _delete(moved)
    freed = sum(decision.freed for decision in gone) if not options.force else 0
    kept = running.keep if options.force and moved else None
    return Pruned(tuple(gone), freed, kept, commit)


def _still(seen: Sequence[PruneDecision], now: Sequence[PruneDecision]) -> list[PruneDecision]:
    """Those of ``now`` that were already in ``seen`` with the same content."""
    known = {(decision.model.path, decision.model.hash) for decision in seen}
    return [one for one in now if (one.model.path, one.model.hash) in known]


def _move(project: Project, running: Running, gone: Sequence[PruneDecision]) -> list[Path]:
    """Move every file from the work tree to the operation's keep folder."""
    moved = []
    for number, decision in enumerate(one for one in gone if one.model.there):
        model = decision.model
        path = project.top / model.path
        if decision.copy is None and path.is_symlink():
            own_copy(path)  # dvc gc may take what a link into the cache leads to
        facts = changes.file_facts(project, model)
        kept = running.keep / "aside" / f"{number}.{path.name}"
        running.record(ModelRemoved(str(path), facts, str(kept)))
        move(path, kept)
        if kept.stat().st_mtime_ns != facts.mtime_ns or kept.stat().st_size != facts.size:
            raise XexpError(f"{model.path} is being written to", "wait, then prune again")
        moved.append(kept)
    return moved


def _update_pointers(running: Running, plan: PrunePlan, gone: Sequence[PruneDecision]) -> list[str]:
    touched: list[str] = []
    for context in plan.contexts:
        contents = context.contents
        models = [one.model for one in gone if one.model.slot == contents.slot.name]
        members: dict[str, str | None] = {m.path: None for m in models if m.recorded is not None}
        touched += changes.update_folder_pointer(context.store, running, contents, members)
    return touched


def _delete(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


# -- copies elsewhere -----------------------------------------------------------------------------


@dataclass(frozen=True)
class StoredCopies:
    """Where else each model's content is, by path; None if not verified."""

    places: Mapping[str, str | None]
    problem: str | None = None  #: why no remote could be queried
    unasked: bool = False  #: whether it did not answer


def find_copies(context: ModelContext, models: Sequence[Model]) -> StoredCopies:
    """Return where the content of these models is besides the work tree."""
    store = context.store
    try:
        lacking, problem, unasked = set(candidates.lacking_on_remote(store, models)), None, False
    except XexpError as error:
        lacking, problem = {model.oid for model in models}, error.message
        unasked = not isinstance(error, NoRemote)
    hashes = (model.hash for model in models)
    tags = tags_holding(store, context.contents.slot, context.runs.experiments, hashes)
    places: dict[str, str | None] = {}
    for model in models:
        if model.oid not in lacking:
            name = remote_name(store.project.top / model.root, pointer=model.remote)
            places[model.path] = f"remote {name}"
        elif model.hash in tags and _valid_object(store, model):
            places[model.path] = f"{tags[model.hash]} and the cache"
        else:
            places[model.path] = None
    return StoredCopies(places, problem, unasked)


def _valid_object(store: ModelStore, model: Model) -> bool:
    """Whether a cache has an intact object with this content."""
    project = store.project
    for cache in store.caches(model.root):
        path = object_path(cache, model.oid, model.legacy)
        if path.is_file():
            hashes = file_hashes(project.top, [(path, model.legacy)], project.stat_cache)
            if hashes[path] == model.oid:
                return True
    return False


def require_other_copy(context: ModelContext, model: Model) -> None:
    """Raise NoAnswer unless the content of ``model`` is verified to be elsewhere."""
    if find_copies(context, [model]).places[model.path] is None:
        raise NoAnswer(
            f"{model.path} ({model.oid[:8]}) is the only copy of that model",
            "leave out --no-keep, or make it safe first: git xexp tag, or dvc push",
        )
