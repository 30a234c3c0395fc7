"""Rebase against the oracle, and what it promises about keys."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitxexp.common.errors import XexpError
from gitxexp.tables.plan import MergeOptions, Mode, OnConflict
from gitxexp.tables.sqlite.merge import merge_files
from tests.tables import oracle
from tests.tables.sqlite.strategies import EXAMPLES, MEMORY, QUIET, VALUES, quote, write
from tests.tables.sqlite.test_two_way import assert_same, check_sound, counted

REBASE = MergeOptions(mode=Mode.REBASE)


@st.composite
def versioned(draw):
    """A file whose tables have a version column, a run id, or neither, with repeated rows."""
    made = []
    for name, column in (("a", "version"), ("b", "track_id"), ("c", "other")):
        tail = draw(st.sampled_from(["", ", UNIQUE (id, v)"])) if name == "a" else ""
        declared = draw(st.sampled_from(["", "TEXT", "INTEGER"]))
        made.append((f"CREATE TABLE {name} ({column} {declared}, id, v{tail})", ()))
        for _ in range(draw(st.integers(0, 6))):
            row = [draw(st.sampled_from([None, "1", 1, 1.0, "e0.1.0"])), draw(VALUES), draw(VALUES)]
            insert = f"INSERT OR IGNORE INTO {quote(name)} VALUES (?, ?, ?)"
            made += [(insert, row)] * draw(st.integers(1, 2))
    return made


@settings(max_examples=EXAMPLES * 3, **QUIET)
@given(st.lists(versioned(), min_size=2, max_size=4))
def test_rebase_equals_the_oracle(files):
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        paths = [write(Path(folder) / f"{i}.db", f) for i, f in enumerate(files)]
        tables = [oracle.read(p) for p in paths]
        keyed = any(t.key for d in tables for t in d.values())
        expected = oracle.rebase(tables)
        before = paths[0].read_bytes()
        plan = merge_files(paths[0], paths[1:], options=REBASE, write=False)
        report = merge_files(paths[0], paths[1:], options=REBASE)
        assert plan.tables == report.tables
        assert bool(report.conflicts) == bool(expected.conflicts)
        if report.conflicts:
            assert paths[0].read_bytes() == before
            return
        assert_same(paths[0], expected.tables)
        check_sound(paths[0])
        if not keyed:
            assert counted(report) == +expected.counts
        again = merge_files(paths[0], paths[1:], options=REBASE)
        assert len(files) > 2 or not again.changed


def test_the_key_is_typed_and_must_exist(tmp_path):
    rows = [("CREATE TABLE t (run, v)", ()), ("INSERT INTO t VALUES (1, 'old'), ('1', 'old')", ())]
    target = write(tmp_path / "a.db", rows)
    source = write(tmp_path / "b.db", [rows[0], ("INSERT INTO t VALUES (1, 'new')", ())])
    with pytest.raises(XexpError, match="no table has the key nope"):
        merge_files(target, [source], options=MergeOptions(mode=Mode.REBASE, key=("nope",)))
    report = merge_files(target, [source], options=MergeOptions(mode=Mode.REBASE, key=("run",)))
    (table,) = [t for t in report.tables if t.name == "t"]
    assert (table.here, table.incoming, table.new, table.replaced) == (2, 1, 1, 1)
    values = {(r["run"], r["v"][1]) for r in oracle.read(target)["t"].rows}
    assert values == {(("int", 1), "new"), (("str", "1"), "old")}


def test_a_unique_key_of_another_version_is_a_conflict(tmp_path):
    make = ("CREATE TABLE t (id INT PRIMARY KEY, version, v)", ())
    target = write(tmp_path / "a.db", [make, ("INSERT INTO t VALUES (1, 'e1', 1)", ())])
    source = write(tmp_path / "b.db", [make, ("INSERT INTO t VALUES (1, 'e2', 2)", ())])
    report = merge_files(target, [source], options=REBASE)
    assert {(c.column, c.ours, c.theirs) for c in report.conflicts} == {
        ("version", "e1", "e2"),
        ("v", 1, 2),
    }
    theirs = MergeOptions(mode=Mode.REBASE, on_conflict=OnConflict.THEIRS)
    assert merge_files(target, [source], options=theirs).written
    assert oracle.read(target)["t"].rows[0]["v"] == ("int", 2)


def test_a_table_that_only_a_later_source_has_confuses_nothing(tmp_path):
    """Found by a long run: temporary tables were named by the place among the tables so far."""
    make = ("CREATE TABLE m (version, v)", ())
    before = ("CREATE TABLE a (version, v)", ())
    target = write(tmp_path / "t.db", [make, ("INSERT INTO m VALUES ('e1', 'old')", ())])
    sources = [
        write(tmp_path / "1.db", [make, before, ("INSERT INTO m VALUES ('e1', 'first')", ())]),
        write(tmp_path / "2.db", [make, ("INSERT INTO m VALUES ('e1', 'second')", ())]),
    ]
    expected = oracle.rebase([oracle.read(p) for p in (target, *sources)])
    assert merge_files(target, sources, options=REBASE).written
    assert_same(target, expected.tables)
    both = [write(tmp_path / f"{n}.db", [make, *extra, ("INSERT INTO m VALUES (NULL, 0)", ())])
            for n, extra in (("x", []), ("y", [before]), ("z", []))]  # fmt: skip
    assert merge_files(both[0], both[1:]).tables[-1].name
    assert len(oracle.read(both[0])["m"].rows) == 1


def test_versions_of_two_types_are_two_versions(tmp_path):
    """1 and 1.0 are two keys, so each source's rows stay; a row was lost where all else is equal."""
    make = ("CREATE TABLE a (version, v)", ())
    target = write(tmp_path / "t.db", [make])
    sources = [
        write(tmp_path / f"{value}.db", [make, ("INSERT INTO a VALUES (?, 'same')", (value,))])
        for value in (1, 1.0)
    ]
    assert merge_files(target, sources, options=REBASE).written
    versions = {r["version"] for r in oracle.read(target)["a"].rows}
    assert versions == {("int", 1), ("float", 1.0)}
