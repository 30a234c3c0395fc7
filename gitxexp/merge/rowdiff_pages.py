"""Which rows of two SQLite files can differ at all, from their pages (sqlite.org/fileformat2.html).

Two files of which one began as a copy of the other share most pages byte for byte. A table's leaf
page that is the same in both holds the same rows; only the rowid ranges of the others are compared.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

#: Inclusive rowid ranges.
Ranges = list[tuple[int, int]]

_CHUNK = 1 << 20
_LOCKED = 1 << 30  # the page with this byte is never used (file format, section 1.4)
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class _File:
    stream: BinaryIO
    length: int  #: in bytes
    head: bytes  #: the first 100 bytes
    size: int  #: of a page, in bytes

    def page(self, number: int, most: int | None = None) -> bytes:
        """A page's bytes, or its first ``most``."""
        return os.pread(self.stream.fileno(), most or self.size, (number - 1) * self.size)


def open_pages(path: Path) -> _File | None:
    """The file's pages, or None where pages do not tell the whole story (a log, auto-vacuum)."""
    for suffix in ("-wal", "-journal"):
        log = path.with_name(path.name + suffix)
        if log.exists() and log.stat().st_size:
            return None
    stream = path.open("rb", buffering=0)
    head = stream.read(100) or b""
    length = os.fstat(stream.fileno()).st_size
    size = int.from_bytes(head[16:18], "big")
    size = 65536 if size == 1 else size
    vacuums = int.from_bytes(head[52:56], "big")
    if len(head) < 100 or vacuums or size < 512 or length % size:
        stream.close()
        return None
    return _File(stream, length, head, size)


def changed_pages(a: _File, b: _File) -> set[int] | None:
    """Numbers of the pages that are not the same in both; None for different page sizes."""
    if a.size != b.size or a.head[20] != b.head[20]:
        return None
    found: set[int] = set()
    both = min(a.length, b.length)
    step = max(_CHUNK // a.size, 1) * a.size
    one, two = bytearray(step), bytearray(step)
    a.stream.seek(0)
    b.stream.seek(0)
    for start in range(0, both, step):
        read = min(a.stream.readinto(one), b.stream.readinto(two), both - start)  # type: ignore
        if one[:read] != two[:read] if read < step else one != two:
            found.update(
                (start + at) // a.size + 1
                for at in range(0, read, a.size)
                if one[at : at + a.size] != two[at : at + a.size]
            )
    found.update(range(both // a.size + 1, max(a.length, b.length) // a.size + 1))
    return found


def leaves(file: _File, root: int, changed: set[int]) -> tuple[int, Ranges]:
    """How many leaves a table has, and the rowid ranges that its changed ones may hold."""
    page = file.page(root)
    if page[100 if root == 1 else 0] == 13:
        return 1, [(_LOWEST, _HIGHEST)] if root in changed else []
    return _below(file, root, _LOWEST, _HIGHEST, changed, set())


def _below(
    file: _File, number: int, low: int, high: int, changed: set[int], seen: set[int]
) -> tuple[int, Ranges]:
    """The leaves under one interior page. All are at one depth, so one child tells for all."""
    page = file.page(number)
    head = 100 if number == 1 else 0
    if page[head] != 5 or number in seen:
        raise ValueError("not a table page")
    seen.add(number)
    cells = _cells(page, head)
    children = [int.from_bytes(page[cell : cell + 4], "big") for cell in cells]
    children.append(int.from_bytes(page[head + 8 : head + 12], "big"))
    lowest = file.page(children[0], 1) == b"\x0d"
    total, found = (len(children) if lowest else 0), []
    for index, child in enumerate(children):
        if lowest and child not in changed:
            continue
        least = _varint(page, cells[index - 1] + 4) + 1 if index else low
        most = _varint(page, cells[index] + 4) if index < len(cells) else high
        if lowest:
            found.append((least, most))
        else:
            count, more = _below(file, child, least, most, changed, seen)
            total += count
            found += more
    return total, found


def _cells(page: bytes, head: int) -> list[int]:
    """Where the cells of an interior page begin, in order."""
    count = int.from_bytes(page[head + 3 : head + 5], "big")
    pointers = page[head + 12 : head + 12 + 2 * count]
    return [one << 8 | two for one, two in zip(pointers[::2], pointers[1::2], strict=True)]


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
    trunk = int.from_bytes(file.head[32:36], "big")
    while trunk and trunk not in found and trunk * file.size <= file.length:
        found.add(trunk)
        page = file.page(trunk)
        count = int.from_bytes(page[4:8], "big")
        for index in range(min(count, file.size // 4 - 2)):
            found.add(int.from_bytes(page[8 + 4 * index : 12 + 4 * index], "big"))
        trunk = int.from_bytes(page[:4], "big")
    return found


def no_overflow(file: _File, pages: set[int]) -> bool:
    """Whether none of ``pages`` can be an overflow page, whose row nobody could name."""
    harmless = free_pages(file) | {1, _LOCKED // file.size + 1}
    last = file.length // file.size
    return all(
        number in harmless or number > last or file.page(number, 1)[0] in (2, 5, 10, 13)
        for number in pages
    )


def ranges(file: _File, root: int, changed: set[int], most: float) -> Ranges | None:
    """Rowid ranges of the changed leaves, or None if they are more than ``most`` of all."""
    total, found = leaves(file, root, changed)
    return None if len(found) > max(most * total, 64) else found
