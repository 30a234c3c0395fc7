"""List the driver's conflicts from git's index and the reports, and resolve them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, UsageError, XexpError
from gitxexp.repository.commit import stage
from gitxexp.repository.repository import Project
from gitxexp.storage import paths as paths_gate
from gitxexp.storage.dvc.pointer_file import is_lock
from gitxexp.storage.filters import as_files
from gitxexp.tables import engine
from gitxexp.tables.plan import Conflict, MergeOptions, MergeReport, OnConflict
from gitxexp.tables.rules import clashing_numbers
from gitxexp.tables.settle import by_sqlite, settle
from gitxexp.workflows.merge import inputs
from gitxexp.workflows.merge.driver import locks, pointers, result
from gitxexp.workflows.merge.driver import reports as driver_reports
from gitxexp.workflows.merge.driver.objects import Prepare, Settled
from gitxexp.workflows.merge.driver.place import GitPlace
from gitxexp.workflows.merge.driver.reports import ConflictReport

#: What git has in progress, by the file that shows it, and how the user continues.
_GO_ON = {
    "MERGE_HEAD": "git merge --continue",
    "CHERRY_PICK_HEAD": "git cherry-pick --continue",
    "REVERT_HEAD": "git revert --continue",
    "rebase-merge": "git rebase --continue",
    "rebase-apply": "git rebase --continue",
}


@dataclass(frozen=True)
class Stages:
    """The blobs of an unmerged path: "" if a side has none."""

    base: str = ""
    ours: str = ""
    theirs: str = ""


def stages(project: Project) -> dict[str, Stages]:
    """Return every unmerged path whose rows could be merged, with its blobs, by path from the top."""
    by_path: dict[str, Stages] = {}
    names = {"1": "base", "2": "ours", "3": "theirs"}
    for line in _listed(project):
        meta, _, path = line.partition("\t")
        _, oid, number = meta.split(" ")
        if path.endswith(".dvc") or is_lock(path) or engine.mergeable(path):
            by_path[path] = replace(by_path.get(path, Stages()), **{names[number]: oid})
    return {path: blobs for path, blobs in by_path.items() if _ours_to_merge(project, path, blobs)}


def paths(project: Project) -> list[str]:
    """Every unmerged path, with rows or without."""
    return list(dict.fromkeys(field.partition("\t")[2] for field in _listed(project)))


def _listed(project: Project) -> list[str]:
    return project.at_top.fields("ls-files", "-u", "-z", "--full-name")


def _ours_to_merge(project: Project, path: str, blobs: Stages) -> bool:
    """Whether a path is a file with rows, its pointer, a pointer to a directory, or known to the
    driver."""
    if is_lock(path) or engine.mergeable(path.removesuffix(".dvc")):
        return True
    if driver_reports.seen(place_of(project), path):
        return True
    text = project.git.raw("cat-file", "blob", blobs.ours) if blobs.ours else b""
    return re.search(rb"(?m)^[ -]*md5: *[0-9a-f]+\.dir\s*$", text) is not None


def reports(project: Project) -> list[ConflictReport]:
    """The report of every unmerged path, by path."""
    place = place_of(project)
    return [driver_reports.load(place, path) for path in sorted(stages(project))]


def place_of(project: Project) -> GitPlace:
    """The project's places as the driver knows them."""
    return GitPlace(project.top, project.places.git_dir, project.places.common_dir)


@dataclass(frozen=True)
class Resolved:
    """One resolved path, and what is left for the user to do."""

    path: str
    report: MergeReport | None
    left: tuple[str, ...] = ()


def resolve(
    project: Project,
    paths: Sequence[str] = (),
    side: OnConflict | None = None,
    rows: Mapping[int, OnConflict] | None = None,
    *,
    wait: bool = True,
) -> list[Resolved]:
    """Merge the unmerged ``paths`` (default: all) again with their conflicts resolved, and stage
    them.

    ``rows`` resolves single conflicts by their number in :func:`numbered`, ``side`` the others.
    Raises NoAnswer if conflicts remain; then nothing is written.
    """
    unmerged = stages(project)
    if not unmerged:
        raise NoAnswer("there are no conflicts between rows", "git status lists those of files")
    wanted = inputs.choose_paths(project, paths, unmerged)
    decisions = _decisions(project, wanted, rows or {})
    place = place_of(project)
    done = []
    with project.locked(wait=wait), place.private("resolve") as folder:
        for number, path in enumerate(wanted):
            own = folder / str(number)
            own.mkdir()
            sides = _sides(project, own, path, unmerged[path])
            settled = tuple(decisions.get(path, []))
            options = MergeOptions(on_conflict=side or OnConflict.FAIL, settled=settled)
            done.append(_finish(_Task(project, place, own, path, sides, options)))
            stage(project.at_top, [path])
            driver_reports.forget(place, path)
    return done


def numbered(listed: Sequence[ConflictReport]) -> list[tuple[int, str, Conflict]]:
    """Every conflict of all paths with the number that ``--row`` takes, from 1."""
    flat = [(report.path, conflict) for report in listed for conflict in report.conflicts]
    return [(number, path, conflict) for number, (path, conflict) in enumerate(flat, 1)]


Decision = tuple[Conflict, OnConflict]
Sides = tuple[Path | None, Path, Path]


def _decisions(
    project: Project, paths: Sequence[str], rows: Mapping[int, OnConflict]
) -> dict[str, list[Decision]]:
    known = {number: (path, c) for number, path, c in numbered(reports(project))}
    decisions: dict[str, list[Decision]] = {}
    for number, side in rows.items():
        if number not in known or known[number][0] not in paths:
            raise UsageError(f"there is no conflict {number}", "git xexp conflicts lists them")
        path, conflict = known[number]
        decisions.setdefault(path, []).append((conflict, side))
    return decisions


def _sides(project: Project, folder: Path, path: str, blobs: Stages) -> Sides:
    if not blobs.ours or not blobs.theirs:
        raise XexpError(
            f"{path} was deleted on one side",
            f"keep or drop it: git add {project.typed(path)}, or git rm {project.typed(path)}",
        )
    files: list[Path | None] = []
    for name in ("base", "ours", "theirs"):
        oid = getattr(blobs, name)
        files.append(folder / name if oid else None)
        if oid:
            content = project.git.raw("cat-file", "blob", oid)
            (folder / name).write_bytes(as_files(project.at_top, [(path, oid, content)])[0])
    assert files[1] is not None and files[2] is not None
    return files[0], files[1], files[2]


class _Task(NamedTuple):
    """One path to resolve; ``folder`` holds temporary files."""

    project: Project
    place: GitPlace
    folder: Path
    path: str
    sides: Sides
    options: MergeOptions

    @property
    def texts(self) -> pointers.Texts:
        base, ours, theirs = (side.read_bytes() if side else b"" for side in self.sides)
        return base, ours, theirs

    def text(self, texts: pointers.Texts) -> tuple[int, bytes]:
        """Merge the texts; return the remaining conflicts and the result."""
        three = locks.three_locks if is_lock(self.path) else pointers.three_texts
        return three(self.folder, texts, 7, self.options.on_conflict)


def _finish(task: _Task) -> Resolved:
    if is_lock(task.path):
        return _lock(task)
    return _pointer(task) if task.path.endswith(".dvc") else _file(task)


def _file(task: _Task) -> Resolved:
    if by_sqlite(*task.sides[1:]):
        settle(*task.sides[1:], task.options.settled)
    out = result.place_for(task.folder, task.path)
    report = engine.merge3(*task.sides, out, task.options)
    _refuse_rest(task.path, report)
    with paths_gate.held(task.project.top, task.path) as target:
        result.replace(out, target)
    return Resolved(task.path, report)


def _pointer(task: _Task) -> Resolved:
    prepare = _settler(task.folder) if task.options.settled else None
    place, path, texts = task.place, task.path, task.texts
    merged = pointers.merged_pointer(place, task.folder, texts, path, task.options, prepare)
    if merged.report is not None:
        _refuse_rest(path, merged.report)
    code, text = task.text(merged.texts)
    if code:
        raise _other_lines(task.project, path)
    paths_gate.write(task.project.top, task.path, text)
    placed = pointers.materialise(place, path, text, texts[1])
    return Resolved(path, merged.report, tuple(pointers.after(path, placed)))


def _settler(folder: Path) -> Prepare:
    """Resolves single conflicts between two databases, in copies in ``folder``."""

    def prepare(one: Path, other: Path, settled: Settled) -> tuple[Path, Path]:
        if not settled or not by_sqlite(one, other):
            return one, other
        copies = _copy(one, folder / "ours.data"), _copy(other, folder / "theirs.data")
        settle(*copies, settled)
        return copies

    return prepare


def _lock(task: _Task) -> Resolved:
    place, path, settled = task.place, task.path, task.options.settled
    of_each: dict[str, Settled] = {}
    if settled:  # a lock's conflicts are numbered across all its outputs
        trial = locks.merged_lock(place, task.folder / "trial", task.texts, path)
        for out, report in trial.refused:
            of_each[out.path] = tuple(p for p in settled if p[0] in report.conflicts)
    merged = locks.merged_lock(
        place, task.folder, task.texts, path, task.options, of_each, _settler(task.folder)
    )
    for out, report in merged.refused:
        _refuse_rest(out.path, report)
    code, text = task.text(merged.texts)
    if code:
        if driver_reports.load(place, path).conflicts:
            paths_gate.write(task.project.top, task.path, text)
            driver_reports.save(place, path, (), "its rows were merged, its other lines differ")
        raise _other_lines(task.project, path)
    paths_gate.write(task.project.top, task.path, text)
    left: list[str] = []
    for out, _ in merged.reports:
        placed = pointers.bring(place, locks.current(place, path, text, out))
        left += pointers.after(out.path, placed)
    return Resolved(path, merged.reports[0][1] if merged.reports else None, tuple(left))


def _other_lines(project: Project, path: str) -> NoAnswer:
    return NoAnswer(
        f"{path}: its other lines differ",
        f"take one side for them: --ours or --theirs; or edit it, then: git add {project.typed(path)}",
    )


def _copy(source: Path, target: Path) -> Path:
    import shutil

    shutil.copyfile(source, target)
    return target


def _refuse_rest(path: str, report: MergeReport) -> None:
    if report.written:
        return
    count = len(report.conflicts)
    raise NoAnswer(
        f"{path}: {count} {'conflict is' if count == 1 else 'conflicts are'} not settled",
        ("keep both under new ids: --both; or " if clashing_numbers(report.conflicts) else "")
        + "take one side for them: --ours or --theirs, or name each: --row N=ours",
    )


def go_on(project: Project) -> str:
    """Return the command that finishes git's unfinished command."""
    for name, command in _GO_ON.items():
        if (project.places.git_dir / name).exists():
            return command
    return "git commit"
