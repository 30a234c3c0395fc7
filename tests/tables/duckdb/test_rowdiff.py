"""Row differences against plain Python, the page shortcut against SQL, and the text for git."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitxexp.common.errors import XexpError
from gitxexp.tables.row_changes import RowChange, TableDiff, pair
from gitxexp.tables.row_diff import diff_files
from gitxexp.tables.sqlite import pages, row_diff
from gitxexp.tables.sqlite.pages import stage_ranges
from gitxexp.tables.textconv import sqlite_key, sqlite_tables, textconv
from tests.tables.support import (
    Row,
    bag,
    budget,
    database,
    digest,
    in_process,
    mark,
    schemas,
    tables,
    write,
)

KINDS = ("parquet", "duckdb", "db")


def applied(old: Sequence[Row], changes: Sequence[RowChange]) -> Counter[Any]:
    """``old`` with the changes made: what the new side must be."""
    result = bag(old)
    for change in changes:
        if change.kind == "changed":
            full = next(r for r in old if all(r.get(c) == v for c, v in change.key.items()))
            result[mark(full)] -= 1
            result[mark({**full, **(change.new or {})})] += 1
        else:
            row = change.old if change.kind == "removed" else change.new
            assert row is not None
            result[mark(row)] += 1 if change.kind == "added" else -1
    return +result


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("one_duckdb")
@budget
@given(data=st.data())
def test_the_difference_leads_from_one_file_to_the_other(kind: str, data: Any) -> None:
    schema = data.draw(schemas())
    (old_types, old), (new_types, new) = (data.draw(tables(schema)) for _ in range(2))
    other = data.draw(st.sampled_from([kind, "duckdb"])) if kind != "parquet" else kind
    with tempfile.TemporaryDirectory() as folder:
        a = write(Path(folder) / f"t.{kind}", old_types, old)
        b = write(Path(folder) / f"t2.{other}", new_types, new)
        found = diff_files(a, b)
        changes = found[0].rows if found else ()
        assert applied(old, changes) == bag(new)
        gone, come = bag(old) - bag(new), bag(new) - bag(old)
        kinds = Counter(c.kind for c in changes)
        assert kinds == +Counter(removed=gone.total(), added=come.total())
        if found:
            assert (found[0].added, found[0].removed) == (come.total(), gone.total())
            assert set(found[0].columns_added) == set(new_types) - set(old_types)
            assert set(found[0].columns_removed) == set(old_types) - set(new_types)
            few = diff_files(a, b, limit=1)[0]
            assert (few.added, few.removed) == (found[0].added, found[0].removed)
            assert len(few.rows) <= 1
        assert diff_files(a, a) == ()


KEYED = {"k": "int", "a": "float", "s": "str"}
keyed = st.dictionaries(
    st.integers(0, 6),
    st.fixed_dictionaries(
        {"a": st.none() | st.sampled_from([0.0, -0.0, 1.0]), "s": st.none() | st.sampled_from("xy")}
    ),
    max_size=6,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("one_duckdb")
@budget
@given(old=keyed, new=keyed)
def test_by_key_a_row_is_changed_cell_by_cell(kind: str, old: Any, new: Any) -> None:
    if kind == "db":  # SQLite stores -0.0 as 0
        for rows in (old, new):
            for row in rows.values():
                row["a"] = abs(row["a"]) if row["a"] == 0 else row["a"]
    declared = ("k",) if kind == "parquet" else ()
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            write(
                Path(folder) / f"{i}.{kind}",
                KEYED,
                [{"k": k, **row} for k, row in rows.items()],
                () if declared else ("k",),
            )
            for i, rows in enumerate((old, new))
        ]
        found = diff_files(*paths, key=declared)
    table = found[0] if found else TableDiff("t")
    assert (table.added, table.removed) == (len({*new} - {*old}), len({*old} - {*new}))
    cells = {c.key["k"]: c.cells for c in table.rows if c.kind == "changed"}
    expected = {}
    for k in {*old} & {*new}:
        one, two = ({c: repr(v) for c, v in rows[k].items()} for rows in (old, new))
        if one != two:
            expected[k] = {c: (old[k][c], new[k][c]) for c in one if one[c] != two[c]}
    assert cells == expected and table.changed == len(expected)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("DOUBLE", "0.0", "'-0.0'"),
        ("INTERVAL", "INTERVAL 30 DAY", "INTERVAL 1 MONTH"),
        ("VARCHAR COLLATE NOCASE", "'a'", "'A'"),
        ("STRUCT(x INTEGER)", "{'x': NULL}", "NULL"),
        ("STRUCT(x INTEGER)[]", "[{'x': NULL}]", "[NULL]"),
        ("DOUBLE[]", "[0.0]", "['-0.0'::DOUBLE]"),
        ("MAP(VARCHAR, INTEGER)", "MAP {'a': 1, 'b': 2}", "MAP {'b': 2, 'a': 1}"),
    ],
)
def test_values_that_are_nearly_equal_differ(kind: str, old: str, new: str, tmp_path: Path) -> None:
    """DuckDB calls some of them equal, or gives them one hash."""
    a, b = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    for path, value in ((a, old), (b, new)):
        with duckdb.connect(str(path)) as con:
            con.execute(f"CREATE TABLE t (k INTEGER, v {kind})")
            con.execute(f"INSERT INTO t VALUES (1, {old}), (1, {old}), (2, {value})")
    assert [(t.added, t.removed, t.changed) for t in diff_files(a, b)] == [(1, 1, 0)]
    assert [(t.added, t.removed, t.changed) for t in diff_files(a, b, ["k"])] == [(0, 0, 1)]


def test_values_of_two_members_of_a_union_are_told_apart(tmp_path: Path) -> None:
    files = []
    for name, value in (("a", "n := 1"), ("b", "s := '1'")):
        files.append(tmp_path / f"{name}.duckdb")
        with database(files[-1]) as con:
            con.execute(
                "CREATE TABLE t (id INT PRIMARY KEY, u UNION(n INT, s TEXT), l UNION(n INT, s TEXT)[])"
            )
            con.execute(f"INSERT INTO t SELECT 1, u, [u] FROM (SELECT union_value({value}) AS u)")
    assert diff_files(*files)[0].rows[0].cells == {
        "u": ('{"n":1}', '{"s":"1"}'),
        "l": ('[{"n":1}]', '[{"s":"1"}]'),
    }
    assert len({*textconv(files[0])} ^ {*textconv(files[1])}) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_not_there(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"t.{kind}", {"a": "int"}, [{"a": 1}, {"a": 2}])
    (new,) = diff_files(None, path)
    (old,) = diff_files(path, None)
    assert (new.created, new.added, new.removed) == (True, 2, 0)
    assert (old.dropped, old.added, old.removed) == (True, 0, 2)
    assert [c.new for c in new.rows] == [{"a": 1}, {"a": 2}]
    assert diff_files(None, None) == ()


def grown(path: Path, rows: int, seed: int) -> Path:
    """A database of many pages: plain, WITHOUT ROWID, long texts (overflow), deleted rows."""
    rng = random.Random(seed)
    with contextlib.closing(sqlite3.connect(path)) as con:
        con.execute("PRAGMA page_size = 1024")
        con.execute("CREATE TABLE k (id INTEGER PRIMARY KEY, x REAL, s TEXT)")
        con.execute("CREATE TABLE n (x, s)")
        con.execute("CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID")
        con.execute("CREATE INDEX ix ON k (x)")
        for i in range(rows):
            con.execute("INSERT INTO k VALUES (?, ?, ?)", (i * 3, rng.random(), "s" * (i % 50)))
            con.execute(
                "INSERT INTO n VALUES (?, ?)", (i % 7, "long" * (500 if i % 90 == 0 else 2))
            )
            con.execute("INSERT INTO w VALUES (?, ?)", (f"k{i}", i))
        con.execute("DELETE FROM k WHERE id % 11 = 0")
        con.commit()
    return path


EDITS = [
    "UPDATE k SET x = x + 1 WHERE id % 97 = 0",
    "UPDATE k SET s = NULL WHERE id = 300",
    "DELETE FROM k WHERE id BETWEEN 900 AND 960",
    "INSERT INTO k SELECT id + 1, x, s FROM k WHERE id % 53 = 0",
    "INSERT INTO k (x) VALUES (0.5), (NULL)",
    "UPDATE k SET id = id + 100000 WHERE id = 600",
    "DELETE FROM n WHERE rowid % 71 = 0",
    "INSERT INTO n SELECT * FROM n WHERE rowid < 5",
    "UPDATE n SET s = 'l' || s WHERE rowid = 91",
    "UPDATE n SET x = 1.0 WHERE rowid = 9",
    "UPDATE w SET v = 'text' WHERE k = 'k77'",
    "ALTER TABLE k ADD COLUMN extra TEXT",
    "UPDATE w SET v = NULL; DELETE FROM w WHERE k < 'k3'",
    "DROP TABLE n",
    "DELETE FROM k",
    "VACUUM",
]


def test_pages_and_sql_give_the_same_difference(tmp_path: Path, monkeypatch: Any) -> None:
    a = grown(tmp_path / "a.db", 350, 1)
    used: list[str] = []

    def watched(con: Any, name: str, ranges: Any) -> str:
        used.append(name)
        return stage_ranges(con, name, ranges)

    for seed in range(30):
        rng = random.Random(seed)
        b = Path(shutil.copy(a, tmp_path / "b.db"))
        edit(b, rng.sample(EDITS, rng.randint(1, 4)))
        with monkeypatch.context() as patch:
            patch.setattr(row_diff, "stage_ranges", watched)
            patch.setattr(pages, "SMALLEST", 0)
            if seed > 2:  # the first ones by a process of its own, as always
                patch.setattr(pages, "child", in_process)
            quick = diff_files(a, b)
        slow = diff_files(a, b)
        wanted = [plain(t) for t in slow]
        assert [plain(t) for t in quick] == wanted
        assert [plain(t) for t in whole(a, b)] == wanted
        few = diff_files(a, b, limit=2)
        assert [t.rows for t in few] == [t.rows[:2] for t in slow]
        assert [plain(t)[:5] for t in few] == [each[:5] for each in wanted]
    assert len(used) > 30


def edit(path: Path, scripts: Sequence[str]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as con:
        for script in scripts:
            with contextlib.suppress(sqlite3.OperationalError):
                con.executescript(script)
        con.commit()


def whole(a: Path, b: Path) -> list[TableDiff]:
    """The same by brute force: every row of both files in Python."""
    old, new = (dict(everything(path)) for path in (a, b))
    found = []
    for name in sorted({*old, *new}):
        key, before = old.get(name, ((), []))
        key, after = new.get(name, (key, []))
        counts = pair(before, after, key, None)
        columns = [c for c in (after[0] if after else ()) if before and c not in before[0]]
        if any(counts[:3]) or name not in old or name not in new or columns:
            found.append(TableDiff(name, key, (), (), False, False, *counts))
    return found


def everything(path: Path) -> Iterator[tuple[str, tuple[tuple[str, ...], list[Row]]]]:
    with contextlib.closing(sqlite3.connect(path)) as con:
        for name, _ in sqlite_tables(con):
            rows = con.execute(f"SELECT * FROM {name}")
            names = [d[0] for d in rows.description]
            table = [dict(zip(names, row, strict=True)) for row in rows]
            yield name, (sqlite_key(con, name), table)


@pytest.mark.parametrize(
    "table", ["k TEXT PRIMARY KEY, v, w", "k, v, w", "k TEXT UNIQUE COLLATE NOCASE, v REAL, w"]
)
def test_rows_that_moved_are_the_same_rows(tmp_path: Path, table: str) -> None:
    """Written anew in another order, with another page size and other columns first."""
    rng, paths = random.Random(7), [tmp_path / "a.db", tmp_path / "b.db"]
    rows = [(None if i % 50 == 0 else f"k{i}", i % 5, None if i % 3 else i / 2) for i in range(900)]
    for path, columns in zip(paths, (table, ", ".join(reversed(table.split(", ")))), strict=True):
        with contextlib.closing(sqlite3.connect(path)) as con:
            con.execute(f"PRAGMA page_size={rng.choice([512, 1024, 4096])}")
            con.execute(f"CREATE TABLE t ({columns})")
            rng.shuffle(rows)
            con.executemany("INSERT INTO t (k, v, w) VALUES (?, ?, ?)", rows)
            con.commit()
    assert diff_files(*paths) == ()
    edit(paths[1], ["UPDATE t SET v = 'new' WHERE k = 'k7'", "DELETE FROM t WHERE k = 'k8'",
                    "INSERT INTO t (v) VALUES (77)"])  # fmt: skip
    (found,) = diff_files(*paths)
    assert [plain(t) for t in (found,)] == [plain(t) for t in whole(*paths)]
    assert found.added + found.changed == 2


def test_text_that_is_not_utf8_and_another_encoding(tmp_path: Path) -> None:
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    for path, encoding in zip(paths, ("UTF-8", "UTF-16le"), strict=True):
        with contextlib.closing(sqlite3.connect(path)) as con:
            con.execute(f"PRAGMA encoding='{encoding}'")
            con.execute("CREATE TABLE t (k PRIMARY KEY, s)")
            con.execute("INSERT INTO t VALUES (1, 'größe'), (2, ?)", (path.name,))
            con.commit()
    (found,) = diff_files(*paths)
    assert [r.cells for r in found.rows] == [{"s": ("a.db", "b.db")}]
    edit(paths[0], ["UPDATE t SET s = CAST(x'61ff' AS TEXT)"])
    (found,) = diff_files(paths[0], None)
    assert [r.old for r in found.rows] == [{"k": 1, "s": "a\\xff"}, {"k": 2, "s": "a\\xff"}]


def plain(table: TableDiff) -> Any:
    rows = Counter(
        (c.kind, frozenset(c.key.items()), mark(c.old or {}), mark(c.new or {})) for c in table.rows
    )
    return (table.name, table.key, table.added, table.removed, table.changed, rows)


def test_a_live_database_is_compared_with_its_log(tmp_path: Path) -> None:
    a = write(tmp_path / "a.db", {"n": "int"}, [{"n": 1}])
    b = Path(shutil.copy(a, tmp_path / "b.db"))
    with contextlib.closing(sqlite3.connect(b)) as con:
        con.execute("PRAGMA journal_mode = WAL")
        con.execute("INSERT INTO t VALUES (2)")
        con.commit()
        (table,) = diff_files(a, b)
    assert (table.added, table.removed) == (1, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_stable_and_a_new_column_leaves_old_lines(kind: str, tmp_path: Path) -> None:
    row = {"b": 1.0, "a": 1, "s": 'it\'s\n"é🎈"', "x": b"\x00\xff"}
    types = {"b": "float", "a": "int", "s": "str", "x": "bytes"}
    one = write(tmp_path / f"one.{kind}", types, [row, {"a": 2}])
    other = dict(reversed([*types.items(), ("new", "str")]))
    two = write(tmp_path / f"two.{kind}", other, [row, {"a": 2, "new": "v"}])
    before = digest(one)
    first, second = list(textconv(one)), list(textconv(two))
    assert digest(one) == before
    assert '  row a=1 b=1.0 s="it\'s\\n\\"é🎈\\"" x=x\'00ff\'' in first
    assert set(first) - set(second) == {"  row a=2"}
    assert [line for line in second if "new" in line][-1] == '  row a=2 new="v"'
    assert not any("\n" in line for line in first)


def test_text_of_an_empty_and_of_a_damaged_file(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert list(textconv(empty)) == []
    bad = write(tmp_path / "bad.db", {"a": "int"}, [{"a": 1}])
    bad.write_bytes(bad.read_bytes()[:100] + b"\xff" * 5000)
    with pytest.raises(XexpError, match=r"cannot read .*bad\.db"):
        list(textconv(bad))
    with pytest.raises(XexpError, match=r"bad\.db"):
        diff_files(bad, None)


def test_sqlite_needs_no_duckdb(tmp_path: Path) -> None:
    path = write(tmp_path / "a.db", {"a": "int"}, [{"a": 1}])
    code = (
        "import sys; from pathlib import Path; from gitxexp.tables.row_diff import diff_files; "
        "from gitxexp.tables.textconv import textconv; "
        "p = Path(sys.argv[1]); print(len(list(textconv(p))), len(diff_files(p, None))); "
        "print([m for m in ('duckdb', 'numpy', 'click', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "3 1\n[]\n"
