"""What else lives in a DuckDB or SQLite file: keys, views, indexes, odd columns."""

from __future__ import annotations

import re
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gitxexp.common.errors import XexpError
from gitxexp.tables.duckdb.merge import merge3_files, merge_files
from gitxexp.tables.engine import merge
from gitxexp.tables.plan import MergeOptions, Mode, OnConflict
from tests.tables.support import database, read, write


def make(path: Path, *statements: str) -> Path:
    with database(path) as con:
        for statement in statements:
            con.execute(statement)
    return path


def ask(path: Path, sql: str) -> list[Any]:
    with database(path) as con:
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
        assert set(report.carried) == {"table u", "index ix", "view w"}
        assert [t.created for t in report.tables] == [True]
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
    assert report.carried == ("table u",)
    dropped = make(tmp_path / "dropped.duckdb", "CREATE TABLE t (a INTEGER)")
    (conflict,) = merge3_files(base, ours, dropped).conflicts
    assert (conflict.kind, conflict.column) == ("schema", "b")


OBJECTS = [
    "CREATE SCHEMA lab",
    "CREATE TYPE mood AS ENUM ('good', 'bad')",
    "CREATE TYPE lab.pair AS STRUCT(x INTEGER, y INTEGER)",
    "CREATE SEQUENCE ids START 5",
    """CREATE TABLE runs (id INTEGER PRIMARY KEY DEFAULT nextval('ids'), f1 DOUBLE CHECK (f1 <= 1),
    feeling mood NOT NULL, part AS (f1 * 100))""",
    "CREATE TABLE lab.steps (step INTEGER UNIQUE, day DATE DEFAULT current_date)",
    "INSERT INTO runs (f1, feeling) VALUES (0.5, 'good'), (0.6, 'bad')",
    "INSERT INTO lab.steps (step) VALUES (1)",
    "CREATE INDEX by_f1 ON runs (f1)",
    "CREATE VIEW good_ones AS SELECT * FROM runs WHERE feeling = 'good'",
    "CREATE VIEW lab.best AS SELECT * FROM good_ones ORDER BY f1 DESC LIMIT 1",
    "CREATE MACRO percent(x, digits := 2) AS round(100 * x, digits)",
    "CREATE MACRO of_run(n) AS TABLE SELECT * FROM runs WHERE id = n",
    "COMMENT ON TABLE runs IS 'one row a run, it''s said'",
    "COMMENT ON COLUMN runs.f1 IS 'of the last epoch'",
    "COMMENT ON VIEW lab.best IS 'the winner'",
]


def with_objects(path: Path, *more: str) -> Path:
    with database(path) as con:
        for statement in (*OBJECTS, *more):
            con.execute(statement)
    return path


def declared(path: Path, folder: Path) -> tuple[str, list[Any]]:
    """What DuckDB itself says that a file declares, and the comments."""
    with database(path) as con:
        con.execute(f"EXPORT DATABASE '{folder}'")
        comments = "SELECT comment FROM {} WHERE comment IS NOT NULL AND NOT internal"
        found = [
            con.execute(comments.format(function)).fetchall()
            for function in ("duckdb_tables()", "duckdb_columns()", "duckdb_views()")
        ]
    return (folder / "schema.sql").read_text(), found


@pytest.mark.parametrize("target", ["none", "of SQLite", "with another table", "with all of it"])
def test_what_a_file_declares_beside_its_tables_comes_along(target: str, tmp_path: Path) -> None:
    source = with_objects(tmp_path / "source.duckdb")
    out = tmp_path / "out.duckdb"
    first, sources = out, [source]
    if target == "of SQLite":
        first = write(tmp_path / "x.db", {"n": "int"}, [{"n": 1}])
    elif target == "with another table":
        write(out, {"n": "int"}, [{"n": 1}])
    elif target == "with all of it":
        with_objects(out)
    report = merge_files(first, sources, out)
    assert report.written and report.notes == ()
    wanted, comments = declared(source, tmp_path / "a")
    found, kept = declared(out, tmp_path / "b")
    lines = [line for line in found.splitlines() if not line.startswith("CREATE TABLE target(")]
    mine = {line for line in lines if "CREATE TABLE x(" not in line and "out(" not in line}
    assert set(wanted.splitlines()) <= mine
    assert kept == comments
    with database(out) as con:
        assert con.execute("SELECT id, f1, part FROM lab.best").fetchall() == [(5, 0.5, 50)]
        assert con.execute("SELECT percent(0.123456)").fetchall() == [(Decimal("12.35"),)]
        con.execute("INSERT INTO runs (f1, feeling) VALUES (0.7, 'good')")
        assert con.execute("SELECT max(id) FROM runs").fetchall() == [(7,)]
        with pytest.raises(duckdb.ConstraintException):
            con.execute("INSERT INTO runs (f1, feeling) VALUES (1.5, 'good')")
        with pytest.raises(duckdb.ConstraintException):
            con.execute("INSERT INTO lab.steps VALUES (1, NULL)")


def test_objects_of_one_name_in_two_schemas_and_tables_that_call_macros(tmp_path: Path) -> None:
    """Into a new file, and into one that has nothing but the schema."""
    source, there, new = (tmp_path / f"{name}.duckdb" for name in ("source", "there", "new"))
    with database(source) as con:
        for statement in (
            "CREATE SCHEMA a", "CREATE SCHEMA b", "CREATE MACRO more(x, n := 1) AS x + n",
            "CREATE TABLE a.t (id INTEGER DEFAULT more(1))",
            "CREATE TABLE b.t (id INTEGER)", "CREATE INDEX i ON a.t (id)", "CREATE INDEX i ON b.t (id)",
        ):  # fmt: skip
            con.execute(statement)
    with database(there) as con:
        con.execute("CREATE SCHEMA a")
        con.execute("CREATE TABLE a.other (id INTEGER)")
    wanted, _ = declared(source, tmp_path / "wanted")
    for number, out in enumerate((there, new)):
        merge_files(out, [source])
        found, _ = declared(out, tmp_path / f"found{number}")
        assert set(wanted.splitlines()) <= set(found.splitlines())


def test_a_column_that_another_file_computes_otherwise(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.duckdb", tmp_path / "theirs.duckdb"
    for path, factor in ((ours, 2), (theirs, 3)):
        with database(path) as con:
            con.execute(f"CREATE TABLE t (a INTEGER, b AS (a * {factor}))")
            con.execute(f"INSERT INTO t VALUES ({factor})")
    with pytest.raises(XexpError, match=r"generated column t.b is .*a \* 3.*: .*a \* 2.* is kept"):
        merge_files(ours, [theirs])
    with pytest.raises(XexpError, match=r"generated column t.b is"):
        merge_files(tmp_path / "new.duckdb", [ours, theirs])
    options = MergeOptions(allow_lossy=True)
    assert merge_files(ours, [theirs], options=options).written


def test_a_sequence_goes_on_after_the_highest_number_of_both(tmp_path: Path) -> None:
    ours = with_objects(tmp_path / "ours.duckdb")
    theirs = with_objects(
        tmp_path / "theirs.duckdb", *["INSERT INTO runs (f1, feeling) VALUES (0.1, 'bad')"] * 3
    )
    assert merge_files(ours, [theirs]).written
    with database(ours) as con:
        con.execute("INSERT INTO runs (f1, feeling) VALUES (0.7, 'good')")
        assert con.execute("SELECT max(id) FROM runs").fetchall() == [(10,)]


def test_a_default_of_a_new_column_holds_for_rows_that_come_later(tmp_path: Path) -> None:
    ours, theirs = (tmp_path / f"{name}.duckdb" for name in ("ours", "theirs"))
    for path, extra in ((ours, ""), (theirs, ", seed INTEGER DEFAULT 7")):
        with database(path) as con:
            con.execute(f"CREATE TABLE runs (run VARCHAR{extra})")
            con.execute("INSERT INTO runs (run) VALUES (?)", [path.stem])
    merge_files(ours, [theirs])
    with database(ours) as con:
        con.execute("INSERT INTO runs (run) VALUES ('later')")
        rows = con.execute("SELECT run, seed FROM runs ORDER BY run").fetchall()
    assert rows == [("later", 7), ("ours", None), ("theirs", 7)]


def test_what_cannot_come_along_is_refused_unless_the_loss_is_accepted(tmp_path: Path) -> None:
    """The rows of the second source have no value where the first says NOT NULL."""
    one = with_objects(tmp_path / "one.duckdb")
    other = tmp_path / "other.duckdb"
    with database(other) as con:
        con.execute("CREATE TABLE runs (id INTEGER, f1 DOUBLE)")
        con.execute("INSERT INTO runs VALUES (90, 0.9)")
    out = tmp_path / "out.duckdb"
    with pytest.raises(XexpError, match="without its constraints") as refused:
        merge_files(out, [one, other])
    assert "--allow-lossy" in str(refused.value.hint) and not out.exists()
    report = merge_files(out, [one, other], options=MergeOptions(allow_lossy=True))
    assert any("without its constraints" in note for note in report.notes)
    with database(out) as con:
        assert con.execute("SELECT count(*) FROM runs").fetchall() == [(3,)]


_OBJECTS = """CREATE SCHEMA lab; CREATE MACRO plus(a, b := 2) AS a + b; CREATE MACRO old(a) AS a;
CREATE TABLE lab.t (id INTEGER PRIMARY KEY, n INTEGER); CREATE INDEX by_n ON lab.t (n);
CREATE VIEW v AS SELECT * FROM lab.t WHERE n > 0; COMMENT ON TABLE lab.t IS 'rows';
INSERT INTO lab.t VALUES (1, 1);"""


def _database(path: Path, *more: str) -> Path:
    with database(path) as con:
        for sql in (_OBJECTS, *more):
            con.execute(sql)
    return path


@pytest.mark.parametrize(
    ("sql", "lost"),
    [
        ("CREATE OR REPLACE MACRO plus(a, b := 3) AS a - b", "macro plus differs"),
        ("CREATE OR REPLACE VIEW v AS SELECT 1 AS x", "view v differs"),
    ],
)
@pytest.mark.parametrize("row", [(2, 2), (1, 1)], ids=["a new row", "no new row"])
def test_what_a_source_defines_otherwise_is_said_and_refused(
    tmp_path: Path, sql: str, lost: str, row: tuple[int, int]
) -> None:
    ours = _database(tmp_path / "ours.duckdb")
    theirs = _database(tmp_path / "theirs.duckdb", sql, f"INSERT OR IGNORE INTO lab.t VALUES {row}")
    before = ours.read_bytes()
    with pytest.raises(XexpError) as refused:
        merge_files(ours, [theirs])
    assert lost in refused.value.message and "--allow-lossy" in refused.value.hint
    with pytest.raises(XexpError, match=re.escape(lost)):
        merge_files(ours, [theirs], write=False)
    assert ours.read_bytes() == before
    report = merge_files(ours, [theirs], options=MergeOptions(allow_lossy=True))
    assert lost in report.notes[0] and report.written


def test_constraints_of_a_source_that_the_target_cannot_get_are_named(tmp_path: Path) -> None:
    """On columns that ours has and on those that it gets, and the same when merged again."""
    ours = make(tmp_path / "ours.duckdb", "CREATE TABLE u (a INTEGER)", "INSERT INTO u VALUES (-1)")
    theirs = make(
        tmp_path / "theirs.duckdb",
        "CREATE TABLE u (a INTEGER CHECK (a > 0), b INTEGER NOT NULL, c INTEGER UNIQUE CHECK (c > a))",
        "INSERT INTO u VALUES (1, 2, 3)",
    )
    named = {"NOT NULL on b", "UNIQUE(c)", "CHECK((a > 0))", "CHECK((c > a))"}
    wanted = {f"{what} of u, as {theirs} declares it, is not added" for what in named}
    assert set(merge_files(ours, [theirs], write=False).notes) == wanted
    report = merge_files(ours, [theirs])
    assert report.written and set(report.notes) == wanted
    assert ask(ours, "FROM u ORDER BY a") == [(-1, None, None), (1, 2, 3)]
    assert set(merge_files(ours, [theirs]).notes) == wanted
    out, plain = tmp_path / "out.duckdb", make(tmp_path / "p.duckdb", "CREATE TABLE u (a INTEGER)")
    assert set(merge_files(out, [plain, theirs]).notes) == wanted
    assert not merge3_files(theirs, plain, theirs).notes


@pytest.mark.parametrize(
    "column", ["CHECK (a.main.dbl(n) > 0)", "CHECK (a.dbl(n) > 0)", "DEFAULT nextval('a.main.s')"]
)
def test_what_a_table_calls_by_the_name_of_its_file_is_named(tmp_path: Path, column: str) -> None:
    a = tmp_path / "a.duckdb"
    with duckdb.connect(str(a)) as con:  # which gives it its name
        con.execute("CREATE SEQUENCE s; CREATE MACRO dbl(x) AS x * 2; CREATE SCHEMA lab")
        con.execute("CREATE MACRO lab.half(x) AS x // 2")
        con.execute("CREATE TABLE other (x INTEGER CHECK (lab.half(x) < 9))")
        con.execute(f"CREATE TABLE t (n INTEGER {column})")
    b = make(
        tmp_path / "b.duckdb", "CREATE TABLE other (x INTEGER)", "INSERT INTO other VALUES (1)"
    )
    assert merge_files(a, [b]).written and ask(a, "FROM other") == [(1,)]
    with pytest.raises(
        XexpError, match=r"a.duckdb: table t calls a\.\w+.*by the name of a file"
    ) as no:
        merge_files(tmp_path / "new.duckdb", [a])
    assert "declare it again with" in no.value.hint


def test_a_plan_refuses_rows_without_a_value_that_the_target_must_have(tmp_path: Path) -> None:
    a = make(tmp_path / "a.duckdb", "CREATE TABLE t (k INTEGER, v INTEGER NOT NULL)")
    b = make(tmp_path / "b.duckdb", "CREATE TABLE t (k INTEGER)", "INSERT INTO t VALUES (1)")
    for apply in (False, True):
        with pytest.raises(XexpError, match=r"t.v must not be NULL here"):
            merge_files(a, [b], write=apply)
    assert ask(a, "FROM t") == []


def test_what_theirs_changed_and_ours_dropped_is_refused(tmp_path: Path) -> None:
    base = _database(tmp_path / "base.duckdb")
    ours = _database(tmp_path / "ours.duckdb", "DROP VIEW v")
    theirs = _database(tmp_path / "theirs.duckdb", "CREATE OR REPLACE VIEW v AS SELECT 1 AS x")
    with pytest.raises(XexpError, match=r"view v differs in .*: the target dropped it"):
        merge3_files(base, ours, theirs)
    assert merge3_files(base, ours, base).written


def test_three_way_objects_that_one_side_changed(tmp_path: Path) -> None:
    base = _database(tmp_path / "base.duckdb")
    ours = _database(tmp_path / "ours.duckdb", "DROP MACRO old", "COMMENT ON TABLE lab.t IS 'mine'")
    theirs = _database(
        tmp_path / "theirs.duckdb", "CREATE OR REPLACE MACRO plus(a, b := 3) AS a - b",
        "CREATE OR REPLACE VIEW v AS SELECT n FROM lab.t", "DROP INDEX lab.by_n",
        "CREATE INDEX by_n ON lab.t (id, n)", "INSERT INTO lab.t VALUES (2, 2)",
    )  # fmt: skip
    assert merge3_files(base, ours, theirs).written
    with database(ours, read_only=True) as con:
        assert con.execute("SELECT plus(5), (SELECT count(n) FROM v)").fetchall() == [(2, 2)]
        names = con.execute("SELECT function_name FROM duckdb_functions() WHERE NOT internal")
        assert ("old",) not in names.fetchall(), "what ours dropped does not come back"
        assert "id, n" in con.execute("SELECT sql FROM duckdb_indexes()").fetchall()[0][0]
        assert con.execute(
            "SELECT comment FROM duckdb_tables() WHERE table_name = 't'"
        ).fetchone() == ("mine",)


def test_a_column_with_an_index_in_a_schema_becomes_wider(tmp_path: Path) -> None:
    ours = _database(tmp_path / "ours.duckdb")
    theirs = tmp_path / "theirs.duckdb"
    with database(theirs) as con:
        con.execute("CREATE SCHEMA lab; CREATE TABLE lab.t (id INTEGER PRIMARY KEY, n DOUBLE)")
        con.execute("INSERT INTO lab.t VALUES (2, 1.5)")
    merge_files(ours, [theirs])
    assert ask(ours, "SELECT n FROM lab.t ORDER BY id") == [(1.0,), (1.5,)]
    assert ask(ours, "SELECT index_name FROM duckdb_indexes()") == [("by_n",)]


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("DOUBLE", "-0.0", "0.0"),
        ("INTERVAL", "2 months", "1 month 30 days"),
        ("TIMETZ", "02:02:03+01", "01:02:03+00"),
        ("STRUCT(d DOUBLE)", "{'d': -0.0}", "{'d': 0.0}"),
    ],
)
@pytest.mark.parametrize("unique", [True, False])
def test_a_change_that_sql_does_not_see(
    kind: str, old: str, new: str, unique: bool, tmp_path: Path
) -> None:
    def file(name: str, first: str, second: str | None) -> Path:
        key = "k INTEGER PRIMARY KEY" if unique else "k INTEGER"
        path = make(tmp_path / f"{name}.duckdb", f"CREATE TABLE t ({key}, v {kind})")
        with database(path) as con:
            con.execute(f"INSERT INTO t VALUES (1, ?::{kind}), (2, ?::{kind})", [first, second])
        return path

    base, theirs = file("base", old, new), file("theirs", new, None)
    options = MergeOptions(key=() if unique else ("k",), on_conflict=OnConflict.THEIRS)
    ours = file("ours", old, new)
    merge3_files(base, ours, theirs, tmp_path / "three.duckdb", options)
    merge_files(ours, [theirs], None, options)
    held = "SELECT k, v::VARCHAR FROM t ORDER BY k"
    assert ask(tmp_path / "three.duckdb", held) == [(1, new), (2, None)]
    assert ask(ours, held) == [(1, new), (2, new)]


COMPUTED = "CREATE TABLE t (a INTEGER, g DECIMAL(9,1) GENERATED ALWAYS AS (a * 2))"


@pytest.mark.parametrize("kind", ["db", "duckdb"])
def test_a_generated_column_of_one_side(kind: str, tmp_path: Path) -> None:
    """Its values come along where the result stores the column or lacks it."""

    def file(name: str, table: str, rows: str) -> Path:
        return make(tmp_path / f"{name}.{kind}", table, f"INSERT INTO t {rows}")

    computed = file("computed", COMPUTED, "(a) VALUES (1), (2)")
    stored = file("stored", "CREATE TABLE t (a INTEGER, g DECIMAL(9,1))", "VALUES (1, 7)")
    plain = file("plain", "CREATE TABLE t (a INTEGER)", "VALUES (1)")
    out = tmp_path / f"out.{kind}"
    with pytest.raises(XexpError, match=r"t.g is a generated column here and stored in .*stored"):
        merge(computed, [stored])
    lossy = MergeOptions(allow_lossy=True)
    for other, rows in ((stored, {(1, 7), (1, 2), (2, 4)}), (plain, {(1, None), (1, 2), (2, 4)})):
        if kind == "duckdb":
            with pytest.raises(
                XexpError, match=r"generated column t.g is .*: its values are stored"
            ):
                merge(other, [computed], out)
        notes = merge(other, [computed], out, lossy).notes
        named = [n for n in notes if n.startswith("generated column t.g")]
        assert all(n.endswith(": its values are stored") for n in named)
        assert len(named) == (other is plain or kind == "duckdb")
        assert set(ask(out, "SELECT * FROM t")) == rows
        out.unlink()
    merge(computed, [plain])
    assert ask(computed, "SELECT * FROM t") == [(1, 2), (2, 4)]


@pytest.mark.parametrize("kind", ["db", "duckdb"])
def test_a_generated_column_is_a_plain_one_in_another_format(kind: str, tmp_path: Path) -> None:
    source = make(tmp_path / f"a.{kind}", COMPUTED, "INSERT INTO t (a) VALUES (1), (2)")
    out = tmp_path / "t.parquet"
    merge_files(out, [source], out)
    assert read(out, "t") == [{"a": 1, "g": 2}, {"a": 2, "g": 4}]


def test_a_new_sqlite_file_keeps_what_a_sqlite_source_declares(tmp_path: Path) -> None:
    one = make(
        tmp_path / "a.db",
        "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT NOT NULL, w INT AS (k + 1), CHECK (v <> ''))",
        "INSERT INTO t VALUES (1, 'a')",
    )
    two = make(
        tmp_path / "b.duckdb",
        "CREATE TABLE t (k INTEGER, v VARCHAR, x DOUBLE)",
        "INSERT INTO t VALUES (2, 'b', 0.5)",
    )
    out = tmp_path / "out.db"
    merge_files(out, [one, two], out)
    assert ask(out, "SELECT * FROM t") == [(1, "a", 2, None), (2, "b", 3, 0.5)]
    (sql,) = ask(out, "SELECT sql FROM sqlite_master WHERE type = 'table'")
    assert "CHECK (v <> '')" in sql[0]
    assert "NOT NULL" in sql[0]


def grown(path: Path, *values: str, named: bool = True) -> Path:
    kind = f"ENUM({', '.join(f'{v!r}' for v in values)})"
    types = [f"CREATE TYPE mood AS {kind}"] if named else []
    table = f"CREATE TABLE t (k INTEGER, v {'mood' if named else kind})"
    row = f"INSERT INTO t VALUES ({len(values)}, '{values[-1]}')"
    return make(path, *types, table, row)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        ("ab", "abc", "abc"),
        ("abc", "ab", "abc"),
        ("abx", "aby", "abxy"),
        ("ac", "abc", "abc"),
        ("ba", "abc", ""),
    ],
)
def test_an_enum_that_sides_extended(
    named: bool, one: str, two: str, both: str, tmp_path: Path
) -> None:
    """It has the values of both, unless they are in another order."""
    base = grown(tmp_path / "base.duckdb", *"ab", named=named)
    with database(base) as con:
        con.execute("DELETE FROM t")
    ours, theirs = (
        grown(tmp_path / f"{name}.duckdb", *values, named=named)
        for name, values in (("ours", one), ("theirs", two))
    )
    outs = [tmp_path / f"out{n}.duckdb" for n in range(3)]
    if named and not both:
        with pytest.raises(XexpError, match=r"type mood differs in .*: the target's is kept"):
            merge_files(ours, [theirs])
        with pytest.raises(XexpError, match=r"type mood differs in .*: the first one is kept"):
            merge_files(outs[0], [ours, theirs])
        return
    merge_files(outs[0], [ours, theirs])
    merge_files(ours, [theirs], outs[1])
    merge3_files(base, ours, theirs, outs[2])
    for out in outs:
        kind = f"ENUM({', '.join(f'{v!r}' for v in both)})" if both else "VARCHAR"
        types = ask(out, "SELECT data_type FROM duckdb_columns() WHERE column_name = 'v' "
                    "AND database_name = current_database()")  # fmt: skip
        assert types == [(kind,)]
        rows = {(len(one), one[-1]), (len(two), two[-1])}
        assert rows <= set(ask(out, "SELECT * FROM t"))
        if named:
            assert ask(out, "SELECT enum_range(NULL::mood)") == [(list(both),)]


def test_an_enum_that_the_key_of_another_table_needs(tmp_path: Path) -> None:
    ours = grown(tmp_path / "ours.duckdb", *"ab")
    theirs = grown(tmp_path / "theirs.duckdb", *"abc")
    for path in (ours, theirs):
        make(path, "CREATE TABLE u (v mood PRIMARY KEY)")
    make(theirs, "INSERT INTO u VALUES ('c')")
    merge_files(ours, [theirs])
    assert ask(ours, "SELECT v FROM u") == [("c",)]
    assert ask(ours, "SELECT enum_range(NULL::mood)") == [(["a", "b", "c"],)]


@pytest.mark.parametrize("three", [False, True])
@pytest.mark.parametrize("wide", ["BIGINT", "DOUBLE"])
def test_a_column_that_a_constraint_names_becomes_wider(
    wide: str, three: bool, tmp_path: Path
) -> None:
    """DuckDB changes no type of such a column, so the table is made anew with all that it has."""

    def file(name: str, kind: str, *rows: str) -> Path:
        return make(
            tmp_path / f"{name}.duckdb",
            f"CREATE TABLE p (k {kind} PRIMARY KEY)",
            "INSERT INTO p VALUES (1), (2), (3)",
            f"CREATE TABLE t (id {kind} UNIQUE, v {kind} DEFAULT 7 CHECK (v > 0), "
            f"p {kind} NOT NULL REFERENCES p (k), up {kind} REFERENCES t (id))",
            "CREATE INDEX by_v ON t (v)",
            "COMMENT ON TABLE t IS 'rows'",
            "COMMENT ON COLUMN t.v IS 'value'",
            "CREATE VIEW w AS SELECT sum(v) AS s FROM t",
            *(f"INSERT INTO t VALUES ({row})" for row in rows),
        )

    base = file("base", "INTEGER", "1, 1, 1, NULL", "5, 5, 1, NULL")
    ours = file("ours", "INTEGER", "1, 1, 1, NULL", "5, 5, 1, NULL")
    theirs = file("theirs", wide, "1, 1, 1, NULL", "2, 2, 2, 1")
    report = merge3_files(base, ours, theirs) if three else merge_files(ours, [theirs])
    assert report.tables[1].types_widened == tuple(
        f"{c}: INTEGER -> {wide}" for c in ("id", "v", "p", "up")
    )
    rows = {(1, 1, 1, None), (2, 2, 2, 1), *([] if three else [(5, 5, 1, None)])}
    assert set(ask(ours, "SELECT * FROM t")) == rows
    assert ask(ours, "SELECT s FROM w") == [(sum(row[1] for row in rows),)]
    (ddl,) = ask(ours, "SELECT sql FROM duckdb_tables() WHERE table_name = 't' "
                 "AND database_name = current_database()")  # fmt: skip
    assert ddl[0].count(wide) == 4
    with database(ours) as con:
        con.execute("INSERT INTO t (id, p) VALUES (9, 3)")
        assert con.execute("SELECT v FROM t WHERE id = 9").fetchall() == [(7,)]
        for bad in ("9, 1, 1, NULL", "8, 0, 1, NULL", "8, 1, 9, NULL", "8, 1, 1, 77"):
            with pytest.raises(duckdb.ConstraintException):
                con.execute(f"INSERT INTO t VALUES ({bad})")
    for function, comment in (("duckdb_tables()", "rows"), ("duckdb_columns()", "value")):
        where = "comment IS NOT NULL AND database_name = current_database()"
        assert ask(ours, f"SELECT comment FROM {function} WHERE {where}") == [(comment,)]
    assert ask(ours, "SELECT index_name FROM duckdb_indexes() "
               "WHERE database_name = current_database()") == [("by_v",)]  # fmt: skip


def test_a_key_to_which_another_table_of_ours_refers_keeps_its_type(tmp_path: Path) -> None:
    ours = make(
        tmp_path / "ours.duckdb",
        "CREATE TABLE p (k INTEGER PRIMARY KEY)",
        "CREATE TABLE c (k INTEGER REFERENCES p (k))",
    )
    theirs = make(tmp_path / "theirs.duckdb", "CREATE TABLE p (k BIGINT)")
    with pytest.raises(XexpError, match=r"p\.k cannot become BIGINT: a foreign key of another"):
        merge_files(ours, [theirs])


@pytest.mark.parametrize("how", ["target", "new", "three", "other target"])
@pytest.mark.parametrize(
    ("made", "table"),
    [
        ("MACRO f(x) AS x > 0", "v INTEGER CHECK (f(v))"),
        ("MACRO f(x) AS x * 2", "v INTEGER, g INTEGER AS (f(v))"),
        ("MACRO s.f(x) AS x > 0", "v INTEGER CHECK (s.f(v))"),
        ("MACRO s.f() AS 5", "v INTEGER DEFAULT s.f()"),
        ("MACRO f() AS 5", "v INTEGER DEFAULT main.f()"),
        ("SEQUENCE s.f", "v INTEGER DEFAULT nextval('s.f')"),
        # a macro with the name of a function that the merge itself calls
        (("MACRO coalesce(x, y) AS 42; CREATE MACRO greatest(x, y) AS 42; CREATE MACRO count(x) AS 42;"
         "CREATE MACRO f(x) AS x > 0"), "v INTEGER CHECK (f(v))"),
    ],
)  # fmt: skip
def test_what_a_table_declares_calls_macros_of_its_file(
    made: str, table: str, how: str, tmp_path: Path
) -> None:
    def file(name: str, *rows: str) -> Path:
        table_ = f"CREATE TABLE t (k INTEGER PRIMARY KEY, {table})"
        values = [f"INSERT INTO t (k, v) VALUES ({row})" for row in rows]
        return make(
            tmp_path / f"{name}.duckdb", "CREATE SCHEMA s", f"CREATE {made}", table_, *values
        )

    base, ours = file("base", "1, 1", "2, 2"), file("ours", "1, 1", "2, 2", "3, 3")
    theirs, out = file("theirs", "1, 9", "4, 4"), tmp_path / "out.duckdb"
    wanted = [(1, 9), (3, 3), (4, 4)]
    options = MergeOptions(on_conflict=OnConflict.THEIRS)
    if how == "three":
        merge3_files(base, ours, theirs, out)
    else:
        wanted.insert(1, (2, 2))
        if how == "target":
            merge_files(ours, [theirs], out, options)
        else:
            first = out
            if how == "other target":
                first = make(tmp_path / "other.duckdb", "CREATE TABLE o (i INTEGER)")
            merge_files(first, [ours, theirs], out, options)
    assert ask(out, "SELECT k, v FROM t ORDER BY k") == wanted
    lines = declared(theirs, tmp_path / "a")[0].splitlines()
    assert set(lines) <= set(declared(out, tmp_path / "b")[0].splitlines())
    with database(out) as con:
        con.execute("INSERT INTO t (k) VALUES (9)")
        if "CHECK" in table:
            with pytest.raises(duckdb.ConstraintException):
                con.execute("INSERT INTO t VALUES (10, 0)")
        if " AS (" in table:
            assert con.execute("SELECT g FROM t WHERE k = 4").fetchall() == [(8,)]


def test_computed_values_come_by_the_macro_of_their_own_file(tmp_path: Path) -> None:
    """Two files have a macro of one name."""
    files = [
        make(
            tmp_path / f"{n}.duckdb",
            f"CREATE MACRO f(x) AS x * {n}",
            "CREATE TABLE t (v INTEGER, g INTEGER AS (f(v)))",
            "INSERT INTO t VALUES (1)",
        )
        for n in (2, 3)
    ]
    out = tmp_path / "t.parquet"
    merge_files(out, files, out)
    assert read(out, "t") == [{"v": 1, "g": 2}, {"v": 1, "g": 3}]


def test_rows_that_refer_to_rows_of_their_own_table(tmp_path: Path) -> None:
    table = "CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER REFERENCES t (id), s VARCHAR)"
    ours = make(tmp_path / "a.duckdb", table, "INSERT INTO t VALUES (1, NULL, 'a')")
    theirs = make(
        tmp_path / "b.duckdb",
        table,
        "INSERT INTO t VALUES (4, NULL, 'd'), (9, NULL, 'i')",
        "INSERT INTO t VALUES (3, 4, 'c')",
        "INSERT INTO t VALUES (2, 3, 'b')",
    )
    rows = [(2, 3, "b"), (3, 4, "c"), (4, None, "d"), (9, None, "i")]
    out = tmp_path / "out.duckdb"
    merge_files(out, [theirs], out)
    assert ask(out, "SELECT * FROM t ORDER BY id") == rows
    merge_files(ours, [theirs])
    assert ask(ours, "SELECT * FROM t ORDER BY id") == [(1, None, "a"), *rows]


FAMILY = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY, v INTEGER)",
    "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id))",
    "CREATE TABLE g (id INTEGER PRIMARY KEY, c INTEGER REFERENCES c (id))",
    "CREATE TABLE s (id INTEGER PRIMARY KEY, up INTEGER REFERENCES s (id))",
)


def family(path: Path, *ids: int) -> Path:
    rows = [f"INSERT INTO {t} VALUES ({n}, {n})" for t in "pcg" for n in ids]
    ups = ["INSERT INTO s VALUES (1, NULL)", "INSERT INTO s VALUES (2, 1)"] if 1 in ids else []
    return make(path, *FAMILY, *rows, *ups)


def test_rows_that_were_deleted_with_those_that_refer_to_them(tmp_path: Path) -> None:
    base = family(tmp_path / "base.duckdb", 1, 2)
    ours, theirs = family(tmp_path / "a.duckdb", 1, 2, 3), family(tmp_path / "b.duckdb", 2)
    merge3_files(base, ours, theirs)
    assert [ask(ours, f"SELECT id FROM {t} ORDER BY id") for t in "pcg"] == [[(2,), (3,)]] * 3
    assert ask(ours, "SELECT * FROM s") == []


def test_a_row_to_which_another_refers_is_not_deleted(tmp_path: Path) -> None:
    base, ours = family(tmp_path / "base.duckdb", 1), family(tmp_path / "a.duckdb", 1)
    theirs = family(tmp_path / "b.duckdb")
    make(ours, "INSERT INTO c VALUES (5, 1)")
    before = ours.read_bytes()
    with pytest.raises(XexpError, match="still referenced"):
        merge3_files(base, ours, theirs)
    assert ours.read_bytes() == before


@pytest.mark.parametrize("fill", [True, False])
@pytest.mark.parametrize(("kind", "value"), [("DOUBLE", "-0.0"), ("DOUBLE[]", "[-0.0]")])
def test_the_sign_of_zero_in_one_of_several_inputs(
    kind: str, value: str, fill: bool, tmp_path: Path
) -> None:
    table = f"CREATE TABLE t (k INTEGER PRIMARY KEY, v {kind})"
    files = [
        make(tmp_path / f"{n}.duckdb", table, f"INSERT INTO t VALUES ({n}, '{value}'::{kind})")
        for n in range(3)
    ]
    merge_files(files[0], files[1:], None, MergeOptions(fill=fill))
    assert ask(files[0], "SELECT v::VARCHAR FROM t") == [(value,)] * 3


def test_a_new_file_keeps_what_a_table_with_wider_columns_declares(tmp_path: Path) -> None:
    one, two = (
        make(
            tmp_path / f"{kind}.duckdb",
            f"CREATE TABLE t (k INTEGER PRIMARY KEY CHECK (k > 0), v {kind} DEFAULT 7)",
            f"INSERT INTO t VALUES ({number}, {number})",
        )
        for kind, number in (("INTEGER", 1), ("BIGINT", 2**31 - 1))
    )
    out = tmp_path / "out.duckdb"
    merge_files(out, [one, two], out)
    assert ask(out, "SELECT * FROM t ORDER BY k") == [(1, 1), (2**31 - 1, 2**31 - 1)]
    (ddl,) = ask(out, "SELECT sql FROM duckdb_tables() WHERE database_name = current_database()")
    assert re.search(r"k INTEGER PRIMARY KEY, v BIGINT DEFAULT.*CHECK", ddl[0])


@pytest.mark.parametrize("kind", ["UBIGINT", "HUGEINT", "UHUGEINT"])
def test_integers_that_sqlite_lacks_can_become_text(kind: str, tmp_path: Path) -> None:
    source = make(
        tmp_path / "a.duckdb", f"CREATE TABLE t (h {kind})", f"INSERT INTO t VALUES ({2**63})"
    )
    out = tmp_path / "out.db"
    with pytest.raises(XexpError, match="64 bits, as in column h") as raised:
        merge_files(out, [source], out)
    assert raised.value.hint == "turn them into text with --stringify h"
    assert not out.exists()
    merge_files(out, [source], out, MergeOptions(stringify=("h",)))
    assert ask(out, "SELECT h FROM t") == [(str(2**63),)]


@pytest.mark.parametrize("out", ["out.db", "out.parquet"])
def test_what_the_kind_of_the_result_cannot_have_is_named(out: str, tmp_path: Path) -> None:
    source, result = tmp_path / "a.duckdb", tmp_path / out
    make(source, "CREATE TABLE t AS SELECT 1 AS x, 'up'::ENUM('up', 'down') AS y",
         "CREATE MACRO twice(a) AS a * 2", "CREATE VIEW best AS SELECT max(x) AS x FROM t",
         "CREATE INDEX i ON t (x)")  # fmt: skip
    kind = "a SQLite file" if out == "out.db" else "a parquet file"
    for apply in (False, True):
        notes = merge(result, [source], write=apply).notes
        assert sorted(note for note in notes if "no place" in note) == [
            f"{what} of {source} has no place in {kind}" for what in ("macro twice", "view best")
        ]
    assert not merge(tmp_path / "b.duckdb", [source]).notes


@pytest.mark.parametrize("out", ["out.duckdb", "out.parquet"])
def test_views_and_triggers_of_sqlite_are_named_too(out: str, tmp_path: Path) -> None:
    source, result = tmp_path / "a.db", tmp_path / out
    make(source, "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)", "CREATE INDEX i ON t (x)",
         "CREATE VIEW best AS SELECT max(x) FROM t",
         "CREATE TRIGGER again AFTER INSERT ON t BEGIN SELECT 1; END")  # fmt: skip
    report = merge(result, [source])
    assert sorted(note.split(" of ")[0] for note in report.notes) == ["trigger again", "view best"]
