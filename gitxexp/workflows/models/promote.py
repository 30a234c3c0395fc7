"""``promote``, carried out: one operation, production replaced at once, nothing lost on the way.

``promote``: what it would do, as a value that can be shown, and whether to ask first.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.repository import commit as repository_commit
from gitxexp.repository import config, registry, tag_message, undo_models
from gitxexp.repository.registry import Promotion
from gitxexp.repository.repository import Project, Running
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.dvc.places import link_types
from gitxexp.storage.objects import Progress, matches, object_path
from gitxexp.workflows.artifacts import get
from gitxexp.workflows.experiments import collect
from gitxexp.workflows.experiments import tag as experiments_tag
from gitxexp.workflows.experiments.collect import Wanted
from gitxexp.workflows.experiments.plan import Request
from gitxexp.workflows.experiments.tag import Tagged
from gitxexp.workflows.models import add, history, inventory, prune, run_facts, select
from gitxexp.workflows.models.candidates import production_run
from gitxexp.workflows.models.inventory import Model, Shelf, Slot, Stock
from gitxexp.workflows.models.run_facts import Book, Facts
from gitxexp.workflows.models.select import Choice, Search, Wish


@dataclass(frozen=True)
class Options:
    """How to carry a promotion out."""

    keep: bool = True  #: the replaced model becomes a candidate
    commit: bool = True
    tag: bool = False
    yes: bool = False  #: also what is worse
    wait: bool = True


@dataclass(frozen=True)
class Promoted:
    """What was done; ``promotion`` is None when it was in production already."""

    plan: Plan
    promotion: Promotion | None = None
    kept: str | None = None  #: where the replaced model is now, from the top
    commit: str | None = None
    tagged: Tagged | None = None


class _AlreadyThere(Exception):
    """Another process promoted the same model meanwhile."""


def promote(
    project: Project,
    wish: Wish,
    seen: Plan,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Promoted:
    """Do what ``seen`` says, decided again under the lock.

    Raises NoAnswer when what is found there then needs a question that nobody answered.
    """
    options = options or Options()
    if options.commit:
        repository_commit.check_ready(project)
    if seen.already:
        return Promoted(seen)
    try:
        with project.operation("promote", wait=options.wait) as running:
            plan, desk = plan_promotion(project, wish, progress)
            if plan.already:
                raise _AlreadyThere
            _check_agreed(seen, plan, options)
            done = _promote(project, running, (plan, desk), (wish, options))
        if done.kept is None:
            (running.keep / "replaced").unlink(missing_ok=True)  # proved to be elsewhere
        return done
    except _AlreadyThere:
        return Promoted(plan_promotion(project, wish, progress)[0])


def _check_agreed(seen: Plan, plan: Plan, options: Options) -> None:
    """What the user agreed to must still be what happens, where a question would be asked."""
    same = seen.before == plan.before and seen.after.model.hash == plan.after.model.hash
    if plan.doubt and not options.yes and not same:
        raise NoAnswer(
            f"production changed meanwhile, and now {plan.doubt}", "look again, or: --yes"
        )


def _promote(
    project: Project, running: Running, made: tuple[Plan, Desk], asked: tuple[Wish, Options]
) -> Promoted:
    (plan, desk), (wish, options) = made, asked
    require_file(plan.after, desk.stock)
    slot = plan.slot
    inventory.require_untracked_by_git(desk.shelf, [slot.production, f"{slot.candidates}/"])
    inventory.require_room(project, running, (project.top / slot.production).parent)
    incoming, moved = _incoming(project, running, plan, desk)
    digest = _md5(desk, incoming)
    kept = _swap(project, running, (plan, desk), (incoming, moved, digest), options)
    touched = _pointers(desk, running, plan, moved, kept, digest)
    promotion = _promotion(project, plan, wish, digest)
    _register(project, running, promotion)
    files = sorted({*touched, config.REGISTRY})
    done = Promoted(plan, promotion, kept)
    running.summary.append(_subject(plan).removeprefix("promote: "))
    if options.tag:
        tagged = experiments_tag.within(project, running, _request(desk, plan, wish))
        return replace(done, tagged=tagged, commit=tagged.commit)
    if options.commit:
        body = f"\n{wish.why}\n" if wish.why else ""
        subject = f"{_subject(plan)}\n{body}"
        return replace(done, commit=repository_commit.commit(project, running, files, subject))
    return done


def _md5(desk: Desk, path: Path) -> str:
    """The md5 of the file's bytes, also where its pointer has another one (2.x, of text)."""
    project = desk.shelf.project
    return file_hashes(project.top, [(path, False)], project.stat_cache)[path]


# -- the file to come ------------------------------------------------------------------------------


def _incoming(
    project: Project, running: Running, plan: Plan, desk: Desk
) -> tuple[Path, str | None]:
    """The new file on production's file system, and the candidate's path if it is moved from there."""
    choice, model = plan.after, plan.after.model
    listed = next((c for c in desk.stock.candidates if c.path == model.path), None)
    place = project.top / plan.slot.production
    if choice.file is not None and choice.origin == "candidate":
        return choice.file, model.path
    staged = place.with_name(f".{place.name}.{running.id}.incoming")
    running.record("created", path=str(staged), undo=False)
    if choice.file is not None:
        add.place(choice.file, staged)
    else:
        _fetch(desk, choice, staged)
    return staged, model.path if listed and choice.file is None else None


def _fetch(desk: Desk, choice: Choice, target: Path) -> None:
    """The model's bytes, verified: linked from a cache where DVC is set to link, else copied."""
    shelf, model = desk.shelf, choice.model
    links = link_types(shelf.project.top / model.root)
    for cache in shelf.caches(model.root):
        found = object_path(cache, model.oid, model.legacy)
        if found.is_file() and matches(found, model.oid, model.legacy):
            if add.share(found, target, links) is None:
                shutil.copyfile(found, target)
            return
    if choice.commit is not None:
        asked = get.Request(choice.commit, (model.path,), choice.origin, target)
        get.get(shelf.project, asked, shelf.progress)
        return
    stores = Search(desk.shelf, desk.book, desk.stock).stores()
    for place in stores.places(model.as_output(), model.oid):
        if matches(place.file, model.oid, model.legacy):
            shutil.copyfile(place.file, target)
            return
    raise XexpError(
        f"no cache and no remote has the model of {choice.facts.run or choice.origin}"
        f" ({model.hash})",
        "dvc fetch --all-tags, or look for it in another clone",
    )


# -- the swap ------------------------------------------------------------------------------------


def _swap(
    project: Project,
    running: Running,
    made: tuple[Plan, Desk],
    new: tuple[Path, str | None, str],
    options: Options,
) -> str | None:
    """Put the new file in place; returns where the replaced one is now, None where it is not kept."""
    (plan, desk), (incoming, moved, digest) = made, new
    place = project.top / plan.slot.production
    old = plan.before if plan.before and plan.before.there else None
    kept = _kept_path(plan, desk, moved) if old and options.keep else None
    if old and not options.keep:
        prune.require(desk.shelf, desk.book, desk.stock, old)
    backup = project.top / kept if kept else running.keep / "replaced"
    fresh = plan.after.model._replace(hash=f"md5:{digest}", legacy=False, path=plan.slot.production)
    data = {
        "path": str(place),
        "source": str(incoming) if moved and incoming == project.top / moved else None,
        "new": inventory.file_facts(project, fresh, incoming),
        "old": inventory.file_facts(project, old) if old else None,
        "kept": str(backup) if old else None,
    }
    inventory.require_room(project, running, backup.parent)
    running.record("placed", **data)
    if old:
        undo_models.duplicate(place, backup)
    undo_models.move(incoming, place)
    return kept


def _kept_path(plan: Plan, desk: Desk, moved: str | None) -> str | None:
    """Where the replaced model becomes a candidate; None when a candidate has its bytes already."""
    assert plan.before is not None
    here = {c.path: c for c in desk.stock.candidates if c.path != moved}
    if any(c.hash == plan.before.hash and c.state == "tracked" for c in here.values()):
        return None
    digest = plan.before.oid
    run = plan.before_facts.run or f"production-{digest[:8]}"
    extension = Path(plan.before.path).suffix
    name = plan.slot.candidate(run, extension=extension)
    taken = {*here, *([moved] if moved else [])}
    return plan.slot.candidate(run, digest, extension) if name in taken else name


def _pointers(
    desk: Desk,
    running: Running,
    plan: Plan,
    moved: str | None,
    kept: str | None,
    digest: str,
) -> list[str]:
    """Both pointers brought up to date by DVC; the files that changed."""
    top = desk.shelf.project.top
    members: dict[str, str | None] = {moved: None} if moved else {}
    if kept:
        members[kept] = _md5(desk, top / kept)
    touched = inventory.point_file(desk.shelf, running, plan.slot.production, digest)
    return [*touched, *inventory.point(desk.shelf, running, desk.stock, members)]


# -- the record ----------------------------------------------------------------------------------


def _promotion(project: Project, plan: Plan, wish: Wish, digest: str) -> Promotion:
    known, back = plan.after.facts, plan.takes_back
    why = wish.why
    if back is not None:
        why = f"rollback of {back.id}" + (f": {why}" if why else "")
    return Promotion(
        id=uuid4().hex,
        slot=plan.slot.name,
        version=known.version or "",
        run=known.run or plan.after.model.run or "",
        who=inventory.owner_name(project),
        at=datetime.now(UTC).isoformat(timespec="microseconds"),
        why=why,
        metric=plan.metric or "",
        value=known.metrics.get(plan.metric) if plan.metric else None,
        hash_before=plan.before.hash if plan.before and plan.before.there else "",
        hash_after=f"md5:{digest}",
    )


def _register(project: Project, running: Running, promotion: Promotion) -> None:
    running.save_file(project.registry.path, undo=True)
    with project.registry.rewrite() as db:
        registry.add_promotion(db, promotion)


def _subject(plan: Plan) -> str:
    known = plan.after.facts
    name = known.run or plan.after.model.run or plan.after.origin
    value = known.metrics.get(plan.metric) if plan.metric else None
    what = f" ({plan.metric}={tag_message.show(value)})" if value is not None else ""
    back = "back to " if plan.takes_back else ""
    return f"promote: {back}{name}{what} to {plan.slot.production}"


def _request(desk: Desk, plan: Plan, wish: Wish) -> Request:
    """What ``--tag`` tags: the promoted run, from its database or from its own tag."""
    known: Facts = plan.after.facts
    model: Model = plan.after.model
    run = known.run or model.run
    text = wish.why or f"in production: {plan.slot.production}"
    if run and run in desk.book.runs:
        return Request(wanted=Wanted(run=run), text=text)
    wanted = Wanted(use_run=False, params=dict(known.params), metrics=dict(known.metrics))
    return Request(wanted=wanted, text=text)


@dataclass(frozen=True)
class Delta:
    """One metric before and after; ``better`` is None when it is the same or cannot be compared."""

    name: str
    before: object
    after: object
    delta: float | None
    better: bool | None


@dataclass(frozen=True)
class Plan:
    """A promotion. ``before`` is None when there is nothing in production yet."""

    slot: Slot
    before: Model | None
    before_facts: Facts
    after: Choice
    metric: str | None  #: that decides whether it is better
    deltas: tuple[Delta, ...]
    takes_back: Promotion | None  #: for a rollback
    notes: tuple[str, ...]

    @property
    def already(self) -> bool:
        """Whether exactly this model is in production."""
        return self.before is not None and self.before.there and self._same

    @property
    def _same(self) -> bool:
        return self.before is not None and self.before.hash == self.after.model.hash

    @property
    def doubt(self) -> str | None:
        """Why one should think twice: it is worse, or nobody can tell."""
        deciding = next((d for d in self.deltas if d.name == self.metric), None)
        if self.before is None or self.takes_back is not None or deciding is None:
            return None
        if deciding.better is False:
            return f"it is worse than production by {deciding.name}"
        if deciding.delta is None and run_facts.number(deciding.before) is not None:
            return f"it has no number for {deciding.name}, and production has"
        return None


@dataclass(frozen=True)
class Desk:
    """What a plan was made from, for whoever carries it out."""

    shelf: Shelf
    book: Book
    stock: Stock


def plan_promotion(
    project: Project, wish: Wish, progress: Progress | None = None
) -> tuple[Plan, Desk]:
    """The promotion that ``wish`` asks for; changes nothing.

    Raises XexpError when there is no such run, version, metric or model, or its file was edited.
    """
    inventory.require_dvc(project)
    shelf, book = Shelf(project, progress), Book(project)
    stock = shelf.stock(inventory.choose(shelf.slots, wish.slot))
    inventory.require_list(stock)
    search = Search(shelf, book, stock)
    choice, back = _choose(search, wish)
    run = production_run(book, stock)
    before = book.of(run) if stock.production else run_facts.NOTHING
    metric = wish.best or run_facts.primary(project, [before, choice.facts])
    notes = (*choice.notes, *_remarks(stock), *book.notes)
    return (
        Plan(
            slot=stock.slot,
            before=stock.production,
            before_facts=before,
            after=choice,
            metric=metric,
            deltas=tuple(_deltas(project, before, choice.facts, metric)),
            takes_back=back,
            notes=notes,
        ),
        Desk(shelf, book, stock),
    )


def _choose(search: Search, wish: Wish) -> tuple[Choice, Promotion | None]:
    if wish.rollback:
        return history.previous(search)
    if wish.worktree is not None:
        return select.in_worktree(search, wish.worktree, wish.run), None
    if wish.run is not None:
        return select.by_run(search, wish.run), None
    if wish.version is not None:
        return select.by_version(search, wish.version), None
    return select.best(search, wish.best), None


def _remarks(stock: Stock) -> list[str]:
    production = stock.production
    if production is None or production.state != "edited":
        return []
    return [f"{production.path} differs from its pointer; it is kept as it is now"]


def _deltas(project: Project, before: Facts, after: Facts, metric: str | None) -> list[Delta]:
    """Every metric of either side, the one that decides first."""
    names = dict.fromkeys([*([metric] if metric else []), *before.metrics, *after.metrics])
    found = []
    for name in names:
        old, new = before.metrics.get(name), after.metrics.get(name)
        one, other = run_facts.number(old), run_facts.number(new)
        delta = None if one is None or other is None else other - one
        better = (delta > 0) == collect.maximize(project.config, name) if delta else None
        found.append(Delta(name, old, new, delta, better))
    return found


def require_file(choice: Choice, stock: Stock) -> None:
    """Raises XexpError when the chosen file went since the plan was made."""
    if choice.file is not None and not choice.file.is_file():
        raise XexpError(f"{choice.file} is gone", f"what is there: ls '{stock.slot.candidates}'")
