"""The merge driver under real git commands, with databases that git itself tracks."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers import Clock, Repo, copy_tree, run, sql

pytestmark = pytest.mark.usefixtures("quick")  # git starts the driver

KEYED = "CREATE TABLE runs (id TEXT PRIMARY KEY, f1 REAL, note TEXT)"
KEYLESS = "CREATE TABLE runs (id TEXT, f1 REAL, note TEXT)"


def ids(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in db.execute("SELECT id FROM runs ORDER BY id")]


def insert(repo: Repo, *names: str, path: str = "runs.db") -> None:
    """One row each, committed."""
    sql(repo / path, *[f"INSERT INTO runs (id, f1) VALUES ('{name}', 0.5)" for name in names])
    repo.commit("add " + " ".join(names))


@pytest.fixture(scope="session")
def tree_template(repo_template: Path, sealed: Path) -> Path:
    """``runs.db`` on ``base``, driver installed, on branch main; row ``ours`` is on branch ``here``,
    row ``theirs`` on ``there``."""
    Clock()
    made = Repo(sealed / "driver-template")
    copy_tree(repo_template, made.path)
    sql(made / "runs.db", KEYED, "INSERT INTO runs VALUES ('base', 0.1, NULL)")
    made.xexp("drivers", "install").good()
    made.commit("base")
    for branch, row in (("there", "theirs"), ("here", "ours")):
        made.git("switch", "-q", "-c", branch, "main")
        insert(made, row)
    made.git("switch", "-q", "main")
    return made.path


@pytest.fixture(params=["main", "linked"])
def tree(tree_template: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Repo:
    """A work tree (the main one, a linked one) with ``runs.db`` on ``base``, driver installed."""
    copy_tree(tree_template, tmp_path / "repo")
    repo = Repo(tmp_path / "repo")
    if request.param == "main":
        repo.git("update-index", "-q", "--refresh")
        return repo
    repo.git("worktree", "add", "-q", "-b", "work", str(tmp_path / "linked"))
    return Repo(tmp_path / "linked")


@pytest.fixture
def parted(tree: Repo) -> Repo:
    """``tree`` with row ``ours`` here and row ``theirs`` on branch ``other``."""
    tree.git("branch", "-q", "-m", "there", "other")
    tree.git("merge", "-q", "--ff-only", "here")
    return tree


BOTH = ["base", "ours", "theirs"]


def test_merge(parted: Repo) -> None:
    parted.git("merge", "-q", "--no-edit", "other")
    assert ids(parted / "runs.db") == BOTH
    assert parted.git("status", "--porcelain") == ""


def test_rebase(parted: Repo) -> None:
    parted.git("rebase", "-q", "other")
    assert ids(parted / "runs.db") == BOTH


def test_cherry_pick_and_revert(parted: Repo) -> None:
    parted.git("cherry-pick", "other")
    assert ids(parted / "runs.db") == BOTH
    insert(parted, "later")
    parted.git("revert", "--no-edit", "HEAD~1")
    assert ids(parted / "runs.db") == ["base", "later", "ours"]


def test_stash_pop(tree: Repo) -> None:
    sql(tree / "runs.db", "INSERT INTO runs (id) VALUES ('stashed')")
    tree.git("stash", "-q")
    insert(tree, "ours")
    tree.git("stash", "pop", "-q")
    assert ids(tree / "runs.db") == ["base", "ours", "stashed"]


def test_pull_of_two_clones(repo: Repo, tmp_path: Path) -> None:
    sql(repo / "runs.db", KEYED)
    repo.xexp("drivers", "install").good()
    repo.commit("base")
    run("git", "clone", "-q", "--bare", repo.path, tmp_path / "hub", cwd=tmp_path).good()
    repo.git("remote", "add", "origin", str(tmp_path / "hub"))
    run("git", "clone", "-q", tmp_path / "hub", "mate", cwd=tmp_path).good()
    mate = Repo(tmp_path / "mate")
    assert mate.xexp("drivers", "status").code == 1  # attributes come with a clone, drivers do not
    mate.xexp("drivers", "install").good()
    mate.xexp("drivers", "status").good()
    insert(mate, "mate")
    mate.git("push", "-q", "origin", "main")
    insert(repo, "mine")
    repo.git("pull", "-q", "--no-rebase", "--no-edit", "origin", "main")
    assert ids(repo / "runs.db") == ["mate", "mine"]
    insert(repo, "again")
    repo.git("push", "-q", "origin", "main")
    insert(mate, "mate-2")
    mate.git("pull", "-q", "--rebase", "origin", "main")
    assert ids(mate / "runs.db") == ["again", "mate", "mate-2", "mine"]


@pytest.mark.parametrize("schema", [KEYED, KEYLESS])
def test_both_sides_added_the_database(repo: Repo, schema: str) -> None:
    repo.xexp("drivers", "install").good()
    repo.commit("drivers")
    repo.git("switch", "-q", "-c", "other")
    sql(repo / "new.db", schema)
    insert(repo, "same", "theirs", path="new.db")
    repo.git("switch", "-q", "main")
    sql(repo / "new.db", schema)
    insert(repo, "ours", "same", path="new.db")
    repo.git("merge", "-q", "--no-edit", "other")
    assert ids(repo / "new.db") == ["ours", "same", "theirs"]


@pytest.mark.parametrize("schema", [KEYED, KEYLESS])
def test_criss_cross(repo: Repo, schema: str) -> None:
    """Two merge bases: git merges those first. No row is lost, none is doubled."""
    sql(repo / "runs.db", schema)
    repo.xexp("drivers", "install").good()
    repo.commit("base")
    repo.git("branch", "other")
    insert(repo, "a")
    repo.git("switch", "-q", "other")
    insert(repo, "b")
    one, two = repo.git("rev-parse", "main"), repo.git("rev-parse", "other")
    repo.git("merge", "-q", "--no-edit", one)
    insert(repo, "d")
    repo.git("switch", "-q", "main")
    repo.git("merge", "-q", "--no-edit", two)
    insert(repo, "c")
    assert len(repo.git("merge-base", "--all", "main", "other").split()) == 2
    repo.git("merge", "-q", "--no-edit", "other")
    assert ids(repo / "runs.db") == ["a", "b", "c", "d"]


def test_deletions_and_changes_of_one_side_travel(parted: Repo) -> None:
    parted.git("switch", "-q", "other")
    sql(parted / "runs.db", "DELETE FROM runs WHERE id = 'base'")
    parted.commit("drop")
    parted.git("switch", "-q", "-")
    sql(parted / "runs.db", "UPDATE runs SET note = 'seen' WHERE id = 'ours'")
    parted.commit("note")
    parted.git("merge", "-q", "--no-edit", "other")
    assert ids(parted / "runs.db") == ["ours", "theirs"]


def test_a_path_with_odd_characters(repo: Repo) -> None:
    name = 'it\'s a % "näme".db'
    sql(repo / name, KEYED)
    repo.xexp("drivers", "install").good()
    repo.commit("base")
    repo.git("switch", "-q", "-c", "other")
    insert(repo, "theirs", path=name)
    repo.git("switch", "-q", "main")
    insert(repo, "ours", path=name)
    repo.git("merge", "-q", "--no-edit", "other")
    assert ids(repo / name) == ["ours", "theirs"]


def test_parquet_that_git_tracks(repo: Repo) -> None:
    import duckdb

    def write(*names: str) -> None:
        rows = ", ".join(f"('{name}', 0.5::DOUBLE)" for name in names)
        with duckdb.connect() as con:
            query = f"SELECT * FROM (VALUES {rows}) t(id, f1)"
            con.execute(f"COPY ({query}) TO '{repo.path}/data.parquet'")

    write("base")
    repo.xexp("drivers", "install").good()
    repo.commit("base")
    repo.git("switch", "-q", "-c", "other")
    write("base", "theirs")
    repo.commit("theirs")
    repo.git("switch", "-q", "main")
    write("base", "ours")
    repo.commit("ours")
    repo.git("merge", "-q", "--no-edit", "other")
    with duckdb.connect() as con:
        found = con.execute(f"SELECT id FROM '{repo.path}/data.parquet' ORDER BY 1").fetchall()
    assert found == [("base",), ("ours",), ("theirs",)]


# -- conflicts -----------------------------------------------------------------------------------


@pytest.fixture
def clash(parted: Repo) -> Repo:
    """``parted``, the row ``base`` changed on both sides and another deleted against changed."""
    here = parted.git("branch", "--show-current")
    parted.git("switch", "-q", "other")
    sql(parted / "runs.db", "UPDATE runs SET f1 = 0.9 WHERE id = 'base'")
    parted.commit("better")
    parted.git("switch", "-q", here)
    sql(parted / "runs.db", "UPDATE runs SET f1 = 0.2 WHERE id = 'base'")
    parted.commit("worse")
    return parted


def f1(repo: Repo) -> float:
    with closing(sqlite3.connect(repo / "runs.db")) as db:
        return float(db.execute("SELECT f1 FROM runs WHERE id = 'base'").fetchone()[0])


def test_a_conflict_leaves_ours_and_a_report(clash: Repo) -> None:
    before = (clash / "runs.db").read_bytes()
    done = run("git", "merge", "other", cwd=clash.path)
    assert done.code == 1 and "1 conflict between rows" in done.err
    assert (clash / "runs.db").read_bytes() == before
    assert clash.git("ls-files", "-u").count("\n") == 2
    listed = clash.xexp("conflicts")
    assert '1  runs.db: runs, id="base": f1' in listed.out
    for line in ("base    0.1", "ours    0.2", "theirs  0.9"):
        assert line in listed.out
    (facts,) = clash.xexp("conflicts", "--json").json()
    assert facts["path"] == "runs.db" and facts["conflicts"][0]["base"] == 0.1


@pytest.mark.parametrize(("side", "value"), [("--ours", 0.2), ("--theirs", 0.9)])
def test_resolving_one_way_keeps_all_other_rows(clash: Repo, side: str, value: float) -> None:
    run("git", "merge", "other", cwd=clash.path)
    done = clash.xexp("conflicts", "resolve", side).good()
    assert "git merge --continue" in done.err
    assert ids(clash / "runs.db") == BOTH and f1(clash) == value
    clash.git("commit", "-q", "--no-edit")
    assert clash.git("status", "--porcelain") == ""
    assert clash.xexp("conflicts").good().out == ""


def test_resolving_row_by_row(tree: Repo) -> None:
    names = ["r1", "r2", "r3"]
    sql(tree / "runs.db", *[f"INSERT INTO runs VALUES ('{n}', 0.1, 'n')" for n in names])
    tree.commit("rows")
    here = tree.git("branch", "--show-current")
    tree.git("switch", "-q", "-c", "other")
    sql(tree / "runs.db", "UPDATE runs SET f1 = 0.9 WHERE id LIKE 'r%'")
    insert(tree, "theirs")
    tree.git("switch", "-q", here)
    sql(tree / "runs.db", "UPDATE runs SET f1 = 0.2 WHERE id IN ('r1', 'r2')",
        "DELETE FROM runs WHERE id = 'r3'")  # fmt: skip
    tree.commit("mine")
    assert run("git", "merge", "other", cwd=tree.path).code == 1
    listed = tree.xexp("conflicts").out
    number = {
        n: next(line.split()[0] for line in listed.splitlines() if f'id="{n}"' in line)
        for n in names
    }
    done = tree.xexp("conflicts", "resolve", "--row", f"{number['r1']}=theirs")
    assert done.code == 1 and "2 conflicts" in done.err
    tree.xexp("conflicts", "resolve", "--row", f"{number['r1']}=theirs", "--row",
              f"{number['r2']}=ours", "--row", f"{number['r3']}=theirs").good()  # fmt: skip
    with closing(sqlite3.connect(tree / "runs.db")) as db:
        found = dict(db.execute("SELECT id, f1 FROM runs").fetchall())
    assert found == {"base": 0.1, "r1": 0.9, "r2": 0.2, "r3": 0.9, "theirs": 0.5}


def test_a_rebase_stops_and_goes_on(clash: Repo) -> None:
    assert run("git", "rebase", "other", cwd=clash.path).code == 1
    done = clash.xexp("conflicts", "resolve", "--theirs").good()
    assert "git rebase --continue" in done.err
    run("git", "-c", "core.editor=true", "rebase", "--continue", cwd=clash.path).good()
    assert ids(clash / "runs.db") == BOTH and f1(clash) == 0.2


def test_a_file_that_is_no_database_conflicts_plainly(parted: Repo) -> None:
    parted.git("switch", "-q", "other")
    parted.write("runs.db", "not a database")
    parted.commit("broken")
    parted.git("switch", "-q", "-")
    before = (parted / "runs.db").read_bytes()
    done = run("git", "merge", "other", cwd=parted.path)
    assert done.code == 1 and "not a SQLite" in done.err
    assert (parted / "runs.db").read_bytes() == before


def test_rows_in_a_wal_are_not_merged_over(parted: Repo) -> None:
    with closing(sqlite3.connect(parted / "runs.db")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("INSERT INTO runs (id) VALUES ('first')")
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        parted.git("add", "runs.db")
        parted.git("commit", "-q", "-m", "wal")
        db.execute("INSERT INTO runs (id) VALUES ('live')")
        db.commit()
        done = run("git", "merge", "other", cwd=parted.path)
        assert done.code == 1 and "runs.db-wal" in done.err
        assert db.execute("SELECT count(*) FROM runs WHERE id = 'live'").fetchone() == (1,)


# -- without the driver --------------------------------------------------------------------------


def test_a_clone_without_the_driver_gets_gits_plain_conflict(clash: Repo, tmp_path: Path) -> None:
    run("git", "clone", "-q", clash.path, "mate", cwd=tmp_path).good()
    mate = Repo(tmp_path / "mate")
    done = run("git", "merge", "origin/other", cwd=mate.path)
    assert done.code == 1 and "Cannot merge binary files: runs.db" in done.err + done.out
    status = mate.xexp("drivers", "status")
    assert status.code == 1 and "not registered in this clone" in status.out
    assert "git xexp drivers install" in status.err
    assert "git did not run the driver" in mate.xexp("conflicts").out


def test_uninstall_removes_everything_and_undo_brings_it_back(repo: Repo) -> None:
    repo.write(".gitattributes", "*.png binary\n")
    repo.xexp("drivers", "install").good()
    assert repo.xexp("drivers", "install").good().out == "everything is already registered\n"
    with_ours = repo.git("config", "--local", "-l"), (repo / ".gitattributes").read_text()
    repo.xexp("drivers", "uninstall").good()
    assert "xexp" not in repo.git("config", "--local", "-l")
    assert (repo / ".gitattributes").read_text() == "*.png binary\n"
    repo.xexp("undo").good()
    assert sorted(repo.git("config", "--local", "-l").split()) == sorted(with_ours[0].split())
    assert (repo / ".gitattributes").read_text() == with_ours[1]


def test_init_installs_it_in_a_clone_too(trained: Repo, tmp_path: Path) -> None:
    trained.xexp("init").good()
    assert "*.db.dvc merge=xexp" in (trained / ".gitattributes").read_text()
    trained.commit("set up")
    trained.xexp("drivers", "status").good()
    run("git", "clone", "-q", trained.path, "mate", cwd=tmp_path).good()
    mate = Repo(tmp_path / "mate")
    assert "created merge and diff drivers\n" in mate.xexp("init").good().out
    mate.xexp("drivers", "status").good()
    assert mate.git("status", "--porcelain") == ""


# -- the process ---------------------------------------------------------------------------------


def test_click_is_not_imported(tree: Repo) -> None:
    for name in ("base.x", "ours.x", "theirs.x"):
        (tree / name).write_bytes((tree / "runs.db").read_bytes())
    sql(tree / "theirs.x", "INSERT INTO runs (id) VALUES ('new')")
    done = tree.python(
        "-c",
        "import sys; from gitxexp.entry import main;"
        "code = main(['merge-driver', 'base.x', 'ours.x', 'theirs.x', '7', 'runs.db']);"
        "print(code, *sorted({'click', 'dvc', 'duckdb', 'git', 'ruamel'} & set(sys.modules)))",
    )
    assert done.good().out == "0\n"
    assert ids(tree / "ours.x") == ["base", "new"]


def test_kill_at_any_moment_leaves_ours_or_the_result(repo: Repo, tmp_path: Path) -> None:
    """The result takes its place in one step: never half a file, never an empty one."""
    runs = int(os.environ.get("XEXP_TEST_KILLS", "6"))
    sql(tmp_path / "base", KEYED, "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)"
        " INSERT INTO runs SELECT 'r' || i, i, 'n' FROM n")  # fmt: skip
    theirs = tmp_path / "theirs"
    theirs.write_bytes((tmp_path / "base").read_bytes())
    sql(theirs, "INSERT INTO runs SELECT 't' || id, f1, note FROM runs WHERE f1 <= 5000")
    mine = (tmp_path / "base").read_bytes()
    ours = repo / ".merge_file_x"
    ours.write_bytes(mine)
    command = ("merge-driver", tmp_path / "base", ours, theirs, "7", "runs.db")
    started = time.monotonic()
    repo.forked(*command).done().good()
    whole, merged = time.monotonic() - started, ours.read_bytes()
    assert len(ids(ours)) == 25000
    for number in range(runs):
        ours.write_bytes(mine)
        process = repo.forked(*command)
        time.sleep(whole * (number + 1) / (runs + 1))
        process.kill()
        process.done()
        content = ours.read_bytes()
        assert content == mine or len(ids(ours)) == 25000
    repo.forked(*command).done().good()
    assert not list((repo / ".git/xexp").glob("driver-*")) and len(merged) > len(mine)


def test_textconv_shows_rows(tree: Repo) -> None:
    insert(tree, "new")
    assert '+  row id="new" f1=0.5' in tree.git("show")
    assert '+  row id="new" f1=0.5' in tree.git("log", "-p", "-1", "--", "runs.db")
    odd = tree.python("-m", "gitxexp", "textconv", "README.md").good()
    assert "is not a SQLite" in odd.out


def test_usage(repo: Repo, tmp_path: Path) -> None:
    assert repo.xexp("merge-driver", "a").code == 129
    assert repo.xexp("textconv").code == 129
