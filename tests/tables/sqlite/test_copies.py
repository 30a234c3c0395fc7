"""A source that is a changed copy of the target: page by page gives what row by row gives."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gitxexp.tables.plan import MergeOptions, OnConflict
from gitxexp.tables.sqlite import merge, pages
from gitxexp.tables.sqlite import target as sqlite_target
from gitxexp.tables.sqlite.btree import Pages
from gitxexp.tables.sqlite.merge import merge3_files, merge_files
from tests.tables import oracle
from tests.tables.sqlite.test_two_way import assert_same, counted


def build(path: Path, key: str, rows: int, page: int) -> Path:
    with closing(sqlite3.connect(path)) as con:
        con.execute(f"PRAGMA page_size={page}")
        con.execute(f"CREATE TABLE t (k {key}, a, b REAL, c TEXT)")
        con.execute("CREATE TABLE other (k, v)")
        con.execute("CREATE INDEX i ON t (a)")
        for i in range(rows):
            con.execute("INSERT INTO t VALUES (?, ?, ?, ?)", (i, i % 7, i / 2, "x" * (i % 90)))
            con.execute("INSERT INTO other VALUES (?, ?)", (i % 50, i % 3))
        con.commit()
    return path


def edit(path: Path, chance: random.Random, first: int) -> None:
    with closing(sqlite3.connect(path)) as con:
        if chance.random() < 0.3:
            con.execute("ALTER TABLE t ADD COLUMN d INTEGER")
            con.execute("UPDATE t SET d = k WHERE k % 97 = 0")
        for i in range(first, first + chance.randint(0, 60)):
            con.execute("INSERT INTO t (k, a, c) VALUES (?, ?, ?)", (i, 1, "new"))
            con.execute("INSERT INTO other VALUES (1, 1), (?, NULL)", (i,))
        for _ in range(chance.randint(0, 5)):
            k = chance.randint(0, 650)
            con.execute("UPDATE t SET b = NULL WHERE k = ?", (k,))
            con.execute("DELETE FROM t WHERE k = ?", (k + 1,))
            con.execute("UPDATE other SET v = 'changed' WHERE rowid = ?", (k,))
            con.execute("DELETE FROM other WHERE rowid = ?", (k + 2,))
        if chance.random() < 0.2:
            con.execute("UPDATE t SET c = ? WHERE k = ?", ("long " * 5000, chance.randint(0, 650)))
        con.commit()


@pytest.fixture
def by_pages(monkeypatch):
    """Small files take the way of large ones; what was narrowed is told."""
    narrowed = []

    def watch(con, feed, apart, tally):
        narrowed.append(found := pages.narrow(con, feed, apart, tally))
        return found

    def watch_three(*given):
        narrowed.append(found := pages.near_rows(*given))
        return found

    def begin():
        monkeypatch.setattr(sqlite_target, "SMALL", 0)
        monkeypatch.setattr(pages, "SMALLEST", 0)
        monkeypatch.setattr(merge, "narrow", watch)
        monkeypatch.setattr(merge, "near_rows", watch_three)
        return narrowed

    return begin


@pytest.mark.parametrize("seed", range(6))
def test_pages_and_rows_give_the_same(tmp_path, by_pages, seed):
    chance = random.Random(seed)
    key = ["INTEGER PRIMARY KEY", "INT PRIMARY KEY", ""][seed % 3]
    target = build(tmp_path / "t.db", key, 700, chance.choice([512, 1024]))
    sources = [tmp_path / f"s{i}.db" for i in range(chance.randint(1, 2))]
    for i, source in enumerate(sources):
        source.write_bytes(target.read_bytes())
        edit(source, chance, 5000 + 1000 * i)
    edit(target, chance, 9000)
    policy = list(OnConflict)[chance.randint(0, 2)]
    options = MergeOptions(on_conflict=policy)
    slow = merge_files(target, sources, out=tmp_path / "slow.db", options=options)
    narrowed = by_pages()
    fast = merge_files(target, sources, out=tmp_path / "fast.db", options=options)
    assert narrowed or (policy == "theirs" and len(sources) > 1) or is_long([target, *sources])
    assert replace(fast, conflicts=()) == replace(slow, conflicts=())
    assert set(map(repr, fast.conflicts)) == set(map(repr, slow.conflicts))
    expected = oracle.two_way([oracle.read(p) for p in (target, *sources)], policy=str(policy))
    assert counted(fast) == +expected.counts or fast.conflicts
    if fast.written:
        assert_same(tmp_path / "fast.db", expected.tables)


def is_long(paths: list[Path]) -> bool:
    """Whether a value spills over pages that belong to no b-tree: then every row is met."""
    return any(len(r["c"][1] or "") > 9000 for p in paths for r in oracle.read(p)["t"].rows)


def with_a_row(path: Path, of: Path) -> Path:
    """A copy of a file with one row more."""
    path.write_bytes(of.read_bytes())
    with closing(sqlite3.connect(path)) as con:
        con.execute("INSERT INTO t (k) VALUES (9999)")
        con.commit()
    return path


def test_a_plain_copy_is_really_narrowed(tmp_path, by_pages):
    target = build(tmp_path / "t.db", "INT PRIMARY KEY", 3000, 4096)
    source = with_a_row(tmp_path / "s.db", target)
    seen = by_pages()
    report = merge_files(target, [source])
    table = report.tables[0]
    assert (table.new, table.incoming, table.identical) == (1, 3001, 3000)
    assert seen[0].common > 2900


def test_a_target_made_of_copies_counts_their_rows(tmp_path, by_pages):
    source = build(tmp_path / "a.db", "INT PRIMARY KEY", 3000, 4096)
    grown = with_a_row(tmp_path / "b.db", source)
    seen = by_pages()
    report = merge_files(tmp_path / "new.db", [source, grown])
    counts = {t.name: (t.here, t.incoming, t.new, t.identical) for t in report.tables}
    assert counts == {"t": (0, 6001, 3001, 3000), "other": (0, 6000, 3000, 3000)}
    assert seen[0].common > 2900


@pytest.mark.parametrize("seed", range(100, 106))
def test_three_ways_by_pages_and_by_rows(tmp_path, by_pages, seed):
    chance = random.Random(seed)
    key = ["INTEGER PRIMARY KEY", "INT PRIMARY KEY", "INT UNIQUE", ""][seed % 4]
    base = build(tmp_path / "b.db", key, 700, 512)
    ours, theirs = tmp_path / "o.db", tmp_path / "t.db"
    for i, path in enumerate((ours, theirs)):
        path.write_bytes(base.read_bytes())
        edit(path, chance, 5000 + 1000 * i)
        nameless(path, chance)
    nameless(ours, random.Random(seed + seed % 2))
    slow = merge3_files(base, ours, theirs, tmp_path / "slow.db")
    narrowed = by_pages()
    fast = merge3_files(base, ours, theirs, tmp_path / "fast.db")
    assert narrowed or is_long([ours, theirs])
    assert replace(fast, conflicts=()) == replace(slow, conflicts=())
    assert set(map(repr, fast.conflicts)) == set(map(repr, slow.conflicts))
    expected, conflicts = oracle.three_way(*map(oracle.read, (base, ours, theirs)))
    assert len(fast.conflicts) == len(conflicts)
    if fast.written:
        assert_same(tmp_path / "fast.db", expected)


def nameless(path: Path, chance: random.Random) -> None:
    """Changes of rows that no key names, the same on both sides for the same ``chance``."""
    with closing(sqlite3.connect(path)) as con:
        for _ in range(6):
            row = (chance.randint(0, 50), chance.randint(0, 2))
            con.execute("INSERT INTO other VALUES (?, ?)", row)
            con.execute("INSERT INTO t (a, c) VALUES (?, 'no key')", row[:1])
            con.execute(
                "DELETE FROM other WHERE rowid IN "
                "(SELECT rowid FROM other WHERE k = ? AND v = ? LIMIT 3)",
                (chance.randint(0, 50), chance.randint(0, 2)),
            )
        con.commit()


@pytest.mark.parametrize("became", ["edited", "rewritten", "grown"])
def test_rows_without_a_key_by_pages(tmp_path, by_pages, became):
    """Where ours is much larger than the base, its rows are met one by one."""
    base = tmp_path / "b.db"
    with closing(sqlite3.connect(base)) as con:
        con.execute("CREATE TABLE t (a, b)")
        con.executemany("INSERT INTO t VALUES (?, ?)", [(i % 400, "x" * 60) for i in range(4000)])
        con.commit()
    ours, theirs = tmp_path / "o.db", tmp_path / "t.db"
    for path, sql in (
        (ours, "DELETE FROM t WHERE rowid IN (401, 402, 2001)"),
        (theirs, "DELETE FROM t WHERE rowid IN (1, 401, 3601, 7)"),
    ):
        path.write_bytes(base.read_bytes())
        with closing(sqlite3.connect(path, isolation_level=None)) as con:
            con.execute(sql)
            con.execute("INSERT INTO t VALUES (5, 'both'), (5, 'both')")
            if became == "rewritten" and path == ours:
                con.execute("PRAGMA page_size=1024")
                con.execute("VACUUM")
            if became == "grown" and path == ours:
                con.execute("CREATE TABLE more AS SELECT zeroblob(1000000) AS x")
    narrowed = by_pages()
    report = merge3_files(base, ours, theirs, tmp_path / "out.db")
    assert [n.told for n in narrowed] == [became != "grown"]
    assert (report.tables[0].removed, report.tables[0].incoming) == (2, 3998)
    expected, _ = oracle.three_way(*map(oracle.read, (base, ours, theirs)))
    assert_same(tmp_path / "out.db", expected)


def test_a_page_that_is_its_own_child_ends_the_walk(tmp_path):
    """Only a damaged file has one; a walk that never ended would be worse than an error."""
    path = build(tmp_path / "t.db", "INT PRIMARY KEY", 700, 512)
    with closing(sqlite3.connect(path)) as con:
        root = con.execute("SELECT rootpage FROM sqlite_schema WHERE name = 't'").fetchone()[0]
    raw = bytearray(path.read_bytes())
    at = (root - 1) * 512
    assert raw[at] == 5
    raw[at + 3 : at + 5] = b"\0\0"  # no cells, only the last child
    raw[at + 8 : at + 12] = root.to_bytes(4, "big")
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="a loop"):
        Pages(str(path)).interior(root)


def test_pages_that_became_free_keep_a_copy_a_copy(tmp_path, by_pages):
    """The list of free pages is longer in the copy; it stands on pages of no b-tree."""
    target = build(tmp_path / "t.db", "INTEGER PRIMARY KEY", 3000, 1024)
    source = tmp_path / "s.db"
    for path, rows in ((target, "300 AND 600"), (source, "1000 AND 1900")):
        if path == source:
            source.write_bytes(target.read_bytes())
        with closing(sqlite3.connect(path)) as con:
            con.execute(f"DELETE FROM t WHERE k BETWEEN {rows}")
            con.commit()
            assert con.execute("PRAGMA freelist_count").fetchone()[0] > 5
    expected = oracle.two_way([oracle.read(p) for p in (target, source)])
    seen = by_pages()
    report = merge_files(target, [source])
    assert seen and seen[-1].common > 1500
    assert counted(report) == +expected.counts
    assert_same(target, expected.tables)


def test_a_value_that_changed_where_only_its_last_page_tells(tmp_path, by_pages):
    """Pages of indices change too: they are known by their kind, and that page must not be."""
    target = build(tmp_path / "t.db", "INTEGER PRIMARY KEY", 700, 512)
    with closing(sqlite3.connect(target)) as con:
        con.execute("UPDATE t SET c = ? WHERE k = 300", ("long " * 2000,))
        con.commit()
    source = tmp_path / "s.db"
    source.write_bytes(target.read_bytes())
    with closing(sqlite3.connect(source)) as con:
        con.execute("UPDATE t SET c = substr(c, 1, 9999) || '!' WHERE k = 300")
        con.execute("UPDATE t SET a = 9 WHERE k = 100")
        con.commit()
    expected = oracle.two_way([oracle.read(p) for p in (target, source)], policy="theirs")
    by_pages()
    report = merge_files(target, [source], options=MergeOptions(on_conflict=OnConflict.THEIRS))
    assert counted(report) == +expected.counts
    assert_same(target, expected.tables)
