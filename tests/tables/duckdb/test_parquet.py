"""What a parquet file keeps through a merge, judged by another reader (pyarrow)."""

from __future__ import annotations

import datetime as dt
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gitxexp.common.errors import XexpError
from gitxexp.tables.duckdb.merge import merge_files
from gitxexp.tables.plan import MergeOptions
from tests.tables.support import database

UTC = dt.UTC
MOMENT = dt.datetime(2024, 2, 29, 23, 59, 59, 999999)

RICH: dict[str, tuple[pa.DataType, list[Any]]] = {
    "i8": (pa.int8(), [-128, None, 127]),
    "u64": (pa.uint64(), [2**64 - 1, 0, None]),
    "f32": (pa.float32(), [0.5, float("inf"), None]),
    "flag": (pa.bool_(), [True, False, None]),
    "dec": (pa.decimal128(38, 10), [Decimal("9" * 28 + ".0000000001"), Decimal("-0.1"), None]),
    "day": (pa.date32(), [dt.date(1582, 1, 1), dt.date(9999, 12, 31), None]),
    "us": (pa.timestamp("us"), [MOMENT, dt.datetime(1, 1, 1), None]),
    "ns": (pa.timestamp("ns"), [pd.Timestamp(1700000000123456789), None, None]),
    "zone": (pa.timestamp("us", tz="Europe/Berlin"), [MOMENT.replace(tzinfo=UTC), None, None]),
    "time": (pa.time64("us"), [dt.time(23, 59, 59, 999999), None, None]),
    "raw": (pa.binary(), [b"\x00\xff", b"", None]),
    "list": (pa.list_(pa.int64()), [[1, None, 3], [], None]),
    "deep": (
        pa.struct({"x": pa.list_(pa.struct({"y": pa.string()}))}),
        [{"x": [{"y": "é"}, None]}, {"x": None}, None],
    ),
    "map": (pa.map_(pa.string(), pa.float64()), [[("k", 0.1)], [], None]),
    "cat": (pa.dictionary(pa.int32(), pa.string()), ["a", "b", None]),
}


def rich(path: Path, rows: list[int], **how: Any) -> Path:
    arrays = [pa.array([values[i] for i in rows], kind) for kind, values in RICH.values()]
    pq.write_table(pa.Table.from_arrays(arrays, names=list(RICH)), path, **how)
    return path


def test_every_type_comes_through_exactly(tmp_path: Path) -> None:
    a, b = rich(tmp_path / "a.parquet", [0, 1]), rich(tmp_path / "b.parquet", [1, 2, 2])
    before = pq.read_table(a).schema
    report = merge_files(a, [b])
    assert (report.tables[0].new, report.tables[0].identical) == (2, 1)
    found = pq.read_table(a)
    assert found.schema.equals(before)
    expected = rich(tmp_path / "e.parquet", [0, 1, 2, 2])
    assert found.equals(pq.read_table(expected))


def test_zoned_nanoseconds_are_kept_or_refused(tmp_path: Path) -> None:
    import duckdb

    paths = []
    for name, value in (("a", 1700000000123456789), ("b", 1700000000123456788)):
        paths.append(tmp_path / f"{name}.parquet")
        column = pa.array([value], pa.timestamp("ns", tz="UTC"))
        pq.write_table(pa.table({"t": column}), paths[-1])
    if int(duckdb.__version__.split(".")[0]) < 2:
        with pytest.raises(XexpError, match="nanosecond"):
            merge_files(paths[0], paths[1:])
    else:
        merge_files(paths[0], paths[1:])
        stored = pq.read_table(paths[0])["t"].cast(pa.int64()).to_pylist()
        assert stored == [1700000000123456789, 1700000000123456788]


@pytest.mark.parametrize("codec", ["NONE", "SNAPPY", "GZIP", "ZSTD", "BROTLI", "LZ4"])
def test_codec_and_row_groups_stay(codec: str, tmp_path: Path) -> None:
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    how = {"compression": codec, "row_group_size": 4096}
    pq.write_table(pa.table({"n": range(20000)}), a, **how)
    pq.write_table(pa.table({"n": range(30000, 30010)}), b)
    was = pq.ParquetFile(a).metadata.row_group(0).column(0).compression
    merge_files(a, [b])
    pq.write_table(pa.table({"n": range(40000, 40010)}), b)
    merge_files(a, [b])
    meta = pq.ParquetFile(a).metadata
    assert meta.row_group(0).column(0).compression == was
    groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    assert groups[:4] == [4096] * 4 and sum(groups) == 20020 and len(groups) <= 6


@pytest.mark.parametrize("dictionary", [True, False])
def test_dictionary_encoding_stays(dictionary: bool, tmp_path: Path) -> None:
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    names = ["red", "green", "blue"] * 3000
    pq.write_table(pa.table({"s": names}), a, use_dictionary=dictionary)
    pq.write_table(pa.table({"s": ["red"] * 9001}), b)
    merge_files(a, [b])
    encodings = pq.ParquetFile(a).metadata.row_group(0).column(0).encodings
    assert any("DICTIONARY" in e for e in encodings) == dictionary


def test_metadata_and_a_pandas_index_stay(tmp_path: Path) -> None:
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    index = pd.Index(["r1", "r2"], name="run")
    pd.DataFrame({"x": [1.5, 2.5]}, index=index).to_parquet(a)
    pd.DataFrame({"x": [3.5]}, index=pd.Index(["r3"], name="run")).to_parquet(b)
    table = pq.read_table(a)
    table = table.replace_schema_metadata({**table.schema.metadata, b"mine": b"\x00\xff'\""})
    pq.write_table(table, a)
    merge_files(a, [b])
    found = pd.read_parquet(a)
    assert list(found.index) == ["r1", "r2", "r3"] and found.index.name == "run"
    assert pq.read_table(a).schema.metadata[b"mine"] == b"\x00\xff'\""


def test_pandas_metadata_follows_a_new_column_and_the_row_count(tmp_path: Path) -> None:
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pd.DataFrame({"x": [1, 2]}).to_parquet(a)
    pd.DataFrame({"x": [2, 3], "y": [None, "new"]}).to_parquet(b)
    report = merge_files(a, [b])
    assert report.tables[0].columns_added == ("y",)
    meta = json.loads(pq.read_metadata(a).metadata[b"pandas"])
    assert meta["index_columns"][0]["stop"] == 3
    assert [c["field_name"] for c in meta["columns"]] == ["x", "y"]
    frame = pd.read_parquet(a)
    assert list(frame["x"]) == [1, 2, 3] and frame["y"].dropna().tolist() == ["new"]
    assert report.notes == ()
    assert pq.read_schema(a).names == ["x", "y"]


def test_a_hive_like_folder_adds_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "year=2024"
    folder.mkdir()
    a, b = folder / "a.parquet", folder / "b.parquet"
    pq.write_table(pa.table({"n": [1]}), a)
    pq.write_table(pa.table({"n": [2]}), b)
    merge_files(a, [b])
    assert pq.ParquetFile(a).schema_arrow.names == ["n"]


LOSSES = {
    "int64+double": (pa.int64(), [2**53 + 1], pa.float64(), [0.5]),
    "uint64+int64": (pa.uint64(), [2**64 - 1], pa.int64(), [-1]),
    "decimal": (pa.decimal128(38, 0), [Decimal("9" * 38)], pa.decimal128(38, 10), [Decimal("0.1")]),
    "naive+zoned": (pa.timestamp("us"), [MOMENT], pa.timestamp("us", tz="UTC"), [None]),
    "text+number": (pa.string(), ["1"], pa.int64(), [1]),
    "date+number": (pa.date32(), [dt.date(2024, 1, 1)], pa.int64(), [1]),
}


@pytest.mark.parametrize("case", LOSSES)
@pytest.mark.parametrize("swap", [False, True])
def test_a_promotion_that_changes_a_value_is_refused(case: str, swap: bool, tmp_path: Path) -> None:
    one, few, two, others = LOSSES[case]
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    pq.write_table(pa.table({"c": pa.array(few, one)}), paths[swap])
    pq.write_table(pa.table({"c": pa.array(others or [MOMENT], two)}), paths[not swap])
    if case == "naive+zoned":
        pq.write_table(pa.table({"c": pa.array([MOMENT], two)}), paths[not swap])
    before = [path.read_bytes() for path in paths]
    with pytest.raises(XexpError, match="column c cannot be merged unchanged") as error:
        merge_files(paths[0], paths[1:])
    assert "--" in (error.value.hint or "")
    assert [path.read_bytes() for path in paths] == before


def test_the_loss_can_be_accepted(tmp_path: Path) -> None:
    for case in ("int64+double", "uint64+int64", "naive+zoned"):
        one, few, two, others = LOSSES[case]
        a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
        pq.write_table(pa.table({"c": pa.array(few, one)}), a)
        pq.write_table(pa.table({"c": pa.array(others, two)}), b)
        report = merge_files(a, [b], options=MergeOptions(allow_lossy=True))
        assert report.written and pq.read_metadata(a).num_rows == 2
        assert report.tables[0].types_widened


def test_text_can_be_asked_for(tmp_path: Path) -> None:
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(pa.table({"c": pa.array([1], pa.int64())}), a)
    pq.write_table(pa.table({"c": ["x"]}), b)
    merge_files(a, [b], options=MergeOptions(stringify=("c",)))
    assert pq.read_table(a)["c"].to_pylist() == ["1", "x"]


SAFE = {
    "int32+int64": (pa.int32(), [1], pa.int64(), [2**40], "int64"),
    "int64+double": (pa.int64(), [2**53], pa.float64(), [0.5], "double"),
    "uint64+int64": (pa.int64(), [-1], pa.uint64(), [7], "int64"),
    "float+double": (pa.float32(), [0.5], pa.float64(), [0.1], "double"),
    "decimal": (
        pa.decimal128(5, 2),
        [Decimal("1.25")],
        pa.decimal128(9, 4),
        [Decimal("0.0001")],
        None,
    ),
    "null+text": (pa.null(), [None], pa.string(), ["x"], "string"),
}


@pytest.mark.parametrize("case", SAFE)
def test_a_promotion_that_changes_nothing_is_made(case: str, tmp_path: Path) -> None:
    one, few, two, others, expected = SAFE[case]
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(pa.table({"c": pa.array(few, one)}), a)
    pq.write_table(pa.table({"c": pa.array(others, two)}), b)
    report = merge_files(a, [b])
    found = pq.read_table(a)["c"]
    assert found.to_pylist() == few + others
    assert expected is None or str(found.type) == expected
    assert bool(report.tables[0].types_widened) == (case not in ("uint64+int64", "null+text"))


def test_minus_zero_and_nan_are_values(tmp_path: Path) -> None:
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(pa.table({"c": [0.0, float("nan")], "l": [[0.0], [1.0]]}), a)
    pq.write_table(pa.table({"c": [-0.0, float("nan"), 0.0], "l": [[0.0], [1.0], [-0.0]]}), b)
    merge_files(a, [b])
    assert [str(v) for v in pq.read_table(a)["c"].to_pylist()] == ["0.0", "nan", "-0.0", "0.0"]


def test_decimals_that_would_be_rounded_are_refused(tmp_path: Path) -> None:
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    wide = pa.array([Decimal("1" * 45 + ".25")], pa.decimal256(50, 2))
    pq.write_table(pa.table({"v": wide}), a)
    pq.write_table(pa.table({"v": wide}), b)
    with pytest.raises(XexpError, match="50 digits"):
        merge_files(a, [b])


def test_fields_of_a_struct_whose_names_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    for path in (a, b):
        pq.write_table(pa.table({"s": [{"x": 1, "in": {"a": 1, "A": 2}}], "in": [3]}), path)
    with pytest.raises(XexpError, match="differ only in case: A"):
        merge_files(a, [b])
    pq.write_table(pa.table({"s": [{"x": 1, "s": {"S": 1}}], "x": [3]}), a)
    pq.write_table(pa.table({"s": [{"x": 2, "s": {"S": 1}}], "x": [3]}), b)
    assert merge_files(a, [b]).tables[0].new == 1


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_is_named_or_read_right(seed: int, tmp_path: Path) -> None:
    """Bytes anywhere in the file are others, or missing."""
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(pa.table({"n": range(100)}), a)
    pq.write_table(pa.table({"n": range(50, 150)}), b)
    before, raw, chance = a.read_bytes(), bytearray(b.read_bytes()), random.Random(seed)
    at = chance.randrange(len(raw) - 20)
    raw[at : at + 20] = chance.randbytes(chance.choice((0, 20)))
    b.write_bytes(raw)
    try:
        merge_files(a, [b])
    except XexpError as error:
        assert str(b) in error.message and a.read_bytes() == before
    else:
        assert set(range(100)) <= set(pq.read_table(a)["n"].to_pylist())


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("170141183460469231731687303715884105727::HUGEINT", None),
        ("12345678901234567890123456789012345678::HUGEINT", "DECIMAL(38,0)"),
        ("4::HUGEINT", "DOUBLE"),
        ("'12:00:00+01'::TIMETZ", None),
        ("'12:00:00+00'::TIMETZ", "TIME WITH TIME ZONE"),
        ("union_value(n := 1)", None),
        ("{'n': 4::UHUGEINT}", None),
    ],
)
def test_types_that_parquet_lacks_are_kept_or_refused(
    value: str, kept: str | None, tmp_path: Path
) -> None:
    """DuckDB itself writes another value, and says nothing."""
    source, out = tmp_path / "a.duckdb", tmp_path / "out.parquet"
    with database(source) as con:
        con.execute(f"CREATE TABLE t AS SELECT {value} AS v")
    if kept is None:
        with pytest.raises(XexpError, match=r"column v cannot be merged unchanged: .*parquet has"):
            merge_files(out, [source])
        assert not out.exists()
        return
    merge_files(out, [source])
    with database(source) as con:
        same = f"SELECT v::VARCHAR::{kept} = (SELECT v FROM '{out}') FROM t"
        assert con.execute(f"SELECT typeof(v) FROM '{out}'").fetchall() == [(kept,)]
        assert con.execute(same).fetchall() == [(True,)]


@pytest.mark.parametrize("null", [True, False])
def test_columns_without_nulls_may_have_them_as_before(null: bool, tmp_path: Path) -> None:
    """So that the file and others with its schema can still be read as one."""
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    schema = pa.schema(
        [pa.field("k", pa.int64()), pa.field("s", pa.string()), pa.field("l", pa.list_(pa.int8()))]
    )
    last = None if null else "c"
    pq.write_table(pa.table({"k": [1], "s": ["a"], "l": [[1]]}, schema), a)
    pq.write_table(pa.table({"k": [2], "s": [last], "l": [[2]]}, schema), b)
    merge_files(a, [b])
    assert pq.read_schema(a).remove_metadata().equals(schema)


def test_only_columns_that_must_not_be_null_stay_so(tmp_path: Path) -> None:
    """Not those beside one, and the key of a map, which never may be NULL, is none."""
    for name, nullable in (("required", False), ("map", True)):
        a, b = tmp_path / f"{name}.parquet", tmp_path / f"{name}2.parquet"
        schema = pa.schema(
            [
                pa.field("k", pa.int64(), nullable=nullable),
                pa.field("s", pa.string()),
                pa.field("m", pa.map_(pa.string(), pa.int64())),
            ]
        )
        for path, value in ((a, 1), (b, 2)):
            pq.write_table(pa.table({"k": [value], "s": ["a"], "m": [[("x", 1)]]}, schema), path)
        assert not merge_files(a, [b]).notes
        merged = pq.read_schema(a)
        assert [merged.field(c).nullable for c in "ksm"] == [nullable, True, True]
        assert pq.read_table(a).num_rows == 2


def test_values_inside_that_must_not_be_null(tmp_path: Path) -> None:
    """They stay so where they are in all files, else that is said; no value changes."""

    def field(nullable: bool) -> pa.Schema:
        return pa.schema(
            [pa.field("l", pa.list_(pa.field("element", pa.int32(), nullable=nullable)))]
        )

    a, b, c = (tmp_path / f"{name}.parquet" for name in "abc")
    for path, nullable, value in ((a, False, 1), (b, False, 2), (c, True, None)):
        pq.write_table(pa.table({"l": [[value]]}, field(nullable)), path)
    assert not merge_files(a, [b]).notes
    assert pq.read_schema(a).remove_metadata().equals(field(False))
    (note,) = merge_files(a, [c]).notes
    assert note.startswith("column l: values inside that must not be NULL may be now")
    assert pq.read_table(a)["l"].to_pylist() == [[1], [2], [None]]


def test_columns_that_must_not_be_null_stay_so(tmp_path: Path) -> None:
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    schema = pa.schema([pa.field("k", pa.int64(), nullable=False)])
    for path, value in ((a, 1), (b, 2)):
        pq.write_table(pa.table({"k": [value]}, schema), path)
    merge_files(a, [b])
    assert pq.read_schema(a).remove_metadata().equals(schema)
