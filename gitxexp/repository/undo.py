"""How each kind of recorded step is taken back, after a failure or by ``git xexp undo``.

Every handler can be run twice, and on a step that was recorded but never taken.

=============  ====================================================================================
kind           data
=============  ====================================================================================
``file``       path, backup (None: it did not exist), undo (whether undo brings it back as well)
``ref``        ref, old (None: it did not exist), new (None until it was moved), message, worktree
``index``      worktree, before: path → "mode oid" (None: not in the index), after: the same or None
``stamp``      record of :func:`gitxexp.results.stamp`
``restamp``    path, table, run, old, new
``created``    path: a file or folder that the operation makes
``sealed``     path, hash ("md5:…") that the operation left: undo refuses to replace anything else
``sections``   names: sections of git's configuration that the operation makes
``configured`` values: key → values of git's configuration that the operation removes
``worktree``   see :mod:`gitxexp.repository.undo_worktrees`
``removed``    see :mod:`gitxexp.repository.undo_worktrees`
``placed``     see :mod:`gitxexp.repository.undo_models`, as for ``put``, ``aside`` and ``folder``
=============  ====================================================================================

``undo``: take the last operations back, newest first.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.repository import undo_models, undo_worktrees
from gitxexp.repository.operation import Operation, printable
from gitxexp.storage.git import Git, decode, encode
from gitxexp.trackers.stamps import restamp, unstamp

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project


#: Backups of this many operations are kept for ``undo``.
KEPT = 100

Handler = Callable[["Project", dict[str, Any], bool], None]


def roll_back(project: Project, operation: int) -> None:
    """Take every step of a failed operation back, the last one first."""
    for step in reversed(project.log.steps(operation)):
        HANDLERS[step.kind](project, step.data, False)
    undo_worktrees.drop_kept(project.state / "ops" / str(operation))


def undo_operation(project: Project, operation: Operation, *, force: bool = False) -> None:
    """Take a finished operation back; the user's own files stay as they are.

    Raises NoAnswer, saying why, when later work stands on it or it was pushed, unless ``force``.
    """
    steps = project.log.steps(operation.id)
    if not force:
        for step in steps:
            if step.kind == "ref":
                _refuse_if_built_upon(project, step.data)
            elif step.kind == "sealed":
                _refuse_if_changed(step.data)
            elif step.kind == "worktree":
                undo_worktrees.refuse_unmaking(project, step.data)
            elif step.kind in undo_models.REFUSALS:
                undo_models.REFUSALS[step.kind](project, step.data)
        if operation.result.get("pushed"):
            raise NoAnswer(
                f"'{operation.verb}' ({operation.summary}) was pushed to"
                f" {operation.result['pushed']}",
                "others may have it; take it back here all the same with --force",
            )
    project.log.finish(operation.id, "undoing")
    for step in reversed(steps):
        HANDLERS[step.kind](project, step.data, True)
    project.log.finish(operation.id, "undone")


def forget_old(project: Project) -> None:
    """Drop the backups of operations that are too old to be undone."""
    folder = project.state / "ops"
    with suppress(OSError):
        numbers = sorted((int(p.name) for p in folder.iterdir() if p.name.isdigit()), reverse=True)
        for number in numbers[KEPT:]:
            undo_worktrees.drop_kept(folder / str(number))


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back while things are put right."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


# -- handlers ----------------------------------------------------------------------------------


def _file(_project: Project, data: dict[str, Any], undoing: bool) -> None:
    if undoing and not data["undo"]:
        return
    path = Path(data["path"])
    if data["backup"] is None:
        path.unlink(missing_ok=True)
        return
    backup = Path(data["backup"])
    if backup.exists():
        restore_file(backup, path)


def restore_file(backup: Path, path: Path) -> None:
    """Put ``backup`` back in the place of ``path``; where it can be renamed that needs no space."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            backup.replace(path)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_over(backup, path)
    except OSError as error:
        raise XexpError(
            f"cannot restore {path}: {error.strerror}", f"its former content is in {backup}"
        ) from error


def _copy_over(backup: Path, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.restore")
    try:
        shutil.copy2(backup, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _ref(project: Project, data: dict[str, Any], _undoing: bool) -> None:
    git = Git(data.get("worktree") or project.places.git_dir, foreign=True)
    ref, old = data["ref"], data["old"]
    current = git.call("rev-parse", "--verify", "--quiet", ref).stdout.decode().strip() or None
    if current is None or current == old or not _is_ours(git, data, current):
        return
    flags = ("--no-deref",) if ref == "HEAD" else ()
    if old is None:
        git.raw("update-ref", *flags, "-d", ref, current)
    else:
        git.raw("update-ref", *flags, "-m", "xexp: undo", ref, old, current)


def _is_ours(git: Git, data: dict[str, Any], current: str) -> bool:
    """Whether the ref still is where the operation put it (it may have died before noting that)."""
    if data["new"] is not None:
        return bool(data["new"] == current)
    head, _, message = decode(git.raw("cat-file", "-p", current)).partition("\n\n")
    parents = [line[7:] for line in head.split("\n") if line.startswith("parent ")]
    return message.startswith(data["message"].rstrip("\n")) and (
        data["old"] is None or parents[:1] == [data["old"]]
    )


def _refuse_if_built_upon(project: Project, data: dict[str, Any]) -> None:
    git = Git(data.get("worktree") or project.places.git_dir, foreign=True)
    current = git.call("rev-parse", "--verify", "--quiet", data["ref"]).stdout.decode().strip()
    name = data["ref"].removeprefix("refs/heads/").removeprefix("refs/tags/")
    if not current or current == data["new"]:
        if current and data["old"] is not None:
            _refuse_if_on_remote(git, name, current)
        return
    raise NoAnswer(
        f"{name} has moved on since: later work stands on it",
        "undo the later operations first (git xexp log), or take the tag back and leave the"
        " commit: --force",
    )


def _refuse_if_on_remote(git: Git, name: str, commit: str) -> None:
    holders = git.lines(
        "for-each-ref", "--contains", commit, "--format=%(refname:short)", "refs/remotes"
    )
    if holders:
        raise NoAnswer(
            f"the commit on {name} was pushed ({holders[0]} has it)",
            "others may have it; take it back here all the same with --force",
        )


def _refuse_if_changed(data: dict[str, Any]) -> None:
    """Rows that were written since the operation are the user's own."""
    from gitxexp.storage.objects import hash_file

    path = Path(data["path"])
    if not path.is_file():
        return
    log = path.with_name(path.name + "-wal")
    waits = log.exists() and log.stat().st_size > 0
    if waits or f"md5:{hash_file(path)}" != data["hash"]:
        raise NoAnswer(
            f"{path.name} has changed since: undo would lose what was written after it",
            "keep it, or put the former file back all the same: --force",
        )


def _index(_project: Project, data: dict[str, Any], _undoing: bool) -> None:
    """Give back the entries that the operation changed; what the user staged since stays."""
    if not Path(data["worktree"]).is_dir():
        return
    git = Git(data["worktree"], foreign=True)
    before, after = data["before"], data["after"]
    now = index_entries(git, list(before))
    lines = []
    for path, entry in before.items():
        if now[path] == entry or (after is not None and now[path] != after[path]):
            continue
        mode, oid = entry.split(" ") if entry else ("0", "0" * 40)
        lines.append(f"{mode} {oid}\t{path}\0")
    if lines:
        git.raw("update-index", "-z", "--index-info", stdin=encode("".join(lines)))
        git.call("update-index", "-q", "--refresh")


def index_entries(git: Git, paths: list[str]) -> dict[str, str | None]:
    """``"mode oid"`` of each path (from the top; git must stand there), None where it has none."""
    found: dict[str, str | None] = dict.fromkeys(paths)
    for field in git.fields("ls-files", "-s", "-z", "--full-name"):
        meta, _, path = field.partition("\t")
        mode, oid, stage = meta.split(" ")
        if path in found and stage == "0":
            found[path] = f"{mode} {oid}"
    return found


def _stamp(_project: Project, data: dict[str, Any], _undoing: bool) -> None:
    if Path(data["record"]["path"]).exists():
        unstamp(data["record"])


def _restamp(_project: Project, data: dict[str, Any], _undoing: bool) -> None:
    path = Path(data["path"])
    if path.exists():
        restamp(path, data["table"], data["run"], data["new"], data["old"])


def _created(_project: Project, data: dict[str, Any], undoing: bool) -> None:
    path = Path(data["path"])
    if undoing and not data.get("undo", True):
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sections(project: Project, data: dict[str, Any], _undoing: bool) -> None:
    for name in data["names"]:
        project.git.call("config", "--local", "--remove-section", name)


def _configured(project: Project, data: dict[str, Any], _undoing: bool) -> None:
    for key, values in data["values"].items():
        project.git.call("config", "--local", "--unset-all", key)
        for value in values:
            project.git.raw("config", "--local", "--add", key, value)


def _nothing(_project: Project, _data: dict[str, Any], _undoing: bool) -> None:
    return


HANDLERS: dict[str, Handler] = {
    "file": _file,
    "ref": _ref,
    "index": _index,
    "stamp": _stamp,
    "restamp": _restamp,
    "created": _created,
    "sealed": _nothing,
    "sections": _sections,
    "configured": _configured,
    "worktree": undo_worktrees.unmake,
    "removed": undo_worktrees.bring_back,
    **undo_models.HANDLERS,
}


def undo_last(
    project: Project,
    count: int,
    *,
    force: bool = False,
    wait: bool = True,
    told: Callable[[Operation], object] | None = None,
) -> list[Operation]:
    """Take back the last ``count`` finished operations; returns them.

    ``told`` is given each as soon as it is undone, for those before a failure stay undone. Raises
    NoAnswer when there are fewer, or when later work stands on one and not ``force``.
    """
    with project.locked(wait=wait):
        project.recover()
        found = project.log.operations("done", limit=count)
        if len(found) < count:
            what = f"only {len(found)} can be undone" if found else "there is nothing to undo"
            raise NoAnswer(what, "git xexp log lists the operations")
        _refuse_elsewhere(project, found)
        for operation in found:
            with uninterrupted():
                undo_operation(project, operation, force=force)
            if told is not None:
                told(operation)
    return found


def _refuse_elsewhere(project: Project, operations: list[Operation]) -> None:
    """Raises NoAnswer for what ran in a folder that is no worktree of this repository now.

    The log has absolute paths, and a copy of a repository has the log: its steps would be taken
    back in the repository that it was copied from.
    """
    trees = [Path(tree["worktree"]) for tree in project.worktrees()]
    places = [*trees, project.places.common_dir, project.places.git_dir]
    here = {printable(path) for path in (*places, *map(Path.resolve, places))}
    for operation in operations:
        if operation.worktree not in here:
            raise NoAnswer(
                f"'{operation.verb}' ran in {operation.worktree}, which is no worktree of this repository",
                "what was done before a repository was moved or copied cannot be taken back in it",
            )
