"""Which rows of two SQLite files can differ at all, from their pages (sqlite.org/fileformat2.html).

Two files of which one began as a copy of the other share most pages byte for byte. A table's leaf
page that is the same in both holds the same rows; only the rowid ranges of the others are compared.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Inclusive rowid ranges.
Ranges = list[tuple[int, int]]

_CHUNK = 1 << 20
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class _File:
    data: mmap.mmap
    size: int  #: of a page, in bytes
    usable: int

    def page(self, number: int) -> memoryview:
        return memoryview(self.data)[(number - 1) * self.size : number * self.size]


def open_pages(path: Path) -> _File | None:
    """The file's pages, or None where pages do not tell the whole story (a log, auto-vacuum)."""
    for suffix in ("-wal", "-journal"):
        log = path.with_name(path.name + suffix)
        if log.exists() and log.stat().st_size:
            return None
    with path.open("rb") as stream:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    size = int.from_bytes(data[16:18], "big")
    size = 65536 if size == 1 else size
    vacuums = int.from_bytes(data[52:56], "big")
    if vacuums or size < 512 or len(data) % size:
        data.close()
        return None
    return _File(data, size, size - data[20])


def changed_pages(a: _File, b: _File) -> set[int] | None:
    """Numbers of the pages that are not the same in both; None for different page sizes."""
    if a.size != b.size or a.usable != b.usable:
        return None
    found: set[int] = set()
    one, two = memoryview(a.data), memoryview(b.data)
    both = min(len(one), len(two))
    step = max(_CHUNK // a.size, 1) * a.size
    for start in range(0, both, step):
        stop = min(start + step, both)
        if a.data[start:stop] != b.data[start:stop]:
            for at in range(start, stop, a.size):
                if a.data[at : at + a.size] != b.data[at : at + a.size]:
                    found.add(at // a.size + 1)
    found.update(range(both // a.size + 1, max(len(one), len(two)) // a.size + 1))
    one.release()
    two.release()
    return found


def leaves(file: _File, root: int) -> Iterator[tuple[int, int, int]]:
    """Page number, lowest and highest possible rowid of each leaf of a table, in order."""
    yield from _walk(file, root, _LOWEST, _HIGHEST)


def _walk(file: _File, number: int, low: int, high: int) -> Iterator[tuple[int, int, int]]:
    page = bytes(file.page(number))
    head = 100 if number == 1 else 0
    if page[head] == 13:
        yield number, low, high
        return
    if page[head] != 5:
        raise ValueError("not a table page")
    cells = int.from_bytes(page[head + 3 : head + 5], "big")
    for index in range(cells):
        at = head + 12 + 2 * index
        cell = int.from_bytes(page[at : at + 2], "big")
        top = _varint(page, cell + 4)
        yield from _walk(file, int.from_bytes(page[cell : cell + 4], "big"), low, top)
        low = top + 1
    yield from _walk(file, int.from_bytes(page[head + 8 : head + 12], "big"), low, high)


def _varint(page: bytes, at: int) -> int:
    value = 0
    for index in range(8):
        byte = page[at + index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value
    value = value << 8 | page[at + 8]
    return value - (1 << 64) if value >= 1 << 63 else value


def free_pages(file: _File) -> set[int]:
    """Pages of the free list: their content means nothing."""
    found: set[int] = set()
    trunk = int.from_bytes(file.data[32:36], "big")
    while trunk and trunk not in found and trunk * file.size <= len(file.data):
        found.add(trunk)
        page = bytes(file.page(trunk))
        count = int.from_bytes(page[4:8], "big")
        for index in range(min(count, file.size // 4 - 2)):
            found.add(int.from_bytes(page[8 + 4 * index : 12 + 4 * index], "big"))
        trunk = int.from_bytes(page[:4], "big")
    return found


def no_overflow(file: _File, pages: set[int]) -> bool:
    """Whether none of ``pages`` can be an overflow page, whose row nobody could name."""
    free = free_pages(file)
    last = len(file.data) // file.size
    return all(
        number in free or number > last or number == 1 or file.page(number)[0] in (2, 5, 10, 13)
        for number in pages
    )


def ranges(file: _File, root: int, changed: set[int], most: float) -> Ranges | None:
    """Rowid ranges of the changed leaves, or None if they are more than ``most`` of all."""
    total = hit = 0
    found: Ranges = []
    for number, low, high in leaves(file, root):
        total += 1
        if number in changed:
            hit += 1
            if found and found[-1][1] + 1 >= low:
                found[-1] = (found[-1][0], high)
            else:
                found.append((low, high))
    return None if hit > max(most * total, 64) else found
