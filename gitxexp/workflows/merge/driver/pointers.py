"""Three versions of a ``.dvc`` file merged through the data they point to.

The objects come from the caches of this repository's work trees, else from the remote. The merged
one goes into the cache and its hash into the pointer. Anything that cannot be merged gets conflict
markers; "ours" is never kept silently.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.streams import tell
from gitxexp.storage.dvc.pointer_file import Output, PointerParser
from gitxexp.tables import engine
from gitxexp.tables.plan import MergeOptions, MergeReport, OnConflict
from gitxexp.workflows.merge.driver import reports
from gitxexp.workflows.merge.driver.folders import entries, lay, merge_folder
from gitxexp.workflows.merge.driver.objects import (
    Data,
    PlacedOutput,
    Prepare,
    cached,
    fetched,
    file_here,
    objects,
    store,
    waits,
)
from gitxexp.workflows.merge.driver.place import GitPlace
from gitxexp.workflows.merge.driver.promotions import later_promotion
from gitxexp.workflows.merge.driver.result import account, conflict_line, place_for, put, write

#: The pointer's text on each side: ancestor, ours, theirs.
Texts = tuple[bytes, bytes, bytes]


def merge_pointer(
    place: GitPlace, folder: Path, sides: Sequence[Path], marker: int, name: str
) -> int:
    """Merge for git; return the exit code."""
    base, ours, theirs = (side.read_bytes() for side in sides)
    texts = (base, ours, theirs)
    try:
        merged = merged_pointer(place, folder, texts, name)
    except XexpError:
        if _leave_markers(sides, marker):
            raise
        reports.forget(place, name)
        return 0  # the changes do not overlap: other fields, or other outputs of one pointer
    report = merged.report
    if report is not None and not report.written:
        _leave_markers(sides, marker)
        reports.save(place, name, report.conflicts)
        tell(conflict_line(name.removesuffix(".dvc"), report))
        return 1
    code, text = three_texts(folder, merged.texts, marker)
    write(sides[1], text)
    if code:
        reports.save(place, name, (), "its rows were merged, its other fields differ")
        return 1
    reports.forget(place, name)
    if report is not None and merged.oid is not None:
        sure = not may_be_refused(place)
        give_account(
            name, report, materialise(place, name, text, ours) if sure else PlacedOutput.LATER
        )
    return 0


def may_be_refused(place: GitPlace) -> bool:
    """Whether tracked files are edited: git runs the drivers before it checks the work tree, so a
    merge that it then refuses would have brought rows of another branch into the data."""
    command = ["git", "diff", "--quiet", "--no-ext-diff", "--ignore-submodules"]
    return subprocess.run(command, cwd=place.top, capture_output=True, check=False).returncode == 1


@dataclass(frozen=True)
class MergedPointer:
    """Three texts with the hash and size of the merged object ``oid``, which is then in the cache.

    The report is None if no rows had to be merged, ``oid`` if nothing was."""

    texts: Texts
    report: MergeReport | None = None
    oid: str | None = None


def merged_pointer(
    place: GitPlace,
    folder: Path,
    texts: Texts,
    name: str,
    options: MergeOptions | None = None,
    prepare: Prepare | None = None,
) -> MergedPointer:
    """Merge the object that three pointers name.

    ``prepare`` may replace two objects before their rows are merged. Raises XexpError for content
    that cannot be merged by rows or, in a directory, by files, or if an object is nowhere.
    """
    base, ours, theirs = (_output(place, name, text) if text else None for text in texts)
    if ours is None or theirs is None:
        raise XexpError(f"{name} is not a pointer to one output", "merge it by hand")
    report, data = merged_output(
        place, folder, (base, ours, theirs), options or MergeOptions(), prepare
    )
    if data is None:
        return MergedPointer(texts, report)
    return MergedPointer(_with(texts, data), report, data.oid)


def merged_output(
    place: GitPlace,
    folder: Path,
    sides: tuple[Output | None, Output, Output],
    options: MergeOptions,
    prepare: Prepare | None = None,
) -> tuple[MergeReport | None, Data | None]:
    """Return the merged output; no data if nothing differs or rows are in conflict.

    Raises as :func:`merged_pointer`.
    """
    base, ours, theirs = sides
    if ours.oid == theirs.oid:
        return None, None
    for one, other in ((ours, theirs), (theirs, ours)):
        if base is not None and base.oid == one.oid:
            return None, _data(other)
    if ours.is_dir != theirs.is_dir or not (ours.is_dir or engine.mergeable(ours.path)):
        promoted = later_promotion(place, folder, ours, theirs)
        if promoted is not None and options.on_conflict is OnConflict.FAIL:
            tell(promoted.text)
            return None, _data(promoted.output)
        return None, _one_side(ours, theirs, options)
    known = base if base is not None and base.is_dir == ours.is_dir else None
    merge = merge_folder if ours.is_dir else _merge_file
    return merge(place, folder, (known, ours, theirs), options, prepare)


def _merge_file(
    place: GitPlace,
    folder: Path,
    sides: tuple[Output | None, Output, Output],
    options: MergeOptions,
    prepare: Prepare | None,
) -> tuple[MergeReport, Data | None]:
    base, *others = (fetched(place, side) if side else None for side in sides)
    ours, theirs = (file for file in others if file)
    out = place_for(folder, sides[1].path)
    if prepare:
        ours, theirs = prepare(ours, theirs, options.settled)
    report = engine.merge3(base, ours, theirs, out, options)
    return report, store(place, sides[1], out) if report.written else None


def _one_side(ours: Output, theirs: Output, options: MergeOptions) -> Data:
    """Take an output without rows completely from one side, if the user chose one."""
    sides = {OnConflict.OURS: ours, OnConflict.THEIRS: theirs}
    chosen = sides.get(options.on_conflict)
    if chosen is None:
        both = "is a directory on one side only"
        why = "has no rows that could be merged" if ours.is_dir == theirs.is_dir else both
        raise XexpError(f"{ours.path} {why}", "choose one side")
    return _data(chosen)


def _data(out: Output) -> Data:
    return Data(out.oid or "", out.size or 0, out.nfiles)


def _output(place: GitPlace, name: str, text: bytes) -> Output:
    """The one output that a pointer describes."""
    root = root_of(place, name)
    parser = PointerParser(lambda paths: {}, lambda folder: root, strict=True)
    outputs = list(parser.single(name, text))
    if len(outputs) != 1 or not outputs[0].oid or outputs[0].files or not outputs[0].cached:
        raise XexpError(f"{name} does not point to one output", "merge it by hand")
    return outputs[0]


def root_of(place: GitPlace, name: str) -> str:
    """The DVC project that the pointer belongs to, from the top."""
    folder = Path(name).parent
    while str(folder) != "." and not (place.top / folder / ".dvc").is_dir():
        folder = folder.parent
    return "" if str(folder) == "." else folder.as_posix()


def _with(texts: Texts, data: Data) -> Texts:
    """The pointer texts with this hash and size, so that only their other fields can differ."""
    values = {b"md5": data.oid, b"size": data.size, b"nfiles": data.nfiles}

    def one(text: bytes) -> bytes:
        for name, value in values.items():
            if value is not None:
                line = rb"(?m)^([ -]*%s: *)\S+" % name
                text = re.sub(line, rb"\g<1>" + str(value).encode(), text)
        return text

    base, ours, theirs = texts
    return one(base), one(ours), one(theirs)


def three_texts(
    folder: Path, texts: Texts, marker: int, side: OnConflict = OnConflict.FAIL
) -> tuple[int, bytes]:
    """Run ``git merge-file`` on three texts; return the number of conflicts left by ``side``, and
    the result."""
    names = [folder / name for name in ("base", "ours", "theirs")]
    for path, text in zip(names, texts, strict=True):
        path.write_bytes(text)
    return _merge_texts(names, marker, side)


def _merge_texts(
    sides: Sequence[Path], marker: int, side: OnConflict = OnConflict.FAIL
) -> tuple[int, bytes]:
    base, ours, theirs = (str(side) for side in sides)
    labels = ("-L", "ours", "-L", "base", "-L", "theirs")
    favour = [f"--{side}"] if side in (OnConflict.OURS, OnConflict.THEIRS) else []
    options = ["-p", f"--marker-size={marker}", *favour, *labels]
    command = ["git", "merge-file", *options, ours, base, theirs]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode < 0 or done.returncode > 127:
        raise XexpError(f"git merge-file: {done.stderr.decode(errors='replace').strip()}")
    return done.returncode, done.stdout


def _leave_markers(sides: Sequence[Path], marker: int) -> int:
    """Return ours with markers where theirs differs, as git does for text, and their number."""
    code, text = _merge_texts(sides, marker)
    write(sides[1], text)
    return code


def materialise(place: GitPlace, name: str, text: bytes, before: bytes) -> PlacedOutput:
    """Update the work tree's data to the pointer's object, if nothing can be lost.

    ``before`` is the text of the pointer that the work tree's data belongs to.
    """
    out = _output(place, name, text)
    if out.is_dir:
        was = _output(place, name, before)
        return lay(place, out, entries(place, was) if was.is_dir else {})
    return bring(place, out)


def bring(place: GitPlace, out: Output) -> PlacedOutput:
    """:func:`materialise` for an output that is one file."""
    from gitxexp.storage import paths
    from gitxexp.storage.objects import hash_file

    if not file_here(place, out.path):
        return PlacedOutput.ABSENT
    with paths.held(place.top, out.path) as target:
        if waits(target):
            return PlacedOutput.KEPT
        oid = hash_file(target)
        if oid == out.oid:
            return PlacedOutput.DONE
        merged = cached(place, out)
        if merged is None or objects(place).find(out, oid) is None:
            return PlacedOutput.KEPT
        put(merged, target)
    return PlacedOutput.DONE


def give_account(name: str, report: MergeReport, placed: PlacedOutput) -> None:
    """Report what was merged and what is left to do."""
    counts = account(report)
    if report.tables or not report.notes:
        tell(f"{name.removesuffix('.dvc')}: {counts}")
    for note in report.notes:
        tell(f"{name.removesuffix('.dvc')}: {note}")
    for line in after(name, placed):
        tell(line)


def after(name: str, placed: PlacedOutput) -> list[str]:
    """Return a description of what is left for the user to do."""
    data = name.removesuffix(".dvc")
    if placed is PlacedOutput.LATER:
        why = "because files are edited and git may refuse the merge"
        return [f"{data} was left as it is, {why}; once it is committed: dvc checkout {name}"]
    if placed is PlacedOutput.ABSENT:
        return [f"{data} is not in this work tree; to get it: dvc checkout {name}"]
    if placed is PlacedOutput.KEPT:
        if not engine.mergeable(data):
            then = f"once the merge is committed: dvc checkout {name}"
            return [f"{data} holds files that are in no commit and was left as it is; {then}"]
        then = "once the merge is committed: git xexp merge HEAD"
        return [f"{data} holds rows that are in no commit and was left as it is; {then}"]
    return []


def object_of(place: GitPlace, text: bytes) -> Path | None:
    """The object that a pointer's text names, if a cache has it."""
    with suppress(XexpError):
        out = _output(place, "pointer.dvc", text)
        if engine.mergeable(out.path) and not out.is_dir:
            return cached(place, out)
    return None
