"""Select a model by run, version, worktree or metric, and locate its content.

The best model by a metric: ties, and models without a number, are reported, never guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError, suggestion
from gitxexp.common.text import some
from gitxexp.repository import tag_message
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment, run_of_content
from gitxexp.repository.version import AnyVersion
from gitxexp.storage import paths
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.dvc.places import readable
from gitxexp.storage.filters import as_files
from gitxexp.storage.objects import hash_file, is_object, matches, object_path
from gitxexp.trackers.files import read_params
from gitxexp.workflows.artifacts.locate import CommitFile, CommitFiles
from gitxexp.workflows.experiments import collect, stores
from gitxexp.workflows.experiments.collect import RunChoice
from gitxexp.workflows.experiments.resolve import none_here
from gitxexp.workflows.models import inventory, run_facts
from gitxexp.workflows.models.context import ModelContext
from gitxexp.workflows.models.inventory import Model, ModelStore, SlotModels
from gitxexp.workflows.models.run_facts import RunFacts, RunIndex
from gitxexp.workflows.runs.record import RunFolders


@dataclass(frozen=True)
class ModelChoice:
    """A model to promote. ``file``: its path on disk; ``commit``: else the commit that is tagged
    with it."""

    model: Model
    facts: RunFacts
    origin: str  #: "candidate", "production", "e0.3.0", "worktree NAME"
    file: Path | None = None
    commit: str | None = None
    notes: tuple[str, ...] = ()


def in_work_tree(context: ModelContext, model: Model, notes: Sequence[str] = ()) -> ModelChoice:
    """A model of this work tree. Raises XexpError if it was edited by hand."""
    run = context.run_of(model)
    if not model.production and model.state == "edited":
        raise XexpError(
            f"{model.path} differs from its pointer: it was changed by hand",
            f"take it as it is now: dvc add {context.project.typed(model.path)}\n"
            f"or put the recorded one back: dvc checkout -f {context.project.typed(model.path)}",
        )
    file = context.project.top / model.path if model.there else None
    origin = "production" if model.production else "candidate"
    facts = context.runs.facts(run)
    return ModelChoice(model._replace(run=run), facts, origin, file, None, tuple(notes))


def by_run(context: ModelContext, run: str) -> ModelChoice:
    """The model of a run: a candidate here, production, or at the newest tag of that run.

    Raises XexpError: no such run, or a run without a model file.
    """
    contents = context.contents
    recorded = next((one for one in context.runs.records if one.id == run), None)
    run = recorded.name if recorded is not None else run
    matching = [model for model in contents.candidates if model.run == run]
    matching = matching or _by_prefix([m for m in contents.candidates if m.run], run)
    if matching:
        return in_work_tree(context, matching[0])
    if contents.production and context.production_run() == run:
        return in_work_tree(context, contents.production)
    unread = None
    for experiment in context.runs.by_run.get(run, ()):
        try:
            choice = at_tag(context, experiment)
        except XexpError as error:
            unread = unread or error
            continue
        if choice is not None:
            return choice
    if unread is not None:
        raise unread
    return _without_model(context, run)


@dataclass(frozen=True)
class KeptFile:
    """A kept file of a run. ``path``: where the run wrote it, from the top."""

    path: str
    file: Path  #: with exactly the bytes of ``md5``
    md5: str


def kept_files(project: Project, run: str) -> list[KeptFile]:
    """Return a run's models that were kept as candidates, per slot, and the small files kept with
    its record; all verified.

    Files changed by hand do not count, nor do candidates without an intact cache object.
    """
    store, runs = ModelStore(project), RunIndex(project)
    kept = {file.path: file for file in _beside_log(project, runs, run)}
    for slot in store.slots:
        context = ModelContext(store, runs, store.contents(slot))
        model = next((m for m in context.contents.candidates if m.run == run), None)
        if model is None:
            continue
        oid = (model.recorded or model.hash).partition(":")[2]
        file = project.top / model.path if model.there and model.state != "edited" else None
        for cache in () if file else store.caches(model.root):
            cached = object_path(cache, oid, model.legacy)
            if is_object(cached) and matches(cached, oid, model.legacy):
                file = cached
                break
        if file is not None:
            kept[slot.production] = KeptFile(slot.production, file, oid)
    for found in _cached_outputs(store, runs, run):
        kept.setdefault(found.path, found)
    return list(kept.values())


def _cached_outputs(store: ModelStore, runs: RunIndex, run: str) -> Iterator[KeptFile]:
    """Return the outputs of a recorded run that are in a DVC cache, as after ``dvc repro``."""
    record, project = runs.recorded(run), store.project
    results = {project.inside(path) for path in stores.databases(project.top, project.config)}
    for path, digest in record.outputs.items() if record is not None else ():
        name = paths.tracked(path, "a file of a run")
        algorithm, _, oid = digest.partition(":")
        is_file = algorithm == "md5" and paths.is_object_id(oid) and not oid.endswith(".dir")
        if not is_file or name in results:
            continue
        for cache in store.caches(inventory.root_of(store, name)):
            cached = object_path(cache, oid)
            if is_object(cached) and matches(cached, oid):
                yield KeptFile(name, cached, oid)
                break


def _beside_log(project: Project, runs: RunIndex, run: str) -> Iterator[KeptFile]:
    """Return the parameter and metrics files of a recorded run, and files that a sweep kept.
    Results databases are not replaced: they contain the run's rows."""
    record = runs.recorded(run)
    results = {project.inside(path) for path in stores.databases(project.top, project.config)}
    for path, digest in record.kept.items() if record is not None else ():
        name = paths.tracked(path, "a file of a run")
        file = RunFolders(project.state).kept(record.id, name) if record is not None else None
        oid = digest.partition(":")[2]
        if name in results or file is None or not file.is_file():
            continue
        if PurePosixPath(name).name == "dvc.lock" and _is_of_another(project, name, file):
            continue
        if hash_file(file) == oid:
            yield KeptFile(name, file, oid)


def _is_of_another(project: Project, path: str, lock: Path) -> bool:
    """Whether the pipeline of a ``dvc.lock`` has changed since, so that it no longer fits."""
    here = readable(project.top, path)
    return here is not None and here.is_file() and _stages(here) != _stages(lock)


def _stages(lock: Path) -> dict[str, Any]:
    """The stages of a ``dvc.lock`` and the command of each."""
    stages = read_params(lock).get("stages")
    found = stages.items() if isinstance(stages, dict) else ()
    return {name: stage.get("cmd") for name, stage in found if isinstance(stage, dict)}


def _by_prefix(models: Sequence[Model], run: str) -> list[Model]:
    matching = [model for model in models if (model.run or "").startswith(run)]
    names = sorted({model.run or "" for model in matching})
    if len(names) > 1:
        raise XexpError(f"run '{run}' is ambiguous: {', '.join(names[:5])}", "give more of its id")
    return matching


def _without_model(context: ModelContext, run: str) -> ModelChoice:
    """Return the error for a run without a model; an id that starts with ``run`` is preferred."""
    project = context.project
    full = run
    if run not in context.runs.by_run:
        logged = collect.collect(project.top, project.config, RunChoice(run=run)).run
        full = logged.id if logged else run
    if full != run:
        return by_run(context, full)
    raise XexpError(
        f"run {run} has no model file: none in {context.contents.slot.candidates}/, none at a tag",
        f"add it first: git xexp candidates add PATH --run {run}",
    )


def by_version(context: ModelContext, version: AnyVersion) -> ModelChoice:
    """Return the model of an experiment: the candidate of its run here, else the one in its tag."""
    experiments = context.runs.experiments
    experiment = next((e for e in experiments if e.version == version), None)
    if experiment is None:
        newest = ", ".join(e.name for e in experiments[:5])
        none = f"there are no experiments {none_here(context.project)}"
        raise XexpError(
            f"there is no experiment {version}", f"the newest are: {newest}" if newest else none
        )
    run = experiment.payload.run
    tagged = at_tag(context, experiment)
    here = next((m for m in context.contents.candidates if run and m.run == run), None)
    if here is not None:
        differs = tagged is not None and tagged.model.hash != here.hash
        note = f"{here.path} differs from the one in {version}; the candidate here is used"
        return in_work_tree(context, here, [note] if differs else [])
    if tagged is None:
        raise XexpError(
            f"{version} holds no model ({context.contents.slot.production})",
            f"its files: git xexp explore show {version}\n"
            "if another file is the production model, set [models] production in .xexp/config.toml",
        )
    return tagged


def at_tag(context: ModelContext, experiment: Experiment) -> ModelChoice | None:
    """The candidate of the experiment's run at its tag, else production there; None if neither.

    Raises XexpError if the files of its commit cannot be read.
    """
    slot = context.contents.slot
    stores = context.object_stores()
    commit = CommitFiles(context.project.at_top, experiment.commit, stores.manifest)
    run = experiment.payload.run
    candidates = _files(commit, slot.candidates)
    file = next((f for f in candidates if run and inventory.run_of(f.path) == run), None)
    file = file or next(_files(commit, slot.production), None)
    if file is None:
        return None
    model = _model_of(context, slot, file, run or None)
    facts = context.runs.facts_at(experiment)
    return ModelChoice(model, facts, experiment.name, None, experiment.commit)


def _files(commit: CommitFiles, path: str) -> Iterator[CommitFile]:
    match = commit.exact(path)
    yield from (file for file in (match.files if match else ()) if file.blob or file.oid)


def _model_of(context: ModelContext, slot: SlotModels, file: CommitFile, run: str | None) -> Model:
    size, digest = file.size, file.oid
    if file.blob is not None:
        blob = context.project.git.raw("cat-file", "blob", file.blob)
        content = as_files(context.project.at_top, [(file.path, file.blob, blob)])[0]
        size, digest = len(content), hashlib.md5(content, usedforsecurity=False).hexdigest()
    out = file.output
    return Model(
        slot.name, file.path, run, False, f"md5:{digest}", size, there=False,
        legacy=out is not None and out.legacy, root=out.root if out else "",
        remote=out.remote if out else None,
    )  # fmt: skip


def by_hash(context: ModelContext, digest: str, run: str, version: str, origin: str) -> ModelChoice:
    """Find the model with this content: a candidate here, a tag, a cache or remote."""
    here = next((m for m in context.contents.candidates if m.hash == digest), None)
    if here is not None and here.state != "edited":
        return in_work_tree(context, here)
    slot = context.contents.slot
    owner = context.store.owner(slot.production)
    root = owner.root if owner else ""
    model = Model(
        slot.name, slot.production, run or None, False, digest, None, there=False, root=root
    )
    facts = context.runs.facts(run or None)
    if not (facts.version or facts.metrics):
        facts = RunFacts(run or None, version or None)
    return ModelChoice(model, facts, origin)


def in_other_worktree(context: ModelContext, name: str, run: str | None) -> ModelChoice:
    """A model of another worktree: the candidate of ``run`` (default: its latest run), else its
    production model if it belongs to this run.

    Raises XexpError if the worktree has no model of the run.
    """
    project, slot = context.project, context.contents.slot
    top = worktree_path(context.store, name)
    latest = collect.collect(top, project.config, RunChoice()).run
    chosen = collect.collect(top, project.config, RunChoice(run=run)).run if run else latest
    id_or_run = chosen.id if chosen else run
    names = [path for path in sorted((top / slot.candidates).glob("*")) if path.is_file()]
    file = next((p for p in names if id_or_run and inventory.run_of(p.name) == id_or_run), None)
    production = top / slot.production
    if file is None and production.is_file():
        content = f"md5:{file_hashes(top, [(production, False)], project.stat_cache)[production]}"
        recorded = run_of_content(context.runs.experiments, slot.production, content)
        maker = recorded or (latest.id if latest else None)  # a merged run may be the latest
        if run is None or maker == id_or_run:
            file, id_or_run = production, maker
        else:
            raise XexpError(
                f"worktree {name} has no model of run {id_or_run}: {slot.production} is of {maker}",
                f"take that one: git xexp promote --from-worktree {name} --run {maker}",
            )
    if file is None:
        raise XexpError(
            f"worktree {name} has no model: neither {slot.production} nor a candidate of its run",
            f"look there: ls '{top}'",
        )
    digest = file_hashes(top, [(file, False)], project.stat_cache)[file]
    path = file.relative_to(top).as_posix()
    model = Model(slot.name, path, id_or_run, False, f"md5:{digest}", file.stat().st_size)
    if id_or_run in context.runs.by_run or chosen is None or chosen.id != id_or_run:
        facts = context.runs.facts(id_or_run)
    else:
        facts = RunFacts(id_or_run, None, None, chosen.params, chosen.metrics)
    return ModelChoice(model, facts, f"worktree {name}", file)


def worktree_path(store: ModelStore, name: str) -> Path:
    """The folder of a worktree, given by folder name, branch, creation name, or path."""
    project = store.project
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


# -- the best ------------------------------------------------------------------------------------

_NAMED = 3  #: maximum number of models named in a note


@dataclass(frozen=True)
class _ScoredModel:
    """A model here, or at a tag, with its value."""

    facts: RunFacts
    value: float
    model: Model | None = None
    experiment: Experiment | None = None

    @property
    def order(self) -> tuple[bool, bool, int, bool, float]:
        """Tie-break: production, then candidates here, then the newest (as :func:`.context.ranked`)."""
        production = self.model is not None and self.model.production
        seconds = self.facts.seconds or 0.0
        tagged = self.facts.version is not None
        return not production, self.model is None, -int(seconds), not tagged, -seconds

    @property
    def name(self) -> str:
        return self.facts.run or self.facts.version or (self.model.path if self.model else "?")


def best(context: ModelContext, metric: str | None) -> ModelChoice:
    """Return the model with the best number for ``metric`` (default: the primary one), among all
    here or at a tag.

    Raises XexpError if none has a number, or the metric is unknown.
    """
    here = list(zip(context.contents.models, context.facts(), strict=True))
    tagged = _tagged(context, {facts.run for _, facts in here})
    every = [facts for _, facts in here] + [facts for _, facts in tagged]
    if not every:
        raise XexpError(
            f"there is no model: nothing in {context.contents.slot.candidates}/ and none at a tag",
            "add one: git xexp candidates add PATH",
        )
    name = metric or run_facts.primary_metric(context.project, every)
    if name is None:
        raise XexpError("no model has a metric to choose by", "name the run: --run ID")
    run_facts.check_metric(context.runs, name, every)
    scored = [
        _ScoredModel(facts, value, model=model)
        for model, facts in here
        if (value := run_facts.number(facts.metrics.get(name))) is not None
    ]
    scored += [
        _ScoredModel(facts, value, experiment=experiment)
        for experiment, facts in tagged
        if (value := run_facts.number(facts.metrics.get(name))) is not None
    ]
    choice = _first(context, name, scored)
    notes = [*_without_number(context, name, here), *choice.notes]
    if metric is None:
        notes.insert(0, f"chosen as the best by {name}")
    return replace(choice, notes=tuple(notes))


def _tagged(context: ModelContext, runs: set[str | None]) -> list[tuple[Experiment, RunFacts]]:
    """Return experiments with a model of a run that is not here, the newest of each run."""
    slot = context.contents.slot
    seen = set(runs)
    tagged = []
    for experiment in context.runs.experiments:
        payload = experiment.payload
        if payload.run and payload.run in seen:
            continue
        if slot.production in payload.artifacts or slot.candidates in payload.artifacts:
            seen |= {payload.run} - {""}
            tagged.append((experiment, context.runs.facts_at(experiment)))
    return tagged


def _first(context: ModelContext, metric: str, scored: Sequence[_ScoredModel]) -> ModelChoice:
    """Return the best whose model is available, with notes."""
    sign = -1 if collect.maximize(context.project.config, metric) else 1
    notes: list[str] = []
    unread: XexpError | None = None
    left = sorted(scored, key=lambda one: (sign * one.value, *one.order))
    while left:
        winner = left.pop(0)
        value = tag_message.show(winner.value)
        try:
            choice = _choice_of(context, winner)
        except XexpError as error:
            if winner.model is not None:
                raise
            unread = unread or error
            why = error.message.splitlines()[-1]
            notes.append(f"{winner.name} has {metric}={value}, but cannot be read: {why}")
            continue
        if choice is None:
            notes.append(f"{winner.name} has {metric}={value} but no model file")
            continue
        equal = dict.fromkeys(other.name for other in left if other.value == winner.value)
        equal.pop(winner.name, None)  # its own model again, at a tag
        if equal:
            names = some(list(equal), _NAMED)
            notes.append(f"{metric}={value} is shared by {names}; took {winner.name}")
        better = _better_without_model(context, metric, sign, winner.value)
        return replace(choice, notes=(*choice.notes, *better, *notes))
    if unread is not None:
        raise unread
    raise XexpError(
        f"no model has a value for {metric}", "rank by another metric: git xexp candidates list"
    )


def _choice_of(context: ModelContext, scored: _ScoredModel) -> ModelChoice | None:
    if scored.model is not None:
        return in_work_tree(context, scored.model)
    assert scored.experiment is not None
    return at_tag(context, scored.experiment)


def _better_without_model(context: ModelContext, metric: str, sign: int, value: float) -> list[str]:
    """Return better runs without a model."""
    names = {model.run for model in context.contents.candidates} | set(context.runs.by_run)
    better = []
    for run in context.runs.logged.values():
        number = run_facts.number(run.metrics.get(metric))
        if run.id not in names and number is not None and sign * number < sign * value:
            better.append((sign * number, f"run {run.id} has {metric}={tag_message.show(number)}"))
    return [f"{text} but no model file" for _, text in sorted(better)[:_NAMED]]


def _without_number(
    context: ModelContext, metric: str, here: Sequence[tuple[Model, RunFacts]]
) -> list[str]:
    without = [
        (facts.run or model.run, model.path)
        for model, facts in here
        if run_facts.number(facts.metrics.get(metric)) is None
    ]
    if not without:
        return []
    named = [
        f"{run or path} ({context.runs.why_not(run, metric)})" for run, path in without[:_NAMED]
    ]
    more = f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
    return [f"without a value for {metric}, so not considered: {', '.join(named)}{more}"]
