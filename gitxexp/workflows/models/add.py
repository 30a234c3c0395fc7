"""``candidates add``: add a model file as the candidate of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.common.text import counted
from gitxexp.repository.repository import Project, Running
from gitxexp.repository.tags import run_of_content
from gitxexp.storage.dvc.add import store as store_object
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.dvc.place import link_or_copy
from gitxexp.storage.dvc.places import cache_dir, work_file
from gitxexp.storage.objects import Progress, object_path
from gitxexp.workflows.experiments import collect
from gitxexp.workflows.experiments.collect import RunChoice
from gitxexp.workflows.models import changes, inventory
from gitxexp.workflows.models.inventory import Model, ModelStore, SlotContents, SlotModels
from gitxexp.workflows.models.run_facts import RunIndex
from gitxexp.workflows.models.steps import ModelAdded
from gitxexp.workflows.runs import record


@dataclass(frozen=True)
class AddedCandidate:
    """The candidate, its run, and how it was placed (reflink, hardlink, copy, there)."""

    path: str
    run: str
    hash: str
    size: int
    how: str
    touched: tuple[str, ...]


def add(
    project: Project,
    path: Path,
    run: str | None = None,
    slot: str | None = None,
    progress: Progress | None = None,
    *,
    linked: bool = False,
    wait: bool = True,
) -> AddedCandidate:
    """Add a copy of ``path`` as the candidate of ``run`` (default: the run recorded for its
    content, else the latest, which wrote the files of the work tree). ``linked``: store the content
    in the cache, and link the candidate to it if the file system can.

    Raises XexpError for a missing file, a folder, an unknown run, or no results; NoAnswer if the
    run already has another model as candidate.
    """
    project.recover_first(wait=wait)
    inventory.require_dvc(project)
    _check_source(project, path)
    store = ModelStore(project, progress)
    chosen = inventory.choose_slot(store.slots, slot)
    name = which_run(project, run) if run else _recorded_run(store, chosen, path)
    name = name or which_run(project, None)
    added = _already_added(store, chosen, path, name)
    if added is not None:
        return added
    with project.operation("candidates add", wait=wait) as running:
        store = ModelStore(project, progress)
        contents = store.whole(chosen)
        changes.require_untracked_by_git(store, [f"{chosen.candidates}/"])
        target = _target(chosen, path, name)
        before = next((m for m in contents.candidates if m.path == target), None)
        made = _candidate(store, contents, target, path)
        how = "there"
        if before is not None and before.there:
            _check_same(before, made)
        else:
            changes.make_folder(running, (project.top / target).parent)
            known = changes.file_facts(project, made, path)
            running.record(ModelAdded(str(project.top / target), known))
            source = _in_cache(project, made, path) if linked else path
            how = link_or_copy(source, project.top / target)
        touched = changes.update_folder_pointer(store, running, contents, {target: made.oid})
        running.summary.append(target)
    return AddedCandidate(target, name, made.hash, made.size or 0, how, tuple(touched))


@dataclass(frozen=True)
class RunModel:
    """A model that a run left in ``file``; ``slot`` is the slot whose production file it wrote."""

    file: Path
    run: str
    slot: str


def add_all(project: Project, models: Sequence[RunModel], verb: str) -> list[str]:
    """Make models the candidates of their runs in one operation, as links into the cache; return
    the paths of those that are now candidates.

    An existing candidate of a run is kept. Raises XexpError without a DVC project, or if git itself
    tracks candidates.
    """
    project.recover_first()
    inventory.require_dvc(project)
    added: list[str] = []
    with project.operation(verb) as running:
        store = ModelStore(project)
        for slot in store.slots:
            own = [model for model in models if model.slot == slot.name]
            if own:
                added += _add_to(store, running, slot, own)
        running.summary.append(counted(len(added), "candidate"))
        running.outcome["unchanged"] = not added
    return added


def _add_to(
    store: ModelStore, running: Running, slot: SlotModels, models: Sequence[RunModel]
) -> list[str]:
    """Do the same for one slot."""
    project, contents = store.project, store.whole(slot)
    changes.require_untracked_by_git(store, [f"{slot.candidates}/"])
    there = {model.path for model in contents.candidates}
    members: dict[str, str | None] = {}
    for model in models:
        target = _target(slot, model.file, model.run)
        if target in there:
            continue
        made = _candidate(store, contents, target, model.file)
        changes.make_folder(running, (project.top / target).parent)
        known = changes.file_facts(project, made, model.file)
        running.record(ModelAdded(str(project.top / target), known))
        link_or_copy(_in_cache(project, made, model.file), project.top / target)
        members[target] = made.oid
    changes.update_folder_pointer(store, running, contents, members)
    return list(members)


def _in_cache(project: Project, made: Model, path: Path) -> Path:
    """The cache's object of the model's bytes, which is read-only."""
    root = project.top / made.root
    store_object(root, path, made.oid)
    return object_path(cache_dir(root), made.oid)


def _already_added(
    store: ModelStore, slot: SlotModels, path: Path, run: str
) -> AddedCandidate | None:
    """The result if the candidate already exists and DVC tracks it."""
    contents, target = store.contents(slot), _target(slot, path, run)
    before = next((m for m in contents.candidates if m.path == target and m.there), None)
    if before is None:
        return None
    made = _candidate(store, contents, target, path)
    _check_same(before, made)
    if before.state != "tracked":
        return None
    return AddedCandidate(target, run, made.hash, made.size or 0, "there", ())


def _check_source(project: Project, path: Path) -> None:
    below = project.inside(path.absolute())
    if below is not None:
        work_file(project.top, below)  # a link that came with a clone leads nowhere else
    if path.is_dir():
        raise XexpError(
            f"{path} is a folder: a candidate is one file", "pack it: tar -cf MODEL.tar"
        )
    if not path.is_file():
        raise XexpError(f"there is no file {path}", "give the path of the trained model")


def _recorded_run(store: ModelStore, slot: SlotModels, path: Path) -> str | None:
    """Return the run recorded for this content: by a promotion, a candidate, or the oldest tag with
    it in production. The latest run may not be the one that wrote it."""
    runs, contents = RunIndex(store.project), store.contents(slot)
    content = _candidate(store, contents, slot.production, path).hash
    made = (p.run for p in runs.promotions if p.slot == slot.name and p.hash_after == content)
    kept = (m.run for m in contents.candidates if m.hash == content and m.state == "tracked")
    recorded = next((run for run in (*made, *kept) if run), None)
    return recorded or run_of_content(runs.experiments, slot.production, content)


def which_run(project: Project, run: str | None) -> str:
    """Return the full id of a run known to a tag, a record or a results database.

    Raises XexpError naming the closest ones, or if there are no results at all.
    """
    runs = RunIndex(project)
    if run is not None and run in runs.by_run:
        return run
    recorded = record.find(runs.records, run) if run is not None else None
    if recorded is not None and (recorded.named(str(run)) or recorded.version == run):
        return recorded.name
    if run is None:
        latest = collect.collect(project.top, project.config, RunChoice()).run
        if latest is None:
            where = ", ".join(project.config.results_databases) or "none is configured"
            raise XexpError(
                f"no results database has a run ({where})",
                "name the run: --run ID, or set [results] databases in .xexp/config.toml",
            )
        return latest.id
    wanted = collect.collect(project.top, project.config, RunChoice(run=run)).run
    return wanted.id if wanted else run


def _target(slot: SlotModels, path: Path, run: str) -> str:
    own = path.suffix
    return slot.candidate(run, extension=own if own and own != slot.extension else "")


def _candidate(store: ModelStore, contents: SlotContents, target: str, path: Path) -> Model:
    """Return the model that the file will become."""
    digest = file_hashes(
        store.project.top, [(path.resolve(), False)], store.project.stat_cache, store.progress
    )[path.resolve()]
    root = inventory.root_of(store, contents.slot.candidates)
    made = Model(
        contents.slot.name,
        target,
        inventory.run_of(target),
        False,
        f"md5:{digest}",
        path.stat().st_size,
    )
    return made._replace(root=root)


def _check_same(before: Model, made: Model) -> None:
    if before.hash != made.hash:
        raise NoAnswer(
            f"{before.path} already exists, with other content",
            f"keep both under different runs (--run ID), or remove it first: rm '{before.path}'",
        )
