"""A table that one side dropped and the other changed: whose it is, said for all or by its number."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from gitxexp.tables import engine
from tests.helpers import Repo, copy_tree, run

pytestmark = pytest.mark.usefixtures("quick")  # git starts the driver

BASE = ("CREATE TABLE t (k VARCHAR PRIMARY KEY, v INTEGER)", "CREATE TABLE o (x INTEGER)",
        "INSERT INTO t VALUES ('a', 1), ('b', 2)", "INSERT INTO o VALUES (1)")  # fmt: skip
CHANGE = ("UPDATE t SET v = 9 WHERE k = 'a'",)
DROP = ("DROP TABLE t", "INSERT INTO o VALUES (2)")


def execute(kind: str, path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(str(path))) as con:
        for statement in statements:
            con.execute(statement)
        con.commit()


def tables(kind: str, path: Path) -> dict[str, list[tuple[object, ...]]]:
    listed = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1"
    if kind == "duckdb":
        listed = "SELECT table_name FROM duckdb_tables() ORDER BY 1"
    with closing(sqlite3.connect(path) if kind == "sqlite" else duckdb.connect(str(path))) as con:
        names = [name for (name,) in con.execute(listed).fetchall()]
        return {name: con.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in names}


@pytest.fixture(scope="session")
def templates() -> dict[tuple[str, str], Path]:
    """Repositories by kind of database and who dropped the table."""
    return {}


@pytest.fixture
def parted(
    repo: Repo, templates: dict[tuple[str, str], Path], kind: str, dropped: str, sealed: Path
) -> Repo:
    """One side has dropped table t, the other has changed it."""
    if template := templates.get((kind, dropped)):
        shutil.rmtree(repo.path)
        copy_tree(template, repo.path)
        repo.git("update-index", "-q", "--refresh")
        return repo
    path = repo / "r.db"
    execute(kind, path, *BASE)
    repo.xexp("drivers", "install").good()
    repo.commit("base")
    repo.git("switch", "-q", "-c", "other")
    execute(kind, path, *(DROP if dropped == "theirs" else CHANGE))
    repo.commit("theirs")
    repo.git("switch", "-q", "main")
    execute(kind, path, *(DROP if dropped == "ours" else CHANGE))
    repo.commit("ours")
    template = templates[kind, dropped] = sealed / f"{kind}-dropped-by-{dropped}"
    copy_tree(repo.path, template)
    return repo


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.parametrize("dropped", ["ours", "theirs"])
@pytest.mark.parametrize("option", ["--ours", "--theirs", "--row=1=ours", "--row=1=theirs"])
def test_whose_it_is(parted: Repo, kind: str, dropped: str, option: str) -> None:
    """Of a table that ours dropped, theirs came back without the rows that theirs had not changed;
    a DuckDB table could not be given up, and --row settled neither."""
    repo = parted
    assert run("git", "merge", "other", cwd=repo.path).code == 1
    assert "1  r.db: t" in repo.xexp("conflicts").good().out
    repo.xexp("conflicts", "resolve", option).good()
    expected: dict[str, list[tuple[object, ...]]] = {"o": [(1,), (2,)]}
    if not option.endswith(dropped):
        expected["t"] = [("a", 9), ("b", 2)]
    assert tables(kind, repo / "r.db") == expected
    assert repo.git("ls-files", "-u") == ""


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.parametrize("dropped", ["ours", "theirs"])
@pytest.mark.parametrize("rows", [0, 2])
def test_what_nobody_changed_since_is_dropped(
    tmp_path: Path, kind: str, dropped: str, rows: int
) -> None:
    """DuckDB's engine kept the table that theirs had dropped."""
    base = (*BASE, *(("DELETE FROM t",) if not rows else ()))
    base_file, ours, theirs = (tmp_path / f"{name}.db" for name in ("base", "ours", "theirs"))
    for path in (base_file, ours, theirs):
        execute(kind, path, *base)
    execute(kind, ours if dropped == "ours" else theirs, "DROP TABLE t")
    report = engine.merge3(base_file, ours, theirs, ours)
    assert report.written
    assert tables(kind, ours) == {"o": [(1,)]}
