"""What else lives in a DuckDB or SQLite file: keys, views, indexes, odd columns."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gitxexp.common.errors import XexpError
from gitxexp.tables.duckdb.merge import merge3_files, merge_files
from gitxexp.tables.plan import MergeOptions, Mode
from tests.tables.duckdb.support import read, write


def make(path: Path, *statements: str) -> Path:
    con: Any = duckdb.connect(str(path)) if path.suffix == ".duckdb" else sqlite3.connect(path)
    with contextlib.closing(con):
        for statement in statements:
            con.execute(statement)
        con.commit() if path.suffix == ".db" else None
    return path


def ask(path: Path, sql: str) -> list[Any]:
    con: Any = duckdb.connect(str(path)) if path.suffix == ".duckdb" else sqlite3.connect(path)
    with contextlib.closing(con):
        found: list[Any] = con.execute(sql).fetchall()
    return found


def test_everything_in_the_target_survives_an_edit(tmp_path: Path) -> None:
    a = make(
        tmp_path / "a.duckdb",
        "CREATE SEQUENCE s START 50",
        "CREATE TABLE p (id INTEGER PRIMARY KEY, n VARCHAR NOT NULL CHECK (n <> ''), "
        "nr INTEGER DEFAULT nextval('s'), g INTEGER GENERATED ALWAYS AS (id * 2))",
        "CREATE TABLE c (pid INTEGER REFERENCES p (id), v DOUBLE)",
        "CREATE INDEX ix ON c (v)",
        "CREATE VIEW view AS SELECT count(*) AS n FROM p",
        "CREATE MACRO twice(x) AS 2 * x",
        "COMMENT ON TABLE p IS 'people'",
        "INSERT INTO p (id, n) VALUES (1, 'one')",
        "INSERT INTO c VALUES (1, 0.5)",
    )
    b = make(
        tmp_path / "b.duckdb",
        "CREATE TABLE c (pid INTEGER, v DOUBLE, extra BOOLEAN)",
        "CREATE TABLE p (id INTEGER, n VARCHAR, nr INTEGER)",
        "INSERT INTO p VALUES (1, 'one', 50), (2, 'two', 7)",
        "INSERT INTO c VALUES (2, 0.5, true), (1, 0.5, NULL)",
    )
    report = merge_files(a, [b])
    assert [(t.name, t.new, t.identical) for t in report.tables] == [("p", 1, 1), ("c", 1, 1)]
    assert ask(a, "SELECT * FROM p ORDER BY id") == [(1, "one", 50, 2), (2, "two", 7, 4)]
    assert ask(a, "SELECT * FROM c") == [(1, 0.5, None), (2, 0.5, True)]
    assert ask(a, "SELECT n, twice(n) FROM view") == [(2, 4)]
    assert ask(a, "SELECT index_name FROM duckdb_indexes()") == [("ix",)]
    assert ask(a, "SELECT comment FROM duckdb_tables() WHERE table_name = 'p'") == [("people",)]
    with pytest.raises(duckdb.ConstraintException):
        ask(a, "INSERT INTO c VALUES (99, 1, NULL)")
    assert ask(a, "INSERT INTO p (id, n) VALUES (3, 'x') RETURNING nr") == [(51,)]


def test_a_constraint_of_the_target_is_one_clear_error(tmp_path: Path) -> None:
    a = make(tmp_path / "a.duckdb", "CREATE TABLE t (n INTEGER CHECK (n < 5))")
    b = make(tmp_path / "b.duckdb", "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (9)")
    before = a.read_bytes()
    with pytest.raises(XexpError, match="CHECK constraint"):
        merge_files(a, [b])
    assert a.read_bytes() == before


def test_tables_indexes_and_views_of_a_source_are_carried(tmp_path: Path) -> None:
    for suffix in ("duckdb", "db"):
        a = make(tmp_path / f"a.{suffix}", "CREATE TABLE t (n INTEGER)")
        b = make(
            tmp_path / f"b.{suffix}",
            "CREATE TABLE u (k INTEGER PRIMARY KEY, v VARCHAR UNIQUE)",
            "INSERT INTO u VALUES (1, 'x')",
            "CREATE INDEX ix ON u (v, k)",
            "CREATE VIEW w AS SELECT k FROM u",
        )
        report = merge_files(a, [b])
        assert set(report.carried) == {"u", "ix", "w"}
        assert [t.created for t in report.tables] == [False, True]
        assert ask(a, "SELECT * FROM w") == [(1,)]
        with pytest.raises((duckdb.ConstraintException, sqlite3.IntegrityError)):
            ask(a, "INSERT INTO u VALUES (1, 'y')")


def test_rebase_under_a_primary_key(tmp_path: Path) -> None:
    rows = [{"id": i, "version": "e1", "x": 0.5} for i in range(3)]
    types = {"id": "int", "version": "str", "x": "float"}
    for suffix in ("duckdb", "db"):
        a = write(tmp_path / f"a.{suffix}", types, rows, ("id",))
        b = write(tmp_path / f"b.{suffix}", types, [{**rows[1], "x": 9.5}], ("id",))
        report = merge_files(a, [b], options=MergeOptions(mode=Mode.REBASE))
        assert (report.tables[0].replaced, report.tables[0].here) == (3, 3)
        assert [tuple(r.values()) for r in read(a)] == [(1, "e1", 9.5)]


def test_rebase_without_a_key_merges_and_says_so(tmp_path: Path) -> None:
    a = write(tmp_path / "a.parquet", {"n": "int"}, [{"n": 1}])
    b = write(tmp_path / "b.parquet", {"n": "int"}, [{"n": 2}])
    report = merge_files(a, [b], options=MergeOptions(mode=Mode.REBASE))
    assert report.notes == ("table a has no version or run id: its rows were added",)
    assert read(a) == [{"n": 1}, {"n": 2}]


def test_schemas_other_than_main(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 2)):
        make(
            tmp_path / f"{name}.duckdb",
            "CREATE SCHEMA lab",
            "CREATE TABLE lab.t (n INTEGER)",
            f"INSERT INTO lab.t VALUES ({value})",
        )
    merge_files(tmp_path / "a.duckdb", [tmp_path / "b.duckdb"])
    assert ask(tmp_path / "a.duckdb", "SELECT n FROM lab.t") == [(1,), (2,)]


def test_columns_of_mixed_classes_are_refused_with_examples(tmp_path: Path) -> None:
    a = make(
        tmp_path / "a.db",
        "CREATE TABLE t (lr INTEGER)",
        "INSERT INTO t VALUES (1), (0.5), ('auto')",
    )
    out = tmp_path / "o.parquet"
    with pytest.raises(
        XexpError, match=r"column lr of table t mixes .*integer 1.*real 0.5.*'auto'"
    ):
        merge_files(out, [a])
    assert not out.exists()
    merge_files(out, [a], options=MergeOptions(stringify=("lr",)))
    assert [r["lr"] for r in read(out)] == ["1", "0.5", "auto"]


def test_a_declared_type_that_would_change_a_value_is_refused(tmp_path: Path) -> None:
    a = make(tmp_path / "a.db", "CREATE TABLE t (x INTEGER)")
    b = write(tmp_path / "b.parquet", {"x": "str"}, [{"x": "1"}])
    with pytest.raises(XexpError, match="would turn '1' into 1"):
        merge_files(a, [b], options=MergeOptions(tables=("t",)))
    assert read(a) == []


def test_storage_classes_are_not_mixed_up_between_sqlite_files(tmp_path: Path) -> None:
    a = make(tmp_path / "a.db", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")
    b = make(tmp_path / "b.db", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1.0)")
    with pytest.raises(XexpError, match="storage classes differ"):
        merge_files(a, [b])


def test_sqlite_pragmas_triggers_and_generated_columns_survive(tmp_path: Path) -> None:
    a = make(
        tmp_path / "a.db",
        "PRAGMA user_version = 7",
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, x REAL, g REAL AS (x * 2) STORED)",
        "CREATE TABLE log (n INTEGER)",
        "CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.id); END",
        "INSERT INTO t (x) VALUES (0.5)",
    )
    b = write(tmp_path / "b.parquet", {"id": "int", "x": "float"}, [{"id": 9, "x": 1.5}])
    merge_files(a, [b], options=MergeOptions(tables=("t",)))
    assert ask(a, "SELECT * FROM t") == [(1, 0.5, 1.0), (9, 1.5, 3.0)]
    assert ask(a, "SELECT n FROM log") == [(1,)]
    assert ask(a, "PRAGMA user_version") == [(7,)]
    assert len(ask(a, "SELECT 1 FROM sqlite_master WHERE type = 'trigger'")) == 1


def test_without_rowid_and_strict(tmp_path: Path) -> None:
    ddl = "CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID, STRICT"
    a = make(tmp_path / "a.db", ddl, "INSERT INTO t VALUES ('a', NULL), ('b', 'y')")
    b = make(tmp_path / "b.db", ddl, "INSERT INTO t VALUES ('a', 'x'), ('c', 'z')")
    report = merge_files(a, [b])
    assert (report.tables[0].filled, report.tables[0].new) == (1, 1)
    assert ask(a, "SELECT * FROM t") == [("a", "x"), ("b", "y"), ("c", "z")]


def test_types_that_sqlite_lacks_are_text_and_come_back(tmp_path: Path) -> None:
    a = make(
        tmp_path / "a.duckdb",
        "CREATE TABLE t (d DATE, s TIMESTAMP, b BOOLEAN, u UUID, n DECIMAL(9,2))",
        "INSERT INTO t VALUES ('2024-02-29', '2024-02-29 01:02:03.5', true, "
        "'00000000-0000-0000-0000-00000000000a', 1.50)",
    )
    db = tmp_path / "b.db"
    report = merge_files(a, [], db)
    row = ("2024-02-29", "2024-02-29 01:02:03.5", 1, "00000000-0000-0000-0000-00000000000a", "1.50")
    assert ask(db, "SELECT * FROM t") == [row]
    assert len(report.notes) == 4
    assert not merge_files(a, [db]).changed


def test_columns_are_joined_by_rename_and_pointed_out(tmp_path: Path) -> None:
    a = write(tmp_path / "a.parquet", {"learning_rate": "float"}, [{"learning_rate": 0.1}])
    b = write(tmp_path / "b.parquet", {"LR": "float"}, [{"LR": 0.5}])
    report = merge_files(a, [b], tmp_path / "o.parquet")
    assert [(s.incoming, s.existing) for s in report.similar] == [("LR", "learning_rate")]
    merge_files(a, [b], options=MergeOptions(rename={"lr": "learning_rate"}))
    assert read(a) == [{"learning_rate": 0.1}, {"learning_rate": 0.5}]


def test_three_way_columns_and_tables(tmp_path: Path) -> None:
    base = make(
        tmp_path / "base.duckdb",
        "CREATE TABLE t (a INTEGER, b INTEGER)",
        "INSERT INTO t VALUES (1, 1)",
    )
    ours = make(
        tmp_path / "ours.duckdb",
        "CREATE TABLE t (a INTEGER, b INTEGER, mine INTEGER)",
        "INSERT INTO t VALUES (1, 1, 5)",
    )
    theirs = make(
        tmp_path / "theirs.duckdb",
        "CREATE TABLE t (a INTEGER, b INTEGER)",
        "CREATE TABLE u (n INTEGER)",
        "INSERT INTO t VALUES (1, 1), (2, 2)",
    )
    report = merge3_files(base, ours, theirs)
    assert ask(ours, "SELECT * FROM t") == [(1, 1, 5), (2, 2, None)]
    assert report.carried == ("u",)
    dropped = make(tmp_path / "dropped.duckdb", "CREATE TABLE t (a INTEGER)")
    (conflict,) = merge3_files(base, ours, dropped).conflicts
    assert (conflict.kind, conflict.column) == ("schema", "b")
