"""Files whose pages have nothing in common: what the bytes of their rows tell is what SQL tells."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitxexp.tables.plan import MergeOptions, OnConflict
from gitxexp.tables.row_diff import diff_files
from gitxexp.tables.sqlite import pages
from gitxexp.tables.sqlite import target as sqlite_target
from gitxexp.tables.sqlite.btree import Pages
from gitxexp.tables.sqlite.merge import merge3_files, merge_files
from gitxexp.tables.sqlite.raw_rows import rows_apart
from tests.tables import oracle
from tests.tables.sqlite.strategies import EXAMPLES, MEMORY, QUIET
from tests.tables.sqlite.test_two_way import assert_same, counted

SIZES = [512, 1024, 4096, 65536]
VALUES = [None, 0, 1, -1, 300, 2**40, -(2**63), 0.5, 3.0, "", "text", b"", b"\0\xff" * 9]


@dataclass(frozen=True)
class Shape:
    """How a file is made: ``seed`` decides the rows and the edits."""

    seed: int
    rows: int
    page: int
    shuffled: bool  #: inserted in any order, not by rowid
    long: float  #: share of rows that need an overflow page somewhere


@dataclass(frozen=True)
class Edit:
    """What became of a copy of it."""

    seed: int
    changes: int
    deleted: int  #: rows of one range
    added: int
    page: int  #: VACUUM with it; 0 for none
    stretched: bool  #: changed values are longer ones


shapes = st.builds(
    Shape,
    st.integers(0, 1 << 30),
    st.sampled_from([0, 1, 30, 400, 1500]),
    st.sampled_from(SIZES),
    st.booleans(),
    st.sampled_from([0, 0, 0.002, 0.1]),
)
edits = st.builds(
    Edit,
    st.integers(0, 1 << 30),
    st.integers(0, 20),
    st.sampled_from([0, 0, 3, 200]),
    st.sampled_from([0, 0, 5, 300]),
    st.sampled_from([0, *SIZES]),
    st.booleans(),
)


def row(chance: random.Random, long: float) -> tuple[Any, ...]:
    text = "x" * chance.choice([0, 5, 40, 130]) + str(chance.random())
    if chance.random() < long:
        text *= chance.choice([8, 40, 400])
    return (chance.choice(VALUES), chance.random(), text, chance.choice(VALUES))


def make(path: Path, shape: Shape) -> Path:
    chance = random.Random(shape.seed)
    numbers = [2 * i + chance.randint(0, 1) for i in range(-shape.rows // 5, shape.rows)]
    if shape.shuffled:
        chance.shuffle(numbers)
    with contextlib.closing(sqlite3.connect(path)) as con:
        con.execute(f"PRAGMA page_size = {shape.page}")
        con.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, a, b REAL, c TEXT, d)")
        con.execute("CREATE TABLE plain (a, b REAL, c TEXT, d)")
        con.execute("CREATE INDEX i ON t (a)")
        for n in numbers:
            con.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?)", (n, *row(chance, shape.long)))
            con.execute("INSERT INTO plain VALUES (?, ?, ?, ?)", row(chance, shape.long))
        con.commit()
    return path


def edit(path: Path, what: Edit) -> None:
    chance = random.Random(what.seed)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("BEGIN")
        for table in ("t", "plain"):
            low, high = con.execute(f"SELECT min(rowid), max(rowid) FROM {table}").fetchone()
            low, high = low or 0, high or 0
            number = chance.randint(low, high)
            con.execute(
                f"DELETE FROM {table} WHERE rowid BETWEEN ? AND ?", (number, number + what.deleted)
            ) if what.deleted else None
            for _ in range(what.changes):
                value = "much longer than it was" * 9 if what.stretched else chance.choice(VALUES)
                con.execute(
                    f"UPDATE {table} SET d = ? WHERE rowid = ?", (value, chance.randint(low, high))
                )
            for i in range(what.added):
                first = chance.choice([high, high, low - 2 * what.added])
                con.execute(
                    f"INSERT OR IGNORE INTO {table} (rowid, a, b, c, d) VALUES (?, ?, ?, ?, ?)",
                    (first + i, *row(chance, 0.01)),
                )
        con.execute("COMMIT")
        if what.page:
            con.execute(f"PRAGMA page_size = {what.page}")
            con.execute("VACUUM")


def rows_of(path: Path, table: str) -> dict[int, Any]:
    with contextlib.closing(sqlite3.connect(path)) as con:
        found = con.execute(f"SELECT rowid, * FROM {table}").fetchall()
    return {r[0]: [(type(v), v) for v in r[1:]] for r in found}


def root(path: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as con:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        return int(con.execute(query, (table,)).fetchone()[0])


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@settings(max_examples=4 * EXAMPLES, **QUIET)
@given(shape=shapes, what=edits, other=st.none() | edits)
def test_all_rows_outside_the_ranges_are_the_same(shape: Shape, what: Edit, other: Any) -> None:
    with folder() as inside:
        a = make(inside / "a.db", shape)
        b = inside / "b.db"
        shutil.copyfile(a, b)
        edit(b, what)
        if other is not None:
            edit(a, other)
        for table in ("t", "plain"):
            roots = [root(path, table) for path in (a, b)]
            apart = rows_apart((Pages(str(a)), Pages(str(b))), roots)
            if apart is None:
                continue
            rest = []
            for path, ranges, count in zip((a, b), apart[:2], apart[2], strict=True):
                assert all(low <= high for low, high in ranges)
                assert all(x[1] < y[0] for x, y in itertools.pairwise(ranges))
                rows = rows_of(path, table)
                inner = {n for n in rows for low, high in ranges if low <= n <= high}
                assert len(inner) == count
                rest.append({n: r for n, r in rows.items() if n not in inner})
            assert rest[0] == rest[1]


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("page", SIZES)
def test_a_rewritten_file_without_a_change_has_no_ranges(
    tmp_path: Path, page: int, shuffled: bool
) -> None:
    a = make(tmp_path / "a.db", Shape(1, 1000, 1024, shuffled, 0))
    b = tmp_path / "b.db"
    shutil.copyfile(a, b)
    edit(b, Edit(1, 0, 0, 0, page, False))
    for table in ("t", "plain"):
        roots = [root(path, table) for path in (a, b)]
        found = rows_apart((Pages(str(a)), Pages(str(b))), roots)
        assert found == ([], [], [0, 0])


def test_few_rows_are_met_for_few_changes(tmp_path: Path) -> None:
    """Also where rows follow or are missing: only leaves with a changed row are met as a whole."""
    a = make(tmp_path / "a.db", Shape(2, 4000, 4096, False, 0))
    b = tmp_path / "b.db"
    shutil.copyfile(a, b)
    with contextlib.closing(sqlite3.connect(b, isolation_level=None)) as con:
        con.execute("UPDATE t SET d = 'changed' WHERE k IN (100, 101, 3000, 3001)")
        con.execute("DELETE FROM t WHERE k BETWEEN 5000 AND 6001")
        con.execute(
            "WITH n(i) AS (VALUES (10000) UNION ALL SELECT i + 1 FROM n LIMIT 3000) "
            "INSERT INTO t SELECT i, 1, 2, 'text', 3 FROM n"
        )
        con.execute("PRAGMA page_size = 8192")
        con.execute("VACUUM")
    apart = rows_apart((Pages(str(a)), Pages(str(b))), [root(p, "t") for p in (a, b)])
    assert apart is not None
    (old, new), rows = apart[:2], apart[2]
    assert new[-1][0] >= 7998 and new[-1][1] == 12999 and len(old) <= 4
    assert 501 <= rows[0] <= 900 and rows[1] == rows[0] - 501 + 3000


def test_a_long_row_that_differs_on_its_overflow_page_only(tmp_path: Path) -> None:
    """The part on the leaf is the same bytes in both files, page number of the rest included."""
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    for path, last in zip(paths, "xy", strict=True):
        with contextlib.closing(sqlite3.connect(path)) as con:
            con.execute("PRAGMA page_size = 1024")
            con.execute("CREATE TABLE t (c)")
            con.execute("INSERT INTO t VALUES ('short'), (?), ('short')", ("a" * 3000 + last,))
            con.commit()
    files = Pages(str(paths[0])), Pages(str(paths[1]))
    assert rows_apart(files, [root(p, "t") for p in paths]) == ([(1, 3)], [(1, 3)], [3, 3])


def test_files_that_differ_on_most_leaves_are_left_to_sql(tmp_path: Path) -> None:
    a = make(tmp_path / "a.db", Shape(3, 9000, 512, False, 0))
    b = tmp_path / "b.db"
    shutil.copyfile(a, b)
    with contextlib.closing(sqlite3.connect(b)) as con:
        con.execute("UPDATE t SET d = 77")
        con.commit()
    assert rows_apart((Pages(str(a)), Pages(str(b))), [root(p, "t") for p in (a, b)]) is None


@settings(max_examples=2 * EXAMPLES, **QUIET)
@given(seed=st.integers(0, 1 << 30), page=st.sampled_from([512, 4096]))
def test_a_damaged_file_ends_in_an_error_or_an_answer(seed: int, page: int) -> None:
    chance = random.Random(seed)
    with folder() as inside:
        a = make(inside / "a.db", Shape(seed, 300, page, chance.random() < 0.5, 0.01))
        raw = bytearray(a.read_bytes())
        for _ in range(chance.choice([1, 5, 100])):
            start = chance.randrange(len(raw) // page) * page
            raw[start + chance.choice([chance.randrange(16), chance.randrange(page)])] = (
                chance.randrange(256)
            )
        raw[:100] = a.read_bytes()[:100]
        b = inside / "b.db"
        b.write_bytes(raw)
        with contextlib.suppress(ValueError, IndexError, struct.error):
            rows_apart((Pages(str(a)), Pages(str(b))), [root(a, "t")] * 2)


@pytest.fixture
def by_rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Begin to compare small files as large ones; the tables for which ranges were found."""
    found: list[dict[str, Any]] = []
    between = pages.Copies.between

    def watched(*given: Any) -> Any:
        found.append(dict(between(*given)))
        return found[-1]

    def begin() -> list[dict[str, Any]]:
        monkeypatch.setattr(sqlite_target, "SMALL", 0)
        monkeypatch.setattr(pages, "SMALLEST", 0)
        monkeypatch.setattr(pages.Copies, "between", watched)
        return found

    return begin  # type: ignore[return-value]


@settings(max_examples=EXAMPLES, **QUIET)
@given(shape=shapes, what=edits)
def test_the_row_diff_is_that_of_sql(shape: Shape, what: Edit) -> None:
    with folder() as inside, pytest.MonkeyPatch.context() as patch:
        a, b = make(inside / "a.db", shape), inside / "b.db"
        shutil.copyfile(a, b)
        edit(b, what)
        slow = diff_files(a, b)
        patch.setattr(pages, "SMALLEST", 0)
        fast = diff_files(a, b)
        assert [replace(t, rows=()) for t in fast] == [replace(t, rows=()) for t in slow]
        assert [sorted(map(repr, t.rows)) for t in fast] == [
            sorted(map(repr, t.rows)) for t in slow
        ]


@pytest.mark.parametrize("seed", range(4))
def test_merges_of_rewritten_files(tmp_path: Path, by_rows: Any, seed: int) -> None:
    """Two and three ways, against row by row and plain Python."""
    chance = random.Random(seed)
    base = make(tmp_path / "base.db", Shape(seed, 500, 1024, seed % 2 == 1, 0.002))
    ours, theirs = tmp_path / "ours.db", tmp_path / "theirs.db"
    for path in (ours, theirs):
        shutil.copyfile(base, path)
        page = chance.choice([512, 4096]) if path == theirs or seed > 1 else 0
        edit(path, Edit(chance.randint(0, 99), 6, 0, 20, page, seed % 2 == 0))
    options = MergeOptions(on_conflict=OnConflict.THEIRS)

    def both(name: str) -> list[Any]:
        return [
            merge_files(ours, [theirs], out=tmp_path / f"{name}2.db", options=options),
            merge3_files(base, ours, theirs, tmp_path / f"{name}3.db", options),
        ]

    slow = both("slow")
    found = by_rows()
    fast = both("fast")
    assert all({"t", "plain"} == set(tables) for tables in found)
    assert any(0 < sum(x.rows) < 800 for tables in found for x in tables.values())
    assert fast == slow
    for i in "23":
        assert_same(tmp_path / f"fast{i}.db", oracle.read(tmp_path / f"slow{i}.db"))
    expected = oracle.two_way([oracle.read(p) for p in (ours, theirs)], policy="theirs")
    assert counted(fast[0]) == +expected.counts
    assert_same(tmp_path / "fast2.db", expected.tables)
