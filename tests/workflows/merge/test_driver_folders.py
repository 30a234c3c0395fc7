"""The merge driver on a directory that DVC tracks: file by file, and by rows where there are any."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from tests.conftest import copy_template
from tests.helpers import Clock, Repo, run

pytestmark = pytest.mark.usefixtures("quick")  # git starts the driver


def parquet(path: Path, numbers: Sequence[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = ", ".join(f"({n})" for n in numbers)
    with duckdb.connect() as con:
        con.execute(f"COPY (SELECT n FROM (VALUES {values}) t(n)) TO '{path}.tmp' (FORMAT parquet)")
    Path(f"{path}.tmp").replace(path)


def numbers(path: Path) -> list[int]:
    with duckdb.connect() as con:
        return [row[0] for row in con.execute(f"SELECT n FROM '{path}' ORDER BY 1").fetchall()]


def sql(path: Path, *statements: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements[:-1]:
            db.execute(statement)
        return db.execute(statements[-1]).fetchall()


def save(repo: Repo, message: str) -> None:
    repo.dvc_add("store")
    repo.commit(message)


def switch(repo: Repo, *args: str) -> None:
    repo.git("switch", "-q", *args)
    repo.dvc_checkout("store.dvc")


def clean(repo: Repo) -> bool:
    return repo.dvc("status", "store.dvc").strip() == "Data and pipelines are up to date."


@pytest.fixture(scope="session")
def folder_template(trained_template: Path, sealed: Path) -> Path:
    """``store`` with two parquet files, a database and two texts; branch ``other`` has added to it."""
    Clock().tick(180)
    folder = sealed / "folder-template"
    made = copy_template(trained_template, folder)
    made.xexp("init").good()
    parquet(made / "store/one.parquet", [1])
    parquet(made / "store/deep/two.parquet", [1])
    sql(made / "store/runs.db", "CREATE TABLE runs (id TEXT PRIMARY KEY, f1 REAL)",
        "INSERT INTO runs VALUES ('a', 0.1)")  # fmt: skip
    made.write("store/notes.txt", "old\n")
    made.write("store/old.txt", "old\n")
    save(made, "store")
    assert "/store.dvc is not in .gitattributes" in made.xexp("drivers", "status").err
    made.xexp("drivers", "install").good()
    made.commit("drivers")
    made.git("switch", "-q", "-c", "other")
    parquet(made / "store/one.parquet", [1, 2])
    parquet(made / "store/more/theirs.parquet", [2])
    (made / "store/old.txt").unlink()
    save(made, "theirs")
    switch(made, "main")
    return folder


@pytest.fixture
def repo(folder_template: Path, tmp_path: Path) -> Repo:
    return copy_template(folder_template, tmp_path)


def test_git_merge_just_works(repo: Repo) -> None:
    parquet(repo / "store/one.parquet", [1, 3])
    parquet(repo / "store/deep/two.parquet", [1, 3])
    parquet(repo / "store/ours.parquet", [3])
    save(repo, "ours")
    done = run("git", "merge", "--no-edit", "other", cwd=repo.path).good()
    assert "store: 1 row new" in done.err and "store: more/theirs.parquet: new" in done.err
    files = sorted(p.relative_to(repo / "store").as_posix() for p in repo.path.glob("store/**/*.*"))
    assert files == ["deep/two.parquet", "more/theirs.parquet", "notes.txt", "one.parquet",
                     "ours.parquet", "runs.db"]  # fmt: skip
    assert numbers(repo / "store/one.parquet") == [1, 2, 3]
    assert numbers(repo / "store/deep/two.parquet") == [1, 3]
    assert clean(repo) and repo.git("status", "--porcelain") == ""
    size = sum(p.stat().st_size for p in repo.path.glob("store/**/*.*"))
    text = (repo / "store.dvc").read_text()
    assert f"size: {size}\n" in text and "nfiles: 6\n" in text
    repo.git("revert", "--no-edit", "-m", "1", "HEAD")
    switch(repo, "main")
    assert numbers(repo / "store/one.parquet") == [1, 3] and clean(repo)


def test_both_sides_added_the_directory(repo: Repo) -> None:
    """Without an ancestor."""
    for branch, content in (("left", [1, 2]), ("right", [1, 3])):
        repo.git("switch", "-q", "--orphan", branch)
        repo.git("checkout", "-q", "main", "--", ".dvc", ".gitattributes", ".xexp", ".gitignore")
        parquet(repo / "store/one.parquet", content)
        (repo / f"store/{branch}.txt").write_text(branch)
        for old in ("runs.db", "notes.txt", "old.txt", "left.txt" if branch == "right" else "x"):
            (repo / "store" / old).unlink(missing_ok=True)
        save(repo, branch)
    run("git", "merge", "--no-edit", "--allow-unrelated-histories", "left", cwd=repo.path).good()
    assert numbers(repo / "store/one.parquet") == [1, 2, 3]
    assert (repo / "store/left.txt").read_text() == "left" and clean(repo)


def test_what_no_commit_has_is_left_alone(repo: Repo) -> None:
    repo.write("store/notes.txt", "ours\n")
    save(repo, "ours")
    parquet(repo / "store/one.parquet", [9])
    repo.write("store/mine.txt", "not added\n")
    done = run("git", "merge", "--no-edit", "other", cwd=repo.path).good()
    assert "store holds files that are in no commit" in done.err
    assert numbers(repo / "store/one.parquet") == [9]
    assert not (repo / "store/more").exists() and not clean(repo)
    (repo / "store/one.parquet").unlink()
    repo.dvc("checkout", "-f", "store.dvc")
    assert numbers(repo / "store/one.parquet") == [1, 2]


@pytest.fixture
def clash(repo: Repo) -> Repo:
    """A cell and a text changed on both sides, another text changed here and removed there."""
    switch(repo, "other")
    sql(repo / "store/runs.db", "INSERT INTO runs VALUES ('theirs', 1)", "UPDATE runs SET f1 = 0.9")
    repo.write("store/notes.txt", "theirs\n")
    save(repo, "theirs too")
    switch(repo, "main")
    sql(repo / "store/runs.db", "INSERT INTO runs VALUES ('ours', 1)", "UPDATE runs SET f1 = 0.5")
    repo.write("store/notes.txt", "ours\n")
    repo.write("store/old.txt", "ours\n")
    save(repo, "ours")
    return repo


def test_conflicts_are_settled_one_by_one(clash: Repo) -> None:
    before = sql(clash / "store/runs.db", "SELECT * FROM runs")
    done = run("git", "merge", "other", cwd=clash.path)
    assert done.code == 1 and "store: 3 conflicts" in done.err
    assert "<<<<<<< ours" in (clash / "store.dvc").read_text()
    assert sql(clash / "store/runs.db", "SELECT * FROM runs") == before
    listed = clash.xexp("conflicts").out
    for line in ("1  store.dvc: notes.txt", "2  store.dvc: old.txt (change/delete)",
                 '3  store.dvc: runs.db: runs, id="a": f1'):  # fmt: skip
        assert line in listed
    left = clash.xexp("conflicts", "resolve", "--row", "1=theirs", "--row", "2=theirs")
    assert left.code == 1 and "1 conflict is not settled" in left.err
    clash.xexp("conflicts", "resolve", "--row", "1=theirs", "--row", "2=theirs", "--row",
               "3=theirs").good()  # fmt: skip
    rows = sql(clash / "store/runs.db", "SELECT * FROM runs ORDER BY id")
    assert rows == [("a", 0.9), ("ours", 0.5), ("theirs", 0.9)]
    assert (clash / "store/notes.txt").read_text() == "theirs\n"
    assert not (clash / "store/old.txt").exists()
    assert numbers(clash / "store/one.parquet") == [1, 2] and clean(clash)
    clash.git("commit", "-q", "--no-edit")
    assert clash.git("status", "--porcelain") == ""


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_conflicts_are_settled_for_one_side(clash: Repo, side: str) -> None:
    run("git", "merge", "other", cwd=clash.path)
    clash.xexp("conflicts", "resolve", f"--{side}").good()
    value = 0.5 if side == "ours" else 0.9
    rows = sql(clash / "store/runs.db", "SELECT * FROM runs ORDER BY id")
    assert rows == [("a", value), ("ours", 0.5), ("theirs", 0.9)]
    assert (clash / "store/notes.txt").read_text() == f"{side}\n"
    assert (clash / "store/old.txt").exists() == (side == "ours") and clean(clash)


def test_other_pointers_merge_as_git_merges_text(repo: Repo) -> None:
    """Two outputs of one pointer, one changed by each side; and a field beside the hash."""

    def pointer(one: str, two: str, note: str) -> None:
        outs = "".join(f"- md5: {c * 32}\n  hash: md5\n  path: {c}.csv\n" for c in (one, two))
        repo.write("both.dvc", f"desc: {note}\nouts:\n{outs}")

    repo.write(".gitattributes", "*.dvc merge=xexp\n")
    pointer("a", "b", "old")
    repo.commit("both")
    repo.git("switch", "-q", "-c", "side")
    repo.write("both.dvc", (repo / "both.dvc").read_text().replace("desc: old", "desc: new"))
    repo.commit("side")
    repo.git("switch", "-q", "main")
    repo.write("both.dvc", (repo / "both.dvc").read_text().replace("b" * 32, "c" * 32))
    repo.commit("here")
    repo.git("merge", "-q", "--no-edit", "side")
    text = (repo / "both.dvc").read_text()
    assert "desc: new" in text and "c" * 32 in text and "b" * 32 not in text


def test_a_file_without_rows_takes_a_side(repo: Repo) -> None:
    repo.write(".gitattributes", "table.csv.dvc merge=xexp\n")

    def add(content: str) -> None:
        repo.write("table.csv", content)
        repo.dvc_add("table.csv")
        repo.commit(content)

    add("0")
    repo.git("switch", "-q", "-c", "side")
    add("1")
    repo.git("switch", "-q", "main")
    add("22")
    done = run("git", "merge", "side", cwd=repo.path)
    assert done.code == 1 and "table.csv has no rows that could be merged" in done.err
    assert "<<<<<<< ours" in (repo / "table.csv.dvc").read_text()
    repo.xexp("conflicts", "resolve", "--theirs").good()
    assert (repo / "table.csv").read_text() == "1"
    assert "Data and pipelines are up to date" in repo.dvc("status", "table.csv.dvc")
