"""``promote``, carried out: one operation, production replaced at once, nothing lost on the way."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from gitxexp import artifacts, config, dvcio, modelback, payload, registry, snapshot, tagging
from gitxexp.collect import Wanted
from gitxexp.dvcio import Progress
from gitxexp.errors import NoAnswer, XexpError
from gitxexp.experiments import Request
from gitxexp.models import adding, pieces, promoting, proof
from gitxexp.models.facts import Facts
from gitxexp.models.finding import Choice, Search, Wish
from gitxexp.models.promoting import Desk, Plan
from gitxexp.models.stock import Model
from gitxexp.project import Project, Running
from gitxexp.registry import Promotion
from gitxexp.tagging import Tagged


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
        snapshot.check_ready(project)
    if seen.already:
        return Promoted(seen)
    try:
        with project.operation("promote", wait=options.wait) as running:
            plan, desk = promoting.plan(project, wish, progress)
            if plan.already:
                raise _AlreadyThere
            _check_agreed(seen, plan, options)
            done = _promote(project, running, (plan, desk), (wish, options))
        if done.kept is None:
            (running.keep / "replaced").unlink(missing_ok=True)  # proved to be elsewhere
        return done
    except _AlreadyThere:
        return Promoted(promoting.plan(project, wish, progress)[0])


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
    promoting.require_file(plan.after, desk.stock)
    slot = plan.slot
    pieces.require_untracked_by_git(desk.shelf, [slot.production, f"{slot.candidates}/"])
    pieces.require_room(project, running, (project.top / slot.production).parent)
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
        tagged = tagging.within(project, running, _request(desk, plan, wish))
        return replace(done, tagged=tagged, commit=tagged.commit)
    if options.commit:
        body = f"\n{wish.why}\n" if wish.why else ""
        subject = f"{_subject(plan)}\n{body}"
        return replace(done, commit=snapshot.commit(project, running, files, subject))
    return done


def _md5(desk: Desk, path: Path) -> str:
    """The md5 of the file's bytes, also where its pointer has another one (2.x, of text)."""
    project = desk.shelf.project
    return dvcio.file_hashes(project.top, [(path, False)], project.stat_cache)[path]


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
        adding.place(choice.file, staged)
    else:
        _fetch(desk, choice, staged)
    return staged, model.path if listed and choice.file is None else None


def _fetch(desk: Desk, choice: Choice, target: Path) -> None:
    """The model's bytes, verified: linked from a cache where DVC is set to link, else copied."""
    shelf, model = desk.shelf, choice.model
    links = dvcio.link_types(shelf.project.top / model.root)
    for cache in shelf.caches(model.root):
        found = dvcio.object_path(cache, model.oid, model.legacy)
        if found.is_file() and dvcio.matches(found, model.oid, model.legacy):
            if adding.share(found, target, links) is None:
                shutil.copyfile(found, target)
            return
    if choice.commit is not None:
        asked = artifacts.Request(choice.commit, (model.path,), choice.origin, target)
        artifacts.get(shelf.project, asked, shelf.progress)
        return
    stores = Search(desk.shelf, desk.book, desk.stock).stores()
    for place in stores.places(model.as_output(), model.oid):
        if dvcio.matches(place.file, model.oid, model.legacy):
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
        proof.require(desk.shelf, desk.book, desk.stock, old)
    backup = project.top / kept if kept else running.keep / "replaced"
    fresh = plan.after.model._replace(hash=f"md5:{digest}", legacy=False, path=plan.slot.production)
    data = {
        "path": str(place),
        "source": str(incoming) if moved and incoming == project.top / moved else None,
        "new": pieces.file_facts(project, fresh, incoming),
        "old": pieces.file_facts(project, old) if old else None,
        "kept": str(backup) if old else None,
    }
    pieces.require_room(project, running, backup.parent)
    running.record("placed", **data)
    if old:
        modelback.duplicate(place, backup)
    modelback.move(incoming, place)
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
    touched = pieces.point_file(desk.shelf, running, plan.slot.production, digest)
    return [*touched, *pieces.point(desk.shelf, running, desk.stock, members)]


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
        who=pieces.owner_name(project),
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
    what = f" ({plan.metric}={payload.show(value)})" if value is not None else ""
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
