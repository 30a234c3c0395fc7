"""The b-trees of a database file, read without SQLite.

Format: sqlite.org/fileformat2.html sections 1.3, 1.5 and 1.6.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from collections.abc import Iterable
from pathlib import Path

INTERIOR = (2, 5)  #: kinds of b-tree page: of an index, of a table
LEAF_TABLE = 13
INDEX = (2, 10)
LOCKS = 1 << 30  #: the page that contains this byte is never used


class Pages:
    """One database file, mapped; walks a b-tree down to its leaves."""

    def __init__(self, path: str) -> None:
        with Path(path).open("rb") as file:
            self.raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        size = struct.unpack(">H", self.raw[16:18])[0]
        self.size = 65536 if size == 1 else size
        self.usable = self.size - self.raw[20]
        self.count = len(self.raw) // self.size
        self._below: dict[int, array[int]] = {}

    def header(self, page: int) -> tuple[int, int, int]:
        """Where the page's b-tree header starts, its kind, and its number of cells."""
        at = (page - 1) * self.size + (100 if page == 1 else 0)
        return at, self.raw[at], struct.unpack_from(">H", self.raw, at + 3)[0]

    def children(self, page: int) -> array[int]:
        """The page numbers below an interior page."""
        if page not in self._below:
            at, _, cells = self.header(page)
            start = (page - 1) * self.size
            raw = self.raw[start : start + self.size]
            offsets = struct.unpack_from(f">{cells}H", raw, at - start + 12)
            number = struct.Struct(">I").unpack_from
            found = array("I", [number(raw, o)[0] for o in offsets])
            found.append(number(raw, at - start + 8)[0])
            self._below[page] = found
        return self._below[page]

    def of_indices(self, pages: Iterable[int]) -> set[int]:
        """Those of the pages that surely belong to an index or a table WITHOUT ROWID, or are free.

        All but b-tree pages begin with the upper byte of a page number.
        """
        if self.count >= min(INDEX) << 24:
            return set()
        return {page for page in pages if self.header(page)[1] in INDEX}

    def interior(self, root: int) -> tuple[set[int], list[int]]:
        """All interior pages of one b-tree, and those just above its leaves in key order."""
        above: set[int] = set()
        level = [root]
        if self.header(root)[1] not in INTERIOR:
            return above, []
        while True:
            if not above.isdisjoint(level):
                raise ValueError("a loop in the tree")
            above.update(level)
            if self.header(self.children(level[0])[0])[1] not in INTERIOR:
                return above, level
            level = [child for page in level for child in self.children(page)]
            if len(level) > self.count:
                raise ValueError("more pages than there are")

    def free(self) -> set[int]:
        """Return pages without content: the free list (section 1.5) and the page reserved for locks."""
        found = {LOCKS // self.size + 1}
        trunk = struct.unpack_from(">I", self.raw, 32)[0]
        while trunk and trunk not in found:
            at = (trunk - 1) * self.size
            above, count = struct.unpack_from(">II", self.raw, at)
            found.add(trunk)
            found.update(
                struct.unpack_from(f">{min(count, self.size // 4 - 2)}I", self.raw, at + 8)
            )
            trunk = above
        return found

    def rowids(self, leaf: int) -> tuple[int, int] | None:
        """The first and last rowid on a table leaf; None if it has no rows."""
        at, kind, cells = self.header(leaf)
        if kind != LEAF_TABLE:
            raise ValueError("not a leaf of a table")
        if not cells:
            return None
        start = (leaf - 1) * self.size
        first, last = (
            struct.unpack_from(">H", self.raw, at + 8 + 2 * i)[0] for i in (0, cells - 1)
        )
        return self.rowid(start + first), self.rowid(start + last)

    def rowid(self, at: int) -> int:
        """The rowid of the cell of a table's leaf that begins at a byte of the file."""
        _, at = varint(self.raw, at)
        value, _ = varint(self.raw, at)
        return value - (1 << 64) if value >= 1 << 63 else value


def varint(raw: mmap.mmap | bytes, at: int) -> tuple[int, int]:
    """Decode a big-endian 7-bit integer of at most nine bytes; return it and where it ends."""
    value = 0
    for i in range(8):
        byte = raw[at + i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + i + 1
    return value << 8 | raw[at + 8], at + 9
