"""Three-way merge against the oracle, and the cases a git merge driver meets."""

from __future__ import annotations

import pickle
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitxexp.tables.sqlite.merge import merge3_files, merge_files
from tests.tables import oracle
from tests.tables.sqlite.strategies import (
    EXAMPLES,
    MEMORY,
    QUIET,
    VALUES,
    database,
    quote,
    shapes,
    write,
)
from tests.tables.sqlite.test_two_way import assert_same, check_sound


@st.composite
def edits(draw, shapes):
    """Statements that change, delete and add rows, for any of the tables."""
    made = []
    for _ in range(draw(st.integers(0, 4))):
        table = quote(draw(st.sampled_from(list(shapes))))
        column = quote(draw(st.sampled_from(["k", "x y", "select"])))
        n = draw(st.integers(0, 5))
        kind = draw(st.sampled_from(["update", "delete", "insert"]))
        row = f"(SELECT k FROM {table} LIMIT 1 OFFSET {n})"
        if kind == "update":
            made.append(
                (f"UPDATE OR IGNORE {table} SET {column} = ? WHERE k IS {row}", [draw(VALUES)])
            )
        elif kind == "delete":
            made.append((f"DELETE FROM {table} WHERE k IS {row}", []))
        else:
            made.append(
                (
                    f"INSERT OR IGNORE INTO {table} (k, {column}) VALUES (?, ?)",
                    [draw(VALUES), draw(VALUES)],
                )
            )
    return made


@st.composite
def sides(draw):
    kinds = draw(shapes())
    return draw(database(kinds, keyed=True)), draw(edits(kinds)), draw(edits(kinds))


def apply(path: Path, statements) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        for sql, parameters in statements:
            try:
                con.execute(sql, parameters)
            except sqlite3.Error:
                continue


@settings(max_examples=EXAMPLES * 3, **QUIET)
@given(sides())
def test_three_way_equals_the_oracle(case):
    start, mine, other = case
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        base, ours, theirs, out = (Path(folder) / f"{n}.db" for n in "bots")
        write(base, start)
        for path, changes in ((ours, mine), (theirs, other)):
            path.write_bytes(base.read_bytes())
            apply(path, changes)
        expected, conflicts = oracle.three_way(*map(oracle.read, (base, ours, theirs)))
        before = ours.read_bytes()
        report = merge3_files(base, ours, theirs, out)
        assert {
            (c.table.lower(), c.kind.replace("primary key", "value")) for c in report.conflicts
        } == {c[:2] for c in conflicts}
        assert len(report.conflicts) == len(conflicts)
        assert ours.read_bytes() == before
        if conflicts:
            assert not report.written and not out.exists()
            return
        assert_same(out, expected)
        check_sound(out)


@settings(max_examples=EXAMPLES, **QUIET)
@given(st.data())
def test_without_a_base_it_is_a_two_way_merge(data):
    kinds = data.draw(shapes())
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        ours, theirs, out, other = (Path(folder) / f"{n}.db" for n in "otsx")
        write(ours, data.draw(database(kinds)))
        write(theirs, data.draw(database(kinds)))
        three = merge3_files(None, ours, theirs, out)
        two = merge_files(ours, [theirs], out=other)
        assert bool(three.conflicts) == bool(two.conflicts)
        if three.written:
            assert_same(out, oracle.read(other))


def tracked(path: Path, counts: dict, keys: dict) -> Path:
    """A database with the tables that xetrack's assets use (sqlitedict's layout)."""
    with closing(sqlite3.connect(path)) as con:
        for name in ("assets", "keys", "counts"):
            con.execute(f'CREATE TABLE "{name}" (key TEXT PRIMARY KEY, value BLOB)')
        for key, number in counts.items():
            con.execute("INSERT INTO counts VALUES (?, ?)", (key, pickle.dumps(number, 5)))
            con.execute("INSERT INTO assets VALUES (?, ?)", (key, b"object " + key.encode()))
        for key, value in keys.items():
            con.execute("INSERT INTO keys VALUES (?, ?)", (key, pickle.dumps(value, 5)))
        con.commit()
    return path


def counts(path: Path) -> dict:
    with closing(sqlite3.connect(path)) as con:
        return {k: pickle.loads(v) for k, v in con.execute("SELECT key, value FROM counts")}


def test_counters_add_up_and_no_counted_asset_is_lost(tmp_path):
    base = tracked(tmp_path / "b.db", {"a": 1, "b": 2, "gone": 1, "kept": 1}, {"k": "a"})
    ours = tracked(tmp_path / "o.db", {"a": 300, "b": 3, "gone": 1, "kept": 2}, {"k": "a"})
    theirs = tracked(tmp_path / "t.db", {"a": 70001, "b": 1, "new": 1}, {"k": "a", "l": "new"})
    report = merge3_files(base, ours, theirs, ours)
    assert report.written
    assert counts(ours) == {"a": 70300, "b": 2, "kept": 1, "new": 1}
    with closing(sqlite3.connect(ours)) as con:
        assert {k for (k,) in con.execute("SELECT key FROM assets")} == {"a", "b", "kept", "new"}


@pytest.mark.parametrize(
    ("mine", "other", "kind"),
    [
        ("UPDATE t SET v = 5 WHERE k = 1", "UPDATE t SET v = 6 WHERE k = 1", "value"),
        ("DELETE FROM t WHERE k = 1", "UPDATE t SET v = 6 WHERE k = 1", "delete/change"),
        ("UPDATE t SET v = 5 WHERE k = 1", "DELETE FROM t WHERE k = 1", "change/delete"),
    ],
)
def test_conflicts_show_three_values_and_leave_ours(tmp_path, mine, other, kind):
    base, ours, theirs = (tmp_path / f"{n}.db" for n in "bot")
    write(
        base, [("CREATE TABLE t (k INT PRIMARY KEY, v)", ()), ("INSERT INTO t VALUES (1, 4)", ())]
    )
    for path, sql in ((ours, mine), (theirs, other)):
        path.write_bytes(base.read_bytes())
        apply(path, [(sql, ())])
    before = ours.read_bytes()
    report = merge3_files(base, ours, theirs, ours)
    assert not report.written
    assert ours.read_bytes() == before
    (conflict,) = report.conflicts
    assert conflict.kind == kind
    assert conflict.key == {"k": 1}
    if kind == "value":
        assert (conflict.base, conflict.ours, conflict.theirs) == (4, 5, 6)


OBJECTS = """
CREATE TABLE t (k INT PRIMARY KEY, v);
CREATE UNIQUE INDEX one ON t (v);
CREATE INDEX two ON t (v, k);
CREATE VIEW seen AS SELECT 1 AS n;
CREATE VIEW other AS SELECT 1 AS n;
CREATE TABLE log (line);
CREATE TRIGGER told AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('fired'); END;
INSERT INTO t VALUES (1, 1);
DELETE FROM log;
"""


def objects(path: Path) -> dict:
    with closing(sqlite3.connect(path)) as con:
        return dict(con.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))


def test_dropped_and_changed_indexes_views_and_triggers_follow(tmp_path):
    base, ours, theirs = (tmp_path / f"{n}.db" for n in "bot")
    with closing(sqlite3.connect(base)) as con:
        con.executescript(OBJECTS)
    for path, statements in (
        (ours, ["DROP VIEW other", "CREATE VIEW mine AS SELECT 3", "DROP INDEX two"]),
        (
            theirs,
            [
                "DROP INDEX one",
                "DROP TRIGGER told",
                "DROP VIEW seen",
                "CREATE VIEW seen AS SELECT 2 AS n",
                "INSERT INTO t VALUES (2, 1)",  # only without the unique index
            ],
        ),
    ):
        path.write_bytes(base.read_bytes())
        apply(path, [(s, ()) for s in statements])
    report = merge3_files(base, ours, theirs, tmp_path / "out.db")
    assert report.written
    assert report.notes == (
        "index one dropped: theirs dropped it",
        "trigger told dropped: theirs dropped it",
    )
    found = objects(tmp_path / "out.db")
    assert set(found) == {"t", "log", "seen", "mine"}
    assert found["seen"] == "CREATE VIEW seen AS SELECT 2 AS n"
    assert sorted(r["v"] for r in oracle.read(tmp_path / "out.db")["t"].rows) == [("int", 1)] * 2
    other = merge3_files(base, theirs, ours, tmp_path / "other.db")
    assert other.written
    assert objects(tmp_path / "other.db") == found


def test_a_view_that_both_sides_changed_stays_as_ours(tmp_path):
    base, ours, theirs = (tmp_path / f"{n}.db" for n in "bot")
    for path, n in ((base, 1), (ours, 2), (theirs, 3)):
        write(path, [(f"CREATE VIEW seen AS SELECT {n} AS n", ())])
    report = merge3_files(base, ours, theirs, ours)
    assert report.notes == ("view seen: both sides changed it, ours stays",)
    assert objects(ours)["seen"] == "CREATE VIEW seen AS SELECT 2 AS n"


@pytest.mark.parametrize("strict", ["STRICT", ""])
def test_one_number_in_a_column_added_with_two_types_is_no_conflict(tmp_path, strict):
    base, ours, theirs, out = (tmp_path / f"{n}.db" for n in "bots")
    start = f"CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT) {strict};"
    start += "INSERT INTO t VALUES (1, 'x'), (2, 'y');"
    for path, more in (
        (base, ""),
        (ours, "ALTER TABLE t ADD COLUMN n INTEGER; UPDATE t SET n = 1 WHERE id = 1;"),
        (theirs, "ALTER TABLE t ADD COLUMN n REAL; UPDATE t SET n = id * 1.0;"),
    ):
        with closing(sqlite3.connect(path)) as con:
            con.executescript(start + more)
    assert not merge3_files(base, ours, theirs, out).conflicts
    with closing(sqlite3.connect(out)) as con:
        assert con.execute("SELECT n, typeof(n) FROM t ORDER BY id").fetchall() == [
            (1, "integer"), (2.0, "real")]  # fmt: skip
    with closing(sqlite3.connect(theirs)) as con, con:
        con.execute("UPDATE t SET n = 1.5 WHERE id = 1")
    assert [c.column for c in merge3_files(base, ours, theirs, out).conflicts] == ["n"]
