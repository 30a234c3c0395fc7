"""What Arrow's writers say beside parquet's own types, and types that only they write."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gitxexp.common.errors import XexpError
from gitxexp.tables.duckdb.merge import merge_files
from tests.tables.support import database, read, write

MOMENT = dt.datetime(2024, 2, 29, 23, 59, 59, 999999)
ZONED = pa.timestamp("us", "America/New_York")
ARROW = {
    "category": (pa.dictionary(pa.int8(), pa.string()), ["red", "blue"]),
    "zone": (ZONED, [MOMENT.replace(tzinfo=dt.UTC)] * 2),
    "span": (pa.duration("ms"), [dt.timedelta(milliseconds=5)] * 2),
    "text": (pa.large_string(), ["é", None]),
    "tree": (pa.struct([("a", pa.list_(pa.large_string())), ("b", ZONED)]), [None, {"a": ["x"]}]),
    "map": (pa.map_(pa.string(), pa.int32()), [[("a", 1)], []]),
}
PLAIN = {
    "i8": pa.int8(), "u16": pa.uint16(), "i32": pa.int32(), "u64": pa.uint64(), "f": pa.float32(),
    "d": pa.float64(), "s": pa.string(), "b": pa.binary(), "t": pa.bool_(), "day": pa.date32(),
    "us": pa.timestamp("us"), "ns": pa.timestamp("ns"), "utc": pa.timestamp("us", "UTC"),
    "dec": pa.decimal128(9, 2),
}  # fmt: skip


def test_what_only_arrow_knows_of_a_column_survives_new_columns(tmp_path: Path) -> None:
    """Of both files; pyarrow itself checks the buffer. What a file without it adds is plain."""
    a, b, c = (tmp_path / f"{name}.parquet" for name in "abc")
    fields = {name: pa.array(values, kind) for name, (kind, values) in ARROW.items()}
    mine = pa.table(fields).replace_schema_metadata({"mine": "kept"})
    pq.write_table(mine, a)
    also = {f"new {n}": v for n, v in fields.items()}
    pq.write_table(pa.table(also), b)
    plain = pa.table({name: pa.array([None], kind) for name, kind in PLAIN.items()})
    pq.write_table(plain, c, store_schema=False)
    report = merge_files(a, [b, c])
    assert report.notes == ()
    found = pq.read_table(a)
    assert found.slice(0, 2).select(list(ARROW)).equals(mine)
    expected = {n: k for n, (k, _) in ARROW.items()}
    expected |= {f"new {n}": k for n, k in expected.items()} | PLAIN
    assert {field.name: field.type for field in found.schema} == expected
    assert found.schema.metadata[b"mine"] == b"kept"
    assert found.slice(2, 2).select(list(also)).to_pydict() == pa.table(also).to_pydict()
    merge_files(a, [write(tmp_path / "d.duckdb", {"last": "int"}, [{"last": 1}])])
    assert pq.read_schema(a).field("category").type == ARROW["category"][0]
    assert pq.read_schema(a).field("new span").type == ARROW["span"][0]


@pytest.mark.parametrize("nested", [False, True])
def test_lists_of_a_fixed_size_stay_unless_there_is_a_null(nested: bool, tmp_path: Path) -> None:
    """pyarrow cannot read a NULL among them, not even from its own file."""
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    kind = pa.list_(pa.int32(), 2)
    value = {"x": [1, 2]} if nested else [1, 2]
    column = pa.array([value], pa.struct({"x": kind}) if nested else kind)
    pq.write_table(pa.table({"n": [1], "p": column}), a)
    pq.write_table(pa.table({"n": [2], "p": column, "new": [1]}), b)
    assert merge_files(a, [b]).notes == ()
    assert pq.read_schema(a).field("p").type == column.type
    span = pa.array([dt.timedelta(seconds=9)], pa.duration("us"))
    pq.write_table(pa.table({"n": [3], "span": span}), b)
    assert "column p: fixed-size lists are now lists of any size" in merge_files(a, [b]).notes[0]
    assert [row["p"] for row in read(a)] == [value, value, None]
    assert pq.read_schema(a).field("span").type == span.type


@pytest.mark.parametrize("schema", ["", "rubbish", "/////xAAAAA=", "/////2gBAAAQAAAA"])
def test_an_arrow_schema_that_is_not_one_is_left_out(schema: str, tmp_path: Path) -> None:
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    with database(a) as con:
        key = f"{{'ARROW:schema': '{schema}'}}"
        con.execute(f"COPY (SELECT 1::BIGINT AS n) TO '{a}' (FORMAT parquet, KV_METADATA {key})")
    pq.write_table(pa.table({"m": [1]}), b)
    assert "the Arrow schema in the metadata" in merge_files(a, [b]).notes[0]
    assert read(a) == [{"n": 1, "m": None}, {"n": None, "m": 1}]


OTHERWISE = {
    "ms": (pa.timestamp("ms"), MOMENT.replace(microsecond=7000), "timestamp in milliseconds"),
    "zoned": (pa.timestamp("ms", "UTC"), MOMENT.replace(tzinfo=dt.UTC, microsecond=0), "timestamp"),
    "list": (pa.list_(pa.timestamp("ms")), [MOMENT.replace(microsecond=0)], "timestamp in milli"),
    "time": (pa.time32("ms"), dt.time(1, 2, 3, 4000), "time in milliseconds"),
    "fixed": (pa.binary(4), b"abcd", "binary of 4 bytes"),
    "half": (pa.float16(), np.float16(1.5), "float of 16 bits"),
}


def with_type(folder: Path, case: str) -> tuple[Path, Path]:
    """Two files with a column ``v`` of one of these types."""
    kind, value, _ = OTHERWISE[case]
    a, b = folder / "a.parquet", folder / "b.parquet"
    for number, path in enumerate((a, b)):
        table = pa.table({"n": [number], "v": pa.array([value], kind)})
        pq.write_table(table, path, compression="zstd")
    return a, b


@pytest.mark.parametrize("case", OTHERWISE)
def test_a_type_that_duckdb_cannot_write_stays_by_pyarrow(case: str, tmp_path: Path) -> None:
    kind = OTHERWISE[case][0]
    a, b = with_type(tmp_path, case)
    assert merge_files(a, [b]).notes == ()
    found = pq.read_table(a)
    assert found.schema.field("v").type.equals(kind)
    assert found["v"].to_pylist() == pq.read_table(b)["v"].to_pylist() * 2
    assert pq.ParquetFile(a).metadata.row_group(0).column(1).compression == "ZSTD"
    with database(b) as con:
        con.execute(f"COPY (SELECT 9::BIGINT AS n) TO '{b}' (FORMAT parquet)")
    assert merge_files(a, [b]).notes == ()
    assert pq.read_schema(a).field("v").type.equals(kind)


@pytest.mark.parametrize("case", OTHERWISE)
def test_a_type_that_cannot_be_written_is_said_and_its_values_stay(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, value, words = OTHERWISE[case]
    a, b = with_type(tmp_path, case)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (note,) = merge_files(a, [b]).notes
    assert f"column v: {words}" in note and "every value is the same" in note
    assert [row["v"] for row in read(a)] == [value, value]
    pq.write_table(pa.table({"n": pa.array([2]), "v": pq.read_table(a)["v"].slice(0, 1)}), b)
    assert merge_files(a, [b]).notes == ()


def test_timestamps_of_96_bits_are_said(tmp_path: Path) -> None:
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    for number, path in enumerate((a, b)):
        pq.write_table(
            pa.table({"n": [number], "t": [MOMENT]}), path, use_deprecated_int96_timestamps=True
        )
    assert "column t: timestamp of 96 bits" in merge_files(a, [b]).notes[0]
    assert [row["t"] for row in read(a)] == [MOMENT, MOMENT]


def test_durations_and_zones_stay_where_only_one_side_says_them(tmp_path: Path) -> None:
    """As DuckDB writes it, ours has no Arrow schema at all."""
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    with database(a) as con:
        con.execute(f"COPY (SELECT 1::BIGINT AS n) TO '{a}' (FORMAT parquet)")
    fields = {name: pa.array(values, kind) for name, (kind, values) in ARROW.items()}
    pq.write_table(pa.table({"n": pa.array([2, 3]), **fields}), b)
    assert merge_files(a, [b]).notes == ()
    assert pq.read_table(a).slice(1).to_pydict() == pq.read_table(b).to_pydict()
    found = {field.name: field.type for field in pq.read_schema(a)}
    assert found == {"n": pa.int64(), **{name: kind for name, (kind, _) in ARROW.items()}}


@pytest.mark.parametrize("kind", [pa.duration("ns"), pa.int64()])
def test_durations_of_other_units_are_refused(tmp_path: Path, kind: pa.DataType) -> None:
    """DuckDB sees whole numbers: 3 ns became 3 us."""
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    for file, unit in ((a, pa.duration("us")), (b, kind)):
        pq.write_table(pa.table({"n": [1], "tree": pa.array([[3]], pa.list_(unit))}), file)
    before = a.read_bytes()
    with pytest.raises(
        XexpError, match=r"column tree is list<.*duration\[us\]> in .*a\.parquet, but"
    ):
        merge_files(a, [b])
    assert a.read_bytes() == before


def test_without_pyarrow_the_arrow_schema_stays_or_is_said_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    span = pa.array([5], pa.duration("ms"))
    pq.write_table(pa.table({"n": [1], "span": span}), a)
    pq.write_table(pa.table({"n": [2], "span": span}), b)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert merge_files(a, [b]).notes == ()
    assert pq.read_schema(a).field("span").type == pa.duration("ms")
    write(tmp_path / "c.duckdb", {"new": "int"}, [{"new": 1}])
    assert "Arrow schema" in merge_files(a, [tmp_path / "c.duckdb"]).notes[0]
    assert [row["span"] for row in read(a)] == [5, 5, None]


def test_half_floats_of_one_side_do_not_round_the_others(tmp_path: Path) -> None:
    a, b = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(pa.table({"v": pa.array([np.float16(1.5)])}), a)
    pq.write_table(pa.table({"v": pa.array([0.1], pa.float32())}), b)
    assert "float of 16 bits" in merge_files(a, [b]).notes[0]
    assert [row["v"] for row in read(a)] == [1.5, np.float32(0.1)]
