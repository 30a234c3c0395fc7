"""Everything that is not a plain row survives; what only a source has is carried over."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.tables.plan import MergeOptions, Mode, OnConflict
from gitxexp.tables.sqlite.merge import merge3_files, merge_files
from tests.tables import oracle
from tests.tables.sqlite.test_two_way import check_sound


def script(path: Path, sql: str) -> Path:
    with closing(sqlite3.connect(path)) as con:
        con.executescript(sql)
    return path


def query(path: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as con:
        return con.execute(sql).fetchall()


RICH = """
PRAGMA user_version = 7; PRAGMA application_id = 99; PRAGMA foreign_keys = ON;
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,
  score REAL CHECK (score >= 0), twice REAL GENERATED ALWAYS AS (score * 2) STORED);
CREATE TABLE steps (run INTEGER NOT NULL REFERENCES runs (id), n INT, v ANY,
  PRIMARY KEY (run, n)) STRICT, WITHOUT ROWID;
CREATE INDEX by_score ON runs (score DESC) WHERE score > 1;
CREATE VIEW best AS SELECT max(score) AS top FROM runs;
CREATE TABLE log (line TEXT);
CREATE TRIGGER logged AFTER INSERT ON runs BEGIN INSERT INTO log VALUES ('fired'); END;
CREATE VIRTUAL TABLE text USING fts5 (name, content='runs', content_rowid='id');
CREATE VIRTUAL TABLE own USING fts5 (words);
"""


def test_a_rich_schema_survives(tmp_path):
    target = script(
        tmp_path / "t.db",
        RICH + "INSERT INTO runs (id, name, score) VALUES "
        "(1, 'one', 1); INSERT INTO steps VALUES (1, 1, 'x'); DELETE FROM log;"
        "INSERT INTO own VALUES ('here now');"
        "INSERT INTO text (text) VALUES ('rebuild');",
    )
    source = script(
        tmp_path / "s.db",
        RICH + "INSERT INTO runs (id, name, score) VALUES "
        "(5, 'five', 5); INSERT INTO steps VALUES (5, 1, 1.5), (5, 2, NULL);"
        "DELETE FROM log; INSERT INTO own VALUES ('there then');"
        "CREATE TABLE extra (k TEXT PRIMARY KEY) WITHOUT ROWID;"
        "INSERT INTO extra VALUES ('x'); CREATE INDEX by_name ON runs (name);"
        "CREATE VIEW names AS SELECT name FROM runs;",
    )
    before = query(target, "SELECT type, name, sql FROM sqlite_schema WHERE sql NOT NULL")
    report = merge_files(target, [source])
    assert report.written
    assert set(report.carried) == {"table extra", "index by_name", "view names"}
    after = query(target, "SELECT type, name, sql FROM sqlite_schema WHERE sql NOT NULL")
    assert set(before) < set(after)
    assert query(target, "SELECT id, name, score, twice FROM runs") == [
        (1, "one", 1.0, 2.0),
        (5, "five", 5.0, 10.0),
    ]
    assert query(target, "SELECT * FROM steps") == [(1, 1, "x"), (5, 1, 1.5), (5, 2, None)]
    assert query(target, "SELECT * FROM log") == []
    assert query(target, "SELECT rowid FROM text WHERE text MATCH 'five'") == [(5,)]
    assert query(target, "SELECT words FROM own WHERE own MATCH 'then'") == [("there then",)]
    assert query(target, "SELECT seq FROM sqlite_sequence") == [(5,)]
    assert query(target, "PRAGMA user_version") + query(target, "PRAGMA application_id") == [
        (7,),
        (99,),
    ]
    assert query(target, "PRAGMA foreign_key_check") == []
    check_sound(target)
    assert not merge_files(target, [source]).changed


@pytest.mark.parametrize(
    ("make", "row", "column"),
    [
        ("CREATE TABLE t (k PRIMARY KEY, v NOT NULL)", "(2, NULL)", "v"),
        ("CREATE TABLE t (k PRIMARY KEY, v CHECK (v < 5))", "(2, 9)", None),
        ("CREATE TABLE t (k PRIMARY KEY, v UNIQUE)", "(2, 1)", "v"),
        ("CREATE TABLE t (k INT PRIMARY KEY, v INT) STRICT", "(2, 'x')", "v"),
        ("CREATE TABLE t (k, v NOT NULL)", "(2, NULL)", "v"),
    ],
)
@pytest.mark.parametrize("in_place", [False, True])
def test_a_row_that_a_constraint_refuses(tmp_path, make, row, column, in_place):
    target = script(tmp_path / "t.db", f"{make}; INSERT INTO t VALUES (1, 1);")
    source = script(tmp_path / "s.db", f"CREATE TABLE t (k, v); INSERT INTO t VALUES {row}, (3, 3)")
    before = target.read_bytes()
    report = merge_files(target, [source], options=MergeOptions(in_place=in_place))
    assert not report.written
    assert [c.kind for c in report.conflicts] == ["constraint"]
    assert report.conflicts[0].column == column
    assert target.read_bytes() == before
    ours = MergeOptions(in_place=in_place, on_conflict=OnConflict.OURS)
    assert merge_files(target, [source], options=ours).written
    assert query(target, "SELECT k FROM t ORDER BY k") == [(1,), (3,)]


DECLARES = """CREATE TABLE p (id INTEGER PRIMARY KEY, n TEXT); INSERT INTO p VALUES (7, 'theirs');
CREATE TABLE t (id INTEGER PRIMARY KEY, x INT CHECK (x < 100), y INT CHECK (y > 0) DEFAULT 3,
  z INT NOT NULL DEFAULT 0, w INT UNIQUE, u TEXT COLLATE NOCASE DEFAULT (1 + 2),
  q INT CONSTRAINT odd CHECK (q IS NOT NULL), parent INT REFERENCES p, CHECK (w > y));
INSERT INTO t VALUES (2, 2, 3, 4, 5, 'x', 1, 7);"""
LEFT = {"CHECK (x < 100) on x", "NOT NULL on z", "UNIQUE on w", "CHECK (q IS NOT NULL) on q"}


@pytest.mark.parametrize("in_place", [False, True])
def test_a_column_comes_with_what_its_source_declares_of_it(tmp_path, in_place):
    """The rows that were there stay NULL, and what SQLite cannot add to a table is named."""
    target = script(
        tmp_path / "t.db",
        "CREATE TABLE p (id INTEGER PRIMARY KEY, n TEXT); CREATE TABLE t (id INTEGER PRIMARY KEY, x INT);"
        "INSERT INTO t VALUES (1, 2);",
    )
    source = script(tmp_path / "s.db", DECLARES)

    def notes(*more):
        return {f"{what} of t, as {source} declares it, is not added" for what in {*LEFT, *more}}

    options = MergeOptions(in_place=in_place)
    assert set(merge_files(target, [source], options=options).notes) == notes(
        "DEFAULT (1 + 2) on u"
    )
    nulls = (None,) * 6
    assert query(target, "SELECT * FROM t") == [(1, 2, *nulls), (2, 2, 3, 4, 5, "x", 1, 7)]
    assert set(merge_files(target, [source], options=options).notes) == notes()
    with closing(sqlite3.connect(target)) as con:
        con.execute("INSERT INTO t (id, u) VALUES (9, 'X')")
        assert con.execute("SELECT y, z, w FROM t WHERE id = 9").fetchall() == [(3, 0, None)]
        assert con.execute("SELECT id FROM t WHERE u = 'X'").fetchall() == [(2,), (9,)]
        for refused in ("y) VALUES (-1)", "y, w) VALUES (3, 2)"):
            with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
                con.execute(f"INSERT INTO t ({refused}")
    check_sound(target)
    assert not merge3_files(source, target, source, target).notes


@pytest.mark.parametrize("column", ["", ", parent INT"])
@pytest.mark.parametrize("mode", [Mode.MERGE, Mode.REBASE])
def test_rows_follow_new_numbers_by_a_reference_that_only_their_source_declares(
    tmp_path, column, mode
):
    target = script(
        tmp_path / "t.db",
        f"CREATE TABLE t (k{column}); CREATE TABLE p (id INTEGER PRIMARY KEY, n);"
        "INSERT INTO p VALUES (1, 'ours');",
    )
    source = script(
        tmp_path / "s.db",
        "CREATE TABLE p (id INTEGER PRIMARY KEY, n); INSERT INTO p VALUES (1, 'theirs');"
        "CREATE TABLE t (k, parent INT REFERENCES p (id)); INSERT INTO t VALUES ('row', 1);",
    )
    assert merge_files(target, [source], options=MergeOptions(renumber=True, mode=mode)).written
    assert query(target, "SELECT k, n FROM t JOIN p ON parent = id") == [("row", "theirs")]


def test_a_key_column_that_a_source_lacks_has_the_default_that_it_must_have(tmp_path):
    make = "CREATE TABLE t (k INT NOT NULL DEFAULT 3, n INT, v, UNIQUE (n, k));"
    target = script(tmp_path / "t.db", f"{make} INSERT INTO t VALUES (3, 1, NULL);")
    source = script(
        tmp_path / "s.db", "CREATE TABLE t (n INT, v); INSERT INTO t VALUES (1, 'x'), (2, 'y');"
    )
    assert merge_files(target, [source]).written
    assert query(target, "SELECT * FROM t") == [(3, 1, "x"), (3, 2, "y")]


def test_a_dangling_reference_is_a_conflict(tmp_path):
    schema = "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p (id));"
    target = script(tmp_path / "t.db", schema)
    source = script(tmp_path / "s.db", schema + "INSERT INTO c VALUES (4)")
    assert [c.kind for c in merge_files(target, [source]).conflicts] == ["constraint"]


def test_values_are_kept_bit_for_bit(tmp_path):
    target = script(
        tmp_path / "t.db",
        "CREATE TABLE t (r REAL, i INTEGER, s TEXT);"
        "INSERT INTO t VALUES (1, 1, '1'), (2.5, 2.5, 'x'); CREATE INDEX i ON t (r);",
    )
    source = script(
        tmp_path / "s.db",
        "CREATE TABLE t (r INTEGER, i REAL, s INTEGER);"
        "INSERT INTO t VALUES (4611686018427387905, 3.0, 7)",
    )
    report = merge_files(target, [source])
    assert set(report.tables[0].types_widened) == {
        "r: REAL -> any",
        "i: INTEGER -> any",
        "s: TEXT -> any",
    }
    assert query(target, "SELECT r, i, s, typeof(r), typeof(i), typeof(s) FROM t") == [
        (1.0, 1, "1", "real", "integer", "text"),
        (2.5, 2.5, "x", "real", "real", "text"),
        (2**62 + 1, 3.0, 7, "integer", "real", "integer"),
    ]
    check_sound(target)


def test_renumber_is_idempotent_and_never_breaks_references(tmp_path):
    make = "CREATE TABLE t (id INTEGER PRIMARY KEY, v);"
    target = script(tmp_path / "t.db", make + "INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    source = script(tmp_path / "s.db", make + "INSERT INTO t VALUES (1, 'x'), (2, 'b'), (3, 'c')")
    refused = merge_files(target, [source])
    assert [(c.kind, c.ours, c.theirs) for c in refused.conflicts] == [("primary key", "a", "x")]
    options = MergeOptions(renumber=True)
    assert merge_files(target, [source], options=options).tables[0].new == 2
    assert sorted(query(target, "SELECT v FROM t")) == [("a",), ("b",), ("c",), ("x",)]
    assert not merge_files(target, [source], options=options).changed


def test_children_with_a_key_of_their_own_follow_renumbered_rows(tmp_path):
    make = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v);"
        "CREATE TABLE c (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id), k NOT NULL, x, UNIQUE (t, k));"
    )
    rows = "INSERT INTO t VALUES (1, '{0}'); INSERT INTO c VALUES (1, 1, 'k', '{0}')"
    target = script(tmp_path / "t.db", make + rows.format("ours"))
    source = script(tmp_path / "s.db", make + rows.format("theirs"))
    report = merge_files(target, [source], options=MergeOptions(renumber=True))
    assert not report.conflicts
    joined = query(target, "SELECT t.v, c.x FROM c JOIN t ON t.id = c.t ORDER BY 1")
    assert joined == [("ours", "ours"), ("theirs", "theirs")]


def test_rename_joins_columns_and_similar_ones_are_told(tmp_path):
    target = script(
        tmp_path / "t.db",
        "CREATE TABLE t (k PRIMARY KEY, learning_rate REAL);INSERT INTO t VALUES (1, 0.5)",
    )
    source = script(
        tmp_path / "s.db", "CREATE TABLE t (k PRIMARY KEY, lr REAL);INSERT INTO t VALUES (2, 0.25)"
    )
    report = merge_files(target, [source], out=tmp_path / "o.db")
    assert [(s.incoming, s.existing) for s in report.similar] == [("lr", "learning_rate")]
    report = merge_files(target, [source], options=MergeOptions(rename={"lr": "learning_rate"}))
    assert report.tables[0].columns_added == ()
    assert query(target, "SELECT learning_rate FROM t ORDER BY k") == [(0.5,), (0.25,)]


def test_utf16_is_transcoded(tmp_path):
    make = "CREATE TABLE t (k TEXT PRIMARY KEY, v);"
    target = script(tmp_path / "t.db", make + "INSERT INTO t VALUES ('é', 1)")
    source = script(
        tmp_path / "s.db",
        "PRAGMA encoding='UTF-16le';" + make + "INSERT INTO t VALUES ('é', 1), ('💾', x'00ff')",
    )
    report = merge_files(target, [source])
    assert (report.tables[0].new, report.tables[0].identical) == (1, 1)
    assert query(target, "SELECT k, v FROM t ORDER BY k") == [("é", 1), ("💾", b"\x00\xff")]


def test_a_nocase_key(tmp_path):
    make = "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v);"
    target = script(tmp_path / "t.db", make + "INSERT INTO t VALUES ('A', 1)")
    source = script(tmp_path / "s.db", make + "INSERT INTO t VALUES ('a', 1), ('b', 2)")
    assert [c.column for c in merge_files(target, [source]).conflicts] == ["k"]
    theirs = MergeOptions(on_conflict=OnConflict.THEIRS)
    assert merge_files(target, [source], options=theirs).written
    assert query(target, "SELECT k FROM t ORDER BY k") == [("a",), ("b",)]


def test_a_real_tracker_database(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    from xetrack import Tracker

    for name, extra in (
        ("a", {"lr": 1}),
        ("b", {"dropout": 0.5, "lr": 0.5}),
        ("c", {"lr": "auto"}),
    ):
        tracker = Tracker(db=str(tmp_path / f"{name}.db"), params={"model": name}, engine="sqlite")
        for i in range(3):
            tracker.log({**extra, "f1": i / 10, "epoch": i})
    paths = [tmp_path / f"{n}.db" for n in "abc"]
    merged = tmp_path / "all.db"
    report = merge_files(merged, paths)
    assert report.written
    expected = oracle.two_way([{}, *map(oracle.read, paths)])
    assert oracle.multiset(oracle.read(merged)["default"], expected.tables["default"].columns) == (
        oracle.multiset(expected.tables["default"])
    )
    assert not merge_files(merged, paths).changed
    three = merge3_files(paths[0], merged, paths[1], tmp_path / "three.db")
    assert three.written or three.conflicts


STRICT = "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT) STRICT; INSERT INTO t VALUES (1, 'a');"


@pytest.mark.parametrize(
    ("one", "two", "values", "declared"),
    [
        ("INTEGER", "REAL", ("7", "7.5"), "ANY"),
        ("REAL", "INT", ("1.0", "1"), "ANY"),
        ("TEXT", "ANY", ("'1'", "1"), "ANY"),
        ("BLOB", "TEXT", ("x'01'", "'q'"), "ANY"),
        ("INT", "INTEGER", ("1", "2"), "INT"),
        ("REAL", "ANY", ("1.0", "2.5"), "REAL"),
    ],
)
@pytest.mark.parametrize("three", [False, True])
def test_a_new_column_of_two_types_in_a_strict_table(tmp_path, one, two, values, declared, three):
    base = script(tmp_path / "b.db", STRICT)
    sides = [
        script(
            tmp_path / f"{n}.db",
            f"{STRICT}ALTER TABLE t ADD COLUMN m {kind}; INSERT INTO t VALUES ({n}, 'x', {value});",
        )
        for n, kind, value in zip((2, 3), (one, two), values, strict=True)
    ]
    expected = [query(side, "SELECT k, m, typeof(m) FROM t WHERE k > 1")[0] for side in sides]
    out = tmp_path / "out.db"
    report = merge3_files(base, *sides, out) if three else merge_files(sides[0], sides[1:], out)
    assert report.written and report.conflicts == ()
    assert query(out, "SELECT k, m, typeof(m) FROM t ORDER BY k") == [(1, None, "null"), *expected]
    assert ("m", declared) in query(out, "SELECT name, type FROM pragma_table_info('t')")
    with pytest.raises(sqlite3.IntegrityError):
        query(out, "INSERT INTO t VALUES (9, x'00', NULL)")
    check_sound(out)
