"""Raw database files, read and copied in a process of their own.

:func:`read` copies the first file (if there is an ``out``), and meanwhile compares pairs of files and
searches the first one for words. It prints for every pair, per rowid table, rowid ranges outside of
which the rows are the same in both: those of the leaf pages that differ or, where that cannot be told
from the pages alone, those found by :mod:`gitxexp.tables.sqlite.raw_rows`; nothing for a table that
differs mostly. For every search it prints the rowid ranges of the leaf pages with all of its words.

It is separate from :mod:`gitxexp.tables.sqlite.pages`, which starts it: with that module's imports the
process took 124 ms of processor time to start instead of 51, and a merge of 200,000 rows takes 140.

Format: sqlite.org/fileformat2.html sections 1.3, 1.5 and 1.6.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from itertools import zip_longest
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypedDict

from gitxexp.tables.sqlite.btree import LEAF_TABLE, LOCKS, Pages
from gitxexp.tables.sqlite.raw_rows import rows_apart

CHUNK = 1 << 16  #: small enough for the processor's cache; a whole number of pages of any size
BLOCK = 1 << 20  #: bytes that are searched at a time
WINDOW = 1 << 24  #: bytes that are mapped at a time; both a whole number of pages of any size
FLUSH = 16 << 20  #: bytes copied at a time, after which writing them to disk begins
MOST = 64  #: a search is given up if one of so many pages is found
EARLY = 256  #: differing pages after which a comparison is abandoned if most pages differ
FICLONE = 0x40049409
SYNC_FILE_RANGE_WRITE = 2

Ranges = list[tuple[int, int]]
Leaves = list[tuple[int, int]]  #: (place in key order, page)
Roots = dict[str, list[int]]
Files = tuple[Pages, Pages]


class Pair(TypedDict):
    """Two of the task's files, and where their b-trees begin."""

    a: int
    b: int
    alike: bool  #: whether both have pages of one size and layout, to be compared by number
    roots: Roots
    others: list[list[int]]


class PageRequest(TypedDict):
    """The request that ``read`` gets on standard input."""

    files: list[str]
    are: list[list[int] | None]  #: device and inode that a file must have; None if any will do
    out: str | None
    pairs: list[Pair]


#: Lists of words in hexadecimal; rows of the first file with all of one list are sought.
Words = Callable[[], list[list[str]] | None]


def _clone(src: int, dst: int) -> bool:
    try:
        import fcntl

        fcntl.ioctl(dst, FICLONE, src)
    except (ImportError, OSError):
        return False
    return True


def flusher(fd: int) -> Callable[[int, int], object]:
    """Return a function (offset, bytes) that starts writing a range to disk and does not wait."""
    try:
        import ctypes

        begin = ctypes.CDLL(None).sync_file_range
        begin.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    except (ImportError, AttributeError, OSError, TypeError):
        return lambda at, count: None
    return lambda at, count: begin(fd, at, count, SYNC_FILE_RANGE_WRITE)


def _function(name: str, result: str) -> Any:
    """A function of the C library that takes two pieces of memory; None where there is none.

    Python's own take several times as long, and let no other thread run meanwhile.
    """
    try:
        import ctypes

        found = getattr(ctypes.CDLL(None), name)
        found.restype = getattr(ctypes, result)
    except (ImportError, AttributeError, OSError, TypeError):
        return None
    return found


def _address(window: mmap.mmap) -> int:
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(window))


def finder(window: mmap.mmap) -> Callable[[bytes, int, int], bool]:
    """Return a function (word, from, to): whether a part of the window contains the word."""
    find = _function("memmem", "c_void_p")
    if find is None:
        return lambda word, start, end: window.find(word, start, end) >= 0
    import ctypes

    find.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)
    begin = _address(window)
    return lambda word, start, end: bool(find(begin + start, end - start, word, len(word)))


def comparer(one: mmap.mmap, two: mmap.mmap) -> Callable[[int, int], bool]:
    """Return a function (from, to): whether a part is not the same in both windows."""
    compare = _function("memcmp", "c_int")
    if compare is None:
        return lambda start, end: one[start:end] != two[start:end]
    import ctypes

    compare.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    here, there = _address(one), _address(two)
    return lambda start, end: bool(compare(here + start, there + start, end - start))


@contextmanager
def mapped(file: FileIO, at: int) -> Iterator[mmap.mmap | None]:
    """A window of a file from a place on; None after its end. Mapping takes half the time of reading."""
    length = min(WINDOW, os.fstat(file.fileno()).st_size - at)
    if length <= 0:
        yield None
        return
    with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_COPY, offset=at) as window:
        yield window


class PageComparison:
    """A comparison of two files: the numbers of the pages that differ."""

    def __init__(self, a: int, b: int, size: int, alike: bool) -> None:
        self.a, self.b, self.size = a, b, size
        self.changed: set[int] = set()
        self.open, self.alike, self.page = alike, alike, 1

    def look(self, one: mmap.mmap | None, two: mmap.mmap | None) -> Iterator[None]:
        """Compare the next windows, a chunk at each turn."""
        if one is None or two is None:
            self.open = False
            return
        n, differ = min(len(one), len(two)), comparer(one, two)
        for start in range(0, n, CHUNK):
            end = min(start + CHUNK, n)
            if differ(start, end):
                for at in range(start, end, self.size):
                    if one[at : at + self.size] != two[at : at + self.size]:
                        self.changed.add(self.page + at // self.size)
            yield
        self.page += n // self.size
        if len(self.changed) > EARLY and len(self.changed) > self.page // 2:
            self.open = self.alike = False


class Search:
    """The numbers of the pages that contain every one of some words.

    It is given up at a page of no b-tree, because part of a row may be there. The last page of a row
    begins with zero (section 1.6).
    """

    def __init__(self, words: Sequence[str], file: Pages) -> None:
        self.words = [*map(bytes.fromhex, words)]
        self.size, self.most = file.size, file.count // MOST
        self.pages: list[int] = []
        self.failed = False

    def look(self, window: mmap.mmap, first: int) -> None:
        """Search a part of the file, of which the number of the ``first`` page is given."""
        words, has = self.words, finder(window)
        for start in range(0, len(window), BLOCK):
            end = min(start + BLOCK, len(window))
            missing = next((w for w in words if not has(w, start, end)), None)
            if missing:
                # It is sought first in the next block, which has probably none either.
                words = [missing, *(w for w in words if w is not missing)]
                continue
            for at in range(start, end, self.size):
                page = window[at : at + self.size]
                if all(word in page for word in words):
                    self.pages.append(first + at // self.size)
        self.words = words
        kinds = window[:: self.size]
        other = first in (1, LOCKS // self.size + 1)
        if 0 in kinds[other:] or len(self.pages) > self.most:
            self.failed = True

    def rows(self, file: Pages) -> Ranges | None:
        """Rowid ranges of the table leaves among the pages; None if they are not known, or too many
        to be of use."""
        if self.failed:
            return None
        found: Ranges = []
        for page in sorted(self.pages):
            if file.header(page)[1] == LEAF_TABLE and (span := file.rowids(page)):
                found.append(span)
        return found


class Copy(Thread):
    """The copy of a file, made beside the comparison. What is written goes to disk meanwhile, by a
    thread of its own, because beginning that takes a third of the time of copying."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__(daemon=True)
        self.source, self.target, self.flush = source, target, flusher(target)
        self.parts: SimpleQueue[tuple[int, int] | None] = SimpleQueue()
        self.done = 0
        self.error: OSError | None = None

    def run(self) -> None:
        written = Thread(target=self._flush, daemon=True)
        written.start()
        try:
            if not _clone(self.source, self.target):
                self._in_kernel()
                self._by_reading()
        except OSError as error:
            self.error = error
        self.parts.put(None)
        written.join()

    def _flush(self) -> None:
        while part := self.parts.get():
            self.flush(*part)

    def end(self) -> None:
        """Wait until it is whole. Raises OSError."""
        self.join()
        if self.error:
            raise self.error

    def _in_kernel(self) -> None:
        """Copy as much as the system can by itself."""
        copy = getattr(os, "copy_file_range", None)
        with suppress(OSError):  # such as to another file system
            while copy and (n := copy(self.source, self.target, FLUSH, self.done, self.done)):
                self._wrote(n)

    def _by_reading(self) -> None:
        block = memoryview(mmap.mmap(-1, FLUSH))
        while count := os.preadv(self.source, [block], self.done):
            left = block[:count]
            while left:
                n = os.pwrite(self.target, left, self.done)
                self._wrote(n)
                left = left[n:]

    def _wrote(self, count: int) -> None:
        self.parts.put((self.done, count))
        self.done += count


def search_through(file: FileIO, searches: Sequence[Search], turn: int) -> None:
    """Search every other part of a file."""
    try:
        size = os.fstat(file.fileno()).st_size if searches else 0
        for at in range(turn * WINDOW, size, 2 * WINDOW):
            with mapped(file, at) as window:
                for search in searches:
                    if window and not search.failed:
                        search.look(window, at // search.size + 1)
    except (OSError, ValueError):  # it cannot be mapped, or is shorter by now
        for search in searches:
            search.failed = True


def compare_through(files: Sequence[FileIO], pairs: Sequence[PageComparison]) -> None:
    """Settle ``pairs``."""
    at = 0
    while going := [pair for pair in pairs if pair.open]:
        with ExitStack() as stack:
            needed = {i for pair in going for i in (pair.a, pair.b)}
            windows = {i: stack.enter_context(mapped(files[i], at)) for i in needed}
            # In turn, so that a file of several pairs is read from memory once.
            for _ in zip_longest(*(p.look(windows[p.a], windows[p.b]) for p in going)):
                pass
        at += WINDOW


def read(task: PageRequest, words: Words) -> dict[str, object]:
    """Copy the first file to ``out``, compare and explain every pair, and search the first file.

    ``words`` is called when the copy has begun.
    """
    out = task["out"]
    with ExitStack() as stack:
        opened = [stack.enter_context(FileIO(path)) for path in task["files"]]
        for file, path, wanted in zip(opened, task["files"], task["are"], strict=True):
            info = os.fstat(file.fileno())
            if wanted not in (None, [info.st_dev, info.st_ino]):
                raise OSError(errno.ESTALE, "replaced", path)
        if out:
            target = stack.enter_context(FileIO(out, "r+"))
            copy = Copy(opened[0].fileno(), target.fileno())
            copy.start()
        lists = words() or []
        files = [Pages(path) for path in task["files"]] if task["pairs"] or lists else []
        pairs = [
            PageComparison(p["a"], p["b"], files[p["a"]].size, p["alike"]) for p in task["pairs"]
        ]
        compare_through(opened, pairs)
        searches = [Search(each, files[0]) for each in lists]
        # Of two threads one has a processor of its own while the system copies.
        second = Thread(target=search_through, args=(opened[0], searches, 1), daemon=True)
        second.start()
        search_through(opened[0], searches, 0)
        found = [_apart(pair, files, of) for pair, of in zip(pairs, task["pairs"], strict=True)]
        second.join()
        rows = [_rows(search, files[0]) for search in searches]
        if out:
            copy.end()
    return {"pairs": found, "rows": rows}


def _apart(pair: PageComparison, files: Sequence[Pages], of: Pair) -> object:
    two = files[pair.a], files[pair.b]
    try:
        told = explain(two, pair.changed, of["roots"], of["others"]) if pair.alike else None
        return told if told is not None else by_rows(two, of["roots"])
    except (ValueError, IndexError, struct.error):
        return None


def _rows(search: Search, file: Pages) -> Ranges | None:
    try:
        return search.rows(file)
    except (ValueError, IndexError, struct.error):
        return None


def by_rows(files: Files, roots: Roots) -> dict[str, object]:
    """The same as :func:`explain` by comparing rows: only tables that are mostly the same."""
    found = {name: rows_apart(files, pair) for name, pair in roots.items()}
    return {name: apart for name, apart in found.items() if apart is not None}


def known(file: Pages, root: int, changed: set[int]) -> set[int]:
    """Return the changed pages that belong to one b-tree."""
    above, low = file.interior(root)
    found = changed & (above or {root})
    for page in low:
        found |= changed.intersection(file.children(page))
    return found


def apart(files: Files, roots: Sequence[int], changed: set[int]) -> tuple[list[Leaves], set[int]]:
    """Return the leaves of one table, in each file, that differ in the other, as far as known.

    An unchanged page above the leaves has the same leaves in both files, so only changed leaves
    below it need a look.
    """
    (above, low), (over, deep) = (f.interior(r) for f, r in zip(files, roots, strict=True))
    common = (set(low) & set(deep)) - changed
    seen = changed & (above | over)
    own = [
        {leaf for page in pages if page not in common for leaf in file.children(page)} or {root}
        for file, root, pages in zip(files, roots, (low, deep), strict=True)
    ]
    same = {page: changed.intersection(files[0].children(page)) for page in common}
    found: list[Leaves] = []
    for file, root, pages, theirs in zip(files, roots, (low, deep), own[::-1], strict=True):
        leaves: Leaves = []
        place = 0
        for page in pages or [0]:
            group = (files[0] if page in common else file).children(page) if page else [root]
            hits = same[page] if page in common else changed.intersection(group)
            seen |= hits
            if page not in common:
                hits.update(leaf for leaf in group if leaf not in theirs)
            if hits:
                leaves += [(place + i, leaf) for i, leaf in enumerate(group) if leaf in hits]
            place += len(group)
        found.append(leaves)
    return found, seen


def explain(files: Files, changed: set[int], roots: Roots, others: list[list[int]]) -> object:
    """Return rowid ranges to compare, per table: ``{name: [in A, in B, numbers of rows there]}``.

    ``roots`` gives the root page of each table in A and B; ``others`` the roots of all other
    b-trees of A and of B. None if a page that is no b-tree page differs (an overflow page, say),
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
    unknown -= files[0].of_indices(files[1].of_indices(unknown))
    for file, trees in zip(files, others, strict=True):
        for root in trees:
            if unknown:
                unknown -= known(file, root, changed)
        if unknown:
            unknown -= file.free()
    return None if unknown else result


def ranges(file: Pages, leaves: Leaves) -> Ranges:
    """Rowids from the first to the last of each row of neighbours."""
    intervals: Ranges = []
    last = -2
    for place, leaf in leaves:
        span = file.rowids(leaf)
        if span is None:
            continue
        if intervals and last == place - 1:
            intervals[-1] = (intervals[-1][0], span[1])
        else:
            intervals.append(span)
        last = place
    return intervals


def main() -> None:
    """Do what standard input asks for, and print the answer. Raises OSError."""
    task = json.loads(sys.stdin.readline())
    json.dump(read(task, lambda: json.load(sys.stdin)), sys.stdout)
