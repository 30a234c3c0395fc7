"""Three versions of a ``dvc.lock`` merged through the outputs that its stages wrote.

If both sides changed an output with rows, the rows are merged and all three texts get the merged
object's hash; the rest is merged as text. So a pipeline that adds to a database (``persist: true``)
merges like a ``.dvc`` file, and parameters that differ stay a conflict for the user.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.common.streams import tell
from gitxexp.storage import paths
from gitxexp.storage.dvc import plain_yaml
from gitxexp.storage.dvc.pointer_file import Output, PointerParser
from gitxexp.tables import engine
from gitxexp.tables.plan import MergeOptions, MergeReport, OnConflict
from gitxexp.workflows.merge.driver import pointers
from gitxexp.workflows.merge.driver import reports as driver_reports
from gitxexp.workflows.merge.driver.objects import PlacedOutput, Prepare, Settled
from gitxexp.workflows.merge.driver.place import GitPlace
from gitxexp.workflows.merge.driver.result import account, conflict_line, write

#: Stage, ``outs`` or ``deps``, and the path as written.
Key = tuple[str, str, str]


class LockEntry(NamedTuple):
    """The position of an entry's hash and size in the text."""

    oid: str
    size: str
    spans: tuple[tuple[int, int], tuple[int, int]]


class MergedLock(NamedTuple):
    """``texts``: with a single hash where rows were merged; ``reports``: each merged output's."""

    texts: pointers.Texts
    reports: tuple[tuple[Output, MergeReport], ...]

    @property
    def refused(self) -> list[tuple[Output, MergeReport]]:
        """The outputs whose rows are in conflict."""
        return [(out, report) for out, report in self.reports if not report.written]


def merge_lock(place: GitPlace, folder: Path, sides: Sequence[Path], marker: int, name: str) -> int:
    """Merge for git; return the exit code. Conflicts get markers, as git leaves them in text."""
    base, ours, theirs = (side.read_bytes() for side in sides)
    try:
        merged = merged_lock(place, folder, (base, ours, theirs), name)
    except XexpError:
        write(sides[1], three_locks(folder, (base, ours, theirs), marker)[1])
        raise
    code, text = three_locks(folder, merged.texts, marker)
    write(sides[1], text)
    if code:
        _tell_rest(merged)
        found = [conflict for _, report in merged.refused for conflict in report.conflicts]
        why = "" if found else "its rows were merged, its other lines differ"
        driver_reports.save(place, name, found, why)
        return 1
    driver_reports.forget(place, name)
    for out, report in merged.reports:
        sure = not pointers.may_be_refused(place)
        now = current(place, name, text, out)
        pointers.give_account(
            out.path, report, pointers.bring(place, now) if sure else PlacedOutput.LATER
        )
    return 0


def _tell_rest(merged: MergedLock) -> None:
    for out, report in merged.reports:
        if report.written:
            then = f"once dvc.lock is settled: dvc checkout {out.path}"
            tell(f"{out.path}: {account(report)}; {then}")
        else:
            tell(conflict_line(out.path, report))


def three_locks(
    folder: Path, texts: pointers.Texts, marker: int, side: OnConflict = OnConflict.FAIL
) -> tuple[int, bytes]:
    """:func:`pointers.three_texts` of three locks. A stage on one side only does not conflict with
    another added in the same place: DVC appends new stages."""
    split = [_split(text) for text in texts]
    names = [set(stages) for _, stages, _ in split]
    new = (names[1] ^ names[2]) - names[0]
    if not new or not all(stages for _, stages, _ in split[1:]):
        return pointers.three_texts(folder, texts, marker, side)
    left = [
        head + b"".join(block for name, block in stages.items() if name not in new) + tail
        for head, stages, tail in split
    ]
    code, text = pointers.three_texts(folder, (left[0], left[1], left[2]), marker, side)
    head, stages, tail = _split(text)
    added = [block for _, blocks, _ in split[1:] for name, block in blocks.items() if name in new]
    return code, head + b"".join((*stages.values(), *added)) + tail


def _split(text: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """The text up to ``stages:``, the lines of each stage, and what follows them."""
    lines = text.splitlines(keepends=True)
    at = next((n for n, line in enumerate(lines) if line.rstrip() == b"stages:"), None)
    if at is None:
        return text, {}, b""
    stages: dict[bytes, bytes] = {}
    name = b""
    end = at + 1
    for line in lines[at + 1 :]:
        if line[:1] not in (b" ", b"<", b"=", b">", b"|") or (line[:1] != b" " and not name):
            break
        if re.match(rb"  [^\s-].*:\s*$", line):
            name = line.strip()
            stages[name] = b""
        stages[name] = stages.get(name, b"") + line
        end += 1
    return b"".join(lines[: at + 1]), stages, b"".join(lines[end:])


def merged_lock(
    place: GitPlace,
    folder: Path,
    texts: pointers.Texts,
    name: str,
    options: MergeOptions | None = None,
    settled: Mapping[str, Settled] | None = None,
    prepare: Prepare | None = None,
) -> MergedLock:
    """Return the three texts with the merged objects, which are then in the cache.

    ``settled`` are single conflicts by the output's path, and ``prepare`` as for a pointer. Raises
    XexpError if a text is not a ``dvc.lock``, or an object is nowhere.
    """
    locks = [_Lock(place, name, text) for text in texts]
    reports = []
    folder.mkdir(exist_ok=True)
    for number, key in enumerate(sorted(locks[1].outputs.keys() & locks[2].outputs.keys())):
        ours, theirs = locks[1].outputs[key], locks[2].outputs[key]
        sides = (locks[0].outputs.get(key), ours, theirs)
        if not _by_rows(sides):
            continue
        own = folder / f"output-{number}"
        own.mkdir()
        chosen = (settled or {}).get(ours.path, ())
        mine = replace(options or MergeOptions(), settled=tuple(chosen))
        report, data = pointers.merged_output(place, own, sides, mine, prepare)
        if report is not None:
            reports.append((ours, report))
        if data is not None:
            _agree(locks, key, data.oid, data.size)
    base, ours_text, theirs_text = (lock.changed() for lock in locks)
    return MergedLock((base, ours_text, theirs_text), tuple(reports))


def _by_rows(sides: Sequence[Output | None]) -> bool:
    """Whether an output is a file to which its stage appends rows.

    Without ``persist`` a stage recreates it: then the combined rows of two runs are not a result of
    the pipeline, and the user must choose a side.
    """
    return all(
        out is None
        or (
            out.persist and out.cached and out.oid and not out.is_dir and engine.mergeable(out.path)
        )
        for out in sides
    )


def _agree(locks: Sequence[_Lock], key: Key, oid: str, size: int) -> None:
    """Set this output on all sides; stages that read it keep our dependency hash, so DVC sees that
    they are out of date."""
    for lock in locks:
        lock.put(key, oid, str(size))
    ours = locks[1]
    for dep in [k for k in ours.entries if k[1:] == ("deps", key[2])]:
        for lock in locks:
            lock.put(dep, ours.entries[dep].oid, ours.entries[dep].size)


def current(place: GitPlace, name: str, text: bytes, out: Output) -> Output:
    """``out`` as the merged text has it."""
    found = _Lock(place, name, text).outputs.values()
    return next(each for each in found if (each.stage, each.path) == (out.stage, out.path))


class _Lock:
    """A text, its entries, and the outputs among them."""

    def __init__(self, place: GitPlace, name: str, text: bytes) -> None:
        self.text = text.decode("utf-8", "surrogateescape")
        self.entries = dict(_entries(name, self.text)) if text else {}
        self.outputs = dict(_outputs(place, name, text)) if text else {}
        self._edits: dict[tuple[int, int], str] = {}

    def put(self, key: Key, oid: str, size: str) -> None:
        """Set the hash and size of an entry, if it exists."""
        if key in self.entries:
            self._edits |= dict(zip(self.entries[key].spans, (oid, size), strict=True))

    def changed(self) -> bytes:
        """The text with the new values."""
        text = self.text
        for (start, end), value in sorted(self._edits.items(), reverse=True):
            text = text[:start] + value + text[end:]
        return text.encode("utf-8", "surrogateescape")


def _entries(name: str, text: str) -> Iterator[tuple[Key, LockEntry]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    plain_yaml.check(text, name)
    try:
        root = _fields(YAML().compose(text))
    except YAMLError as error:
        raise XexpError(f"{name} is not valid YAML", "merge it by hand") from error
    stages = _fields(root["stages"]) if "schema" in root and "stages" in root else {}
    for stage, body in stages.items():
        for kind, items in _fields(body).items():
            for item in items.value if kind in ("outs", "deps") else ():
                fields = _fields(item)
                if {"path", "md5", "size"} <= fields.keys():
                    md5, size = fields["md5"], fields["size"]
                    spans = (_span(md5), _span(size))
                    yield (
                        (stage, kind, fields["path"].value),
                        LockEntry(md5.value, size.value, spans),
                    )


def _fields(node: Any) -> dict[str, Any]:
    """The children of a mapping by key; none for anything else."""
    pairs = node.value if getattr(node, "id", "") == "mapping" else ()
    return {key.value: value for key, value in pairs}


def _span(node: Any) -> tuple[int, int]:
    return node.start_mark.index, node.end_mark.index


def _outputs(place: GitPlace, name: str, text: bytes) -> Iterator[tuple[Key, Output]]:
    def read(names: Iterable[str]) -> dict[str, bytes]:
        found = {}
        for each in names:
            with suppress(FileNotFoundError, IsADirectoryError):
                found[each] = paths.read(place.top, each)
        return found

    pipeline = posixpath.join(posixpath.dirname(name), "dvc.yaml")
    root = pointers.root_of(place, name)
    parser = PointerParser(read, lambda folder: root, strict=True)
    for out in parser.lock(name, text, read([pipeline])):
        yield (out.stage or "", "outs", posixpath.relpath(out.path, out.wdir or ".")), out
