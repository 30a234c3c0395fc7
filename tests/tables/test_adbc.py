"""SQLite's rows by way of Arrow: what :mod:`gitxexp.tables.duckdb.scan` writes, or nothing.

A longer run: XEXP_TEST_EXAMPLES=2000 pytest tests/tables/test_adbc.py
"""

from __future__ import annotations

import sqlite3
import struct
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from gitxexp.common import checked
from gitxexp.common.errors import XexpError
from gitxexp.tables.duckdb import adbc, parallel_scan, scan
from gitxexp.tables.duckdb.scan import TablePart, Written

CON = duckdb.connect()
EVERY = [(-(2**63), 2**63 - 1)]


class Raw(bytes):
    """A text of any bytes."""


def fill(con: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
    for row in rows:
        cells = ", ".join("CAST(? AS TEXT)" if isinstance(cell, Raw) else "?" for cell in row)
        con.execute(f"INSERT INTO t VALUES ({cells})", row)
    con.commit()


def database(path: Path, ddl: str, rows: Sequence[Sequence[Any]], *pragmas: str) -> Path:
    with closing(sqlite3.connect(path)) as con:
        for pragma in pragmas:
            con.execute(f"PRAGMA {pragma}")
        con.execute(ddl)
        fill(con, rows)
    return path


def read(path: Path) -> tuple[list[tuple[str, str]], list[list[Any]]]:
    """Names and types, and rows with the bits of reals."""
    relation = CON.execute(f"SELECT * FROM read_parquet('{path}')")
    head = [(column[0], str(column[1])) for column in relation.description]
    return head, [
        [struct.pack(">d", cell) if isinstance(cell, float) else cell for cell in row]
        for row in relation.fetchall()
    ]


def compared(source: Path, folder: Path, columns: frozenset[str] | None = None) -> bool:
    """Whether the file was written by way of Arrow; then both files must be alike."""
    part = TablePart("t", columns, ranges=EVERY)
    found = adbc.write(source, part, folder / "arrow.parquet")
    if found is None:
        return False
    expected = scan.write(source, part, folder / "plain.parquet")
    assert found == Written(dict(expected.kinds), expected.notes)
    assert read(folder / "arrow.parquet") == read(folder / "plain.parquet")
    return True


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
CELLS = {
    "INTEGER": st.integers(-(2**63), 2**63 - 1) | st.booleans().map(int),
    "REAL": st.floats(allow_nan=False) | st.integers(-9, 9).map(float),
    "TEXT": TEXTS | st.sampled_from(["", "1", "1e3", "\0", "a\0b", "é", "\U0001f600"]),
    "BLOB": st.binary(max_size=8),
}
OTHERS = st.one_of(*CELLS.values(), st.binary(max_size=4).map(Raw))
DECLARED = [
    "",
    "NUMERIC",
    "DATETIME",
    "DECIMAL(9, 3)",
    "VARCHAR(9)",
    "FLOATING POINT",
    "ﬂoat",
    *CELLS,
]


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, list[list[Any]]]:
    kinds = draw(st.lists(st.sampled_from(list(CELLS)), min_size=1, max_size=3))
    declared = [kind if draw(st.booleans()) else draw(st.sampled_from(DECLARED)) for kind in kinds]
    cells = [st.none() | CELLS[kind] for kind in kinds]
    rows = draw(st.lists(st.tuples(*cells).map(list), max_size=12))
    if rows and draw(st.booleans()):
        row, column = draw(st.sampled_from(rows)), draw(st.integers(0, len(kinds) - 1))
        row[column] = draw(OTHERS)
    return f"CREATE TABLE t ({', '.join(f'c{n} {kind}' for n, kind in enumerate(declared))})", rows


@given(table=tables())
def test_what_arrow_brings_is_what_python_reads(
    tmp_path_factory: pytest.TempPathFactory, table: tuple[str, list[list[Any]]]
) -> None:
    """Columns of one class or mixed, declared so or not."""
    folder = tmp_path_factory.mktemp("both")
    event("by Arrow" if compared(database(folder / "s.db", *table), folder) else "not")


@pytest.mark.parametrize(
    "pragma", ["encoding = 'UTF-8'", "journal_mode = WAL", "encoding = 'UTF-16le'"]
)
def test_odd_names_and_columns(tmp_path: Path, pragma: str) -> None:
    """Whatever a column or path is called; content in a write-ahead log alone; UTF-16 is left to Python."""
    folder = tmp_path / 'it\'s 100% "a"?#[*]'
    folder.mkdir()
    ddl = """CREATE TABLE t (id INTEGER PRIMARY KEY, "a""b" TEXT COLLATE NOCASE, "É" REAL, "é" BLOB,
      "x y'" DATETIME, empty NUMERIC, big TEXT, g REAL AS (id * 2) VIRTUAL,
      s TEXT AS (upper("a""b")) STORED)"""
    source = database(folder / "s.db", ddl, [], pragma)
    with closing(sqlite3.connect(source)) as con:
        con.execute('CREATE INDEX i ON t (g, "a""b")')
        con.executemany(
            "INSERT INTO t VALUES (?, ?, ?, ?, ?, NULL, ?)",
            [(-5, None, None, None, None, None), (1, "é\0", -0.0, b"", "2026-01-01", "x" * 200_000)]
            + [(n, f"{n}", n / 3, b"\0\xff", "", "") for n in range(2, 99)],
        )
        con.commit()
        expected = not pragma.startswith("encoding = 'UTF-16")
        if "WAL" in pragma:
            assert (folder / "s.db-wal").stat().st_size > 0
            # a copy, because a connection here and the driver's would share a process
            for name in ("s.db", "s.db-wal"):
                (tmp_path / name).write_bytes((folder / name).read_bytes())
            source = tmp_path / "s.db"
    assert compared(source, tmp_path) is expected
    assert compared(source, tmp_path, frozenset({"É".lower(), 'a"b', "g"})) is expected
    assert compared(source, tmp_path, frozenset({"unknown"})) is expected


@pytest.mark.parametrize(
    ("ddl", "cell"),
    [("a TEXT", b"\0"), ("a BLOB", "x"), ("a BLOB", 1), ("a", 1.5), ("a TEXT", Raw(b"A\xff")),
     ("a TEXT", Raw(b"\xed\xa0\x80")), ("a REAL", "x"), ("a INT", 0.5), ("a DATETIME", 7)],
)  # fmt: skip
def test_a_late_value_of_another_class(tmp_path: Path, ddl: str, cell: Any) -> None:
    """Thousands of values of one class, then one that would be converted: nothing is written."""
    first: Any = {"TEXT": "1", "BLOB": b"1", "REAL": 1.0, "INT": 1, "DATETIME": "x"}.get(ddl[2:], 1)
    source = database(tmp_path / "s.db", f"CREATE TABLE t ({ddl})", [])
    with closing(sqlite3.connect(source)) as con:
        con.executemany("INSERT INTO t VALUES (?)", [(first,)] * 17_000)
        con.commit()
        part = TablePart("t", ranges=EVERY)
    assert adbc.write(source, part, tmp_path / "o.parquet") == Written({"a": _kind(first)}, [])
    with closing(sqlite3.connect(source)) as con:
        fill(con, [[cell]])
    assert adbc.write(source, part, tmp_path / "o.parquet") is None


def _kind(value: Any) -> str:
    return {str: "text", bytes: "blob", float: "real", int: "integer"}[type(value)]


def test_values_that_no_insert_wrote(tmp_path: Path) -> None:
    """Defaults of columns that were added later, and reals that SQLite stores as integers."""
    source = database(tmp_path / "s.db", "CREATE TABLE t (a REAL UNIQUE)", [[1], [2**53 + 1]])
    with closing(sqlite3.connect(source)) as con:
        for column in ("r REAL DEFAULT 1", "x TEXT DEFAULT 5", "n DEFAULT 5"):
            con.execute(f"ALTER TABLE t ADD COLUMN {column}")
        con.commit()
    assert compared(source, tmp_path)


def test_a_file_of_a_strange_hand(tmp_path: Path) -> None:
    """A number in a column of texts, which SQLite itself would have made a text."""
    source = database(tmp_path / "s.db", "CREATE TABLE t (a NUMBER)", [[1], ["x"], [2]])
    with closing(sqlite3.connect(source)) as con:
        con.execute("PRAGMA writable_schema = ON")
        con.execute("UPDATE sqlite_schema SET sql = replace(sql, 'NUMBER', 'TEXT')")
        con.commit()
    assert not compared(source, tmp_path)


def test_only_ordinary_tables_with_rowids(tmp_path: Path) -> None:
    ddls = (
        "CREATE VIEW t AS SELECT 1 AS rowid, 2 AS a",
        "CREATE TABLE t (a TEXT PRIMARY KEY) WITHOUT ROWID",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
    )
    for number, ddl in enumerate(ddls):
        source = database(tmp_path / f"{number}.db", ddl, [])
        assert adbc.write(source, TablePart("t", ranges=EVERY), tmp_path / "o.parquet") is None


def test_a_file_put_in_the_place_of_a_checked_one(tmp_path: Path) -> None:
    """The driver opens by path; what it opened is compared with what was checked."""
    source = database(tmp_path / "s.db", "CREATE TABLE t (a TEXT)", [["x"]])
    other = database(tmp_path / "other.db", "CREATE TABLE t (a TEXT)", [["secret"]]).stat()
    own = source.stat()
    checked.remember(source, lambda: (own.st_dev, own.st_ino))
    assert compared(source, tmp_path)
    checked.remember(source, lambda: (other.st_dev, other.st_ino))
    with pytest.raises(XexpError, match="was replaced"):
        adbc.write(source, TablePart("t", ranges=EVERY), tmp_path / "o.parquet")


def test_a_process_with_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One processor is enough for it; without the driver nothing changes, and a share that it refuses
    is written by Python."""
    monkeypatch.setattr(parallel_scan, "_ROWS", 400)
    monkeypatch.setattr(parallel_scan, "_processors", lambda: 1)
    rows = [[f"run-{n}", n / 7, None if n % 5 else n] for n in range(900)]
    source = database(tmp_path / "s.db", "CREATE TABLE t (a TEXT, b REAL, c INTEGER)", rows)

    def written() -> tuple[list[str], list[list[Any]], list[str]]:
        files, notes = parallel_scan.write(source, TablePart("t"), tmp_path / "out.parquet")
        makers = [
            CON.execute(f"SELECT created_by FROM parquet_file_metadata('{file}')").fetchone()[0]
            for file in files
        ]
        return [maker.split()[0] for maker in makers], read(files[0])[1], notes

    packed = [[a, struct.pack(">d", b), c] for a, b, c in rows]
    assert written() == (["DuckDB"], packed, [])
    with monkeypatch.context() as patch:
        patch.setattr(adbc, "_PACKAGES", ("no_such_package",))
        assert written() == (["git-xexp"], packed, [])
    with closing(sqlite3.connect(source)) as con:
        con.execute("UPDATE t SET a = CAST(x'41ff' AS TEXT) WHERE rowid = 900")
        con.commit()
    note = "t has text that is not UTF-8: its bytes are shown as \\xNN"
    assert written() == (["git-xexp"], [*packed[:-1], ["A\\xff", *packed[-1][1:]]], [note])


@pytest.mark.parametrize("missing", [False, True])
def test_duckdb_is_imported_whole_only_where_it_must_be(missing: bool) -> None:
    script = f"""
        import sys, _duckdb

        class Finder:
            calls = 0
            def find_spec(self, name, path=None, target=None):
                if name == "duckdb._sources":
                    Finder.calls += 1
                    if Finder.calls == 1:
                        raise ImportError(name)

        if {missing}:
            sys.meta_path.insert(0, Finder())
        import adbc_driver_manager as driver, adbc_driver_sqlite
        from gitxexp.tables.duckdb.core import core_with_arrow
        connection = core_with_arrow().connect()
        with (
            adbc_driver_sqlite.connect() as database,
            driver.AdbcConnection(database) as opened,
            driver.AdbcStatement(opened) as statement,
        ):
            statement.set_sql_query("SELECT 1 UNION ALL SELECT 2")
            connection.register("share", statement.execute_query()[0])
            assert connection.execute("SELECT sum(a) FROM share AS s(a)").fetchone() == (3,)
        whole = hasattr(sys.modules["duckdb"], "connect")
        assert whole == ({missing} or not hasattr(_duckdb, "_set_arrow_sources"))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)
