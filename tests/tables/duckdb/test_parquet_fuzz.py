"""Random parquet files of every type, merged: each value comes through, or the merge says why not.

A few seeds run with the suite; 500 by command::

    XEXP_TEST_EXAMPLES=500 python -m pytest -q tests/tables/duckdb/test_parquet_fuzz.py
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gitxexp.common.errors import XexpError
from gitxexp.tables.duckdb.merge import merge_files
from tests.tables.support import ASKED

_DAY = dt.datetime(2020, 2, 29, 23, 59, 58)


def _moment(chance: random.Random, unit: str) -> dt.datetime:
    steps = {"s": 10**6, "ms": 1000, "us": 1, "ns": 1}[unit]
    return _DAY + dt.timedelta(microseconds=chance.randrange(10**9) * steps)


def _kinds(chance: random.Random) -> tuple[pa.DataType, Any]:
    """A type, and what makes one of its values."""
    unit = chance.choice(["s", "ms", "us", "ns"])
    zone = chance.choice([None, "UTC", "Europe/Paris"])
    digits = chance.choice([5, 18, 30, 38])
    return chance.choice(
        [
            (pa.int8(), lambda: chance.randrange(-128, 128)),
            (pa.uint16(), lambda: chance.randrange(65536)),
            (pa.int32(), lambda: chance.randrange(-(2**31), 2**31)),
            (pa.int64(), lambda: chance.choice([-(2**63), 2**63 - 1, chance.randrange(9)])),
            (pa.uint64(), lambda: chance.choice([2**64 - 1, chance.randrange(9)])),
            (pa.float16(), lambda: np.float16(chance.choice([0.5, -2.0, 1024.0]))),
            (pa.float32(), lambda: float(np.float32(chance.uniform(-9, 9)))),
            (pa.float64(), lambda: chance.choice([math.inf, 0.1, -0.0, chance.random()])),
            (pa.bool_(), lambda: chance.random() < 0.5),
            (pa.string(), lambda: chance.choice(["", "é", "a\nb", "'\"", "NULL", "x" * 99])),
            (pa.large_string(), lambda: chance.choice(["", "long"])),
            (pa.binary(), lambda: chance.randbytes(chance.randrange(5))),
            (pa.binary(4), lambda: chance.randbytes(4)),
            (pa.date32(), lambda: _moment(chance, "s").date()),
            (pa.time32("ms"), lambda: _moment(chance, "ms").time()),
            (pa.time64("us"), lambda: _moment(chance, "us").time()),
            (pa.timestamp(unit, zone), lambda: _moment(chance, unit)),
            (pa.duration(unit), lambda: dt.timedelta(seconds=chance.randrange(10**6))),
            (pa.decimal128(digits, 2), lambda: Decimal(chance.randrange(99999)) / 100),
            (pa.dictionary(pa.int32(), pa.string()), lambda: chance.choice(["red", "blue"])),
            (
                pa.list_(pa.int64()),
                lambda: [chance.randrange(3) for _ in range(chance.randrange(3))],
            ),
            (pa.list_(pa.float32(), 2), lambda: [chance.randrange(3), 1.5]),
            (pa.struct([("x", pa.int32()), ("y", pa.string())]), lambda: {"x": 1, "y": "z"}),
            (pa.map_(pa.string(), pa.int64()), lambda: [("k", chance.randrange(9))]),
            (pa.null(), lambda: None),
        ]
    )


def _table(chance: random.Random, columns: dict[str, tuple[pa.DataType, Any]]) -> pa.Table:
    count = chance.choice([0, 1, 3, 40])
    names = [name for name in columns if name == "id" or chance.random() < 0.8]
    chance.shuffle(names)
    arrays, fields = [], []
    for name in names:
        kind, make = columns[name]
        values = [None if name != "id" and chance.random() < 0.2 else make() for _ in range(count)]
        if pa.types.is_fixed_size_list(kind):  # one with a NULL is a list of any size, as is said
            values = [make() for _ in values]
        arrays.append(pa.array(values, kind))
        fields.append(pa.field(name, kind))
    return pa.table(arrays, schema=pa.schema(fields))


def _written(chance: random.Random, table: pa.Table, path: Path) -> None:
    pq.write_table(
        table, path,
        compression=chance.choice(["none", "snappy", "zstd", "gzip"]),
        row_group_size=chance.choice([1, 7, 10**6]),
        use_dictionary=chance.random() < 0.5,
        store_schema=chance.random() < 0.8,
        data_page_version=chance.choice(["1.0", "2.0"]),
    )  # fmt: skip


def _rows(path: Path, columns: dict[str, tuple[pa.DataType, Any]]) -> Counter[Any]:
    table = pq.read_table(path)
    found: dict[str, Any] = {}
    for name, (kind, _) in columns.items():
        column = table[name] if name in table.column_names else None
        if column is not None and pa.types.is_duration(kind):  # numbers, where no schema says so
            column = column.cast(kind)
        found[name] = None if column is None else column.to_pylist()
    return Counter(
        tuple(_exact(values[at]) if values is not None else None for values in found.values())
        for at in range(table.num_rows)
    )


def _exact(value: Any) -> Any:
    """A value that can be counted: the moment of a time, whatever spells it."""
    if isinstance(value, float | np.floating):
        return float(value).hex()
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC) if value.tzinfo else value
    if isinstance(value, list | tuple):
        return tuple(map(_exact, value))
    if isinstance(value, dict):
        return tuple((name, _exact(each)) for name, each in value.items())
    return value


@pytest.mark.parametrize("seed", range(int(ASKED or 4)))
def test_every_value_comes_through_or_it_is_said(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    columns: dict[str, tuple[pa.DataType, Any]] = {
        "id": (pa.int64(), lambda: chance.randrange(9**9))
    }
    columns |= {f"c{number}": _kinds(chance) for number in range(chance.randrange(1, 6))}
    paths = [tmp_path / name for name in ("a.parquet", "b.parquet", "c.parquet")]
    for path in paths:
        _written(chance, _table(chance, columns), path)
    before = [path.read_bytes() for path in paths]
    wanted: Counter[Any] = Counter()
    for path in paths:
        wanted |= _rows(path, columns)
    try:
        report = merge_files(paths[0], paths[1:])
    except XexpError as error:
        assert error.hint is None or error.hint, error
        assert [path.read_bytes() for path in paths] == before
        pytest.fail(f"{error.message} / {error.hint}: {[str(k) for k, _ in columns.values()]}")
    assert report.written
    assert _rows(paths[0], columns) == wanted
    schema = pq.read_schema(paths[0])
    for name, (kind, _) in columns.items():
        sides = [pq.read_schema(path) for path in paths[1:]]
        if name in schema.names and all(
            name in s.names and s.field(name).type == kind for s in sides
        ):
            said = any(f"column {name}" in note for note in report.notes)
            assert said or schema.field(name).type == kind, (name, kind, schema.field(name).type)
