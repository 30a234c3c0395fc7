"""Files of each kind from plain Python rows and back, and the oracle's view of a row."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from gitxexp.tables.duckdb import partition
from gitxexp.tables.duckdb import rows as whole
from gitxexp.tables.sqlite import raw_pages

Row = Mapping[str, Any]
Types = Mapping[str, str]

SQLITE = {"int": "INTEGER", "float": "REAL", "str": "TEXT", "bytes": "BLOB"}
DUCKDB = {"int": "BIGINT", "float": "DOUBLE", "str": "VARCHAR", "bytes": "BLOB"}
ARROW = {"int": pa.int64(), "float": pa.float64(), "str": pa.string(), "bytes": pa.binary()}

#: A longer run: XEXP_TEST_EXAMPLES=2000 pytest tests/tables
ASKED = os.environ.get("XEXP_TEST_EXAMPLES")
KILLS = min(int(ASKED or 4), 200)
budget = settings(
    max_examples=int(ASKED or 4),
    deadline=None,
    derandomize=ASKED is None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@functools.cache
def _duckdb() -> Any:
    """The DuckDB of all tests: to start one takes 30 ms, to attach a file 1."""
    return duckdb.connect(config={"threads": 1})


_numbers = itertools.count()


@contextlib.contextmanager
def database(path: Path, *, kind: str = "", read_only: bool = False) -> Iterator[Any]:
    """A connection to a SQLite or DuckDB file, or to a DuckDB without one for a parquet file;
    ``kind`` is a suffix, that of the path unless it is given."""
    kind = kind or path.suffix
    if kind == ".db":
        with contextlib.closing(sqlite3.connect(path)) as con:
            yield con
            con.commit()
        return
    with _duckdb().cursor() as con:
        if kind == ".parquet":
            yield con
            return
        name = f"d{next(_numbers)}"
        place = str(path).replace("'", "''")
        con.execute(f"ATTACH '{place}' AS {name}{' (READ_ONLY)' if read_only else ''}")
        try:
            con.execute(f"USE {name}")
            yield con
            if not read_only:
                con.execute("CHECKPOINT")
        finally:
            con.execute("USE memory")
            con.execute(f"DETACH {name}")


class Borrowed:
    """A session's connection to the one DuckDB; closed, it detaches what the session attached.

    The seal of a session would hold for all later ones: that is for the tests with a DuckDB of
    their own (above all those of security).
    """

    def __init__(self) -> None:
        self._con = _duckdb().cursor()
        self._con.execute("SET TimeZone = 'UTC'")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._con, name)

    def execute(self, sql: str, params: Sequence[object] | None = None) -> Any:
        sealing = sql.startswith(("SET allowed_", "SET enable_external_access"))
        return self._con.execute("SELECT NULL" if sealing else sql, params)

    def close(self) -> None:
        names = "SELECT database_name FROM duckdb_databases() WHERE NOT internal"
        for (name,) in self._con.execute("USE memory").execute(names).fetchall():
            if name != "memory":
                self._con.execute(f"DETACH {name}")
        self._con.execute("RESET wal_autocheckpoint")
        self._con.close()


def in_a_copy(function: Callable[[], object]) -> int:
    """The id of a copy of this process that calls ``function`` and ends, with 0 where it succeeds: a
    new Python that imports DuckDB takes 0.3 s."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return child


@contextlib.contextmanager
def little_memory(tight: bool) -> Iterator[None]:
    """If ``tight``, a merge works in many parts, as if only a few rows did fit."""
    before = partition.FIRST, whole.SIDES
    if tight:  # and counts its inputs as it does where they are many
        partition.FIRST, whole.SIDES = 7 if ASKED else 3, 1
    try:
        yield
    finally:
        partition.FIRST, whole.SIDES = before


def exact(value: Any) -> tuple[str, Any]:
    """1, 1.0 and '1' are three values, 0.0 and -0.0 two."""
    return (type(value).__name__, value.hex() if isinstance(value, float) else value)


def mark(row: Row) -> frozenset[tuple[str, tuple[str, Any]]]:
    """A row as a value; an absent column is NULL."""
    return frozenset((c, exact(v)) for c, v in row.items() if v is not None)


def bag(rows: Sequence[Row]) -> Counter[Any]:
    return Counter(map(mark, rows))


def most(*inputs: Sequence[Row]) -> Counter[Any]:
    """The maximum multiplicity of each row in any input."""
    result: Counter[Any] = Counter()
    for rows in inputs:
        result |= bag(rows)
    return result


def write(path: Path, types: Types, rows: Sequence[Row], key: Sequence[str] = ()) -> Path:
    """A file of the kind that its suffix says, with one table ``t``."""
    path.unlink(missing_ok=True)
    names = list(types)
    values = [[row.get(c) for c in names] for row in rows]
    primary = f", PRIMARY KEY ({', '.join(quoted(key))})" if key else ""
    if path.suffix == ".parquet":
        arrays = [
            pa.array([row[i] for row in values], ARROW[types[c]]) for i, c in enumerate(names)
        ]
        pq.write_table(pa.Table.from_arrays(arrays, names=names), path)
        return path
    kinds = SQLITE if path.suffix == ".db" else DUCKDB
    spec = ", ".join(f"{q} {kinds[types[c]]}" for c, q in zip(names, quoted(names), strict=True))
    plain = Path(tempfile.mkdtemp(), "plain" + path.suffix)  # DuckDB cannot make a name with "?"
    with database(plain) as con:
        con.execute(f"CREATE TABLE t ({spec}{primary})")
        if values and path.suffix == ".db":
            con.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(names))})", values)
        elif values:  # DuckDB takes half a millisecond for each row of executemany
            lists = ", ".join(f"unnest(?::{kinds[types[c]]}[])" for c in names)
            con.execute(f"INSERT INTO t SELECT {lists}", [*map(list, zip(*values, strict=True))])
    shutil.move(plain, path)
    plain.parent.rmdir()
    return path


def quoted(names: Sequence[str]) -> list[str]:
    return ['"' + name.replace('"', '""') + '"' for name in names]


def read(path: Path, table: str = "t") -> list[dict[str, Any]]:
    """All rows, in order."""
    if path.suffix == ".parquet":
        found = pq.ParquetFile(path).read()  # no hive columns from odd folders
        return [dict(row) for row in found.to_pylist()]
    if set("?*[") & set(str(path)):
        path = Path(shutil.copy(path, tempfile.mkdtemp() + "/plain" + path.suffix))
    with database(path, read_only=True) as con:
        cursor = con.execute(f"SELECT * FROM {quoted([table])[0]}")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


VALUES = {
    "int": st.integers(0, 3) | st.sampled_from([-1, 2**53 + 1, 2**63 - 1]),
    "float": st.sampled_from([0.0, 0.1, -1.5, 1.0, 1e300, float("inf")]),
    "str": st.sampled_from(["", "a", "1", "A", "é🎈", "it's", "x\ny"]),
    "bytes": st.sampled_from([b"", b"a", b"\x00\xff"]),
}

NAMES = ("a", "b", "select", "x y", 'q"t', "é.%")


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, str]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    return {name: draw(st.sampled_from(sorted(VALUES))) for name in names}


@st.composite
def tables(draw: st.DrawFn, schema: Types, most_rows: int = 8) -> tuple[dict[str, str], list[Row]]:
    """Some of the columns in some order, and rows with NULLs and duplicates."""
    names = draw(st.lists(st.sampled_from(sorted(schema)), min_size=1, unique=True))
    row = st.fixed_dictionaries({c: st.none() | VALUES[schema[c]] for c in names})
    few = draw(st.lists(row, max_size=most_rows))
    rows = draw(st.lists(st.sampled_from(few), max_size=most_rows)) if few else []
    return {c: schema[c] for c in names}, [*few, *rows]


def in_process(task: Any, more: Callable[[], Any] = lambda: None) -> str:
    """What the process that reads raw files would print."""
    return json.dumps(raw_pages.read(task, more))
