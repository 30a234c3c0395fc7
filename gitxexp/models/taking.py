"""``prune``, carried out: candidates moved aside, the pointer brought up to date, then deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gitxexp import dvcio, modelback, snapshot
from gitxexp.dvcio import Progress
from gitxexp.errors import XexpError
from gitxexp.models import pieces, pruning
from gitxexp.models.pruning import Bench, Fate, Pruning, Rules
from gitxexp.project import Project, Running
from gitxexp.wording import counted


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
            dvcio.store(project.top / model.root, path, model.oid, legacy=model.legacy)
    outputs = [model.as_output() for model in models]
    siblings = bench.shelf.siblings
    report = dvcio.push(project.top, outputs, None, progress, siblings)
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
        snapshot.check_ready(project)
    with project.operation("prune", wait=options.wait) as running:
        now, bench = pruning.plan(project, rules, progress)
        gone = pruning.same(seen.gone, now.gone)
        if options.force:
            gone += pruning.same(seen.unproved, now.unproved)
        asides = _move(project, running, gone)
        touched = _pointers(running, bench, gone)
        count = counted(len(gone), "candidate")
        running.summary.append(count)
        commit = None
        if options.commit and touched:
            message = f"prune: {count}\n\n" + "".join(f"{fate.model.path}\n" for fate in gone)
            commit = snapshot.commit(project, running, sorted(set(touched)), message)
    left = _delete(asides, keep=options.force)
    freed = sum(fate.freed for fate in gone) if not options.force else 0
    return Pruned(tuple(gone), freed, running.keep if left else None, commit)


def _move(project: Project, running: Running, gone: Sequence[Fate]) -> list[tuple[Fate, Path]]:
    """Every file out of the work tree into the operation's keep."""
    asides = []
    for number, fate in enumerate(fate for fate in gone if fate.model.there):
        path = project.top / fate.model.path
        known = pieces.file_facts(project, fate.model)
        kept = running.keep / "aside" / f"{number}.{path.name}"
        running.record("aside", path=str(path), old=known, kept=str(kept))
        modelback.move(path, kept)
        if kept.stat().st_mtime_ns != known["mtime_ns"] or kept.stat().st_size != known["size"]:
            raise XexpError(f"{fate.model.path} is being written to", "wait, then prune again")
        asides.append((fate, kept))
    return asides


def _pointers(running: Running, bench: Bench, gone: Sequence[Fate]) -> list[str]:
    touched: list[str] = []
    for stock in bench.stocks:
        names = [fate.model for fate in gone if fate.model.slot == stock.slot.name]
        members: dict[str, str | None] = {m.path: None for m in names if m.recorded is not None}
        touched += pieces.point(bench.shelf, running, stock, members)
    return touched


def _delete(asides: Sequence[tuple[Fate, Path]], *, keep: bool) -> list[Path]:
    """Delete the files, unless their bytes are to be kept; what is left."""
    if keep:
        return [kept for _, kept in asides]
    for _, kept in asides:
        kept.unlink(missing_ok=True)
    return []
