"""Conflicts of DuckDB and parquet files settled one by one, after a real ``git merge``."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitxexp.tables.duckdb.merge import merge3_files
from gitxexp.tables.plan import MergeOptions, OnConflict
from tests.helpers import Repo, run
from tests.tables.support import database, read, write

pytestmark = pytest.mark.usefixtures("quick")  # git starts the driver

SCHEMA = "CREATE TABLE t (d DATE, ok BOOLEAN, n DECIMAL(9,2), f1 DOUBLE, note VARCHAR, "
SCHEMA += "PRIMARY KEY (d, ok, n))"
ROWS = "INSERT INTO t VALUES ('2024-02-29', {ok}, {n}, 0.1, 'old')"
KEYS = [(True, "1.50"), (False, "1.50"), (True, "2.00"), (True, "3.00"), (True, "4.00")]
WHERE = "UPDATE t SET {what} WHERE n = {n} AND ok = {ok}"


def sql(path: Path, *statements: str) -> list[tuple[object, ...]]:
    with database(path, kind=".duckdb") as con:
        for statement in statements[:-1]:
            con.execute(statement)
        return con.execute(statements[-1]).fetchall()


def update(path: Path, what: str, *numbers: int) -> None:
    sql(path, *(WHERE.format(what=what, ok=KEYS[i][0], n=KEYS[i][1]) for i in numbers))


@pytest.fixture
def clash(repo: Repo) -> Repo:
    """A DuckDB file of any name. Cells 0, 1 and 2 changed on both sides, row 3 deleted here, row 4 there."""
    path = repo / "runs.db"
    sql(path, SCHEMA, *(ROWS.format(ok=ok, n=n) for ok, n in KEYS))
    repo.xexp("drivers", "install").good()
    repo.commit("base")
    repo.git("switch", "-q", "-c", "other")
    update(path, "f1 = 0.9", 0, 1, 2, 3)
    update(path, "note = 'theirs'", 0)
    sql(path, "DELETE FROM t WHERE n = 4", "INSERT INTO t VALUES ('2030-01-01', true, 9, 1, 'new')")
    repo.commit("theirs")
    repo.git("switch", "-q", "main")
    update(path, "f1 = 0.2", 0, 1, 2, 4)
    sql(path, "DELETE FROM t WHERE n = 3")
    repo.commit("ours")
    return repo


def numbers(repo: Repo) -> dict[str, str]:
    """``n/ok`` of each listed conflict → its number."""
    (report,) = repo.xexp("conflicts", "--json").json()
    return {
        f"{c['key']['n']}/{c['key']['ok']}": str(i) for i, c in enumerate(report["conflicts"], 1)
    }


def test_a_duckdb_file_row_by_row(clash: Repo) -> None:
    done = run("git", "merge", "other", cwd=clash.path)
    assert done.code == 1 and "5 conflicts between rows" in done.err
    number = numbers(clash)
    assert sorted(number) == ["1.50/0", "1.50/1", "2.00/1", "3.00/1", "4.00/1"]
    chosen = {"1.50/1": "theirs", "1.50/0": "ours", "3.00/1": "theirs", "4.00/1": "theirs"}
    rows = [x for key, side in chosen.items() for x in ("--row", f"{number[key]}={side}")]
    before = (clash / "runs.db").read_bytes()
    refused = clash.xexp("conflicts", "resolve", *rows)
    assert refused.code == 1 and "1 conflict is not settled" in refused.err
    assert (clash / "runs.db").read_bytes() == before
    clash.xexp("conflicts", "resolve", *rows, "--row", f"{number['2.00/1']}=ours").good()
    found = sql(clash / "runs.db", "SELECT ok, n::VARCHAR, f1, note FROM t ORDER BY n, ok")
    assert found == [
        (False, "1.50", 0.2, "old"),
        (True, "1.50", 0.9, "theirs"),
        (True, "2.00", 0.2, "old"),
        (True, "3.00", 0.9, "old"),
        (True, "9.00", 1.0, "new"),
    ]
    clash.git("commit", "-q", "--no-edit")
    assert clash.git("status", "--porcelain") == ""


def test_one_row_and_a_side_for_the_rest(clash: Repo) -> None:
    run("git", "merge", "other", cwd=clash.path)
    number = numbers(clash)
    row = ("--row", f"{number['1.50/1']}=ours", "--row", f"{number['4.00/1']}=ours")
    clash.xexp("conflicts", "resolve", "--theirs", *row).good()
    found = sql(clash / "runs.db", "SELECT f1 FROM t ORDER BY n, ok")
    assert found == [(0.9,), (0.2,), (0.9,), (0.9,), (0.2,), (1.0,)]


def copy(path: Path, query: str) -> None:
    with database(path) as con:
        con.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")


@pytest.mark.parametrize("side", ["ours", "theirs"])
@pytest.mark.parametrize("dropped", ["ours", "theirs"])
def test_a_parquet_column_that_one_side_dropped(dropped: str, side: str, repo: Repo) -> None:
    """Kept, it has the old values also in the rows of the side that dropped it."""
    path = repo / "data.parquet"
    base = "SELECT i, i * 10 AS gone, 'x' || i AS s FROM range(4) t(i)"
    changed = "SELECT i, CASE i WHEN 0 THEN 7 ELSE gone END AS gone, s FROM ({}) WHERE i <> 3"
    less = "SELECT i, s FROM ({}) WHERE i <> 2 UNION ALL SELECT 9, 'new'"
    copy(path, base)
    repo.xexp("drivers", "install").good()
    repo.commit("base")
    repo.git("switch", "-q", "-c", "other")
    copy(path, (less if dropped == "theirs" else changed).format(base))
    repo.commit("theirs")
    repo.git("switch", "-q", "main")
    copy(path, (less if dropped == "ours" else changed).format(base))
    repo.commit("ours")
    assert run("git", "merge", "other", cwd=repo.path).code == 1
    assert "1  data.parquet: data: gone (schema)" in repo.xexp("conflicts").out
    repo.xexp("conflicts", "resolve", "--row", f"1={side}").good()
    shown = "*" if side == dropped else "i, gone, s"
    with database(path) as con:
        found = con.execute(f"SELECT {shown} FROM '{path}' ORDER BY i").fetchall()
    if side == dropped:
        assert found == [(0, "x0"), (1, "x1"), (9, "new")]
    else:
        assert found == [(0, 7, "x0"), (1, 10, "x1"), (9, None, "new")]


@pytest.mark.parametrize("key", ["", " PRIMARY KEY"])
@pytest.mark.parametrize("dropped", ["ours", "theirs"])
@pytest.mark.parametrize("side", list(OnConflict)[1:3])
def test_a_duckdb_column_that_one_side_dropped(
    side: OnConflict, dropped: str, key: str, tmp_path: Path
) -> None:
    paths = {name: tmp_path / f"{name}.duckdb" for name in ("base", "ours", "theirs")}
    for path in paths.values():
        sql(path, f"CREATE TABLE t (i INTEGER{key}, gone VARCHAR)",
            "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (4, 'd')")  # fmt: skip
    other = "ours" if dropped == "theirs" else "theirs"
    sql(paths[other], "INSERT INTO t VALUES (3, 'c')")
    sql(paths[dropped], "ALTER TABLE t DROP gone", "DELETE FROM t WHERE i = 1",
        "INSERT INTO t VALUES (5)")  # fmt: skip
    (conflict,) = merge3_files(*paths.values()).conflicts
    options = MergeOptions(settled=((conflict, side),))
    assert merge3_files(*paths.values(), options=options).written
    names = sql(paths["ours"], "SELECT column_name FROM duckdb_columns() WHERE NOT internal")
    if side == dropped:
        assert names == [("i",)]
        assert sql(paths["ours"], "FROM t ORDER BY i") == [(2,), (3,), (4,), (5,)]
    else:
        found = sql(paths["ours"], "SELECT i, gone FROM t ORDER BY i")
        assert found == [(2, "b"), (3, "c"), (4, "d"), (5, None)]


@pytest.mark.parametrize("kind", ["duckdb", "parquet"])
def test_a_dropped_column_is_a_change_though_no_row_is(kind: str, tmp_path: Path) -> None:
    full, less = tmp_path / f"full.{kind}", tmp_path / f"less.{kind}"
    write(full, {"a": "int", "b": "int"}, [{"a": 1, "b": 1}])
    write(less, {"a": "int"}, [{"a": 1}])
    (conflict,) = merge3_files(full, full, less, tmp_path / f"out.{kind}").conflicts
    options = MergeOptions(settled=((conflict, OnConflict.THEIRS),))
    out = tmp_path / f"out.{kind}"
    merge3_files(full, full, less, out, options)
    assert read(out) == [{"a": 1}]


@pytest.mark.parametrize("side", list(OnConflict)[1:3])
def test_a_table_that_ours_dropped_and_theirs_changed(side: OnConflict, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.duckdb" for name in ("base", "ours", "theirs")]
    for path in paths:
        sql(path, "CREATE TABLE t (i INTEGER)", "CREATE TABLE u AS SELECT 1 AS n")
    sql(paths[1], "DROP TABLE t")
    sql(paths[2], "INSERT INTO t VALUES (3)")
    (conflict,) = merge3_files(*paths).conflicts
    assert conflict.kind == "delete/change"
    assert merge3_files(*paths, options=MergeOptions(settled=((conflict, side),))).written
    tables = sql(paths[1], "SELECT table_name FROM duckdb_tables() ORDER BY 1")
    assert tables == ([("u",)] if side is OnConflict.OURS else [("t",), ("u",)])


def test_a_duckdb_file_behind_a_pointer(dvc_repo: Repo) -> None:
    repo, path = dvc_repo, dvc_repo / "results/runs.db"
    path.parent.mkdir()

    def save(message: str) -> None:
        repo.dvc_add("results/runs.db")
        repo.commit(message)

    sql(path, "CREATE TABLE t (i INTEGER PRIMARY KEY, f1 DOUBLE)", "INSERT INTO t VALUES (1, 0.1)")
    repo.write(".gitattributes", "*.db.dvc merge=xexp\n")
    repo.xexp("drivers", "install").good()
    save("base")
    repo.git("switch", "-q", "-c", "other")
    sql(path, "UPDATE t SET f1 = 0.9", "INSERT INTO t VALUES (2, 0.2)")
    save("theirs")
    repo.git("switch", "-q", "main")
    repo.dvc("checkout", "-f", "results/runs.db.dvc")
    sql(path, "UPDATE t SET f1 = 0.5", "INSERT INTO t VALUES (3, 0.3)")
    save("ours")
    assert run("git", "merge", "other", cwd=repo.path).code == 1
    repo.xexp("conflicts", "resolve", "--row", "1=theirs").good()
    assert sql(path, "FROM t ORDER BY i") == [(1, 0.9), (2, 0.2), (3, 0.3)]
    repo.git("commit", "-q", "--no-edit")
    assert repo.dvc("status", "results/runs.db.dvc").strip() == "Data and pipelines are up to date."
