"""``check --train A --test B``: which rows two files share, whatever kind they are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from gitxexp.common.errors import XexpError
from gitxexp.workflows.checks.data_files import shared

HOW = ("csv, HEADER", "csv, HEADER, DELIMITER '\t'", "json", "parquet")


def files(folder: Path, name: str, first: int, last: int, columns: str) -> list[Path]:
    """The same rows as CSV, TSV, JSON lines, parquet, DuckDB and SQLite."""
    made = [folder / f"{name}.{suffix}" for suffix in ("csv", "tsv", "jsonl", "parquet")]
    query = f"SELECT {columns} FROM range({first}, {last}) AS r(i)"
    with closing(duckdb.connect()) as db:
        for path, how in zip(made, HOW, strict=True):
            db.execute(f"COPY ({query}) TO '{path}' (FORMAT {how})")
        rows = db.execute(query).fetchall()
        names = [item[0] for item in db.execute(query).description]
    with closing(duckdb.connect(str(folder / f"{name}.duckdb"))) as db:
        db.execute(f"CREATE TABLE t AS {query}")
    with closing(sqlite3.connect(folder / f"{name}.db")) as lite, lite:
        lite.execute(f"CREATE TABLE t ({', '.join(names)})")
        lite.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(names))})", rows)
    return [*made, folder / f"{name}.duckdb", folder / f"{name}.db"]


WHOLE = "i AS x, i * 2 AS y, 'a ' || i AS text, i % 2 = 0 AS even, i / 4 AS part, nullif(i % 3, 0) AS gap"
KEYED = "'in-' || i AS input_id, random() AS x"


def test_by_rows_and_by_key_in_every_kind(tmp_path: Path) -> None:
    train, test = files(tmp_path, "train", 0, 50, WHOLE), files(tmp_path, "test", 45, 60, WHOLE)
    for one, other in zip(train, [*test[1:], test[0]], strict=True):
        found = shared(one, other, None)
        assert (found.total, found.by) == (5, "whole rows"), (one, other)
        assert sorted(int(row["x"]) for row in found.rows) == [45, 46, 47, 48, 49]
    train, test = files(tmp_path, "keyed", 0, 50, KEYED), files(tmp_path, "kept", 50, 60, KEYED)
    assert shared(train[0], test[3], None).total == 0
    assert shared(train[0], train[3], None).by == "by input_id"
    assert shared(train[0], train[3], "input_id").total == 50


def test_the_same_values_as_other_programs_write_them(tmp_path: Path) -> None:
    """pandas writes True, integers with a gap as fractions, and columns in any order and spelling."""
    one, other = tmp_path / "a.csv", tmp_path / "b.csv"
    one.write_text("Text,n,flag,at\na,7,true,2026-01-01 10:00:00\nb,007,false,\nc,1e2,1,x\n")
    other.write_text("flag,n,at,text\nTrue,7.0,2026-01-01T10:00:00.000,a\nFalse,7,,b\n1,100,x,c\n")
    assert [row["text"] for row in shared(one, other, None).rows] == ["a", "c"]
    one.write_text("id,x\n7,1\n007,1\n1.10,1\n1e5,1\n12345678901234567890,1\n")
    other.write_text("ID,x\n7.0,2\n07,2\n1.1,2\n100000,2\n12345678901234567891,2\n,2\n")
    found = shared(one, other, None)
    assert (found.by, [row["ID"] for row in found.rows]) == ("by ID", ["7.0"])
    assert shared(one, other, "id").total == 1


def test_columns_that_only_one_file_has(tmp_path: Path) -> None:
    one, other = tmp_path / "a.csv", tmp_path / "b.csv"
    one.write_text("text,label\na,1\nb,1\nc,0\nd,0\ne,0\n")
    other.write_text("text,split\na,test\nz,test\n")
    found = shared(one, other, None)
    assert (found.total, found.by) == (1, "by text")
    other.write_text("label,words\n1,z\n")
    with pytest.raises(XexpError, match="do not tell rows apart"):
        shared(one, other, None)
    assert shared(one, other, "LABEL").total == 1


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    one, other = tmp_path / "a.csv", tmp_path / "b.csv"
    one.write_text("a,b\n1,2\n")
    other.write_text("c,d\n1,2\n")
    for left, right, key, said in (
        (one, other, None, "no column in common"),
        (one, one, "z", "do not both have a column z"),
        (one, tmp_path / "none.csv", None, "no such file"),
        (one, tmp_path / "b.bin", None, "cannot tell what kind"),
    ):
        (tmp_path / "b.bin").write_bytes(b"\0\1")
        with pytest.raises(XexpError, match=said):
            shared(left, right, key)
