"""SQLite's tables as parquet files: every value as SQLite has it."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitxexp.tables.duckdb import adbc, parallel_scan, scan
from gitxexp.tables.duckdb.parquet_writer import MixedColumn, ParquetWriter

CON = duckdb.connect()


def database(path: Path, ddl: str, rows: list[tuple[Any, ...]]) -> Path:
    with sqlite3.connect(path) as con:
        con.execute(ddl)
        for row in rows:
            con.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(row))})", row)
    con.close()
    return path


def read(path: Path) -> tuple[list[str], list[tuple[Any, ...]]]:
    relation = CON.execute(f"SELECT * FROM read_parquet('{path}')")
    return [str(column[1]) for column in relation.description], relation.fetchall()


def scanned(tmp_path: Path, ddl: str, rows: list[tuple[Any, ...]], **part: Any) -> Any:
    source = database(tmp_path / "s.db", ddl, rows)
    out = tmp_path / "out.parquet"
    notes = scan.write(source, scan.TablePart("t", **part), out).notes
    return (*read(out), notes)


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.binary(max_size=20),
    st.floats(allow_nan=False),
)


@settings(max_examples=40)
@given(kind=st.sampled_from([int, float, str, bytes]), values=st.lists(VALUES, max_size=60))
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, kind: type, values: list[Any]
) -> None:
    """Each kind, with NULLs, over several groups of rows; bits of numbers included."""
    kept = [value for value in values if value is None or type(value) is kind]
    path = tmp_path_factory.mktemp("written") / "f.parquet"
    writer = ParquetWriter(path, ["a"])
    for start in range(0, len(kept), 7):
        writer.add([kept[start : start + 7]])
    writer.close({"a": "integer"})
    found = [row[0] for row in read(path)[1]]
    assert found == kept
    if kind is float:
        bits = [struct.pack("d", value) for value in kept if value is not None]
        assert [struct.pack("d", value) for value in found if value is not None] == bits


def test_mixed_columns(tmp_path: Path) -> None:
    """Integers beside reals are reals where that changes none; other mixtures are text, said once."""
    types, rows, notes = scanned(
        tmp_path,
        "CREATE TABLE t (a INTEGER, b, c, d BOOLEAN, e REAL, f TEXT, g BLOB, h)",
        [(1, 1, 2**60, 1, 1, "x", b"\0\xff", None), (0.5, "auto", 0.5, 0, None, None, None, None),
         (None, b"\xab", 1, None, 2.5, "é\0", b"", None)],
    )  # fmt: skip
    assert types == [
        "DOUBLE",
        "VARCHAR",
        "VARCHAR",
        "BIGINT",
        "DOUBLE",
        "VARCHAR",
        "BLOB",
        "BIGINT",
    ]
    assert rows == [
        (1.0, "1", str(2**60), 1, 1.0, "x", b"\0\xff", None),
        (0.5, "auto", "0.5", 0, None, None, None, None),
        (None, "ab", "1", None, 2.5, "é\0", b"", None),
    ]
    assert notes == [
        "column b of t mixes numbers and other values: it is read as text",
        "column c of t mixes numbers and other values: it is read as text",
    ]


def test_a_part_of_a_table(tmp_path: Path) -> None:
    """Only the columns, rows and ranges of rowids that are asked for."""
    ddl = "CREATE TABLE t (a INTEGER, b TEXT, Cc INTEGER)"
    rows = [(n, f"r{n}", n * n) for n in range(1, 100)]
    columns = frozenset({"cc", "b", "unknown"})
    types, found, _ = scanned(tmp_path, ddl, rows, columns=columns, limit=3)
    assert (types, found) == (["VARCHAR", "BIGINT"], [("r1", 1), ("r2", 4), ("r3", 9)])
    out = tmp_path / "ranges.parquet"
    scan.write(tmp_path / "s.db", scan.TablePart("t", ranges=((2, 3), (99, 2**63 - 1))), out)
    assert [row[0] for row in read(out)[1]] == [2, 3, 99]
    scan.write(tmp_path / "s.db", scan.TablePart("t", columns=frozenset({"nothing"})), out)
    assert len(read(out)[1]) == 99  # the number of rows may be all that is asked for


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    """It is shown as escapes, and said."""
    source = database(tmp_path / "s.db", "CREATE TABLE t (a TEXT)", [("fine",)])
    with sqlite3.connect(source) as con:
        con.execute("INSERT INTO t VALUES (CAST(x'41ff' AS TEXT))")
    con.close()
    notes = scan.write(source, scan.TablePart("t"), tmp_path / "o.parquet").notes
    assert read(tmp_path / "o.parquet")[1] == [("fine",), ("A\\xff",)]
    assert notes == ["t has text that is not UTF-8: its bytes are shown as \\xNN"]


def test_a_view_is_no_table(tmp_path: Path) -> None:
    source = database(tmp_path / "s.db", "CREATE TABLE t (a INT, b VARCHAR(9), c)", [])
    with sqlite3.connect(source) as con:
        con.execute("CREATE VIEW v AS SELECT * FROM t")
    con.close()
    assert scan.tables(source) == {"t": {"a": "BIGINT", "b": "VARCHAR", "c": "BIGINT"}}


def test_a_column_of_two_kinds_is_refused(tmp_path: Path) -> None:
    writer = ParquetWriter(tmp_path / "f.parquet", ["a"])
    writer.add([[1, None]])
    with pytest.raises(MixedColumn):
        writer.add([["x"]])
    writer.abandon()


def test_a_large_table_is_written_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows as by one process, which does it where the shares are not alike."""
    monkeypatch.setattr(adbc, "folders", list)
    monkeypatch.setattr(parallel_scan, "_ROWS", 400)
    monkeypatch.setattr(parallel_scan, "_processors", lambda: 3)
    rows = [(f"run-{n}", n / 7, None if n % 5 else n) for n in range(1500)]
    source = database(tmp_path / "s.db", "CREATE TABLE t (a TEXT, b REAL, c INTEGER)", rows)

    def written(part: scan.TablePart) -> tuple[int, list[tuple[Any, ...]]]:
        files, notes = parallel_scan.write(source, part, tmp_path / "out.parquet")
        assert notes == []
        return len(files), [row for file in files for row in read(file)[1]]

    assert written(scan.TablePart("t")) == (3, rows)
    assert written(scan.TablePart("t", frozenset({"b"}))) == (3, [row[1:2] for row in rows])
    assert written(scan.TablePart("t", limit=10)) == (1, rows[:10])
    with sqlite3.connect(source) as con:
        con.execute("UPDATE t SET c = 'x' WHERE rowid = 1400")
    con.close()
    files, notes = parallel_scan.write(source, scan.TablePart("t"), tmp_path / "out.parquet")
    assert (len(files), len(notes)) == (1, 1)
    assert read(files[0])[1][1399][2] == "x"


def test_shares_are_made_without_reading_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel_scan, "_ROWS", 400)
    monkeypatch.setattr(parallel_scan, "_processors", lambda: 3)
    source = database(tmp_path / "s.db", "CREATE TABLE t (a)", [(n,) for n in range(1500)])
    steps: list[int] = []
    with closing(sqlite3.connect(source)) as con:
        con.set_progress_handler(lambda: steps.append(1), 500)
        shares = parallel_scan._shares(source, scan.TablePart("t"), con)
    assert (shares[0][0], shares[-1][1], len(shares), steps) == (1, 1500, 3, [])
