"""On cleanly typed SQLite files the DuckDB engine and the SQLite engine give the same rows."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitxexp.tables.duckdb import merge as duckdb_merge
from gitxexp.tables.plan import MergeOptions, MergeReport, Mode, OnConflict
from gitxexp.tables.sqlite import merge as sqlite_merge
from tests.tables.duckdb.support import Row, Types, bag, budget, read, schemas, tables, write

Input = tuple[Types, list[Row]]


def by_both(
    folder: Path, inputs: list[Input], key: tuple[str, ...], options: MergeOptions, merge3: bool
) -> tuple[tuple[MergeReport, Any], tuple[MergeReport, Any]]:
    """Each engine's report and rows, from copies of the same files."""
    given = [write(folder / f"{i}.db", *item, key) for i, item in enumerate(inputs)]
    found = []
    for name, merge, merge3_ in (
        ("sqlite", sqlite_merge.merge_files, sqlite_merge.merge3_files),
        ("duckdb", duckdb_merge.merge_files, duckdb_merge.merge3_files),
    ):
        place = folder / name
        place.mkdir()
        paths = [Path(shutil.copy(path, place)) for path in given]
        if merge3:
            report = merge3_(*paths, paths[1], options=options)
            target = paths[1]
        else:
            report = merge(paths[0], paths[1:], options=options)
            target = paths[0]
        found.append((report, bag(read(target))))
    return found[0], found[1]


def numbers(report: MergeReport) -> list[int]:
    (table,) = report.tables
    return [table.here, table.incoming, table.new, table.conflicting, table.removed]


@budget
@given(data=st.data())
def test_merge(data: Any) -> None:
    schema = data.draw(schemas())
    inputs = [data.draw(tables(schema)) for _ in range(data.draw(st.integers(2, 3)))]
    with tempfile.TemporaryDirectory() as folder:
        one, other = by_both(Path(folder), inputs, (), MergeOptions(), False)
    assert one[1] == other[1]
    assert numbers(one[0]) == numbers(other[0])


@st.composite
def keyed(draw: st.DrawFn, schema: Types, nulls: bool) -> Input:
    """Rows of all columns with a text key, no key twice."""
    types, rows = draw(tables(schema))
    names = st.sampled_from(["a", "b", "c", "d", "A"])
    keys = draw(st.lists(names, min_size=len(rows), max_size=len(rows)))
    once = {k: {"key": k, **row} for k, row in zip(keys, rows, strict=True)}
    loose = [{"key": None, **row} for row in rows[:2]] if nulls else []
    return {"key": "str", **types}, [*once.values(), *loose]


@pytest.mark.parametrize("how", ["keyed", "rebase", "three-way"])
@budget
@given(data=st.data())
def test_by_key(how: str, data: Any) -> None:
    schema = data.draw(schemas())
    inputs = [data.draw(keyed(schema, how == "keyed")) for _ in range(3)]
    if how == "three-way":
        inputs = [(inputs[0][0], rows) for _, rows in inputs]
    choice = data.draw(st.sampled_from([OnConflict.FAIL, OnConflict.OURS, OnConflict.THEIRS]))
    if how == "rebase":
        options = MergeOptions(mode=Mode.REBASE, key=("key",))
    else:
        options = MergeOptions(on_conflict=choice)
    with tempfile.TemporaryDirectory() as folder:
        one, other = by_both(Path(folder), inputs, ("key",), options, how == "three-way")
    assert bool(one[0].conflicts) == bool(other[0].conflicts)
    assert one[1] == other[1]
