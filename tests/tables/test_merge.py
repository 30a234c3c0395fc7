"""What a merge makes of rows is one thing for every kind of file: each engine against one oracle.

Random tables of clean types here; what only SQLite has (declared types, mixed values, WITHOUT ROWID)
is in ``sqlite/test_two_way.py`` and its neighbours, against the same oracle. A longer run:

    XEXP_TEST_EXAMPLES=600 pytest -n auto tests/tables
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitxexp.common.errors import XexpError
from gitxexp.tables.duckdb import merge as duckdb_merge
from gitxexp.tables.plan import MergeOptions, MergeReport, Mode, OnConflict
from gitxexp.tables.sqlite import merge as sqlite_merge
from tests.tables import oracle
from tests.tables.support import (
    VALUES,
    Row,
    Types,
    bag,
    budget,
    digest,
    little_memory,
    read,
    schemas,
    tables,
    write,
)

KEY = ("k", "j")
TYPES = {"k": "int", "j": "str", "a": "float", "b": "str"}
POLICIES = [OnConflict.FAIL, OnConflict.OURS, OnConflict.THEIRS]


@dataclass(frozen=True)
class Backend:
    """An engine and the kind of its target file."""

    engine: Any
    kind: str

    def files(self, folder: Path, inputs: Sequence[tuple[Types, Sequence[Row]]], key: Sequence[str] = (),
              kinds: Sequence[str] = ()) -> list[Path]:  # fmt: skip
        """``inputs`` as files, of this kind where ``kinds`` names no other."""
        unique = () if self.kind == "parquet" else key
        each = [*kinds, *[self.kind] * len(inputs)]
        return [write(folder / f"{i}.{each[i]}", *given, unique) for i, given in enumerate(inputs)]

    def options(self, key: Sequence[str] = (), **more: Any) -> MergeOptions:
        """A parquet file has no unique key but the one that is declared."""
        return MergeOptions(key=tuple(key) if self.kind == "parquet" else (), **more)

    def merge(self, paths: Sequence[Path], options: MergeOptions, **more: Any) -> MergeReport:
        report: MergeReport = self.engine.merge_files(paths[0], paths[1:], options=options, **more)
        return report

    def merge3(self, paths: Sequence[Path], options: MergeOptions) -> MergeReport:
        report: MergeReport = self.engine.merge3_files(*paths, paths[1], options=options)
        return report


#: Each offered row is new, identical, fills a row or contradicts one; those may replace it.
COUNTS = ("incoming", "new", "conflicting", "identical", "filled", "replaced")

BACKENDS = {
    "sqlite": Backend(sqlite_merge, "db"),
    "duckdb-db": Backend(duckdb_merge, "db"),
    "duckdb": Backend(duckdb_merge, "duckdb"),
    "parquet": Backend(duckdb_merge, "parquet"),
}
every = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)


def rows_of(table: oracle.Table) -> Counter[Any]:
    """The multiset of an oracle's rows, as :func:`bag` gives it."""
    return bag([{c: value for c, (_, value) in row.items()} for row in table.rows])


def assert_merged(backend: Backend, paths: Sequence[Path], options: MergeOptions,
                  expected: oracle.Outcome) -> None:  # fmt: skip
    """The merge does what the oracle says, as its plan announces, and doing it again does nothing."""
    before = [digest(path) for path in paths]
    plan = backend.merge(paths, options, write=False)
    assert [digest(path) for path in paths] == before
    report = backend.merge(paths, options)
    assert plan.tables == report.tables and not plan.written
    assert [digest(path) for path in paths[1:]] == before[1:]
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)
    (table,) = report.tables
    counts = COUNTS if options.mode is Mode.MERGE else COUNTS[:3]
    assert {c: getattr(table, c) for c in counts} == {c: expected.counts["t", c] for c in counts}
    assert bool(report.conflicts) == bool(expected.conflicts)
    if report.conflicts:
        assert not report.written and digest(paths[0]) == before[0]
        return
    assert bag(read(paths[0])) == rows_of(expected.tables["t"])
    if not table.conflicting:
        after = digest(paths[0])
        assert not backend.merge(paths, options).changed
        assert digest(paths[0]) == after


@every
@pytest.mark.usefixtures("one_duckdb")
@budget
@given(data=st.data())
def test_each_row_stays_as_often_as_any_input_has_it(backend: Backend, data: Any) -> None:
    schema = data.draw(schemas())
    inputs = [data.draw(tables(schema)) for _ in range(data.draw(st.integers(2, 3)))]
    kinds = [backend.kind]
    if backend.engine is duckdb_merge:
        kinds += [data.draw(st.sampled_from(["parquet", "duckdb", "db"])) for _ in inputs[1:]]
    expected = oracle.two_way([{"t": oracle.table(*given)} for given in inputs])
    options = backend.options(tables=() if backend.kind == "parquet" else ("t",))
    with tempfile.TemporaryDirectory() as folder, little_memory(data.draw(st.booleans())):
        paths = backend.files(Path(folder), inputs, kinds=kinds)
        assert_merged(backend, paths, options, expected)


def keyed_rows(null_keys: bool) -> st.SearchStrategy[list[Row]]:
    """Rows whose whole keys are unique; with NULL keys where the kind of file allows them."""
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


@every
@pytest.mark.usefixtures("one_duckdb")
@budget
@given(data=st.data())
def test_by_key(backend: Backend, data: Any) -> None:
    nulls = backend.kind != "duckdb"  # DuckDB's primary keys are NOT NULL
    inputs = [data.draw(keyed_rows(nulls)) for _ in range(data.draw(st.integers(2, 3)))]
    how, fill = data.draw(st.sampled_from(POLICIES)), data.draw(st.booleans())
    held = [{"t": oracle.table(TYPES, rows, KEY)} for rows in inputs]
    expected = oracle.two_way(held, fill=fill, policy=str(how))
    options = backend.options(KEY, on_conflict=how, fill=fill)
    with tempfile.TemporaryDirectory() as folder, little_memory(data.draw(st.booleans())):
        paths = backend.files(Path(folder), [(TYPES, rows) for rows in inputs], KEY)
        assert_merged(backend, paths, options, expected)


@every
@pytest.mark.parametrize("key", [(), KEY], ids=["whole rows", "by key"])
@pytest.mark.usefixtures("one_duckdb")
@budget
@given(data=st.data())
def test_three_way(backend: Backend, key: tuple[str, ...], data: Any) -> None:
    if key:
        types, inputs = TYPES, [data.draw(keyed_rows(False)) for _ in range(3)]
    else:
        types, pool = data.draw(tables(data.draw(schemas()), most_rows=5))
        some = st.lists(st.sampled_from(pool), max_size=8) if pool else st.just([])
        inputs = [data.draw(some) for _ in range(3)]
    how = data.draw(st.sampled_from(POLICIES))
    held = [{"t": oracle.table(types, rows, key)} for rows in inputs]
    merged, conflicts = oracle.three_way(*held, policy=str(how))
    with tempfile.TemporaryDirectory() as folder, little_memory(data.draw(st.booleans())):
        paths = backend.files(Path(folder), [(types, rows) for rows in inputs], key)
        report = backend.merge3(paths, backend.options(key, on_conflict=how))
        assert report.tables[0].conflicting == len({c[2] for c in conflicts})
        if conflicts and how is OnConflict.FAIL:
            assert report.conflicts and not report.written
            assert bag(read(paths[1])) == bag(inputs[1])
        else:
            assert bag(read(paths[1])) == rows_of(merged["t"])


@every
@pytest.mark.usefixtures("one_duckdb")
@budget
@given(data=st.data())
def test_rebase(backend: Backend, data: Any) -> None:
    schema = data.draw(schemas())
    inputs = []
    for _ in range(3):
        types, rows = data.draw(tables(schema))
        group = st.sampled_from([None, "", "a", "1", "A"])
        inputs.append(
            ({"group": "str", **types}, [{"group": data.draw(group), **row} for row in rows])
        )
    held = [{"t": oracle.table(*given)} for given in inputs]
    expected = oracle.rebase(held, key=("group",))
    options = MergeOptions(mode=Mode.REBASE, key=("group",))
    with tempfile.TemporaryDirectory() as folder, little_memory(data.draw(st.booleans())):
        assert_merged(backend, backend.files(Path(folder), inputs), options, expected)


RUNS = {"id": "int", "run_id": "str", "x": "int"}
with_keys = pytest.mark.parametrize(
    "backend", [b for b in BACKENDS.values() if b.kind != "parquet"],
    ids=[name for name, b in BACKENDS.items() if b.kind != "parquet"],
)  # fmt: skip


def runs(*given: tuple[int, str, int | None]) -> tuple[Types, list[Row]]:
    return RUNS, [dict(zip(RUNS, row, strict=True)) for row in given]


@with_keys
@pytest.mark.usefixtures("one_duckdb")
@budget
@given(data=st.data())
def test_rebase_of_sources_whose_runs_share_keys(backend: Backend, data: Any) -> None:
    """Rows of other runs may have the key of a row that another source replaces, or brings."""
    row = st.tuples(st.sampled_from("abcd"), st.sampled_from([None, 1, 2]))
    inputs = [
        runs(*((n, *cells) for n, cells in given.items()))
        for given in data.draw(
            st.lists(st.dictionaries(st.integers(1, 4), row, max_size=3), min_size=3, max_size=4)
        )
    ]
    how, fill = data.draw(st.sampled_from(POLICIES)), data.draw(st.booleans())
    held = [{"t": oracle.table(*given, ("id",))} for given in inputs]
    expected = oracle.rebase(held, fill=fill, policy=str(how))
    options = MergeOptions(mode=Mode.REBASE, on_conflict=how, fill=fill)
    with tempfile.TemporaryDirectory() as folder, little_memory(data.draw(st.booleans())):
        paths = backend.files(Path(folder), inputs, ("id",))
        assert_merged(backend, paths, options, expected)


OURS_GOES = [
    runs((1, "a", 0), (3, "gone", 1)), runs((9, "gone", 5)), runs((3, "b", 2)),
]  # fmt: skip
SHARED = [runs((1, "a", 0)), runs((5, "b", 1)), runs((5, "c", 2))]
GAP = [runs((3, "gone", 1)), runs((3, "b", None), (9, "gone", 5)), runs((3, "b2", 3))]


@with_keys
@pytest.mark.parametrize(
    ("given", "more", "kept"),
    [
        (OURS_GOES, {}, ["a0", "b2", "gone5"]),
        (OURS_GOES, {"on_conflict": OnConflict.OURS}, ["a0", "b2", "gone5"]),
        (OURS_GOES, {"on_conflict": OnConflict.THEIRS}, ["a0", "b2", "gone5"]),
        (SHARED, {}, ["a0"]),
        (SHARED, {"on_conflict": OnConflict.OURS}, ["a0", "b1"]),
        (SHARED, {"on_conflict": OnConflict.THEIRS}, ["a0", "c2"]),
        (SHARED, {"on_conflict": OnConflict.BOTH}, ["a0", "b1", "c2"]),
        (SHARED, {"renumber": True}, ["a0", "b1", "c2"]),
        (GAP, {"on_conflict": OnConflict.OURS}, ["b3", "gone5"]),
        (GAP, {"on_conflict": OnConflict.OURS, "fill": False}, ["bNone", "gone5"]),
    ],
)
def test_rebase_of_sources_that_share_a_key(
    backend: Backend, given: list[tuple[Types, list[Row]]], more: dict[str, Any], kept: list[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    """A row of ours that any source replaces meets none; the later source wins as theirs."""
    paths = backend.files(tmp_path, given, ("id",))
    backend.merge(paths, backend.options(mode=Mode.REBASE, **more))
    assert sorted(f"{row['run_id']}{row['x']}" for row in read(paths[0], "t")) == kept


@every
def test_rows_keep_the_order_of_the_inputs(backend: Backend, tmp_path: Path) -> None:
    types = {"a": "int"}
    inputs = [(5, 3, 4, 3), (9, 3, 1, 8, 1), (0, 8)]
    paths = backend.files(tmp_path, [(types, [{"a": n} for n in given]) for given in inputs])
    backend.merge(paths, backend.options())
    merged = [row["a"] for row in read(paths[0])]
    assert merged[:5] == [5, 3, 4, 3, 9] and sorted(merged[5:]) == [0, 1, 1, 8]
    assert [*dict.fromkeys(merged)] == [5, 3, 4, 9, 1, 8, 0]


@every
def test_three_way_without_a_base_is_a_two_way_merge(backend: Backend, tmp_path: Path) -> None:
    types = {"a": "int"}
    given = [(types, [{"a": 1}, {"a": 1}]), (types, [{"a": 1}, {"a": 2}])]
    ours, theirs = backend.files(tmp_path, given)
    empty = tmp_path / "empty"
    empty.touch()
    for base in (None, empty):
        backend.engine.merge3_files(base, ours, theirs, ours)
        assert [row["a"] for row in read(ours)] == [1, 1, 2]


@every
def test_each_offered_row_is_counted_once(backend: Backend, tmp_path: Path) -> None:
    """Two sources that contradict one row are two rows in conflict, unless theirs replaced it."""
    rows = [
        [(1, 1.0, "a"), (2, 2.0, "b"), (3, None, "c")],
        [(1, 9.0, "a"), (2, 2.0, "b"), (3, 3.0, "c"), (4, 1.0, None)],
        [(1, 9.0, "a"), (4, 1.0, "z")],
    ]
    types = {"id": "int", "x": "float", "s": "str"}
    given = [(types, [dict(zip(types, row, strict=True)) for row in each]) for each in rows]
    paths = backend.files(tmp_path, given, ("id",))
    for how, told in (
        (OnConflict.FAIL, (6, 1, 2, 1, 2, 0)),
        (OnConflict.OURS, (6, 1, 2, 1, 2, 0)),
        (OnConflict.THEIRS, (6, 1, 1, 2, 2, 1)),
    ):
        options = backend.options(("id",), on_conflict=how)
        (table,) = backend.merge(paths, options, write=False).tables
        assert dict(zip(COUNTS, told, strict=True)) == {c: getattr(table, c) for c in COUNTS}


@every
def test_a_conflict_names_key_column_values_and_source(backend: Backend, tmp_path: Path) -> None:
    types = {"id": "int", "s": "str", "x": "float"}
    given = [(types, [{"id": 1, "s": who, "x": 0.5}]) for who in ("ours", "theirs", "old")]
    a, b, c = backend.files(tmp_path, given, ("id",))
    (conflict,) = backend.merge([a, b], backend.options(("id",))).conflicts
    assert dict(conflict.key) == {"id": 1}
    assert (conflict.column, conflict.ours, conflict.theirs) == ("s", "ours", "theirs")
    assert conflict.source == str(b)
    (conflict,) = backend.merge3([c, a, b], backend.options(("id",))).conflicts
    assert (conflict.base, conflict.ours, conflict.theirs) == ("old", "ours", "theirs")


@pytest.mark.parametrize("name", ["sqlite", "duckdb-db", "duckdb"])  # parquet counts no rows
def test_renumber_gives_a_clashing_row_a_free_number_once(name: str, tmp_path: Path) -> None:
    backend = BACKENDS[name]
    types = {"id": "int", "s": "str"}
    ours = [{"id": 1, "s": "a"}, {"id": 2, "s": "b"}]
    theirs = [{"id": 1, "s": "c"}, {"id": 2, "s": "b"}]
    paths = backend.files(tmp_path, [(types, ours), (types, theirs)], ("id",))
    for options in [MergeOptions(renumber=True)] * 2 + [MergeOptions(on_conflict=OnConflict.BOTH)]:
        backend.merge(paths, options)
        assert [tuple(row.values()) for row in read(paths[0])] == [(1, "a"), (2, "b"), (3, "c")]


@every
def test_both_keeps_both_rows_only_without_a_unique_key(backend: Backend, tmp_path: Path) -> None:
    types = {"id": "int", "s": "str"}
    given = [(types, [{"id": n, "s": s}]) for n, s in ((1, "a"), (1, "c"), (2, "a"))]
    free = MergeOptions(key=("id",), on_conflict=OnConflict.BOTH)
    paths = backend.files(tmp_path, given)[:2]
    for _ in range(2):
        backend.merge(paths, free)
        assert [row["s"] for row in read(paths[0])] == ["a", "c"]
    if backend.kind != "parquet":
        paths = backend.files(tmp_path, given, ("s",))
        report = backend.merge(paths[::2], MergeOptions(on_conflict=OnConflict.BOTH))
        assert [c.column for c in report.conflicts] == ["id"] and not report.written
        assert report.notes == ("t: cannot keep both: its unique key forbids it",)


@every
def test_a_declared_key_must_be_one(backend: Backend, tmp_path: Path) -> None:
    types = {"id": "int", "s": "str"}
    twice = [{"id": 1, "s": "a"}, {"id": 1, "s": "b"}]
    paths = backend.files(tmp_path, [(types, twice), (types, [{"id": 1, "s": "c"}])])
    with pytest.raises(XexpError, match="does not identify one row"):
        backend.merge(paths, MergeOptions(key=("id",)))
    with pytest.raises(XexpError, match="no table has the key"):
        backend.merge(paths, MergeOptions(key=("nothing",)))
