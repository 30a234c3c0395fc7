"""Raw database pages, read in a process of their own: ``python pages.py headers``,
``copy A B``, ``sync A``, ``compare A B``.

Closing any descriptor of a database drops the POSIX locks that the whole process holds on it
(sqlite.org/howtocorrupt.html section 2.2), so no raw byte is read where SQLite has the file open.
This file is run as a script: it imports only the standard library.

``compare`` prints one JSON object: for every rowid table, the rowid ranges of the leaf pages that
are not the same in both files; or ``null`` where that cannot be told from the pages alone.
Format: sqlite.org/fileformat2.html sections 1.3 and 1.6.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import struct
import sys
from pathlib import Path

CHUNK = 1 << 20
EARLY = 256  #: differing pages after which two files are given up if they are most of the pages
INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE = 2, 5, 10, 13
FICLONE = 0x40049409

Ranges = list[tuple[int, int]]


def copy(source: str, target: str) -> None:
    """Copy the bytes: shared blocks where the file system can, in the kernel where it can."""
    with Path(source).open("rb") as src, Path(target).open("r+b") as dst:
        if _clone(src.fileno(), dst.fileno()):
            return
        left = os.fstat(src.fileno()).st_size
        try:
            while left > 0:
                done = os.copy_file_range(src.fileno(), dst.fileno(), min(left, 1 << 28))
                if done == 0:
                    return
                left -= done
        except (AttributeError, OSError):
            src.seek(0)
            dst.seek(0)
            shutil.copyfileobj(src, dst, CHUNK)


def _clone(src: int, dst: int) -> bool:
    try:
        import fcntl

        fcntl.ioctl(dst, FICLONE, src)
    except (ImportError, OSError):
        return False
    return True


class Pages:
    """One database file, mapped; ``tree`` walks a b-tree down to its leaves."""

    def __init__(self, path: str) -> None:
        with Path(path).open("rb") as file:
            self.raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        size = struct.unpack(">H", self.raw[16:18])[0]
        self.size = 65536 if size == 1 else size
        self.count = len(self.raw) // self.size

    def header(self, page: int) -> tuple[int, int, int]:
        """Where the page's b-tree header starts, its kind, and its number of cells."""
        at = (page - 1) * self.size + (100 if page == 1 else 0)
        return at, self.raw[at], struct.unpack_from(">H", self.raw, at + 3)[0]

    def children(self, page: int) -> list[int]:
        """The page numbers below an interior page."""
        at, _, cells = self.header(page)
        start = (page - 1) * self.size
        offsets = struct.unpack_from(f">{cells}H", self.raw, at + 12)
        get = struct.Struct(">I").unpack_from
        raw = self.raw
        found = [get(raw, start + o)[0] for o in offsets]
        found.append(get(raw, at + 8)[0])
        return found

    def tree(self, root: int) -> tuple[set[int], list[int]]:
        """Interior pages and leaf pages (in key order) of one b-tree."""
        interior: set[int] = set()
        level = [root]
        while level and self.header(level[0])[1] in (INTERIOR_INDEX, INTERIOR_TABLE):
            interior.update(level)
            level = [child for page in level for child in self.children(page)]
            if len(level) > self.count:
                raise ValueError("a loop in the tree")
        return interior, level

    def rowids(self, leaf: int) -> tuple[int, int] | None:
        """The first and last rowid on a table leaf; None when it has no rows."""
        at, kind, cells = self.header(leaf)
        if kind != LEAF_TABLE:
            raise ValueError("not a leaf of a table")
        if not cells:
            return None
        start = (leaf - 1) * self.size
        first, last = (
            struct.unpack_from(">H", self.raw, at + 8 + 2 * i)[0] for i in (0, cells - 1)
        )
        return self._rowid(start + first), self._rowid(start + last)

    def _rowid(self, at: int) -> int:
        _, at = varint(self.raw, at)
        value, _ = varint(self.raw, at)
        return value - (1 << 64) if value >= 1 << 63 else value


def varint(raw: mmap.mmap, at: int) -> tuple[int, int]:
    """A big-endian 7-bit integer of at most nine bytes, and where it ends."""
    value = 0
    for i in range(8):
        byte = raw[at + i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + i + 1
    return value << 8 | raw[at + 8], at + 9


def different(a: str, b: str, size: int) -> set[int]:
    """The numbers of the pages, common to both files, whose bytes differ."""
    found: set[int] = set()
    one, two = bytearray(CHUNK), bytearray(CHUNK)
    with Path(a).open("rb", buffering=0) as x, Path(b).open("rb", buffering=0) as y:
        page = 1
        while True:
            n = min(x.readinto(one) or 0, y.readinto(two) or 0)
            if not n:
                return found
            if n < CHUNK or one != two:
                for i in range(0, n, size):
                    if one[i : i + size] != two[i : i + size]:
                        found.add(page + i // size)
            page += n // size
            if len(found) > EARLY and len(found) > page // 2:
                raise ValueError("no copy")
            if n < CHUNK:
                return found


def compare(a: str, b: str, roots: dict[str, list[int]], others: list[list[int]]) -> object:
    """Rowid ranges to look at, per table: ``{name: [in A, in B, numbers of rows there]}``.

    ``roots`` gives the root page of each table in A and B; ``others`` the roots of all other
    b-trees of A and of B. None when a page that is no b-tree page differs (an overflow page, say),
    or when the files have little in common.
    """
    left, right = Pages(a), Pages(b)
    if left.size != right.size:
        return None
    changed = different(a, b, left.size)
    if len(changed) > min(left.count, right.count) // 2:
        return None
    known: set[int] = {1}
    result: dict[str, list[object]] = {}
    for name, (root_a, root_b) in roots.items():
        (inner_a, leaves_a), (inner_b, leaves_b) = left.tree(root_a), right.tree(root_b)
        same = (set(leaves_a) & set(leaves_b)) - changed
        known |= inner_a | inner_b | set(leaves_a) | set(leaves_b)
        cells = [
            sum(file.header(leaf)[2] for leaf in leaves if leaf not in same)
            for file, leaves in ((left, leaves_a), (right, leaves_b))
        ]
        result[name] = [_ranges(left, leaves_a, same), _ranges(right, leaves_b, same), cells]
    for file, trees in zip((left, right), others, strict=True):
        for root in trees:
            inner, leaves = file.tree(root)
            known |= inner | set(leaves)
    return None if changed - known else result


def _ranges(file: Pages, leaves: list[int], same: set[int]) -> Ranges:
    found: Ranges = []
    last = -2
    for position, leaf in enumerate(leaves):
        if leaf in same:
            continue
        span = file.rowids(leaf)
        if span is None:
            continue
        if found and last == position - 1:
            found[-1] = (found[-1][0], span[1])
        else:
            found.append(span)
        last = position
    return found


def header(path: str) -> tuple[str, int]:
    """The first 100 bytes in hexadecimal, and the size of the file."""
    with Path(path).open("rb") as file:
        return file.read(100).hex(), os.fstat(file.fileno()).st_size


def main(arguments: list[str]) -> int:
    """Run one of the four; exit 0, or 3 with the system's error number and file on stderr."""
    try:
        if arguments[0] == "copy":
            copy(arguments[1], arguments[2])
        elif arguments[0] == "sync":
            with Path(arguments[1]).open("rb") as file:
                os.fsync(file.fileno())
        elif arguments[0] == "headers":
            json.dump([header(path) for path in json.loads(sys.stdin.read())], sys.stdout)
        else:
            task = json.loads(sys.stdin.read())
            try:
                found = compare(arguments[1], arguments[2], task["roots"], task["others"])
            except (ValueError, IndexError, struct.error):
                found = None
            json.dump(found, sys.stdout)
    except OSError as error:
        print(error.errno or 5, error.filename or "", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
