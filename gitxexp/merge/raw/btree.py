"""The b-trees of a database file, read without SQLite: which rows stand on pages that differ.

Format: sqlite.org/fileformat2.html sections 1.3, 1.5 and 1.6.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from pathlib import Path

INTERIOR = (2, 5)  #: kinds of b-tree page: of an index, of a table
LEAF_TABLE = 13
LOCKS = 1 << 30  #: the page with this byte is never used

Ranges = list[tuple[int, int]]
Leaves = list[tuple[int, int]]  #: (place in key order, page)
Roots = dict[str, list[int]]


class Pages:
    """One database file, mapped; walks a b-tree down to its leaves."""

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
        """Pages without meaning: the free list (section 1.5), and the one of the file's locks."""
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


Files = tuple[Pages, Pages]


def varint(raw: mmap.mmap, at: int) -> tuple[int, int]:
    """A big-endian 7-bit integer of at most nine bytes, and where it ends."""
    value = 0
    for i in range(8):
        byte = raw[at + i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + i + 1
    return value << 8 | raw[at + 8], at + 9


def known(file: Pages, root: int, changed: set[int]) -> set[int]:
    """Those of the changed pages that belong to one b-tree."""
    above, low = file.interior(root)
    found = changed & (above or {root})
    for page in low:
        found |= changed.intersection(file.children(page))
    return found


def apart(files: Files, roots: Sequence[int], changed: set[int]) -> tuple[list[Leaves], set[int]]:
    """The leaves of one table, in each file, that are not the same in the other; what is known.

    An unchanged page above the leaves has the same leaves in both files, so that only changed ones
    among them need a look.
    """
    (above, low), (over, deep) = (f.interior(r) for f, r in zip(files, roots, strict=True))
    common = (set(low) & set(deep)) - changed
    seen = changed & (above | over)
    own = [
        {leaf for page in pages if page not in common for leaf in file.children(page)} or {root}
        for file, root, pages in zip(files, roots, (low, deep), strict=True)
    ]
    found: list[Leaves] = []
    for file, root, pages, theirs in zip(files, roots, (low, deep), own[::-1], strict=True):
        leaves: Leaves = []
        place = 0
        for page in pages or [0]:
            group = file.children(page) if page else [root]
            hits = changed.intersection(group)
            seen |= hits
            if page not in common:
                hits.update(leaf for leaf in group if leaf not in theirs)
            if hits:
                leaves += [(place + i, leaf) for i, leaf in enumerate(group) if leaf in hits]
            place += len(group)
        found.append(leaves)
    return found, seen


def explain(files: Files, changed: set[int], roots: Roots, others: list[list[int]]) -> object:
    """Rowid ranges to look at, per table: ``{name: [in A, in B, numbers of rows there]}``.

    ``roots`` gives the root page of each table in A and B; ``others`` the roots of all other
    b-trees of A and of B. None when a page that is no b-tree page differs (an overflow page, say),
    or when the files have little in common.
    """
    if files[0].size != files[1].size or len(changed) > min(f.count for f in files) // 2:
        return None
    unknown = changed - {1}
    result: dict[str, object] = {}
    for name, pair in roots.items():
        leaves, seen = apart(files, pair, changed)
        unknown -= seen
        sides = list(zip(files, leaves, strict=True))
        cells = [sum(file.header(leaf)[2] for _, leaf in part) for file, part in sides]
        result[name] = [*(ranges(file, part) for file, part in sides), cells]
    for file, trees in zip(files, others, strict=True):
        for root in trees:
            if unknown:
                unknown -= known(file, root, changed)
        if unknown:
            unknown -= file.free()
    return None if unknown else result


def ranges(file: Pages, leaves: Leaves) -> Ranges:
    """Rowids from the first to the last of each row of neighbours."""
    found: Ranges = []
    last = -2
    for place, leaf in leaves:
        span = file.rowids(leaf)
        if span is None:
            continue
        if found and last == place - 1:
            found[-1] = (found[-1][0], span[1])
        else:
            found.append(span)
        last = place
    return found
