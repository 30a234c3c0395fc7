"""The columns that a tag fills are no part of a row: stamped and unstamped, it is one row."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.tables import engine
from gitxexp.tables.duckdb import merge as duckdb_merge
from gitxexp.tables.engine import Engine
from gitxexp.tables.plan import MergeOptions, Mode, OnConflict
from gitxexp.tables.rules import earlier, merged_stamp
from gitxexp.tables.sqlite import merge as sqlite_merge

pytestmark = pytest.mark.usefixtures("one_duckdb")

Rows = list[tuple[object, ...]]
PLAIN: Rows = [(None, "r1", 0, 0.5, None), (None, "r1", 1, 0.6, None)]
FIRST: Rows = [("e0.2.0", "r1", 0, 0.5, "abc"), ("e0.2.0", "r1", 1, 0.6, "abc")]
SECOND: Rows = [("e0.10.0", "r1", 0, 0.5, "def"), ("e0.10.0", "r1", 1, 0.6, "def")]
OTHER: Rows = [("e0.3.0", "r2", 0, 0.7, "q")]
ENGINES = [Engine.SQLITE, Engine.DUCKDB]
MERGE3 = {
    Engine.SQLITE: sqlite_merge.merge3_files,
    Engine.DUCKDB: duckdb_merge.merge3_files,
}
KEYS = ["", ", PRIMARY KEY (track_id, step)"]
TWICE = "t: a run was tagged twice, its rows keep e0.2.0, not e0.10.0"


def write(path: Path, rows: Rows, key: str) -> Path:
    with closing(sqlite3.connect(path)) as con:
        con.execute(
            "CREATE TABLE t (version TEXT, track_id TEXT, step INTEGER, f1 REAL, git_commit TEXT"
            f"{key})"
        )
        con.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", rows)
        con.commit()
    return path


def read(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as con:
        return con.execute("SELECT * FROM t ORDER BY track_id, step, version").fetchall()


@pytest.mark.parametrize("by", ENGINES)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    ("ours", "theirs", "notes"),
    [(PLAIN, FIRST, []), (FIRST, PLAIN, []), (SECOND, FIRST, [TWICE]), (FIRST, SECOND, [TWICE])],
)
def test_one_row_with_the_earlier_stamp(
    tmp_path: Path, ours: Rows, theirs: Rows, notes: list[str], mode: Mode, key: str, by: Engine
) -> None:
    target = write(tmp_path / "a.db", ours, key)
    source = write(tmp_path / "b.db", [*theirs, *OTHER], key)
    options = MergeOptions(mode=mode)
    report = engine.merge(target, [source], None, options, engine=by)
    assert read(target) == [*FIRST, *OTHER]
    assert list(report.notes) == notes
    (table,) = report.tables
    assert (table.new, table.identical + table.filled, table.replaced) == (1, 2, 0)
    assert not engine.merge(target, [source], None, options, engine=by).changed
    assert read(target) == [*FIRST, *OTHER]


@pytest.mark.parametrize("by", ENGINES)
@pytest.mark.parametrize("key", KEYS)
def test_few_rows_that_are_among_many(tmp_path: Path, key: str, by: Engine) -> None:
    """Only rows of ours that may be one of theirs are looked at: with empty cells they may, too."""
    many: Rows = [(None, "r9", step, None, None) for step in range(40)]
    empty: Rows = [(None, "r1", 2, None, None)]
    target = write(tmp_path / "a.db", [*PLAIN, *empty, *many], key)
    stamped: Rows = [*FIRST, ("e0.2.0", "r1", 2, None, "abc")]
    source = write(tmp_path / "b.db", stamped, key)
    report = engine.merge(target, [source], None, engine=by)
    assert read(target) == [*stamped, *many]
    assert (report.tables[0].new, report.tables[0].filled) == (0, 3)


@pytest.mark.parametrize("by", ENGINES)
@pytest.mark.parametrize("three", [False, True])
def test_rows_whose_key_has_a_null(tmp_path: Path, by: Engine, three: bool) -> None:
    """They are one row if all but the stamps is alike; others of that key are other rows."""
    plain: Rows = [(None, "r1", 0, None, None), (None, "r2", 0, None, None)]
    stamped: Rows = [("e0.2.0", "r1", 0, None, "abc"), ("e0.3.0", "r3", 0, None, "q")]
    key = ", UNIQUE (step, f1)"
    target, source, base = (
        write(tmp_path / f"{name}.db", rows, key)
        for name, rows in (("a", plain), ("b", stamped), ("base", []))
    )
    if three:
        MERGE3[by](base, target, source, target)
    else:
        engine.merge(target, [source], None, engine=by)
    assert read(target) == [stamped[0], plain[1], stamped[1]]


@pytest.mark.parametrize("by", ENGINES)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        (PLAIN, PLAIN, FIRST, FIRST),
        (PLAIN, FIRST, PLAIN, FIRST),
        (PLAIN, SECOND, FIRST, FIRST),
        (PLAIN, FIRST, SECOND, FIRST),
        (PLAIN, [], FIRST, []),
        (PLAIN, FIRST, [], []),
        ([], PLAIN, FIRST, FIRST),
        ([], SECOND, FIRST, FIRST),
    ],
)
def test_three_ways(
    tmp_path: Path, base: Rows, ours: Rows, theirs: Rows, expected: Rows, key: str, by: Engine
) -> None:
    sides = [
        write(tmp_path / f"{name}.db", rows, key)
        for name, rows in (("base", base), ("ours", ours), ("theirs", [*theirs, *OTHER]))
    ]
    report = MERGE3[by](*sides, sides[1])
    assert not report.conflicts
    assert read(sides[1]) == [*expected, *OTHER]
    assert bool(report.notes) == (SECOND in (ours, theirs))


@pytest.mark.parametrize("by", ENGINES)
def test_two_versions_without_a_run_are_two_rows(tmp_path: Path, by: Engine) -> None:
    """Where no column names the run, a version may be all that tells two rows apart."""
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    for path, version in zip(paths, ("e0.1.0", "e0.2.0"), strict=True):
        with closing(sqlite3.connect(path)) as con:
            con.execute("CREATE TABLE t (version TEXT, step INTEGER, f1 REAL)")
            con.execute("INSERT INTO t VALUES (?, 0, 0.5)", (version,))
            con.commit()
    engine.merge(paths[0], paths[1:], engine=by)
    assert [row[0] for row in read_plain(paths[0])] == ["e0.1.0", "e0.2.0"]


def read_plain(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as con:
        return con.execute("SELECT * FROM t ORDER BY 1").fetchall()


@pytest.mark.parametrize("by", ENGINES)
def test_a_rebase_goes_by_the_run_where_the_version_is_missing(tmp_path: Path, by: Engine) -> None:
    old: Rows = [(None, "r1", 0, 0.1, None), (None, "r9", 0, 0.9, None), *OTHER]
    target = write(tmp_path / "a.db", old, "")
    source = write(tmp_path / "b.db", FIRST, "")
    report = engine.merge(target, [source], None, MergeOptions(mode=Mode.REBASE), engine=by)
    assert read(target) == [*FIRST, *OTHER, (None, "r9", 0, 0.9, None)]
    assert report.tables[0].replaced == 1


@pytest.mark.parametrize("by", ENGINES)
@pytest.mark.parametrize(
    "versions",
    [("e1", None, None), (None, "e1", None), (None, None, "e1"), (None, "e1", *[None] * 8)],
)
def test_the_last_source_wins_whoever_knows_the_version_of_a_run(
    tmp_path: Path, versions: Sequence[str | None], by: Engine
) -> None:
    """Also where the row that knows it is the one that is replaced, or of a source far from the last."""
    files = [
        write(tmp_path / f"{step}.db", [(version, "r", step, 0.5, None)], "")
        for step, version in enumerate(versions)
    ]
    engine.merge(files[0], files[1:], None, MergeOptions(mode=Mode.REBASE), engine=by)
    assert read(files[0]) == [(versions[-1], "r", len(versions) - 1, 0.5, None)]


@pytest.mark.parametrize("by", ENGINES)
def test_a_rebase_knows_the_version_of_a_run_also_for_a_source_without_that_column(
    tmp_path: Path, by: Engine
) -> None:
    target = write(tmp_path / "a.db", OTHER, "")
    middle, last = tmp_path / "b.db", write(tmp_path / "c.db", FIRST, "")
    with closing(sqlite3.connect(middle)) as con:
        con.execute("CREATE TABLE t AS SELECT 'r1' AS track_id, 5 AS step, 0.1 AS f1")
        con.commit()
    engine.merge(target, [middle, last], None, MergeOptions(mode=Mode.REBASE), engine=by)
    assert read(target) == [*FIRST, *OTHER]


@pytest.mark.parametrize("by", ENGINES)
def test_a_row_meets_the_stamp_of_the_row_that_won_before_it(tmp_path: Path, by: Engine) -> None:
    """The third is of the run of the second, and says of it what the second lacks."""
    rows: Rows = [
        ("e0.1.0", "r2", 0, 0.5, None),
        ("e0.2.0", "r1", 0, 0.5, None),
        (None, "r1", 0, 0.5, "abc"),
    ]
    files = [write(tmp_path / f"{n}.db", [row], "") for n, row in enumerate(rows)]
    options = MergeOptions(key=("step",), on_conflict=OnConflict.THEIRS, fill=False)
    engine.merge(files[0], files[1:], None, options, engine=by)
    assert read(files[0]) == [("e0.2.0", "r1", 0, 0.5, "abc")]


@pytest.mark.parametrize("by", ENGINES)
@pytest.mark.parametrize(
    ("key", "options"),
    [
        (", PRIMARY KEY (step)", MergeOptions(renumber=True)),
        (", PRIMARY KEY (step)", MergeOptions(on_conflict=OnConflict.BOTH)),
        ("", MergeOptions(key=("step",), on_conflict=OnConflict.BOTH)),
    ],
)
def test_different_rows_of_one_key_keep_their_stamps(
    tmp_path: Path, key: str, options: MergeOptions, by: Engine
) -> None:
    """A run that was not tagged does not become the version of one with its row number."""
    ours: Rows = [(None, "r1", 7, 0.1, None), (None, "r3", 8, 0.3, None)]
    theirs: Rows = [("e0.2.0", "r2", 7, 0.2, "abc"), ("e0.2.0", "r3", 8, 0.3, "abc")]
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    target, source = (write(p, r, key) for p, r in zip(paths, (ours, theirs), strict=True))
    report = engine.merge(target, [source], None, options, engine=by)
    number = 9 if key else 7
    assert read(target) == [ours[0], ("e0.2.0", "r2", number, 0.2, "abc"), theirs[1]]
    (table,) = report.tables
    assert (table.new, table.filled, table.identical) == (1, 1, 0)


@pytest.mark.parametrize("by", ENGINES)
def test_a_run_has_one_version_also_where_ours_names_no_runs(tmp_path: Path, by: Engine) -> None:
    target = tmp_path / "a.db"
    with closing(sqlite3.connect(target)) as con:
        con.execute("CREATE TABLE t (version TEXT, step INTEGER, f1 REAL)")
    rows: list[Rows] = [[(None, "r", 1, 0.5, None)], [("e0.1.0", "r", 2, 0.6, None)]]
    sources = [write(tmp_path / f"{n}.db", each, "") for n, each in enumerate(rows)]
    engine.merge(target, sources, None, MergeOptions(mode=Mode.REBASE), engine=by)
    with closing(sqlite3.connect(target)) as con:
        assert con.execute("SELECT version, step FROM t").fetchall() == [("e0.1.0", 2)]


@pytest.mark.parametrize("by", ENGINES)
def test_a_stamped_row_in_conflict_is_counted_once(tmp_path: Path, by: Engine) -> None:
    key = KEYS[1]
    target = write(tmp_path / "a.db", [(None, "r1", 0, 0.5, None)], key)
    source = write(tmp_path / "b.db", [("e0.1.0", "r1", 0, 0.6, None)], key)
    options = MergeOptions(on_conflict=OnConflict.OURS)
    (table,) = engine.merge(target, [source], None, options, engine=by).tables
    assert (table.incoming, table.conflicting, table.filled, table.identical) == (1, 1, 0, 0)
    base = write(tmp_path / "base.db", [(None, "r1", 0, 0.4, None)], key)
    (table,) = MERGE3[by](base, target, source, tmp_path / "out.db", options).tables
    assert (table.incoming, table.conflicting, table.replaced, table.filled) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((None, "a"), ("e0.1.0", None), ("e0.1.0", "a")),
        (("e0.10.0", None), ("e0.9.0", "a"), ("e0.9.0", "a")),
        (("e0.1.0", None), ("e0.2.0", "b"), ("e0.1.0", None)),
        (("e0.1.0", "a"), ("e0.1.0", "b"), ("e0.1.0", "a")),
    ],
)
def test_a_stamp_of_two(
    ours: Sequence[str | None], theirs: Sequence[str | None], expected: Sequence[str | None]
) -> None:
    assert merged_stamp(tuple(ours), tuple(theirs), 1) == tuple(expected)
    assert earlier("e0.9.0", "e0.10.0") and not earlier("e0.10.0", "e0.9.0")
