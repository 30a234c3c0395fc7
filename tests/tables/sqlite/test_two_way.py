"""Two-way merge against the oracle, on random schemas, types, keys and rows."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitxexp.common.errors import XexpError
from gitxexp.tables.plan import MergeOptions, OnConflict
from gitxexp.tables.sqlite import write as write_module
from gitxexp.tables.sqlite.merge import merge_files
from tests.tables import oracle
from tests.tables.sqlite.strategies import EXAMPLES, MEMORY, QUIET, database, shapes, write

COUNTS = ("incoming", "new", "identical", "filled", "replaced", "conflicting")


@st.composite
def inputs(draw):
    kinds = draw(shapes())
    return [draw(database(kinds)) for _ in range(draw(st.integers(2, 3)))]


def typed_conflicts(report):
    found = set()
    for c in report.conflicts:
        if c.kind == "constraint":
            found.add((c.table.lower(), "constraint"))
        else:
            key = tuple(oracle.typed(v) for v in c.key.values())
            pair = (oracle.typed(c.ours), oracle.typed(c.theirs))
            found.add((c.table.lower(), key, c.column, *pair))
    return found


def counted(report):
    return Counter(
        {(t.name.lower(), f): getattr(t, f) for t in report.tables for f in COUNTS if getattr(t, f)}
    )


def check_sound(path: Path) -> None:
    with closing(sqlite3.connect(path)) as con:
        assert con.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def assert_same(path: Path, expected: dict[str, oracle.Table]) -> None:
    got = oracle.read(path)
    assert set(got) == set(expected)
    for name, table in expected.items():
        assert set(got[name].columns) == set(table.columns)
        assert oracle.multiset(got[name], table.columns) == oracle.multiset(table)


@settings(max_examples=EXAMPLES * 4, **QUIET)
@given(
    inputs(),
    st.booleans(),
    st.sampled_from(list(OnConflict)),
    st.sampled_from([(), ("k",), ("k", "x y")]),
)
def test_merge_equals_the_oracle(files, fill, policy, key):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        paths = [write(Path(folder) / f"{i}.db", f) for i, f in enumerate(files)]
        before = [p.read_bytes() for p in paths]
        tables = [oracle.read(p) for p in paths]
        if key and not any(set(key) <= set(t.columns) for d in tables for t in d.values()):
            key = ()
        if policy is OnConflict.BOTH and any(t.counted for d in tables for t in d.values()):
            policy = OnConflict.FAIL  # else clashing rows are renumbered
        options = MergeOptions(fill=fill, on_conflict=policy, key=key)
        try:
            expected = oracle.two_way(tables, fill=fill, policy=str(policy), declared=key)
        except oracle.Ambiguous:
            with pytest.raises(XexpError, match="does not identify one row"):
                merge_files(paths[0], paths[1:], options=options)
            assert [p.read_bytes() for p in paths] == before
            return
        plan = merge_files(paths[0], paths[1:], options=options, write=False)
        assert [p.read_bytes() for p in paths] == before
        report = merge_files(paths[0], paths[1:], options=options)
        assert plan.tables == report.tables
        assert plan.conflicts == report.conflicts
        assert typed_conflicts(report) == (
            {c for c in expected.conflicts if c[1] != "constraint"}
            | {c for c in expected.conflicts if c[1] == "constraint" and policy != "ours"}
        )
        assert [p.read_bytes() for p in paths[1:]] == before[1:]
        if report.conflicts:
            assert not report.written
            assert paths[0].read_bytes() == before[0]
            return
        assert counted(report) == +expected.counts
        assert_same(paths[0], expected.tables)
        check_sound(paths[0])
        assert sorted(p.name for p in Path(folder).iterdir()) == [p.name for p in paths]


@settings(max_examples=EXAMPLES, **QUIET)
@given(inputs())
def test_merging_twice_changes_nothing_and_order_is_free(files):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        paths = [write(Path(folder) / f"{i}.db", f) for i, f in enumerate(files)]
        one, two = Path(folder) / "one.db", Path(folder) / "two.db"
        first = merge_files(paths[0], paths[1:], out=one)
        second = merge_files(paths[0], paths[:0:-1], out=two)
        if first.conflicts or second.conflicts:
            return
        once = one.read_bytes()
        again = merge_files(one, paths[1:])
        assert again.written
        assert not again.changed
        assert one.read_bytes() == once
        tables = oracle.read(one)
        if {n: t.key for n, t in oracle.read(two).items()} == {n: t.key for n, t in tables.items()}:
            assert_same(two, tables)


@pytest.mark.parametrize("policy", ["fail", "ours", "theirs"])
def test_in_place_gives_the_same_rows(tmp_path, policy):
    for name in ("a", "b"):
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as con:
            con.execute("CREATE TABLE t (k TEXT PRIMARY KEY, v, w)")
            con.execute("CREATE TABLE u (v)")
            con.execute("INSERT INTO u VALUES (1), (1), (1.0)")
            con.execute("INSERT INTO t VALUES ('1', 1, NULL), ('2', ?, 2)", (name,))
            con.commit()
    copy = tmp_path / "copy.db"
    copy.write_bytes((tmp_path / "a.db").read_bytes())
    before = copy.read_bytes()
    options = MergeOptions(on_conflict=OnConflict(policy))
    place = MergeOptions(on_conflict=OnConflict(policy), in_place=True)
    one = merge_files(tmp_path / "a.db", [tmp_path / "b.db"], options=options)
    two = merge_files(copy, [tmp_path / "b.db"], options=place)
    assert one == two
    if policy == "fail":
        assert copy.read_bytes() == before
    assert_same(copy, oracle.read(tmp_path / "a.db"))


def test_of_two_rows_with_one_key_the_later_wins(tmp_path):
    """Found by a long run: a row equal to the target's was passed over after another had won."""
    make = ("CREATE TABLE t (k, v)", ())
    target = write(tmp_path / "a.db", [("CREATE TABLE t (k PRIMARY KEY, v)", ()),
                                       ("INSERT INTO t VALUES (1, 'old')", ())])  # fmt: skip
    rows = "INSERT INTO t VALUES (1, 'new'), (2, 'a'), (1, 'old'), (2, 'b'), (2, 'a')"
    source = write(tmp_path / "b.db", [make, (rows, ())])
    options = MergeOptions(on_conflict=OnConflict.THEIRS)
    expected = oracle.two_way([oracle.read(p) for p in (target, source)], policy="theirs")
    report = merge_files(target, [source], options=options)
    assert counted(report) == +expected.counts
    assert_same(target, expected.tables)
    assert {r["v"][1] for r in oracle.read(target)["t"].rows} == {"old", "a"}


def test_refused_rows_are_counted_as_offered(tmp_path):
    """Found by a long run: rows with a NULL key, where the target is WITHOUT ROWID."""
    target = write(tmp_path / "a.db", [("CREATE TABLE t (k PRIMARY KEY, v) WITHOUT ROWID", ())])
    rows = "INSERT INTO t VALUES (NULL, 1), (NULL, 1), (2, 2)"
    source = write(tmp_path / "b.db", [("CREATE TABLE t (k, v)", ()), (rows, ())])
    options = MergeOptions(on_conflict=OnConflict.OURS)
    expected = oracle.two_way([oracle.read(p) for p in (target, source)], policy="ours")
    report = merge_files(target, [source], options=options)
    assert counted(report) == +expected.counts
    assert (report.tables[1].incoming, report.tables[1].new) == (3, 1)
    assert_same(target, expected.tables)


def test_in_place_the_rows_that_were_there_are_estimated(tmp_path, monkeypatch):
    monkeypatch.setattr(write_module, "_COUNTED", 2)
    target, more = tmp_path / "t.db", tmp_path / "m.db"
    for path, start in ((target, 5), (more, 50)):
        with closing(sqlite3.connect(path)) as con:
            con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
            con.executemany("INSERT INTO t VALUES (?, 1)", [(start + i,) for i in range(6)])
            con.execute("DELETE FROM t WHERE id = 7")
            con.commit()
    place = MergeOptions(in_place=True)
    for options, here in ((place, (6, True)), (replace(place, count=True), (5, False))):
        copy = tmp_path / "copy.db"
        copy.write_bytes(target.read_bytes())
        table = merge_files(copy, [more], options=options).tables[0]
        assert (table.here, table.estimated) == here
        assert (table.incoming, table.new) == (6, 6)
    with closing(sqlite3.connect(copy)) as con:
        con.execute("DELETE FROM t WHERE id >= 50")
        con.execute("INSERT INTO t VALUES (1 << 62, 1)")  # a hash: no row for each number
        con.commit()
    table = merge_files(copy, [more], options=place).tables[0]
    assert (table.here, table.estimated) == (6, False)
    assert merge_files(target, [more]).tables[0].here == 5
