"""The rows of one table in two files, compared as bytes; for files that share no pages.

``VACUUM``, another page size or rows inserted anew put every row on another page, but its cell (the
length of the record, the rowid, the record) is the same bytes there, unless part of it is on
overflow pages. SQLite fills a leaf from its end, so a leaf filled in key order holds its cells
without a gap, the last row first. Such leaves, the last leaf first, are one stream of cells, and
streams of two files are compared a leaf at a time. A cell begins with its length: where the streams
are the same bytes from the beginning of a cell on, they are the same rows.

Format: sqlite.org/fileformat2.html sections 1.6 and 2.1.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import sub

from gitxexp.tables.sqlite.btree import LEAF_TABLE, Pages, varint

FEW = 500  #: of the last leaves may all differ, as where a run was stamped, before the rest is given up
FIRST_ROWID = -1 << 63
_HEADER = struct.Struct(">BHHHB")  #: kind, first free block, cells, where they begin, free bytes

Ranges = list[tuple[int, int]]


class RawRows:
    """The rows of one table from the last to the first, a leaf at a time.

    ``cells`` are those of the leaf, the last row first, and compared up to ``at``; empty if the leaf
    cannot be compared. ``left`` is the number of rows still to be met on it as of the last difference;
    0 at the end of the table.
    """

    def __init__(self, file: Pages, root: int, thorough: bool) -> None:
        """``thorough``: look for rows with overflow pages on every leaf."""
        self.file, self.thorough = file, thorough
        self.usable = file.usable
        self.shortest = (file.usable - 12) * 32 // 255 - 23  #: what a leaf keeps of a long record
        above = file.interior(root)[1]
        self.leaves = [leaf for page in above for leaf in file.children(page)] or [root]
        self.take()

    def take(self) -> None:
        """Go to the next leaf that has rows."""
        raw, size = self.file.raw, self.file.size
        self.left = self.at = 0
        while self.leaves:
            leaf = self.leaves.pop()
            self.base = (leaf - 1) * size
            kind, free, self.left, _, holes = _HEADER.unpack_from(raw, self.base)
            if kind != LEAF_TABLE:
                raise ValueError("not a leaf of a table")
            if not self.left:
                continue
            self.places = struct.unpack_from(f">{self.left}H", raw, self.base + 8)
            self.sizes: list[int] = []
            dense = not free and not holes and [*self.places] == sorted(self.places, reverse=True)
            if dense and not (self.thorough and max(self._gaps()) > self.shortest):
                self.cells = raw[self.base + self.places[-1] : self.base + self.usable]
            else:
                self._gather()
            return

    def _gaps(self) -> Iterator[int]:
        return map(sub, (self.usable, *self.places), self.places)

    def _gather(self) -> None:
        """Put the cells of a leaf that has gaps or another order into key order."""
        page = self.file.raw[self.base : self.base + self.usable]
        parts = []
        self.cells = b""
        for place in self.places:
            length, at = page[place], place + 1
            if length > 127:
                length, at = varint(page, place)
            if length > self.usable - 35:
                return
            # The rowid ends as in varint, which is too slow for every row.
            last = at + 8
            while page[at] > 127 and at < last:
                at += 1
            end = at + 1 + length
            if end > self.usable:
                raise ValueError("a cell is longer than its page")
            parts.append(page[place:end])
        self.sizes = [*map(len, parts)]
        self.cells = b"".join(reversed(parts))

    def _sizes(self) -> list[int]:
        if not self.sizes:
            self.sizes = [*self._gaps()]
        return self.sizes

    def top(self) -> int:
        """The rowid of the next row, which there must be; sets ``left``."""
        if self.cells:
            sizes = self._sizes()
            self.left, passed = len(sizes), 0
            while passed < self.at:
                self.left -= 1
                passed += sizes[self.left]
            if passed != self.at:
                raise ValueError("no cell begins where the other file has one")
        return self.rowid(self.left - 1)

    def rowid(self, number: int) -> int:
        """The rowid of a cell of the leaf, counted in key order."""
        return self.file.rowid(self.base + self.places[number])

    def skip(self, low: int) -> int:
        """Pass the rows from ``top`` (it was called) down to ``low``; how many they are."""
        passed = 0
        if self.rowid(0) >= low:
            passed = self.left
            if self.leaves and self._first(self.leaves[-1]) >= low:
                keep = bisect_left(self.leaves, low, key=self._first)
                passed += sum(self.file.header(leaf)[2] for leaf in self.leaves[keep:])
                del self.leaves[keep:]
            self.take()
        if self.left:
            keep = bisect_left(range(self.left), low, key=self.rowid)
            passed += self.left - keep
            self.left = keep
            self.at = sum(self._sizes()[keep:]) if self.cells else 0
        return passed

    def _first(self, leaf: int) -> int:
        span = self.file.rowids(leaf)
        if span is None:
            raise ValueError("an empty leaf")
        return span[0]


def rows_apart(
    files: tuple[Pages, Pages], roots: Sequence[int]
) -> tuple[Ranges, Ranges, list[int]] | None:
    """Return rowid ranges of both files and how many rows are there; all other rows are the same.

    None if most leaves differ, counted from the last. Raises ValueError, IndexError or struct.error
    if a page is not what it should be.
    """
    # A row without overflow pages has none on larger pages either.
    least = min(file.usable for file in files)
    one, two = sides = [
        RawRows(file, root, file.usable == least) for file, root in zip(files, roots, strict=True)
    ]
    found: tuple[Ranges, Ranges] = [], []
    rows, met, missed = [0, 0], 0, 0

    def differ(low: int, tops: Sequence[int]) -> None:
        for i, (side, top) in enumerate(zip(sides, tops, strict=True)):
            if top >= low and side.left:
                found[i].append((low, top))
                rows[i] += side.skip(low)

    while one.left and two.left:
        met += 1
        mine, theirs = len(one.cells) - one.at, len(two.cells) - two.at
        short, long = (one, two) if mine <= theirs else (two, one)
        cells = short.cells[short.at :]
        if cells and long.cells.startswith(cells, long.at):
            long.at += len(cells)
            short.take()
            if long.at == len(long.cells):
                long.take()
            continue
        missed += 1
        if missed > FEW and missed > met // 2:
            return None
        tops = [one.top(), two.top()]
        # Rows that one side lacks, or all down to the end of a leaf.
        differ(min(tops) + 1 if tops[0] != tops[1] else max(one.rowid(0), two.rowid(0)), tops)
    differ(FIRST_ROWID, [side.top() if side.left else FIRST_ROWID for side in sides])
    return found[0][::-1], found[1][::-1], rows
