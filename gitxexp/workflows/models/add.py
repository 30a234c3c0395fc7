"""``candidates add``: a model file becomes the candidate of a run."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.objects import Progress
from gitxexp.workflows.experiments import collect
from gitxexp.workflows.experiments.collect import Wanted
from gitxexp.workflows.models import inventory
from gitxexp.workflows.models.inventory import Model, Shelf, Slot, Stock
from gitxexp.workflows.models.run_facts import Book

#: linux/fs.h: FICLONE, _IOW(0x94, 9, int). A copy on the same blocks, where the file system can.
_FICLONE = 0x40049409


@dataclass(frozen=True)
class Added:
    """The candidate, its run, how its bytes came there (reflink, hardlink, copy, there)."""

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
    wait: bool = True,
) -> Added:
    """Put a copy of ``path`` in as the candidate of ``run`` (default: the latest run).

    Raises XexpError: no such file, a folder, no such run, no results; NoAnswer when the run has
    another model as candidate already.
    """
    inventory.require_dvc(project)
    _check_source(path)
    shelf = Shelf(project, progress)
    chosen = inventory.choose(shelf.slots, slot)
    name = which_run(project, run)
    done = _there(shelf, chosen, path, name)
    if done is not None:
        return done
    with project.operation("candidates add", wait=wait) as running:
        shelf = Shelf(project, progress)
        stock = shelf.stock(chosen)
        inventory.require_list(stock)
        inventory.require_untracked_by_git(shelf, [f"{chosen.candidates}/"])
        target = _target(chosen, path, name)
        before = next((m for m in stock.candidates if m.path == target), None)
        made = _candidate(shelf, stock, target, path)
        how = "there"
        if before is not None and before.there:
            _check_same(before, made)
        else:
            inventory.require_room(project, running, (project.top / target).parent)
            known = inventory.file_facts(project, made, path)
            running.record("put", path=str(project.top / target), new=known)
            how = place(path, project.top / target)
        touched = inventory.point(shelf, running, stock, {target: made.oid})
        running.summary.append(target)
    return Added(target, name, made.hash, made.size or 0, how, tuple(touched))


def _there(shelf: Shelf, slot: Slot, path: Path, run: str) -> Added | None:
    """The answer when the candidate is there already and DVC knows it."""
    stock, target = shelf.stock(slot), _target(slot, path, run)
    before = next((m for m in stock.candidates if m.path == target and m.there), None)
    if before is None:
        return None
    made = _candidate(shelf, stock, target, path)
    _check_same(before, made)
    if before.state != "tracked":
        return None
    return Added(target, run, made.hash, made.size or 0, "there", ())


def _check_source(path: Path) -> None:
    if path.is_dir():
        raise XexpError(
            f"{path} is a folder: a candidate is one file", "pack it: tar -cf MODEL.tar"
        )
    if not path.is_file():
        raise XexpError(f"there is no file {path}", "give the path of the trained model")


def which_run(project: Project, run: str | None) -> str:
    """The full id of the run that is meant: known to a tag or a results database.

    Raises XexpError naming the closest ones, or when there are no results at all.
    """
    book = Book(project)
    if run is not None and run in book.by_run:
        return run
    if run is None:
        found = collect.collect(project.top, project.config, Wanted()).run
        if found is None:
            where = ", ".join(project.config.results_databases) or "none is configured"
            raise XexpError(
                f"no results database has a run ({where})",
                "name the run: --run ID, or set [results] databases in .xexp/config.toml",
            )
        return found.id
    wanted = collect.collect(project.top, project.config, Wanted(run=run)).run
    return wanted.id if wanted else run


def _target(slot: Slot, path: Path, run: str) -> str:
    own = path.suffix
    return slot.candidate(run, extension=own if own and own != slot.extension else "")


def _candidate(shelf: Shelf, stock: Stock, target: str, path: Path) -> Model:
    """The model that the file will be."""
    digest = file_hashes(
        shelf.project.top, [(path.resolve(), False)], shelf.project.stat_cache, shelf.progress
    )[path.resolve()]
    root = inventory.root_of(shelf, stock.slot.candidates)
    made = Model(
        stock.slot.name,
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
            f"{before.path} is there already, with other content",
            f"keep both under different runs (--run ID), or take it out first: rm '{before.path}'",
        )


def place(source: Path, target: Path) -> str:
    """The file's bytes at ``target``, sharing blocks where that is safe; says how.

    A reflink always is. A hard link is only for a file that nobody may write to: writing to one
    name would change the other.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    source = source.resolve()
    fixed = not source.stat().st_mode & 0o222
    try:
        how = share(source, temporary, ["reflink", "hardlink"] if fixed else ["reflink"])
        if how is None:
            shutil.copyfile(source, temporary)
            shutil.copystat(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return how or "copy"


def share(source: Path, target: Path, types: Iterable[str]) -> str | None:
    """A new file ``target`` on the blocks of ``source``, by the first of reflink, hardlink or
    symlink that is allowed and works; which one, None when none did."""
    ways: dict[str, Callable[[Path, Path], None]] = {
        "reflink": _reflink,
        "hardlink": os.link,
        "symlink": os.symlink,
    }
    for kind in types:
        if kind not in ways:
            return None
        try:
            ways[kind](source, target)
        except OSError:
            target.unlink(missing_ok=True)
            continue
        return kind
    return None


def _reflink(source: Path, target: Path) -> None:
    with source.open("rb") as old, target.open("wb") as new:
        fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
    shutil.copystat(source, target)
    target.chmod(target.stat().st_mode | 0o200)
