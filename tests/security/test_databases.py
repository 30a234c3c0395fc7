"""Databases that come with a clone: nothing in them runs, and nothing is lost by reading them."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from gitxexp.common import sqlite
from gitxexp.common.errors import XexpError
from gitxexp.repository.registry import Registry
from gitxexp.tables.engine import merge
from gitxexp.tables.row_diff import diff_files
from gitxexp.tables.textconv import textconv
from gitxexp.trackers.runs import runs
from gitxexp.trackers.stamps import stamp, unstamp
from tests.conftest import ROOT

RUNS = "CREATE TABLE runs (run_id TEXT PRIMARY KEY, timestamp TEXT, lr REAL, f1 REAL)"
ENDLESS = "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"


def database(path: Path, *extra: str, rows: int = 2) -> Path:
    """A results database with ``rows`` runs and ``extra`` statements of a stranger."""
    with closing(sqlite3.connect(path)) as con:
        con.execute(RUNS)
        for n in range(rows):
            con.execute("INSERT INTO runs VALUES (?, ?, 0.1, 0.5)", (f"r{n}", f"2026-01-0{n + 1}"))
        for statement in extra:
            con.execute(statement)
        con.commit()
    return path


def doubling(levels: int = 40) -> list[str]:
    """Views of which each looks at the one before twice: their columns take 2^40 looks."""
    more = (
        f"CREATE VIEW v{n} AS SELECT x.run_id FROM v{n - 1} x, v{n - 1} y" for n in range(1, levels)
    )
    return ["CREATE VIEW v0 AS SELECT run_id FROM runs", *more]


HOSTILE = {
    "a view without end": [f"CREATE VIEW events AS {ENDLESS}"],
    "views of views": doubling(),
    "a view in a circle": ["CREATE VIEW a AS SELECT * FROM b", "CREATE VIEW b AS SELECT * FROM a"],
    "a view over a file": ["CREATE VIEW events AS SELECT readfile('/etc/passwd') AS run_id"],
    "triggers": [
        "CREATE TRIGGER t1 BEFORE UPDATE ON runs BEGIN DELETE FROM runs WHERE run_id = 'r0'; END",
        "CREATE TRIGGER t2 BEFORE INSERT ON runs BEGIN SELECT raise(IGNORE); END",
        "CREATE TRIGGER t3 AFTER DELETE ON runs BEGIN DELETE FROM runs; END",
    ],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_database_is_read_merged_and_stamped_like_any_other(
    kind: str, tmp_path: Path
) -> None:
    began = time.monotonic()
    path = database(tmp_path / "x.db", *HOSTILE[kind])
    other = database(tmp_path / "y.db", *HOSTILE[kind], rows=3)
    assert [run.id for run in runs(path)] == ["r1", "r0"]
    assert sum(line.startswith("  row") for line in textconv(path)) == 2
    assert [table.added for table in diff_files(path, other)] == [1]
    assert merge(path, [other], out=tmp_path / "z.db").tables[0].new == 1
    record = stamp(path, "runs", "r1", {"version": "e0.1.0"})
    with closing(sqlite3.connect(path)) as con:
        assert con.execute("SELECT run_id, version FROM runs ORDER BY 1").fetchall() == [
            ("r0", None),
            ("r1", "e0.1.0"),
        ]
    unstamp(record)
    with closing(sqlite3.connect(path)) as con:
        assert con.execute("SELECT run_id FROM runs ORDER BY 1").fetchall() == [("r0",), ("r1",)]
        names = con.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid")
        expected = [s.split()[2] for s in HOSTILE[kind] if s.startswith("CREATE TRIGGER")]
        assert [name for (name,) in names] == expected
    assert time.monotonic() - began < 20


def test_a_giant_cell_that_is_made_when_it_is_read_is_refused(tmp_path: Path) -> None:
    """It would take 1.2 GB, for each row again."""
    path = database(
        tmp_path / "x.db",
        "ALTER TABLE runs ADD COLUMN note TEXT GENERATED ALWAYS AS (hex(zeroblob(400000000)))",
    )
    assert [run.id for run in runs(path)] == ["r1", "r0"]
    with pytest.raises(XexpError, match="too big"):
        list(textconv(path))


def test_a_stamp_that_a_constraint_would_answer_by_deleting_a_row_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as con:
        con.execute(
            "CREATE TABLE runs (run_id TEXT, timestamp TEXT, f1 REAL, "
            "version TEXT UNIQUE ON CONFLICT REPLACE)"
        )
        con.executemany("INSERT INTO runs VALUES ('r', ?, 0.5, NULL)", [("2026",), ("2027",)])
        con.commit()
    with pytest.raises(XexpError):
        stamp(path, "runs", "r", {"version": "e0.1.0"})
    with closing(sqlite3.connect(path)) as con:
        assert con.execute("SELECT count(*), count(version) FROM runs").fetchall() == [(2, 0)]


GIANT = """CREATE TABLE experiments (version TEXT PRIMARY KEY, headline TEXT
    GENERATED ALWAYS AS (hex(zeroblob(400000000))), text, config_hash, data, run, run_commit, code,
    parent, reason, results, "table")"""
REGISTRIES = {
    "a view without end": [f"CREATE VIEW experiments AS {ENDLESS}"],
    "views of views": [
        "CREATE TABLE runs (run_id)",
        *doubling(),
        "CREATE VIEW experiments AS SELECT * FROM v39",
    ],
    "a giant cell that is made when it is read": [
        GIANT,
        "INSERT INTO experiments (version) VALUES ('e0.1.0')",
    ],
    "no table at all": ["CREATE TABLE x (y)"],
}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_a_hostile_registry_ends_in_one_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    with closing(sqlite3.connect(path)) as con:
        for statement in REGISTRIES[kind]:
            con.execute(statement)
        con.execute("PRAGMA user_version = 1")
        con.commit()
    began = time.monotonic()
    with pytest.raises(XexpError, match="cannot be used"):
        Registry(path).rows()
    assert time.monotonic() - began < 15


def test_a_statement_without_end_is_over_after_its_time() -> None:
    with closing(sqlite.connect(":memory:")) as con:
        con.limit(0.3, 1000)
        with pytest.raises(sqlite3.OperationalError, match="too long"):
            con.execute(f"SELECT count(*) FROM ({ENDLESS})")
        with pytest.raises(sqlite3.DatabaseError, match="too big"):
            con.execute("SELECT zeroblob(1001)").fetchone()


def test_no_extension_is_loaded_and_no_schema_trusted() -> None:
    with closing(sqlite.connect(":memory:")) as con:
        assert con.execute("PRAGMA trusted_schema").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match="not authorized"):
            con.execute("SELECT load_extension('x')")


TABLES = [
    "CREATE TABLE a (x INTEGER PRIMARY KEY, y TEXT UNIQUE)",
    "CREATE TABLE b (x TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE c (x TEXT PRIMARY KEY, y INT) STRICT, WITHOUT ROWID",
    "CREATE TABLE d (x TEXT PRIMARY KEY /* ) STRICT */) -- ) WITHOUT ROWID",
    'CREATE TABLE "e ) STRICT" (x, "WITHOUT ROWID")',
    "CREATE TABLE f (x INTEGER CHECK (x > 0)) strict",
    "CREATE VIRTUAL TABLE notes USING fts5(body)",
    "CREATE VIRTUAL TABLE old USING fts4(body)",
    "CREATE VIRTUAL TABLE box USING rtree(id, a, b)",
    "CREATE TABLE notes_mine (x)",
    "CREATE VIEW g AS SELECT 1",
]


def test_tables_are_told_as_sqlite_tells_them() -> None:
    with closing(sqlite.connect(":memory:")) as con:
        for statement in TABLES:
            con.execute(statement)
        mine = {t.name: (t.kind, t.without_rowid, t.strict) for t in sqlite.tables(con)}
        told = {
            name: (kind, bool(wr), bool(strict))
            for schema, name, kind, _, wr, strict in con.execute("PRAGMA table_list")
            if schema == "main" and kind != "view" and not name.startswith("sqlite_")
        }
    assert {n: kind for n, (kind, _, _) in mine.items()} == {n: k for n, (k, _, _) in told.items()}
    plain = {name: entry for name, entry in told.items() if entry[0] == "table"}
    assert {name: mine[name] for name in plain} == plain


# -- DuckDB ----------------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with private files, one of which is going to be a FIFO that nobody writes to."""
    folder = tmp_path / "outside"
    folder.mkdir()
    for name in ("private.csv", "pipe.csv"):
        (folder / name).write_text("run_id,lr,f1\nTOPSECRET,1,1\n", "utf-8")
    return folder


def duck(path: Path, outside: Path, name: str) -> Path:
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE runs (run_id VARCHAR, timestamp TIMESTAMP, lr DOUBLE)")
        con.execute(f"INSERT INTO runs VALUES ('base', now(), 0.1), ('{name}', now(), 0.2)")
        con.execute(f"CREATE VIEW peek_{name} AS FROM read_csv('{outside}/private.csv')")
        con.execute(f"CREATE VIEW slow_{name} AS FROM read_csv('{outside}/pipe.csv')")
        con.execute(f"CREATE MACRO grab() AS TABLE FROM read_text('{outside}/private.csv')")
    return path


def _merge(a: Path, b: Path) -> None:
    assert merge(a, [b]).tables[0].new == 2
    with duckdb.connect(str(a), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM runs").fetchone() == (4,)
        views = con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    assert {("peek_a",), ("slow_a",)} <= set(views)


DUCKDB: dict[str, Callable[[Path, Path], object]] = {
    "merge": _merge,
    "merge into SQLite": lambda a, b: merge(a, [b], out=a.with_suffix(".db")),
    "merge into parquet": lambda a, b: merge(a, [b], out=a.with_suffix(".parquet")),
    "diff": lambda a, b: diff_files(a, b),
    "textconv": lambda a, b: list(textconv(a)),
    "runs": lambda a, b: runs(a),
    "stamp": lambda a, b: stamp(a, "runs", "a", {"version": "e0.1.0"}),
}


@pytest.mark.parametrize("verb", DUCKDB)
def test_no_view_or_macro_of_a_duckdb_file_opens_another_file(
    verb: str, outside: Path, tmp_path: Path
) -> None:
    """A view over a FIFO would wait for ever, in a call that nothing interrupts."""
    a, b = (duck(tmp_path / f"{name}.duckdb", outside, name) for name in "ab")
    (outside / "pipe.csv").unlink()
    os.mkfifo(outside / "pipe.csv")
    DUCKDB[verb](a, b)
    made = [path for path in tmp_path.iterdir() if path.is_file()]
    assert not any(b"TOPSECRET" in path.read_bytes() for path in made)


# -- signals ---------------------------------------------------------------------------------------

WAITS = {
    "the first row of SQLite": f"memory.execute('SELECT count(*) FROM ({ENDLESS})')",
    "a later row of SQLite": f"list(memory.execute('SELECT x FROM ({ENDLESS}) WHERE x < 2'))",
    "DuckDB": "Session(0).rows('SELECT sum(hash(x)) FROM range(1000000000000) t(x)')",
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", WAITS)
def test_a_signal_ends_what_a_database_works_on(kind: str, number: int) -> None:
    program = (
        "from gitxexp.common import interrupts, sqlite\n"
        "from gitxexp.common.errors import XexpError\n"
        "from gitxexp.tables.duckdb.session import Session\n"
        "interrupts.interrupt()\nmemory = sqlite.connect(':memory:')\n"
        "print('ready', flush=True)\n"
        f"try:\n    try:\n        {WAITS[kind]}\n    except Exception as error:\n"
        "        raise XexpError(str(error))\nexcept KeyboardInterrupt:\n    print('interrupted')\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    unguarded = os.environ | {"PYTHONPATH": str(ROOT)}  # an audit hook swallows a KeyboardInterrupt
    process = subprocess.Popen([sys.executable, "-c", program], env=unguarded, text=True, **pipes)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert out == "interrupted\n", err
