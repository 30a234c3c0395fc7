"""Merges by key against plain Python: fill, conflicts, who wins, three-way cells."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitxexp.common.errors import XexpError
from gitxexp.tables.duckdb.merge import merge3_files, merge_files
from gitxexp.tables.plan import MergeOptions, OnConflict
from tests.tables.duckdb.support import (
    VALUES,
    Row,
    bag,
    budget,
    exact,
    little_memory,
    most,
    read,
    write,
)

TYPES = {"k": "int", "j": "str", "a": "float", "b": "str"}
KEY = ("k", "j")
CELLS = ("a", "b")


def keyed_rows(null_keys: bool) -> st.SearchStrategy[list[Row]]:
    """Rows whose whole keys are unique; with NULL keys where the kind allows them."""
    none = st.none() if null_keys else st.nothing()
    row = st.fixed_dictionaries(
        {
            "k": none | st.integers(0, 2),
            "j": none | st.sampled_from(["x", "y"]),
            "a": st.none() | VALUES["float"],
            "b": st.none() | VALUES["str"],
        }
    )
    return st.lists(row, max_size=7).map(unique)


def unique(rows: Sequence[Row]) -> list[Row]:
    seen = set()
    kept = []
    for row in rows:
        key = tuple(row[c] for c in KEY)
        if None in key or key not in seen:
            kept.append(row)
        seen.add(key)
    return kept


def split(rows: Sequence[Row]) -> tuple[dict[Any, Row], list[Row]]:
    whole = {tuple(r[c] for c in KEY): r for r in rows if None not in (r["k"], r["j"])}
    return whole, [r for r in rows if None in (r["k"], r["j"])]


def expected_merge(
    inputs: Sequence[Sequence[Row]], last: bool, fill: bool
) -> tuple[Any, int, bool]:
    """Rows, number of conflicting keys, whether any."""
    parts = [split(rows) for rows in inputs]
    result = most(*(loose for _, loose in parts))
    bad = 0
    for key in {k for whole, _ in parts for k in whole}:
        rows = [whole[key] for whole, _ in parts if key in whole]
        merged = dict(zip(KEY, key, strict=True))
        clash = False
        for cell in CELLS:
            values = [r[cell] for r in rows if not fill or r[cell] is not None]
            clash |= len({exact(v) for v in values}) > 1
            merged[cell] = (values[-1] if last else values[0]) if values else None
        bad += clash
        result[frozenset((c, exact(v)) for c, v in merged.items() if v is not None)] += 1
    return result, bad, bad > 0


@pytest.mark.parametrize("kind", ("parquet", "duckdb", "db"))
@budget
@given(data=st.data())
def test_merge_by_key(kind: str, data: Any) -> None:
    nulls = kind != "duckdb"  # DuckDB's primary keys are NOT NULL
    inputs = [data.draw(keyed_rows(nulls)) for _ in range(data.draw(st.integers(2, 3)))]
    how = data.draw(st.sampled_from([OnConflict.FAIL, OnConflict.OURS, OnConflict.THEIRS]))
    fill = data.draw(st.booleans())
    result, bad, any_bad = expected_merge(inputs, how is OnConflict.THEIRS, fill)
    declared = KEY if kind == "parquet" else ()
    options = MergeOptions(key=declared, on_conflict=how, fill=fill)
    tight = data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as folder, little_memory(tight):
        paths = [
            write(Path(folder) / f"{i}.{kind}", TYPES, rows, () if declared else KEY)
            for i, rows in enumerate(inputs)
        ]
        report = merge_files(paths[0], paths[1:], options=options)
        assert report.tables[0].conflicting == bad
        if any_bad and how is OnConflict.FAIL:
            assert report.conflicts and not report.written
            assert bag(read(paths[0])) == bag(inputs[0])
            return
        assert not report.conflicts
        assert bag(read(paths[0])) == result
        if not bad:
            assert not merge_files(paths[0], paths[1:], options=options).changed


@pytest.mark.parametrize("kind", ("parquet", "duckdb"))
@budget
@given(data=st.data())
def test_three_way_by_key(kind: str, data: Any) -> None:
    base, ours, theirs = (data.draw(keyed_rows(False)) for _ in range(3))
    how = data.draw(st.sampled_from([OnConflict.FAIL, OnConflict.OURS, OnConflict.THEIRS]))
    b, o, t = (split(rows)[0] for rows in (base, ours, theirs))
    result: Counter[Any] = Counter()
    bad = 0
    for key in {*b, *o, *t}:
        row, clash = three(b.get(key), o.get(key), t.get(key), how is OnConflict.THEIRS)
        bad += clash
        if row is not None:
            result += bag([row])
    declared = KEY if kind == "parquet" else ()
    tight = data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as folder, little_memory(tight):
        paths = [
            write(Path(folder) / f"{name}.{kind}", TYPES, rows, () if declared else KEY)
            for name, rows in (("base", base), ("ours", ours), ("theirs", theirs))
        ]
        report = merge3_files(*paths, options=MergeOptions(key=declared, on_conflict=how))
        assert report.tables[0].conflicting == bad
        if bad and how is OnConflict.FAIL:
            assert report.conflicts and not report.written
            result = bag(ours)
        assert bag(read(paths[1])) == result


def three(b: Row | None, o: Row | None, t: Row | None, theirs: bool) -> tuple[Row | None, bool]:
    """One key's row after a three-way merge, and whether that was a conflict."""
    if o is None or t is None:
        left = o or t
        if b is None or left is None:
            return left, False
        if bag([left]) == bag([b]):
            return None, False
        return (t if theirs else o), True
    row, clash = dict(o), False
    for cell in CELLS:
        x, y, z = exact(o[cell]), exact(t[cell]), exact(b[cell]) if b else None
        if x == y or (z is not None and y == z):
            continue
        if (z is not None and x == z) or (z is None and o[cell] is None):
            row[cell] = t[cell]
        elif z is None and t[cell] is None:
            continue
        else:
            clash = True
            row[cell] = t[cell] if theirs else o[cell]
    return row, clash


def test_a_conflict_names_key_column_values_and_source(tmp_path: Path) -> None:
    types = {"id": "int", "s": "str", "x": "float"}
    a = write(tmp_path / "a.duckdb", types, [{"id": 1, "s": "ours", "x": 0.5}], ("id",))
    b = write(tmp_path / "b.duckdb", types, [{"id": 1, "s": "theirs", "x": 0.5}], ("id",))
    (conflict,) = merge_files(a, [b]).conflicts
    assert dict(conflict.key) == {"id": 1}
    assert (conflict.column, conflict.ours, conflict.theirs) == ("s", "ours", "theirs")
    assert (conflict.kind, conflict.source) == ("primary key", str(b))


def test_a_three_way_conflict_shows_the_base(tmp_path: Path) -> None:
    types = {"id": "int", "s": "str"}
    rows = {"base": "old", "ours": "mine", "theirs": "other"}
    paths = [
        write(tmp_path / f"{n}.duckdb", types, [{"id": 1, "s": v}], ("id",))
        for n, v in rows.items()
    ]
    (conflict,) = merge3_files(*paths).conflicts
    assert (conflict.base, conflict.ours, conflict.theirs) == ("old", "mine", "other")


def test_renumber_gives_a_clashing_row_a_free_number_once(tmp_path: Path) -> None:
    types = {"id": "int", "s": "str"}
    for kind in ("duckdb", "db"):
        a = write(
            tmp_path / f"a.{kind}", types, [{"id": 1, "s": "a"}, {"id": 2, "s": "b"}], ("id",)
        )
        b = write(
            tmp_path / f"b.{kind}", types, [{"id": 1, "s": "c"}, {"id": 2, "s": "b"}], ("id",)
        )
        for _ in range(2):
            merge_files(a, [b], options=MergeOptions(renumber=True))
            assert [tuple(row.values()) for row in read(a)] == [(1, "a"), (2, "b"), (3, "c")]


def test_both_keeps_both_rows_only_without_a_unique_key(tmp_path: Path) -> None:
    types = {"id": "int", "s": "str"}
    both = MergeOptions(key=("id",), on_conflict=OnConflict.BOTH)
    a = write(tmp_path / "a.parquet", types, [{"id": 1, "s": "a"}])
    b = write(tmp_path / "b.parquet", types, [{"id": 1, "s": "c"}])
    for _ in range(2):
        merge_files(a, [b], options=both)
        assert [row["s"] for row in read(a)] == ["a", "c"]
    c = write(tmp_path / "c.duckdb", types, [{"id": 1, "s": "a"}], ("s",))
    d = write(tmp_path / "d.duckdb", types, [{"id": 2, "s": "a"}], ("s",))
    report = merge_files(c, [d], options=MergeOptions(on_conflict=OnConflict.BOTH))
    assert [c.column for c in report.conflicts] == ["id"] and not report.written
    assert report.notes == ("t: cannot keep both: its unique key forbids it",)
    e = write(tmp_path / "e.duckdb", types, [{"id": 1, "s": "a"}], ("id",))
    f = write(tmp_path / "f.duckdb", types, [{"id": 1, "s": "c"}], ("id",))
    for _ in range(2):  # counted ids get new numbers
        merge_files(e, [f], options=MergeOptions(on_conflict=OnConflict.BOTH))
        assert [tuple(row.values()) for row in read(e)] == [(1, "a"), (2, "c")]


def test_a_declared_key_must_be_one(tmp_path: Path) -> None:
    types = {"id": "int", "s": "str"}
    a = write(tmp_path / "a.parquet", types, [{"id": 1, "s": "a"}, {"id": 1, "s": "b"}])
    b = write(tmp_path / "b.parquet", types, [{"id": 1, "s": "c"}])
    with pytest.raises(XexpError, match="does not identify one row"):
        merge_files(a, [b], options=MergeOptions(key=("id",)))
    with pytest.raises(XexpError, match="no table has the key"):
        merge_files(a, [b], options=MergeOptions(key=("nothing",)))
