"""Rows without a key that are new by what they begin with: found by bytes as by reading all rows."""

from __future__ import annotations

import mmap
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from gitxexp.tables.sqlite import keyless, pages, raw_pages
from gitxexp.tables.sqlite import target as sqlite_target
from gitxexp.tables.sqlite.merge import merge_files
from gitxexp.tables.sqlite.prefixes import Prefix
from tests.tables import oracle
from tests.tables.sqlite.test_two_way import assert_same, counted
from tests.tables.support import in_process

TABLE = "CREATE TABLE t (run TEXT, at, loss REAL, note TEXT, version TEXT)"


def row(chance: random.Random, day: int, number: int) -> tuple[object, ...]:
    run = f"rün-{day:03}-{number % 7}"
    at: object = f"2026-{day:03} {number:05}"
    if chance.random() < 0.05:
        run, at = chance.choice([(run.upper(), at), (None, at), (run, number), (run, b"2026-x")])
    note = "n" * chance.choice([0, 3, 40])
    return run, at, chance.choice([0.5, 1.0, number / 7]), note, None


def write(path: Path, rows: Sequence[tuple[object, ...]], page: int) -> Path:
    with closing(sqlite3.connect(path)) as con:
        con.execute(f"PRAGMA page_size={page}")
        con.execute(TABLE)
        con.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
        con.commit()
    return path


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[pages.Alike]]:
    """Small files are searched as large ones; what was found is told."""
    found: list[pages.Alike] = []
    like = pages.Copies.like

    def watch(copies: pages.Copies, source: pages.Source, table: str) -> pages.Alike | None:
        alike = like(copies, source, table)
        found.extend([alike] if alike else [])
        return alike

    monkeypatch.setattr(sqlite_target, "SMALL", 0)
    monkeypatch.setattr(pages, "SEARCHED", 0)
    monkeypatch.setattr(pages, "SMALLER", 0)
    monkeypatch.setattr(pages.Copies, "like", watch)
    return found


@pytest.mark.parametrize("seed", range(18))
def test_bytes_and_rows_give_the_same(
    tmp_path: Path, searched: list[pages.Alike], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(raw_pages, "MOST", 2)
    monkeypatch.setattr(pages, "child", in_process)
    held = [row(chance, i // 30, i) for i in range(600)]
    target = write(tmp_path / "t.db", held, chance.choice([512, 1024, 4096]))
    split = seed % 6 == 5
    if split:
        with closing(sqlite3.connect(target)) as con:
            con.execute("UPDATE t SET note = ? WHERE rowid = 7", ("long " * 3000,))
            con.commit()
    sources = []
    for i in range(chance.randint(1, 3)):
        day = chance.choice([3, 30, 30 + i])
        rows = chance.choices(
            [r for r in held if str(r[0]).startswith(f"rün-{day:03}")] or held, k=30
        )
        rows += [row(random.Random(2), day, n) for n in chance.sample(range(5000, 5200), 30)]
        rows = [r for r in rows if isinstance(r[0], str) and r[0].startswith(f"rün-{day:03}")]
        rows = [(*r[:4], chance.choice([None, "e0.1.0"])) for r in rows]
        sources.append(write(tmp_path / f"s{i}.db", rows, 1024))
    fast = merge_files(target, sources, out=tmp_path / "fast.db")
    used = len(searched)
    monkeypatch.setattr(pages, "SEARCHED", 1 << 40)
    slow = merge_files(target, sources, out=tmp_path / "slow.db")
    assert len(searched) == used
    assert used == (0 if split else len(sources))
    assert fast == slow
    assert oracle.read(tmp_path / "fast.db") == oracle.read(tmp_path / "slow.db")
    expected = oracle.two_way([oracle.read(p) for p in (target, *sources)])
    assert counted(fast) == +expected.counts
    assert_same(tmp_path / "fast.db", expected.tables)


def test_new_runs_are_added_without_a_scan(
    tmp_path: Path, searched: list[pages.Alike], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write(tmp_path / "t.db", [row(random.Random(1), 1, i) for i in range(500)], 4096)
    rows = [(f"late-{i:05}", "2027-001", 0.5, "", None) for i in range(20)]
    sources = [write(tmp_path / f"{i}.db", rows, 4096) for i in range(2)]
    probes: list[object] = []
    fill = keyless._fill_probe
    monkeypatch.setattr(keyless, "_fill_probe", lambda *a: probes.append(a) or fill(*a))
    report = merge_files(target, sources)
    assert [a.ranges for a in searched] == [[], []]
    assert len(probes) == 1, "only the second source may have rows that the first one added"
    assert (report.tables[0].new, report.tables[0].identical) == (20, 20)


def test_a_row_in_many_places_is_not_sought_there(
    tmp_path: Path, searched: list[pages.Alike]
) -> None:
    rows = [row(random.Random(1), 1, i) for i in range(3000)]
    target = write(tmp_path / "t.db", rows, 512)
    same = [r for r in rows if isinstance(r[0], str) and isinstance(r[1], str)]
    report = merge_files(target, [write(tmp_path / "s.db", same[::300], 512)])
    assert (report.tables[0].new, report.tables[0].identical, searched) == (0, len(same[::300]), [])


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE t ADD COLUMN tag TEXT DEFAULT 'later-1'",
        "ALTER TABLE t ADD COLUMN long TEXT GENERATED ALWAYS AS (run || at)",
        "CREATE UNIQUE INDEX u ON t (at)",
    ],
)
def test_what_is_not_in_the_row_itself_is_not_sought(
    tmp_path: Path, searched: list[pages.Alike], change: str
) -> None:
    target = write(tmp_path / "t.db", [("r", i, 0.5, "", None) for i in range(200)], 512)
    with closing(sqlite3.connect(target)) as con:
        con.execute(change)
        con.commit()
    source = tmp_path / "s.db"
    with closing(sqlite3.connect(source)) as con:
        con.execute("CREATE TABLE t (tag TEXT, run, at, loss REAL, note TEXT)")
        con.execute(
            "INSERT INTO t VALUES ('later-1', 'r', 5, 0.5, ''), ('later-1', 'r', 500, 0.5, '')"
        )
        con.commit()
    report = merge_files(target, [source], out=tmp_path / "o.db")
    assert report.tables[0].identical == ("DEFAULT" in change)
    assert not searched


def test_pages_of_no_tree_end_a_search() -> None:
    def window(*starts: int) -> mmap.mmap:
        data = b"".join(bytes([first]).ljust(512, b"-") for first in starts)
        part = mmap.mmap(-1, len(data))
        part[:] = data
        return part

    search = raw_pages.Search([b"word".hex()], SimpleNamespace(size=512, count=6400))  # type: ignore[arg-type]
    search.look(window(83, 13, 5), 1)
    search.look(window(0, 13, 5), raw_pages.LOCKS // 512 + 1)
    assert not search.failed
    search.look(window(13, 0), 4)
    assert search.failed


def test_the_test_of_a_prefix_is_by_bytes() -> None:
    prefix = Prefix("a b", b"r\xc3\xbcn-1", b"r\xc3\xbcn-12'")
    assert prefix.word == b"r\xc3\xbcn-1"
    with closing(sqlite3.connect(":memory:")) as con:
        con.execute('CREATE TABLE t ("a b" TEXT COLLATE NOCASE)')
        con.executemany("INSERT INTO t VALUES (?)", [("rün-1",), ("RÜN-1",), ("rün-13",), (None,)])
        assert con.execute(f"SELECT * FROM t WHERE {prefix.test()}").fetchall() == [("rün-1",)]


def test_a_stamp_does_not_tell_rows_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large table's rows outside the range of what is offered are passed over, but a missing
    version is not outside of one."""
    monkeypatch.setattr(keyless, "WORTH", 1)
    rows = [(f"run-{i:03}", i) for i in range(300)]
    for name, version in (("t", None), ("s", "e0.1.0")):
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as con:
            con.execute("CREATE TABLE t (version TEXT, run TEXT, v)")
            con.executemany("INSERT INTO t VALUES (?, ?, ?)", [(version, *r) for r in rows])
            con.commit()
    report = merge_files(tmp_path / "t.db", [tmp_path / "s.db"])
    assert (report.tables[0].new, report.tables[0].filled) == (0, 300)
