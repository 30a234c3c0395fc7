"""``promote``: plan a promotion as a value that can be shown, then carry it out as one operation,
so that production is replaced atomically and nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from uuid import uuid4

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.repository import commit as repository_commit
from gitxexp.repository import config, registry, tag_message
from gitxexp.repository.files import Created
from gitxexp.repository.registry import Promotion
from gitxexp.repository.repository import Project, Running
from gitxexp.repository.version import AnyVersion
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.dvc.place import link_or_copy
from gitxexp.storage.dvc.places import link_types
from gitxexp.storage.dvc.repair import write_object
from gitxexp.storage.objects import Progress, matches, object_path
from gitxexp.workflows.artifacts.get import GetRequest, get
from gitxexp.workflows.experiments import collect
from gitxexp.workflows.experiments import tag as experiments_tag
from gitxexp.workflows.experiments.collect import RunChoice
from gitxexp.workflows.experiments.plan import TagRequest
from gitxexp.workflows.experiments.tag import Tagged
from gitxexp.workflows.models import changes, history, inventory, prune, run_facts, select
from gitxexp.workflows.models.context import ModelContext
from gitxexp.workflows.models.inventory import Model, ModelStore, SlotContents, SlotModels
from gitxexp.workflows.models.run_facts import RunFacts, RunIndex
from gitxexp.workflows.models.select import ModelChoice
from gitxexp.workflows.models.steps import ModelAdded, ModelReplaced, duplicate, move


@dataclass(frozen=True)
class PromoteRequest:
    """The request to ``promote``. Without any of the first five fields: the best by the primary
    metric."""

    version: AnyVersion | None = None
    run: str | None = None
    best: str | None = None
    worktree: str | None = None
    rollback: bool = False
    slot: str | None = None
    why: str = ""


@dataclass(frozen=True)
class PromoteOptions:
    """How to carry a promotion out."""

    keep: bool = True  #: the replaced model becomes a candidate
    commit: bool = True
    tag: bool = False
    yes: bool = False  #: even if it is worse
    wait: bool = True


@dataclass(frozen=True)
class MetricDelta:
    """One metric before and after; ``better`` is None if equal or not comparable."""

    name: str
    before: object
    after: object
    delta: float | None
    better: bool | None


@dataclass(frozen=True)
class PromotePlan:
    """A promotion. ``before`` is None if nothing is in production yet."""

    slot: SlotModels
    before: Model | None
    before_facts: RunFacts
    after: ModelChoice
    metric: str | None  #: the metric that decides whether it is better
    deltas: tuple[MetricDelta, ...]
    takes_back: Promotion | None  #: for a rollback
    notes: tuple[str, ...]
    context: ModelContext = field(repr=False, compare=False)  #: the inputs of the plan

    @property
    def already(self) -> bool:
        """Whether this exact model is already in production."""
        return self.before is not None and self.before.hash == self.after.model.hash

    @property
    def last(self) -> Promotion | None:
        """The newest promotion to the slot in the registry."""
        own = (p for p in self.context.runs.promotions if p.slot == self.slot.name)
        return next(own, None)

    @property
    def doubt(self) -> str | None:
        """The reason to ask for confirmation: it is worse, or not comparable."""
        deciding = next((d for d in self.deltas if d.name == self.metric), None)
        if self.before is None or self.takes_back is not None or deciding is None:
            return None
        if deciding.better is False:
            return f"it is worse than production by {deciding.name}"
        if deciding.delta is None and run_facts.number(deciding.before) is not None:
            return f"it has no value for {deciding.name}, and production has"
        return None

    @property
    def title(self) -> str:
        """``RUN (f1=0.89) to models/production/model.bin``, for the log and the commit."""
        facts = self.after.facts
        name = facts.run or self.after.model.run or self.after.origin
        value = facts.metrics.get(self.metric) if self.metric else None
        measured = f" ({self.metric}={tag_message.show(value)})" if value is not None else ""
        back = "back to " if self.takes_back else ""
        return f"{back}{name}{measured} to {self.slot.production}"


@dataclass(frozen=True)
class Promoted:
    """The result; ``promotion`` is None if it was already in production."""

    plan: PromotePlan
    promotion: Promotion | None = None
    kept: str | None = None  #: where the replaced model is now, from the top
    commit: str | None = None
    tagged: Tagged | None = None


class _AlreadyInProduction(Exception):
    """Raised if another process promoted the same model meanwhile."""


# -- the plan --------------------------------------------------------------------------------------


def plan_promotion(
    project: Project, request: PromoteRequest, progress: Progress | None = None
) -> PromotePlan:
    """Plan the requested promotion; changes nothing.

    Raises XexpError for an unknown run, version, metric or model, or if its file was edited.
    """
    inventory.require_dvc(project)
    store, runs = ModelStore(project, progress), RunIndex(project)
    contents = store.whole(inventory.choose_slot(store.slots, request.slot))
    context = ModelContext(store, runs, contents)
    takes_back = None
    if request.rollback:
        choice, takes_back = history.previous(context)
    else:
        choice = _choose(context, request)
    before = run_facts.NO_FACTS
    if contents.production:
        before = runs.facts(context.production_run())
    metric = request.best or run_facts.primary_metric(project, [before, choice.facts])
    return PromotePlan(
        slot=contents.slot,
        before=contents.production,
        before_facts=before,
        after=choice,
        metric=metric,
        deltas=tuple(_deltas(project, before, choice.facts, metric)),
        takes_back=takes_back,
        notes=(*choice.notes, *_notes(contents), *runs.notes),
        context=context,
    )


def _choose(context: ModelContext, request: PromoteRequest) -> ModelChoice:
    if request.worktree is not None:
        return select.in_other_worktree(context, request.worktree, request.run)
    if request.run is not None:
        return select.by_run(context, request.run)
    if request.version is not None:
        return select.by_version(context, context.project.own(request.version))
    return select.best(context, request.best)


def _notes(contents: SlotContents) -> list[str]:
    production = contents.production
    if production is None or production.state != "edited":
        return []
    return [f"{production.path} differs from its pointer; it is kept as it is now"]


def _deltas(
    project: Project, before: RunFacts, after: RunFacts, metric: str | None
) -> list[MetricDelta]:
    """Return every metric of either side, the deciding one first."""
    names = dict.fromkeys([*([metric] if metric else []), *before.metrics, *after.metrics])
    deltas = []
    for name in names:
        old, new = before.metrics.get(name), after.metrics.get(name)
        one, other = run_facts.number(old), run_facts.number(new)
        delta = None if one is None or other is None else other - one
        better = (delta > 0) == collect.maximize(project.config, name) if delta else None
        deltas.append(MetricDelta(name, old, new, delta, better))
    return deltas


# -- the operation ---------------------------------------------------------------------------------


def promote(
    project: Project,
    request: PromoteRequest,
    seen: PromotePlan,
    options: PromoteOptions | None = None,
    progress: Progress | None = None,
) -> Promoted:
    """Carry out the plan ``seen``, planned again under the lock.

    A model that is already in production by other means (a tag of its run) is left there; if a
    message is given, the promotion is recorded.

    Raises NoAnswer if the new plan needs a confirmation that was not given.
    """
    options = options or PromoteOptions()
    project.recover_first(wait=options.wait)
    if options.commit:
        repository_commit.check_ready(project)
    if seen.already and not _is_news(seen, request):
        return Promoted(seen)
    try:
        with project.operation("promote", wait=options.wait) as running:
            plan = plan_promotion(project, request, progress)
            if plan.already and not _is_news(plan, request):
                raise _AlreadyInProduction
            _check_agreed(seen, plan, options)
            done = _Promotion(project, running, plan, request, options).run()
        if done.kept is None:
            (running.keep / "replaced").unlink(missing_ok=True)  # verified to be elsewhere
        return done
    except _AlreadyInProduction:
        return Promoted(plan_promotion(project, request, progress))


def _is_news(plan: PromotePlan, request: PromoteRequest) -> bool:
    """Whether to record a promotion of the current production model: a message is given, and it is
    not recorded yet."""
    last = plan.last
    return bool(request.why) and (last is None or last.hash_after != plan.after.model.hash)


def _check_agreed(seen: PromotePlan, plan: PromotePlan, options: PromoteOptions) -> None:
    """Check that the user's confirmation still applies, if one is needed."""
    same = seen.before == plan.before and seen.after.model.hash == plan.after.model.hash
    if plan.doubt and not options.yes and not same:
        raise NoAnswer(
            f"production changed meanwhile, and now {plan.doubt}", "look again, or: --yes"
        )


@dataclass(frozen=True)
class Swap:
    """A new file for production. ``moved_from``: the candidate's path if it is moved."""

    incoming: Path  #: on production's file system
    moved_from: str | None
    md5: str  #: of its bytes, even if its pointer has another (2.x, text)


@dataclass(frozen=True)
class _Promotion:
    """One promotion, carried out within an operation."""

    project: Project
    running: Running
    plan: PromotePlan
    request: PromoteRequest
    options: PromoteOptions

    def run(self) -> Promoted:
        """Everything in order: the new file, the swap, the pointers, the record, commit or tag."""
        project, running, plan = self.project, self.running, self.plan
        store, slot = plan.context.store, plan.slot
        changes.require_untracked_by_git(store, [slot.production, f"{slot.candidates}/"])
        kept, touched = None, list[str]()
        if plan.already:
            last = plan.last
            promotion = self.promotion(plan.after.model.hash, last.hash_after if last else "")
        else:
            _require_file(plan)
            changes.make_folder(running, (project.top / slot.production).parent)
            swap = self.bring()
            kept = self.replace(swap)
            touched = self.update_pointers(swap, kept)
            before = plan.before.hash if plan.before else ""
            promotion = self.promotion(f"md5:{swap.md5}", before)
        running.save_file(project.registry.path, renamed=True)
        _register(project, promotion)
        running.outcome["promotion"] = promotion.id
        running.summary.append(plan.title)
        done = Promoted(plan, promotion, kept)
        if self.options.tag:
            tagged = experiments_tag.within(project, running, self.tag_request())
            return replace(done, tagged=tagged, commit=tagged.commit)
        if self.options.commit:
            body = f"\n{self.request.why}\n" if self.request.why else ""
            message = f"promote: {plan.title}\n{body}"
            files = sorted({*touched, *_new_ignore_files(project, touched), config.REGISTRY})
            return replace(done, commit=repository_commit.commit(project, running, files, message))
        return done

    def md5(self, path: Path) -> str:
        return file_hashes(self.project.top, [(path, False)], self.project.stat_cache)[path]

    # -- the new file ------------------------------------------------------------------------------

    def bring(self) -> Swap:
        """Provide the chosen model as a file on production's file system."""
        choice, contents = self.plan.after, self.plan.context.contents
        path = choice.model.path
        if choice.file is not None and choice.origin == "candidate":
            return Swap(choice.file, path, self.md5(choice.file))
        place = self.project.top / self.plan.slot.production
        staged = place.with_name(f".{place.name}.{self.running.id}.incoming")
        self.running.record(Created(str(staged), undo_too=False))
        if choice.file is not None:
            link_or_copy(choice.file, staged)
            return Swap(staged, None, self.md5(staged))
        self.fetch(choice.model, staged, choice.commit)
        listed = any(candidate.path == path for candidate in contents.candidates)
        return Swap(staged, path if listed else None, self.md5(staged))

    def fetch(self, model: Model, target: Path, commit: str | None = None) -> None:
        """The model's bytes, verified: linked from a cache if DVC is configured to link, else
        copied. ``commit``: the commit that is tagged with it."""
        context = self.plan.context
        store = context.store
        links, damaged = link_types(self.project.top / model.root), list[Path]()
        for cache in store.caches(model.root):
            cached = object_path(cache, model.oid, model.legacy)
            if cached.is_file() and matches(cached, model.oid, model.legacy):
                link_or_copy(cached, target, links)
                return
            if cached.is_file():
                damaged.append(cache)
        self.fetch_elsewhere(model, target, commit)
        for cache in damaged:
            write_object(cache, model.oid, target, legacy=model.legacy)

    def fetch_elsewhere(self, model: Model, target: Path, commit: str | None) -> None:
        """The model's bytes, verified, where no cache of this worktree or of another has them."""
        context = self.plan.context
        if commit is not None:
            request = GetRequest(commit, (model.path,), self.plan.after.origin, target)
            get(self.project, request, context.store.progress)
            return
        for place in context.object_stores().places(model.as_output(), model.oid):
            if matches(place.file, model.oid, model.legacy):
                shutil.copyfile(place.file, target)
                return
        raise XexpError(
            f"no cache and no remote has the model of {model.run or model.path} ({model.hash})",
            "dvc fetch --all-tags, or look for it in another clone",
        )

    # -- the swap ----------------------------------------------------------------------------------

    def replace(self, swap: Swap) -> str | None:
        """Put the new file in place; return the new path of the replaced one, None if it is not
        kept."""
        project, running, plan = self.project, self.running, self.plan
        place = project.top / plan.slot.production
        old = plan.before if plan.before and plan.before.there else None
        if old is None and plan.before and self.options.keep:
            kept = self.keep_absent(swap, plan.before)
        else:
            kept = self.kept_path(swap, old) if old and self.options.keep else None
        if old and not self.options.keep:
            prune.require_other_copy(plan.context, old)
        backup = project.top / kept if old and kept else running.keep / "replaced"
        new = plan.after.model._replace(
            hash=f"md5:{swap.md5}", legacy=False, path=plan.slot.production
        )
        from_candidate = bool(swap.moved_from) and swap.incoming == project.top / str(
            swap.moved_from
        )
        step = ModelReplaced(
            path=str(place),
            source=str(swap.incoming) if from_candidate else None,
            new=changes.file_facts(project, new, swap.incoming),
            old=changes.file_facts(project, old) if old else None,
            kept=str(backup) if old else None,
        )
        changes.make_folder(running, backup.parent)
        running.record(step)
        if old:
            duplicate(place, backup)
        move(swap.incoming, place)
        return kept

    def keep_absent(self, swap: Swap, old: Model) -> str | None:
        """Fetch the replaced model, which is not checked out, as a candidate; return its path, None
        if it is one already or no place has it."""
        project, running = self.project, self.running
        kept = self.kept_path(swap, old)
        if kept is None:
            return None
        place = project.top / kept
        changes.make_folder(running, place.parent)
        staged = place.with_name(f".{running.id}.incoming")
        running.record(Created(str(staged), undo_too=False))
        try:
            self.fetch(old, staged)
        except XexpError as error:
            project.notify(f"the replaced model is not kept as a candidate: {error.message}")
            return None
        running.record(ModelAdded(str(place), changes.file_facts(project, old, staged)))
        move(staged, place)
        return kept

    def kept_path(self, swap: Swap, old: Model) -> str | None:
        """Return the candidate path for the replaced model; None if a candidate already has its
        content."""
        plan, moved = self.plan, swap.moved_from
        here = {c.path: c for c in plan.context.contents.candidates if c.path != moved}
        states = {c.state for c in here.values() if c.hash == old.hash}
        if "tracked" in states or (not old.there and "not checked out" in states):
            return None
        run = plan.before_facts.run or f"production-{old.oid[:8]}"
        extension = Path(old.path).suffix
        name = plan.slot.candidate(run, extension=extension)
        taken = {*here, *([moved] if moved else [])}
        return plan.slot.candidate(run, old.oid, extension) if name in taken else name

    def update_pointers(self, swap: Swap, kept: str | None) -> list[str]:
        """Update both pointers through DVC; return the changed files."""
        context, running = self.plan.context, self.running
        members: dict[str, str | None] = {swap.moved_from: None} if swap.moved_from else {}
        if kept:
            members[kept] = self.md5(self.project.top / kept)
        production = self.plan.slot.production
        touched = changes.update_file_pointer(context.store, running, production, swap.md5)
        return [
            *touched,
            *changes.update_folder_pointer(context.store, running, context.contents, members),
        ]

    # -- the record --------------------------------------------------------------------------------

    def promotion(self, after: str, before: str) -> Promotion:
        """Return the registry row, with the hashes of the new and previous production models."""
        plan, facts, back = self.plan, self.plan.after.facts, self.plan.takes_back
        why = self.request.why
        if back is not None:
            why = f"rollback of {back.id}" + (f": {why}" if why else "")
        return Promotion(
            id=uuid4().hex,
            slot=plan.slot.name,
            version=facts.version or "",
            run=facts.run or plan.after.model.run or "",
            who=inventory.author(self.project),
            at=datetime.now(UTC).isoformat(timespec="microseconds"),
            why=why,
            metric=plan.metric or "",
            value=facts.metrics.get(plan.metric) if plan.metric else None,
            hash_before=before,
            hash_after=after,
        )

    def tag_request(self) -> TagRequest:
        """What ``--tag`` tags: the promoted run, from its database or from its own tag."""
        plan, facts = self.plan, self.plan.after.facts
        run = facts.run or plan.after.model.run
        text = self.request.why or f"in production: {plan.slot.production}"
        if run and run in plan.context.runs.logged:
            # its model is now in production, whatever run wrote the files last
            return TagRequest(wanted=RunChoice(run=run), text=text, mismatch=True)
        wanted = RunChoice(use_run=False, params=dict(facts.params), metrics=dict(facts.metrics))
        return TagRequest(wanted=wanted, text=text)


def _require_file(plan: PromotePlan) -> None:
    """Raise XexpError if the chosen file was removed after planning."""
    file = plan.after.file
    if file is not None and not file.is_file():
        raise XexpError(f"{file} is gone", f"look there: ls '{plan.slot.candidates}'")


def _new_ignore_files(project: Project, pointers: Sequence[str]) -> list[str]:
    """Return untracked ``.gitignore`` files next to these pointers: ``candidates add`` created
    them, and the committed pointers need them."""
    names = {str(PurePosixPath(name).with_name(".gitignore")) for name in pointers}
    if not names:  # without them git would list every file
        return []
    return project.at_top.fields("ls-files", "-z", "--others", "--", *sorted(names))


def _register(project: Project, promotion: Promotion) -> None:
    with project.registry.rewrite() as db:
        registry.add_promotion(db, promotion)
