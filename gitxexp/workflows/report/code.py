"""The code of many commits, encoded so that differing lines between any two can be counted.

Each line of a file becomes a number, the same for the same line, so that a page can compare any two
versions without holding the code itself. Each version stores only its difference from the previous
one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

from gitxexp.common.dataclass import dataclass
from gitxexp.repository.repository import Project
from gitxexp.storage.git import decode, encode
from gitxexp.workflows.experiments import code_hash

#: Bytes of a file, and of all files together, whose lines are counted; larger ones are only
#: reported as different.
_LARGEST = 500_000
_ALTOGETHER = 40_000_000
#: Bytes in which git looks for a NUL, which makes a file binary (xdiff-interface.c).
_HEAD = 8000
_TREE, _SUBMODULE = b"40000", b"160000"


@dataclass(frozen=True)
class CodeFile:
    """A file that differs between commits.

    ``versions`` are its contents as ``[first, last, *lines]``: the counts of leading and trailing
    lines shared with the previous version, and the lines between; None if lines are not counted (a
    binary or very large file). ``at`` is the version number in each commit, -1 if the file is
    absent.
    """

    path: str
    versions: Sequence[Sequence[int] | None]
    at: Sequence[int]


def code_of(project: Project, commits: Sequence[str]) -> list[CodeFile]:
    """The code files that differ between any of ``commits``, sorted by path; a missing commit has none."""
    trees = _Trees(project)
    files = trees.files(commits)
    order = sorted({path for each in files for path in each})
    varying = {
        path: oids for path in order
        if len(set(oids := [each.get(path, "") for each in files])) > 1
    }  # fmt: skip
    contents = _contents(project, dict.fromkeys(oid for oids in varying.values() for oid in oids))
    return [_file(path, oids, contents) for path, oids in varying.items()]


class _Trees:
    """The trees of commits, each read once."""

    def __init__(self, project: Project) -> None:
        self.git = project.git
        self.config = project.config
        self._entries: dict[str, list[tuple[bytes, str, str]]] = {}
        self._files: dict[tuple[str, str], dict[str, str]] = {}

    def files(self, commits: Sequence[str]) -> list[dict[str, str]]:
        """Path → blob of the code files of each commit."""
        roots = []
        for found in self.git.cat(f"{commit}^{{tree}}" for commit in commits):
            roots.append(found[0] if found else "")
            if found:
                self._take(found[0], found[2])
        self._read([oid for oid in roots if oid])
        return [self._below(oid, "") if oid else {} for oid in roots]

    def _take(self, oid: str, data: bytes) -> None:
        if oid not in self._entries:
            self._entries[oid] = list(_entries(data, len(oid) // 2))

    def _read(self, oids: Iterable[str]) -> None:
        """Read what is below, a level at a time."""
        level = list(oids)
        while level:
            below = {o for oid in level for mode, _, o in self._entries[oid] if mode == _TREE}
            level = []
            for found in self.git.cat(sorted(below - self._entries.keys())):
                if found and found[1] == "tree":
                    self._take(found[0], found[2])
                    level.append(found[0])

    def _below(self, oid: str, folder: str) -> dict[str, str]:
        if (folder, oid) not in self._files:
            found: dict[str, str] = {}
            for mode, name, other in self._entries.get(oid, ()):
                path = f"{folder}{name}"
                if mode == _TREE:
                    found |= self._below(other, f"{path}/")
                elif self._is_code(path):
                    found[path] = f"={other}" if mode == _SUBMODULE else other
            self._files[folder, oid] = found
        return self._files[folder, oid]

    @cache  # noqa: B019 - it goes with the report
    def _is_code(self, path: str) -> bool:
        return code_hash.is_code(path, self.config)


def _entries(data: bytes, size: int) -> Iterator[tuple[bytes, str, str]]:
    """Mode, name and object of each entry of a tree (gitformat-pack(5): mode SP name NUL object)."""
    at = 0
    while at < len(data):
        end = data.index(b"\0", at)
        mode, _, name = data[at:end].partition(b" ")
        yield mode, decode(name), data[end + 1 : end + 1 + size].hex()
        at = end + 1 + size


def _contents(project: Project, oids: Iterable[str]) -> Mapping[str, list[bytes]]:
    """Return the lines of each text blob that is not too large; a submodule's commit is one line."""
    blobs = [oid for oid in oids if oid]
    found = {oid: [encode(oid)] for oid in blobs if oid.startswith("=")}
    left = _ALTOGETHER
    wanted = []
    asked = [oid for oid in blobs if oid not in found]
    for oid, line in zip(asked, _headers(project, asked), strict=True):
        size = line.rpartition(" ")[2]
        if size.isdigit() and int(size) <= min(_LARGEST, left):
            left -= int(size)
            wanted.append(oid)
    for blob in project.git.cat(wanted):
        if blob and b"\0" not in blob[2][:_HEAD]:
            found[blob[0]] = _lines(blob[2])
    return found


def _headers(project: Project, oids: Sequence[str]) -> list[str]:
    """``OID KIND SIZE`` of each object."""
    names = encode("".join(f"{oid}\n" for oid in oids))
    return project.git.text("cat-file", "--batch-check", stdin=names).split("\n") if oids else []


def _lines(data: bytes) -> list[bytes]:
    """The lines with their ends, as git counts them: a last line without an end differs from one
    with it."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _file(path: str, oids: Sequence[str], contents: Mapping[str, list[bytes]]) -> CodeFile:
    numbers: dict[bytes, int] = {}
    known: dict[str, int] = {"": -1}
    versions: list[Sequence[int] | None] = []
    before: list[int] = []
    for oid in oids:
        if oid in known:
            continue
        known[oid] = len(versions)
        lines = contents.get(oid)
        if lines is None:
            versions.append(None)
            continue
        now = [numbers.setdefault(line, len(numbers)) for line in lines]
        versions.append(_changed(before, now))
        before = now
    return CodeFile(path, versions, [known[oid] for oid in oids])


def _changed(before: Sequence[int], now: Sequence[int]) -> list[int]:
    most = min(len(before), len(now))
    first = next((n for n in range(most) if before[n] != now[n]), most)
    last = next((n for n in range(most - first) if before[-1 - n] != now[-1 - n]), most - first)
    return [first, last, *now[first : len(now) - last]]
