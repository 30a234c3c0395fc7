"""Undo operations: after a failure, after a crash, or by ``git xexp undo``.

All three share this code, which undoes the steps of an operation in reverse order. What each does,
and when it refuses, is defined by the step (:mod:`gitxexp.repository.operation`).
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer
from gitxexp.common.files import sweep
from gitxexp.repository.operation import (
    Irreversible,
    Operation,
    Step,
    UndoContext,
    Undoing,
    printable,
)

#: Backups of this many operations are kept for ``undo``.
KEPT = 100

#: Names, in a folder of backups, the folders that are kept on another file system.
ELSEWHERE = "elsewhere"


class Lockable(UndoContext, Protocol):
    """A repository that can be locked while operations are undone."""

    def locked(self, *, wait: bool = True) -> AbstractContextManager[None]:
        """Hold the repository's lock."""


def roll_back(at: UndoContext, operation: int) -> None:
    """Undo every step of a failed operation, last first."""
    for step in reversed(at.log.steps(operation)):
        step.undo(at, Undoing(operation, "rollback"))
    drop_kept(at.state / "ops" / str(operation))


def recover(at: UndoContext) -> list[int]:
    """Undo what dead processes left half done; return the numbers of the operations that were
    completed instead. The lock must be held."""
    sweep(at.state)
    finished = []
    for operation in at.log.operations("undoing"):
        _take_back(at, operation, force=False)
    for operation in at.log.operations("redoing"):
        if all(step.is_possible(at) for step in at.log.steps(-operation.id)):
            _bring_back(at, operation)
        else:
            _leave_undone(at, operation)
    for operation in at.log.operations("running"):
        if _finished(at, operation):
            finished.append(operation.id)
            continue
        roll_back(at, operation.id)
        at.log.finish(operation.id, "recovered")
        at.notify(
            f"'{operation.verb}' (operation {operation.id}) was interrupted;"
            " it has been rolled back"
        )
    return finished


def _finished(at: UndoContext, operation: Operation) -> bool:
    """Whether a step could complete the operation of a dead process."""
    for step in at.log.steps(operation.id):
        finished = step.finish(at)
        if finished is not None:
            at.log.finish(operation.id, "done", finished.summary, finished.result)
            at.notify(
                f"'{operation.verb}' (operation {operation.id}) was interrupted;"
                f" it has been finished: {finished.summary}"
            )
            return True
    return False


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """What undo would revert, newest first. ``passed``: later operations that changed nothing."""

    operations: tuple[Operation, ...]
    passed: tuple[Operation, ...] = ()


def plan(at: UndoContext, count: int, *, force: bool = False) -> UndoPlan:
    """The last ``count`` finished operations; raises NoAnswer if there are fewer, or if the newest
    must not be undone without ``force``."""
    operations = at.log.operations("done", limit=count)
    if len(operations) < count:
        what = f"only {len(operations)} can be undone" if operations else "there is nothing to undo"
        raise NoAnswer(what, "git xexp log lists the operations")
    _refuse_elsewhere(at, operations)
    if not force:
        _refuse_if_changed(at, operations[0])
    later = [o for o in at.log.operations() if o.id > operations[0].id]
    return UndoPlan(tuple(operations), tuple(o for o in later if o.status in _NOTHING))


#: Summary of operations that changed nothing.
_NOTHING = ("unchanged", "failed", "recovered")


def undo_last(
    at: Lockable,
    count: int,
    *,
    force: bool = False,
    wait: bool = True,
    passing: bool = False,
    told: Callable[[Operation], object] | None = None,
) -> list[Operation]:
    """Undo the last ``count`` finished operations; returns them.

    ``told`` receives each as soon as it is undone, because those before a failure stay undone.
    Raises NoAnswer if there are fewer; if a later one changed nothing, unless ``passing``; if later
    work builds on one, unless ``force``.
    """
    with at.locked(wait=wait):
        recover(at)
        planned = plan(at, count, force=force)
        if planned.passed and not passing:
            raise NoAnswer(
                f"the last operation, {planned.passed[0].line}, changed nothing",
                f"undo {planned.operations[0].line} before it: git xexp undo --yes",
            )
        for number, operation in enumerate(planned.operations):
            if number and not force:
                _refuse_if_changed(at, operation)
            with uninterrupted():
                _take_back(at, operation, force=force)
            if told is not None:
                told(operation)
    return list(planned.operations)


def redo_last(
    at: Lockable,
    count: int,
    *,
    wait: bool = True,
    told: Callable[[Operation], object] | None = None,
) -> list[Operation]:
    """Redo the last ``count`` undone operations, most recently undone first.

    Raises NoAnswer if there are fewer since the last finished operation, if later work is in the
    way, or if one has to be run again.
    """
    with at.locked(wait=wait):
        recover(at)
        undone = _to_redo(at)[:count]
        if len(undone) < count:
            what = f"only {len(undone)} can be redone" if undone else "there is nothing to redo"
            raise NoAnswer(what, "git xexp log lists the operations")
        _refuse_elsewhere(at, undone)
        for operation in undone:
            steps = at.log.steps(-operation.id)
            if not steps or any(isinstance(step, Irreversible) for step in steps):
                raise NoAnswer(f"{operation.line} cannot be redone", "run the command again")
            _refuse_if_changed(at, operation, steps)
            with uninterrupted():
                _bring_back(at, operation)
            if told is not None:
                told(operation)
    return undone


def _to_redo(at: UndoContext) -> list[Operation]:
    """Return the undone operations that no later one stands in the way of, most recently undone
    first. One that was made after an earlier one was undone has taken its place."""
    newest = max((o.id for o in at.log.operations("done")), default=0)
    undone = [o for o in at.log.operations("undone") if o.id > newest]
    operations: list[Operation] = []
    for operation in sorted(undone, key=lambda o: (-(o.finished or 0), o.id)):
        if operations and operation.id < operations[-1].id:
            break
        operations.append(operation)
    return operations


def _refuse_if_changed(
    at: UndoContext, operation: Operation, steps: Sequence[Step] | None = None
) -> None:
    """Raise NoAnswer with the reason if later work builds on it or it was pushed."""
    seen = set()
    for step in reversed(at.log.steps(operation.id) if steps is None else steps):
        changed = step.check(at) if step.subject not in seen else None
        if changed is not None:
            raise NoAnswer(changed.what, changed.hint)
        if step.subject is not None:
            seen.add(step.subject)
    if steps is None and operation.result.get("pushed"):
        raise NoAnswer(
            f"'{operation.verb}' ({operation.summary}) was pushed to {operation.result['pushed']}",
            "others may have it; undo it here anyway with --force",
        )


def _take_back(at: UndoContext, operation: Operation, *, force: bool) -> None:
    """Undo a finished operation; the user's own files stay as they are."""
    (at.state / "running").touch()  # as in a separate operation
    if operation.status != "undoing":
        at.log.finish(operation.id, "undoing")
        at.log.forget_steps(-operation.id)
    _reverse(at, operation, Undoing(operation.id, "force" if force else "undo"))
    at.log.finish(operation.id, "undone")
    (at.state / "running").unlink(missing_ok=True)


def _bring_back(at: UndoContext, operation: Operation) -> None:
    """Redo an undone operation exactly."""
    (at.state / "running").touch()
    if operation.status != "redoing":
        at.log.finish(operation.id, "redoing")
        at.log.forget_steps(operation.id)
    _reverse(at, operation, Undoing(operation.id, "redo"))
    at.log.finish(operation.id, "done")
    (at.state / "running").unlink(missing_ok=True)


def _leave_undone(at: UndoContext, operation: Operation) -> None:
    """Take back a redo that died and cannot be completed any more."""
    _reverse(at, operation, Undoing(operation.id, "undo"))
    at.log.forget_steps(-operation.id)
    at.log.finish(operation.id, "undone")
    at.notify(
        f"the redo of {operation.line} was interrupted, and git has removed objects that it needs"
        " (git gc): it has been rolled back"
    )


def _reverse(at: UndoContext, operation: Operation, undoing: Undoing) -> None:
    """Undo an operation's steps, or the steps that undid them (stored under its negative number);
    the inverse of each is recorded first."""
    source, target = (
        (-operation.id, operation.id) if undoing.why == "redo" else (operation.id, -operation.id)
    )
    steps = at.log.steps(source)
    for step in reversed(steps):
        for inverse in step.inverse(at, at.state / "ops" / str(operation.id)):
            at.log.record(target, inverse)
        step.undo(at, undoing)


def _refuse_elsewhere(at: UndoContext, operations: Sequence[Operation]) -> None:
    """Raise NoAnswer for an operation in a folder that is not a worktree of this repository now.

    The log has absolute paths, and a copy of a repository includes the log: its steps would be
    undone in the original repository.
    """
    trees = [Path(tree["worktree"]) for tree in at.worktrees()]
    places = [*trees, at.places.common_dir, at.places.git_dir]
    here = {printable(path) for path in (*places, *map(Path.resolve, places))}
    for operation in operations:
        if operation.worktree not in here:
            raise NoAnswer(
                f"'{operation.verb}' ran in {operation.worktree}, which is not a worktree of this repository",
                "operations from before a repository was moved or copied cannot be undone in it",
            )


# -- backups -------------------------------------------------------------------------------------


def forget_old(state: Path) -> None:
    """Drop the backups of operations that are too old to be undone."""
    folder = state / "ops"
    with suppress(OSError):
        numbers = sorted((int(p.name) for p in folder.iterdir() if p.name.isdigit()), reverse=True)
        for number in numbers[KEPT:]:
            drop_kept(folder / str(number))


def drop_kept(folder: Path) -> None:
    """Delete an operation's backups, those on another file system too."""
    with suppress(OSError):
        for line in (folder / ELSEWHERE).read_bytes().split(b"\0"):
            if line:
                shutil.rmtree(os.fsdecode(line), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Defer Ctrl-C and SIGTERM during cleanup."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
