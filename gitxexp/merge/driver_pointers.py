"""Three versions of a ``.dvc`` file merged through the data they point to.

The objects come from the caches of this repository's work trees, else from the remote. The merged
one goes into the cache and its hash into the pointer. What cannot be merged leaves conflict markers,
never a silently kept "ours".
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from gitxexp.errors import XexpError
from gitxexp.merge import conflicts, driver, engine
from gitxexp.merge.gitplace import GitPlace
from gitxexp.merge.plan import MergeOptions, MergeReport
from gitxexp.pointerfile import Output, Parser

#: The pointer's text on each side: ancestor, ours, theirs.
Texts = tuple[bytes, bytes, bytes]


def merge_pointer(
    place: GitPlace, folder: Path, sides: Sequence[Path], marker: int, name: str
) -> int:
    """Merge for git; the exit code."""
    base, ours, theirs = (side.read_bytes() for side in sides)
    texts = (base, ours, theirs)
    try:
        merged, report, oid = merged_pointer(place, folder, texts, name)
    except XexpError:
        _leave_markers(sides, marker)
        raise
    if report is not None and not report.written:
        _leave_markers(sides, marker)
        conflicts.save(place, name, report.conflicts)
        driver.say(driver.conflict_line(name.removesuffix(".dvc"), report))
        return 1
    code, text = three_texts(folder, merged, marker)
    target = folder / "pointer"
    target.write_bytes(text)
    driver.replace(target, sides[1])
    if code:
        conflicts.save(place, name, (), "its rows were merged, its other fields differ")
        return 1
    conflicts.forget(place, name)
    if report is not None and oid is not None:
        _tell(name, report, materialise(place, name, text))
    return 0


def merged_pointer(
    place: GitPlace,
    folder: Path,
    texts: Texts,
    name: str,
    options: MergeOptions | None = None,
    prepare: Callable[[Path, Path], tuple[Path, Path]] | None = None,
) -> tuple[Texts, MergeReport | None, str | None]:
    """The three texts with one hash and size, that of the merged object, which the cache then has.

    ``prepare`` may replace the two objects before they are merged. The report is None where no
    rows had to be merged. Raises XexpError for what is no single mergeable file, or when an object
    is nowhere to be had.
    """
    base, ours, theirs = (_output(place, name, text) if text else None for text in texts)
    if ours is None or theirs is None:
        raise XexpError(f"{name} is not a pointer to one file", "merge it by hand")
    if ours.oid == theirs.oid:
        return texts, None, None
    for one, other in ((ours, theirs), (theirs, ours)):
        if base is not None and base.oid == one.oid:
            return _with(texts, other.oid or "", other.size or 0), None, other.oid
    files = [fetched(place, out) if out else None for out in (base, ours, theirs)]
    out = driver.place_for(folder, ours.path)
    assert files[1] is not None and files[2] is not None
    two = prepare(files[1], files[2]) if prepare else (files[1], files[2])
    report = engine.merge3(files[0], *two, out, options)
    if not report.written:
        return texts, report, None
    oid, size = store(place, ours, out)
    return _with(texts, oid, size), report, oid


def _output(place: GitPlace, name: str, text: bytes) -> Output:
    """The one mergeable file that a pointer describes."""
    root = _root(place, name)
    parser = Parser(lambda paths: {}, lambda folder: root, strict=True)
    found = list(parser.single(name, text))
    if len(found) != 1 or not found[0].oid or found[0].is_dir or not found[0].cached:
        raise XexpError(f"{name} does not point to one file", "merge it by hand")
    if not engine.mergeable(found[0].path):
        raise XexpError(f"{found[0].path} has no rows that could be merged", "choose one side")
    return found[0]


def _root(place: GitPlace, name: str) -> str:
    """The DVC project that the pointer belongs to, from the top."""
    folder = Path(name).parent
    while str(folder) != "." and not (place.top / folder / ".dvc").is_dir():
        folder = folder.parent
    return "" if str(folder) == "." else folder.as_posix()


def fetched(place: GitPlace, out: Output) -> Path:
    """The object of an output, sound, from a cache or the remote; XexpError if none has it."""
    from gitxexp import dvcio

    assert out.oid is not None
    found = cached(place, out)
    if found is not None:
        return found
    with suppress(XexpError):
        dvcio.fetch_objects(place.top, out, [out.oid])
        found = cached(place, out)
    if found is None:
        raise XexpError(
            f"no cache and no remote has {out.path} ({out.hash})",
            "get it (dvc fetch), then: git xexp conflicts resolve",
        )
    return found


def cached(place: GitPlace, out: Output) -> Path | None:
    """The object of an output in the nearest cache that has a sound copy."""
    from gitxexp.dvcio.objects import matches, object_path
    from gitxexp.dvcio.places import cache_dirs

    assert out.oid is not None
    roots = [place.top / out.root, *(other / out.root for other in place.siblings())]
    for cache in cache_dirs(roots[0], roots[1:]):
        file = object_path(cache, out.oid, out.legacy)
        if file.is_file() and matches(file, out.oid, out.legacy):
            return file
    return None


def store(place: GitPlace, out: Output, file: Path) -> tuple[str, int]:
    """Move a file into this work tree's cache, read-only as DVC has it; its md5 and size."""
    from gitxexp.dvcio.objects import hash_file, object_path
    from gitxexp.dvcio.places import cache_dir

    oid, size = hash_file(file), file.stat().st_size
    target = object_path(cache_dir(place.top / out.root), oid, out.legacy)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        file.chmod(0o444)
        driver.replace(file, target)
    return oid, size


def _with(texts: Texts, oid: str, size: int) -> Texts:
    """The pointer texts with this hash and size, so that only their other fields can differ."""

    def one(text: bytes) -> bytes:
        text = re.sub(rb"(?m)^([ -]*md5: *)\S+", rb"\g<1>" + oid.encode(), text)
        return re.sub(rb"(?m)^([ -]*size: *)\d+", rb"\g<1>" + str(size).encode(), text)

    base, ours, theirs = texts
    return one(base), one(ours), one(theirs)


def three_texts(folder: Path, texts: Texts, marker: int) -> tuple[int, bytes]:
    """``git merge-file`` on three texts: the number of conflicts and the result."""
    names = [folder / name for name in ("base", "ours", "theirs")]
    for path, text in zip(names, texts, strict=True):
        path.write_bytes(text)
    return _merge_file(names, marker)


def _merge_file(sides: Sequence[Path], marker: int) -> tuple[int, bytes]:
    base, ours, theirs = (str(side) for side in sides)
    labels = ("-L", "ours", "-L", "base", "-L", "theirs")
    command = ["git", "merge-file", "-p", f"--marker-size={marker}", *labels, ours, base, theirs]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode < 0 or done.returncode > 127:
        raise XexpError(f"git merge-file: {done.stderr.decode(errors='replace').strip()}")
    return done.returncode, done.stdout


def _leave_markers(sides: Sequence[Path], marker: int) -> None:
    """Ours with markers where theirs differs, as git does it for text."""
    _, text = _merge_file(sides, marker)
    beside = sides[1].with_name(f"{sides[1].name}.{os.getpid()}.tmp")
    beside.write_bytes(text)
    beside.replace(sides[1])


class Placed(StrEnum):
    """What became of the work tree's file after its pointer was merged."""

    DONE = "done"
    ABSENT = "absent"  #: it was not checked out before, and is not now
    KEPT = "kept"  #: it holds what is in no cache, so it was left alone


def materialise(place: GitPlace, name: str, text: bytes) -> Placed:
    """Bring the work tree's file to the pointer's object, where nothing can be lost by that."""
    from gitxexp.dvcio.objects import hash_file, object_path
    from gitxexp.dvcio.places import cache_dirs

    out = _output(place, name, text)
    target = place.top / out.path
    if not target.is_file():
        return Placed.ABSENT
    if _waits(target):
        return Placed.KEPT
    oid = hash_file(target)
    if oid == out.oid:
        return Placed.DONE
    merged = cached(place, out)
    roots = [place.top / out.root, *(other / out.root for other in place.siblings())]
    caches = cache_dirs(roots[0], roots[1:])
    if merged is None or not any(object_path(c, oid, out.legacy).is_file() for c in caches):
        return Placed.KEPT
    _copied(merged, target)
    return Placed.DONE


def _waits(target: Path) -> bool:
    """Whether rows wait in a log beside the database."""
    logs = (target.with_name(target.name + suffix) for suffix in ("-wal", ".wal", "-journal"))
    return any(log.exists() and log.stat().st_size for log in logs)


def _copied(source: Path, target: Path) -> None:
    """A copy of its own (a database is never a link into the cache), in one step."""
    import shutil

    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(source, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _tell(name: str, report: MergeReport, placed: Placed) -> None:
    driver.say(f"{name.removesuffix('.dvc')}: {driver.account(report)}")
    for line in after(name, placed):
        driver.say(line)


def after(name: str, placed: Placed) -> list[str]:
    """What is left for the user to do, in words."""
    data = name.removesuffix(".dvc")
    if placed is Placed.ABSENT:
        return [f"{data} is not in this work tree; to have it: dvc checkout {name}"]
    if placed is Placed.KEPT:
        then = "once the merge is committed: git xexp merge HEAD"
        return [f"{data} holds rows that are in no commit and was left as it is; {then}"]
    return []


def object_of(place: GitPlace, text: bytes) -> Path | None:
    """The object that a pointer's text names, if a cache has it."""
    with suppress(XexpError):
        return cached(place, _output(place, "pointer.dvc", text))
    return None
