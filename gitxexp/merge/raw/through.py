"""Raw database files, read and copied in a process of their own: ``headers`` and ``read``.

``read`` reads every file once: it copies the first (if there is an ``out``) and compares pairs of
files on the way. It prints for every pair, per rowid table, the rowid ranges of the leaf pages that
are not the same in both; or ``null`` where that cannot be told from the pages alone.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import TypedDict

from gitxexp.merge.raw.btree import Pages, Roots, explain

CHUNK = 1 << 18  #: small enough for the processor's cache; a whole number of pages of any size
FLUSH = 16 << 20  #: bytes of a copy after which they are sent on to the disk
EARLY = 256  #: differing pages after which two files are given up if they are most of the pages
FICLONE = 0x40049409
SYNC_FILE_RANGE_WRITE = 2


class Pair(TypedDict):
    """Two of the task's files, and where their b-trees begin."""

    a: int
    b: int
    roots: Roots
    others: list[list[int]]


class Task(TypedDict):
    """What ``read`` is asked on its standard input."""

    files: list[str]
    out: str | None
    pairs: list[Pair]


def _clone(src: int, dst: int) -> bool:
    try:
        import fcntl

        fcntl.ioctl(dst, FICLONE, src)
    except (ImportError, OSError):
        return False
    return True


def flusher(fd: int) -> Callable[[int, int], object]:
    """A function (offset, bytes) that begins to write a range to the disk and does not wait."""
    try:
        import ctypes

        begin = ctypes.CDLL(None).sync_file_range
        begin.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    except (ImportError, AttributeError, OSError, TypeError):
        return lambda at, count: None
    return lambda at, count: begin(fd, at, count, SYNC_FILE_RANGE_WRITE)


class Reader:
    """A file from its beginning, one block at a time; ``count`` bytes of ``block`` are filled."""

    def __init__(self, file: FileIO) -> None:
        self.file = file
        self.block, self.count = bytearray(), CHUNK

    def more(self) -> int:
        """Fill the block with what comes next; fewer bytes than it holds at the end only."""
        self.block = self.block or bytearray(CHUNK)
        view, self.count = memoryview(self.block), 0
        while self.count < CHUNK and (n := self.file.readinto(view[self.count :])):
            self.count += n
        return self.count


class Comparison:
    """Two of the files: the numbers of the common pages whose bytes differ."""

    def __init__(self, a: int, b: int, size: int) -> None:
        self.a, self.b, self.size = a, b, size
        self.changed: set[int] = set()
        self.open, self.alike, self.page = True, True, 1

    def look(self, one: Reader, two: Reader) -> None:
        """Compare the blocks that were read last."""
        n = min(one.count, two.count)
        if n < CHUNK or one.block != two.block:
            x, y = bytes(one.block[:n]), bytes(two.block[:n])
            for at in range(0, n, self.size):
                if x[at : at + self.size] != y[at : at + self.size]:
                    self.changed.add(self.page + at // self.size)
        self.page += n // self.size
        if len(self.changed) > EARLY and len(self.changed) > self.page // 2:
            self.open = self.alike = False
        self.open = self.open and n == CHUNK


class Copy:
    """The copy of the first file; what is written goes on to the disk meanwhile."""

    def __init__(self, file: FileIO, source: FileIO) -> None:
        self.file, self.flush = file, flusher(file.fileno())
        self.shared = _clone(source.fileno(), file.fileno())
        self.done = self.sent = 0

    def add(self, block: Reader) -> None:
        left = memoryview(block.block)[: block.count]
        while left:
            left = left[self.file.write(left) :]
        self.done += block.count
        if self.done - self.sent >= FLUSH:
            self.flush(self.sent, self.done - self.sent)
            self.sent = self.done


def read_through(paths: list[str], out: str | None, pairs: list[Comparison]) -> None:
    """Copy the first file to ``out`` and settle ``pairs``; every file is read at most once."""
    with ExitStack() as stack:
        readers = [Reader(stack.enter_context(FileIO(path))) for path in paths]
        copy = Copy(stack.enter_context(FileIO(out, "r+")), readers[0].file) if out else None
        if copy and copy.shared:
            copy = None
        while (copy and readers[0].count == CHUNK) or any(p.open for p in pairs):
            needed = {i for p in pairs if p.open for i in (p.a, p.b)} | ({0} if copy else set())
            for i in needed:
                readers[i].more()
            for pair in pairs:
                if pair.open:
                    pair.look(readers[pair.a], readers[pair.b])
            if copy:
                copy.add(readers[0])


def read(task: Task) -> list[object]:
    """Copy, compare and explain every pair of the task."""
    sizes = [Pages(path).size for path in task["files"]] if task["pairs"] else []
    pairs = [Comparison(p["a"], p["b"], sizes[p["a"]]) for p in task["pairs"]]
    read_through(task["files"], task["out"], pairs)
    found: list[object] = []
    for pair, asked in zip(pairs, task["pairs"], strict=True):
        files = Pages(task["files"][pair.a]), Pages(task["files"][pair.b])
        try:
            good = pair.alike and sizes[pair.a] == sizes[pair.b]
            changed = pair.changed
            found.append(explain(files, changed, asked["roots"], asked["others"]) if good else None)
        except (ValueError, IndexError, struct.error):
            found.append(None)
    return found


def header(path: str) -> tuple[str, int]:
    """The first 100 bytes in hexadecimal, and the size of the file."""
    with Path(path).open("rb") as file:
        return file.read(100).hex(), os.fstat(file.fileno()).st_size


def main(arguments: list[str]) -> int:
    """Run one of the two; exit 0, or 3 with the system's error number and file on stderr."""
    try:
        if arguments[0] == "headers":
            json.dump([header(path) for path in json.load(sys.stdin)], sys.stdout)
        else:
            json.dump(read(json.load(sys.stdin)), sys.stdout)
    except OSError as error:
        print(error.errno or 5, error.filename or "", file=sys.stderr)
        return 3
    return 0
