"""Whole-row merges against typed multisets in plain Python."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitxexp.tables.duckdb.merge import merge3_files, merge_files
from gitxexp.tables.plan import MergeOptions, Mode
from tests.tables.duckdb.support import (
    bag,
    budget,
    digest,
    little_memory,
    mark,
    most,
    read,
    schemas,
    tables,
    write,
)

KINDS = ("parquet", "duckdb", "db")


@pytest.mark.parametrize("kind", KINDS)
@budget
@given(data=st.data())
def test_merge_holds_each_row_as_often_as_any_input(kind: str, data: Any) -> None:
    schema = data.draw(schemas())
    inputs = [data.draw(tables(schema)) for _ in range(data.draw(st.integers(2, 3)))]
    kinds = [kind, *(data.draw(st.sampled_from(KINDS)) for _ in inputs[1:])]
    tight = data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as folder, little_memory(tight):
        paths = [
            write(Path(folder) / f"{i}.{k}", *given)
            for i, (k, given) in enumerate(zip(kinds, inputs, strict=True))
        ]
        before = [digest(path) for path in paths[1:]]
        options = MergeOptions(tables=("t",)) if kind != "parquet" else MergeOptions()
        plan = merge_files(paths[0], paths[1:], options=options, write=False)
        report = merge_files(paths[0], paths[1:], options=options)
        expected = most(*(rows for _, rows in inputs))
        assert bag(read(paths[0])) == expected
        assert plan.tables == report.tables and report.written and not plan.written
        table = report.tables[0]
        assert table.here + table.new == sum(expected.values())
        assert table.incoming == table.new + table.identical
        assert [digest(path) for path in paths[1:]] == before
        again = digest(paths[0])
        assert not merge_files(paths[0], paths[1:], options=options).changed
        assert digest(paths[0]) == again
        assert sorted(Path(folder).iterdir()) == sorted(paths)


def delta(base: int, ours: int, theirs: int) -> int:
    """Both sides' changes; the same change on both sides is one change."""
    mine, other = ours - base, theirs - base
    return base + max(mine, other, 0) + min(mine, other, 0)


@pytest.mark.parametrize("kind", ("parquet", "duckdb"))
@budget
@given(data=st.data())
def test_three_way_adds_up_both_sides_changes(kind: str, data: Any) -> None:
    schema = data.draw(schemas())
    types, pool = data.draw(tables(schema, most_rows=5))
    rows = st.lists(st.sampled_from(pool), max_size=8) if pool else st.just([])
    base, ours, theirs = (data.draw(rows) for _ in range(3))
    tight = data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as folder, little_memory(tight):
        paths = [
            write(Path(folder) / f"{name}.{kind}", types, given)
            for name, given in (("base", base), ("ours", ours), ("theirs", theirs))
        ]
        merge3_files(*paths)
        b, o, t = bag(base), bag(ours), bag(theirs)
        expected = {m: delta(b[m], o[m], t[m]) for m in {*b, *o, *t}}
        assert bag(read(paths[1])) == +Counter(expected)


@pytest.mark.parametrize("kind", ("parquet", "duckdb"))
def test_three_way_without_base_is_a_two_way_merge(kind: str, tmp_path: Path) -> None:
    types = {"a": "int"}
    ours = write(tmp_path / f"ours.{kind}", types, [{"a": 1}, {"a": 1}])
    theirs = write(tmp_path / f"theirs.{kind}", types, [{"a": 1}, {"a": 2}])
    empty = tmp_path / "empty"
    empty.touch()
    for base in (None, empty):
        merge3_files(base, ours, theirs)
        assert [row["a"] for row in read(ours)] == [1, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
@budget
@given(data=st.data())
def test_rebase_replaces_by_key_and_the_later_source_wins(kind: str, data: Any) -> None:
    schema = {"group": "str", **data.draw(schemas())}
    inputs = [data.draw(tables(schema)) for _ in range(3)]
    inputs = [
        ({"group": "str", **types}, [{"group": None, **row} for row in rows])
        for types, rows in inputs
    ]
    tight = data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as folder, little_memory(tight):
        paths = [write(Path(folder) / f"{i}.{kind}", *given) for i, given in enumerate(inputs)]
        merge_files(paths[0], paths[1:], options=MergeOptions(mode=Mode.REBASE, key=("group",)))
        rows = [rows for _, rows in inputs]
        expected = most(*([r for r in part if r["group"] is None] for part in rows))
        owner = {
            r["group"]: i for i, part in enumerate(rows) for r in part if r["group"] is not None
        }
        for row in (r for i, part in enumerate(rows) for r in part if owner.get(r["group"]) == i):
            expected[mark(row)] += 1
        assert bag(read(paths[0])) == expected
        assert not merge_files(
            paths[0], paths[1:], options=MergeOptions(mode=Mode.REBASE, key=("group",))
        ).changed


def test_rows_keep_the_order_of_the_inputs(tmp_path: Path) -> None:
    types = {"a": "int"}
    a = write(tmp_path / "a.parquet", types, [{"a": n} for n in (5, 3, 4, 3)])
    b = write(tmp_path / "b.parquet", types, [{"a": n} for n in (9, 3, 1, 8, 1)])
    c = write(tmp_path / "c.parquet", types, [{"a": n} for n in (0, 8)])
    merge_files(a, [b, c])
    assert [row["a"] for row in read(a)] == [5, 3, 4, 3, 9, 1, 1, 8, 0]
