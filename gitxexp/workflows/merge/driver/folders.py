"""Three versions of a directory that DVC tracks, merged file by file.

A file that one side changed, added or removed follows that side. A file that both changed is merged
by rows if it has any; else it is a conflict, as is a removal against a change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.storage import paths
from gitxexp.storage.dvc.places import work_file
from gitxexp.storage.dvc.pointer_file import Output
from gitxexp.storage.paths import Refused
from gitxexp.tables import engine
from gitxexp.tables.plan import Conflict, MergeOptions, MergeReport, OnConflict, TableReport
from gitxexp.workflows.merge.driver.objects import (
    Data,
    PlacedOutput,
    Prepare,
    cached,
    fetched,
    objects,
    store,
    waits,
)
from gitxexp.workflows.merge.driver.place import GitPlace
from gitxexp.workflows.merge.driver.result import place_for, put

#: Path below the directory → hash.
Entries = Mapping[str, str]


def merge_folder(
    place: GitPlace,
    folder: Path,
    sides: tuple[Output | None, Output, Output],
    options: MergeOptions,
    prepare: Prepare | None = None,
) -> tuple[MergeReport, Data | None]:
    """The report, its tables and conflicts named ``file: table``, and the merged directory.

    All its objects are then in a cache. With conflicts there is no merged directory. Raises
    XexpError, for example if an object is nowhere.
    """
    if len({side.legacy for side in sides if side}) > 1:
        raise XexpError(
            f"{sides[1].path}: one side is in the cache layout of DVC 2, the other in that of DVC 3",
            "bring both to one: dvc cache migrate",
        )
    work = _Work(place, folder, sides, options, prepare)
    base, ours, theirs = (entries(place, out) if out else {} for out in sides)
    merged: dict[str, str] = {}
    for path in sorted({*base, *ours, *theirs}):
        oid = work.decide(path, base.get(path), ours.get(path), theirs.get(path))
        if oid is not None:
            merged[path] = oid
    report = MergeReport(tuple(work.tables), tuple(work.conflicts), notes=tuple(work.notes))
    if work.conflicts:
        return report, None
    return replace(report, written=True), work.saved(merged)


def entries(place: GitPlace, out: Output) -> dict[str, str]:
    """The files of a directory output; XexpError if its manifest is nowhere or broken."""
    from gitxexp.storage.objects import parse_manifest

    found = parse_manifest(fetched(place, out).read_bytes(), out.oid)
    if found is None:
        raise XexpError(f"the list of files in {out.path} is damaged", "get it again: dvc fetch")
    return {file.path: (file.hash or "").partition(":")[2] for file in found}


@dataclass
class _Work:
    place: GitPlace
    folder: Path
    sides: tuple[Output | None, Output, Output]
    options: MergeOptions
    prepare: Prepare | None
    tables: list[TableReport] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def decide(
        self, path: str, base: str | None, ours: str | None, theirs: str | None
    ) -> str | None:
        """Return the hash of one file in the result, None if it is absent (or in conflict)."""
        if ours == theirs or theirs == base:
            return ours
        if ours == base:
            self._tell(path, ours, theirs)
            return theirs
        if ours and theirs and engine.mergeable(path):
            return self._rows(path, base, ours, theirs)
        chosen = self._chosen(path)
        if chosen is None:
            kind = "value" if ours and theirs else "change/delete" if ours else "delete/change"
            self.conflicts.append(Conflict(path, {}, None, ours, theirs, base, kind, ""))
            return ours
        return theirs if chosen is OnConflict.THEIRS else ours

    def _tell(self, path: str, ours: str | None, theirs: str | None) -> None:
        what = "changed" if ours and theirs else "removed" if ours else "new"
        self.notes.append(f"{path}: {what}")

    def _chosen(self, path: str) -> OnConflict | None:
        for conflict, side in self.options.settled:
            if conflict.table == path:
                return side
        side = self.options.on_conflict
        return side if side in (OnConflict.OURS, OnConflict.THEIRS) else None

    def _rows(self, path: str, base: str | None, ours: str, theirs: str) -> str:
        place = self.folder / f"file{len(self.tables)}-{len(self.conflicts)}-{len(self.notes)}"
        place.mkdir()
        files = [fetched(self.place, self._file(path, oid)) if oid else None
                 for oid in (base, ours, theirs)]  # fmt: skip
        assert files[1] is not None and files[2] is not None
        prefix = f"{path}: "
        settled = tuple(
            (replace(conflict, table=conflict.table.removeprefix(prefix)), side)
            for conflict, side in self.options.settled
            if conflict.table.startswith(prefix)
        )
        two = files[1], files[2]
        if self.prepare:
            two = self.prepare(*two, settled)
        out = place_for(place, path)
        report = engine.merge3(files[0], *two, out, replace(self.options, settled=settled))
        self.tables += [replace(t, name=prefix + t.name) for t in report.tables]
        self.conflicts += [replace(c, table=prefix + c.table) for c in report.conflicts]
        self.notes += [prefix + note for note in report.notes]
        return store(self.place, self.sides[1], out).oid if report.written else ours

    def _file(self, path: str, oid: str) -> Output:
        ours = self.sides[1]
        return ours._replace(path=f"{ours.path}/{path}", hash=f"md5:{oid}", size=None, nfiles=None)

    def saved(self, merged: Entries) -> Data:
        """The manifest as DVC writes it (dvc_data/hashfile/tree.py), stored; and the sizes."""
        listed = [{"md5": oid, "relpath": path} for path, oid in sorted(merged.items())]
        manifest = self.folder / "manifest"
        manifest.write_text(json.dumps(listed, sort_keys=True), "utf-8")
        kept = store(self.place, self.sides[1], manifest, ".dir")
        sizes = [self._size(path, oid) for path, oid in merged.items()]
        return Data(kept.oid, sum(sizes), len(merged))

    def _size(self, path: str, oid: str) -> int:
        out = self._file(path, oid)
        found = objects(self.place).find(out)
        return (found or fetched(self.place, out)).stat().st_size


def lay(place: GitPlace, out: Output, before: Entries) -> PlacedOutput:
    """Update the work tree's directory from ``before`` to ``out``, if nothing can be lost.

    Files in neither are left alone. Changes all files or none.
    """
    top = place.top / out.path
    if not top.is_dir():
        return PlacedOutput.ABSENT
    try:
        todo = _steps(place, out, before)
    except Refused:
        return PlacedOutput.KEPT
    except XexpError:  # an object is no longer available
        return PlacedOutput.ABSENT
    if todo is None:
        return PlacedOutput.KEPT
    for path, source in todo.items():
        _put_or_remove(source, place.top, out.path, path)
    return PlacedOutput.DONE


def _steps(place: GitPlace, out: Output, before: Entries) -> dict[str, Path | None] | None:
    """Return each file to change with its new object (None: remove it); None if something would be
    lost."""
    after = entries(place, out)
    todo: dict[str, Path | None] = {}
    changed = sorted(p for p in {*before, *after} if before.get(p) != after.get(p))
    paths.refuse_alike(place.top, [*after])
    for path in changed:
        target, oid = work_file(place.top, f"{out.path}/{path}"), after.get(path)
        here = _hash(target, out.legacy)
        if here == oid:
            continue
        if here != before.get(path) or waits(target):
            return None
        old = out._replace(hash=f"md5:{here}") if here else None
        if old is not None and cached(place, old) is None:
            return None
        todo[path] = fetched(place, out._replace(hash=f"md5:{oid}")) if oid else None
    return todo


def _hash(file: Path, legacy: bool) -> str | None:
    from gitxexp.storage.objects import dos2unix_md5, hash_file

    if not file.is_file():
        return None
    return dos2unix_md5(file) if legacy else hash_file(file)


def _put_or_remove(source: Path | None, top: Path, folder: str, path: str) -> None:
    with paths.held(top, f"{folder}/{path}", create=source is not None) as target:
        if source is not None:
            put(source, target)
            return
        target.unlink()
    parent = path.rpartition("/")[0]
    while parent:
        with paths.held(top, f"{folder}/{parent}") as place:
            if any(place.iterdir()):
                return
            place.rmdir()
        parent = parent.rpartition("/")[0]
