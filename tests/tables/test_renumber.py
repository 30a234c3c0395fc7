"""Rows that get another number keep their children, and children keep their parents."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gitxexp.common.errors import XexpError
from gitxexp.tables.duckdb.merge import merge_files as merge_duckdb
from gitxexp.tables.plan import MergeOptions, OnConflict
from gitxexp.tables.sqlite.merge import merge_files

Row = tuple[int, int | None, str]


def write(path: Path, rows: Sequence[Row], up: str = "INTEGER REFERENCES t (id)") -> Path:
    with closing(sqlite3.connect(path)) as con:
        con.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, up {up}, name TEXT)")
        con.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        con.commit()
    return path


def families(path: Path) -> list[tuple[str, str | None]]:
    with closing(sqlite3.connect(path)) as con:
        return con.execute(
            "SELECT t.name, p.name FROM t LEFT JOIN t AS p ON p.id = t.up ORDER BY 1, 2"
        ).fetchall()


def tree(chance: random.Random, of: str) -> list[Row]:
    numbers = chance.sample(range(1, 12), chance.randint(1, 6))
    ups = [None, *(chance.choice([*numbers[:at], None]) for at in range(1, len(numbers)))]
    return [(number, up, f"{of}{number}") for number, up in zip(numbers, ups, strict=True)]


@pytest.mark.parametrize("seed", range(40))
def test_families_stay_together(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    paths = [write(tmp_path / f"{of}.db", tree(chance, of)) for of in "abcd"[: 2 + seed % 3]]
    wanted = sorted(
        (pair for path in paths for pair in families(path)),
        key=lambda pair: (pair[0], pair[1] or ""),
    )
    target, sources = (tmp_path / "new.db", paths) if seed % 2 else (paths[0], paths[1:])
    out = tmp_path / "out.db"
    merge_files(target, sources, out=out, options=MergeOptions(renumber=True))
    assert families(out) == wanted


@pytest.mark.parametrize("policy", [{"renumber": True}, {"on_conflict": OnConflict.BOTH}])
def test_duckdb_refuses_numbers_that_others_refer_to(tmp_path: Path, policy: Any) -> None:
    for name in "ab":
        with duckdb.connect(str(tmp_path / f"{name}.duckdb")) as con:
            con.execute('CREATE TABLE "a b" (id INTEGER PRIMARY KEY, name TEXT)')
            con.execute('CREATE TABLE u (id INTEGER PRIMARY KEY, t INTEGER REFERENCES "a b" (id))')
            con.execute(f"INSERT INTO \"a b\" VALUES (1, '{name}'); INSERT INTO u VALUES (1, 1)")
    target, source = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    before = target.read_bytes()
    with pytest.raises(XexpError, match="u refers to a b, where 1 row would get a new number"):
        merge_duckdb(target, [source], options=MergeOptions(**policy))
    assert target.read_bytes() == before
    for path in (target, source):
        with duckdb.connect(str(path)) as con:
            con.execute("DROP TABLE u")
    merge_duckdb(target, [source], options=MergeOptions(**policy))
    with duckdb.connect(str(target)) as con:
        assert con.execute('SELECT * FROM "a b" ORDER BY 1').fetchall() == [(1, "a"), (2, "b")]


#: A row that has to move is like another row of its own source.
TAKEN: list[list[list[Row]]] = [
    [[(1, None, "a"), (2, None, "b")], [(1, None, "b"), (2, None, "b")]],
    [[(6, None, "q")], [(1, None, "z"), (6, None, "z")], [(1, None, "x")]],
]


@pytest.mark.parametrize("merge", [merge_files, merge_duckdb])
@pytest.mark.parametrize("policy", [{"renumber": True}, {"on_conflict": OnConflict.BOTH}])
def test_each_row_is_there_as_often_as_in_any_input(
    tmp_path: Path, merge: Any, policy: Any
) -> None:
    chance = random.Random(1)
    drawn = [
        [
            [
                (n, None, chance.choice("xyz"))
                for n in chance.sample(range(1, 8), chance.randint(2, 6))
            ]
            for _ in range(2 + at % 2)
        ]
        for at in range(8)
    ]
    for at, inputs in enumerate([*TAKEN, *drawn]):
        paths = [write(tmp_path / f"{at}-{of}.db", rows, "TEXT") for of, rows in enumerate(inputs)]
        out = tmp_path / f"{at}-out.db"
        report = merge(paths[0], paths[1:], out, MergeOptions(fill=False, **policy))
        with closing(sqlite3.connect(out)) as con:
            held = con.execute("SELECT * FROM t").fetchall()
        assert set(inputs[0]) <= set(held)
        names = Counter(row[2] for row in held)
        for rows in inputs:
            assert not Counter(row[2] for row in rows) - names
        table = report.tables[0]
        assert table.here + table.new == len(held)
        assert table.new + table.identical == table.incoming == sum(map(len, inputs[1:]))


#: Rows (number, text, real) of the target and of two sources, which the next one meets as the last left them.
IN_TURN: list[list[list[tuple[int, str | None, float | None]]]] = [
    # the second source contradicts what the first one filled
    [[(3, "x", 1.5), (4, None, None)], [(3, "y", 2.0), (4, "y", 2.0)], [(4, None, 1.5)]],
    # a row of the first source gets a number before the second one brings one like it
    [[(3, None, 2.0)], [(3, "x", 1.5)], [(1, "x", 1.5)]],
    # its new number is one that the second source has
    [[(6, "y", None), (7, "y", 2.0)], [(3, "a", None), (6, "x", 2.0)], [(8, "x", None)]],
    # what a source fills is no longer a row like another one of it
    [[(2, "y", None), (3, "x", None)], [], [(2, "x", None), (3, "x", 2.0)]],
    [[(4, "x", None), (3, "y", 1.5)], [(3, "x", 2.0), (4, None, 2.0)], []],
    # into a new file
    [[], [(1, "a", 1.0), (2, "b", None)], [(1, "b", None), (2, "b", 2.0)]],
]


@pytest.mark.parametrize("policy", [{"renumber": True}, {"on_conflict": OnConflict.BOTH}])
def test_both_engines_merge_one_source_after_the_other(tmp_path: Path, policy: Any) -> None:
    for at, inputs in enumerate(IN_TURN):
        paths = []
        for of, rows in enumerate(inputs):
            paths.append(tmp_path / f"{at}-{of}.db")
            with closing(sqlite3.connect(paths[-1])) as con:
                con.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b REAL)")
                con.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
                con.commit()
        if not inputs[0]:
            paths[0].unlink()
        results = []
        for merge in (merge_files, merge_duckdb):
            out = tmp_path / "out.db"
            report = merge(paths[0], paths[1:], out, MergeOptions(**policy)).tables[0]
            with closing(sqlite3.connect(out)) as con:
                rows = con.execute("SELECT * FROM t ORDER BY id").fetchall()
            counts = (report.here, report.incoming, report.new, report.identical, report.filled)
            results.append((counts, rows))
            out.unlink()
        assert results[0] == results[1], inputs
