"""``git xexp merge`` and ``rebase``: plain files, and artifacts of a real repository."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gitxexp.cli.render import merges
from gitxexp.tables.plan import MergeOptions, Mode
from gitxexp.workflows.merge import merge
from tests.conftest import copy_template
from tests.helpers import Clock, Done, Repo, run, sql, xexp_inside, xexp_process

pytestmark = pytest.mark.usefixtures("quick")  # git starts the drivers

DB = "results/experiments.db"


def make(
    path: Path, rows: list[tuple[Any, ...]], columns: str = "k TEXT PRIMARY KEY, f1 REAL"
) -> Path:
    """A database with one table ``runs``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"CREATE TABLE runs ({columns})")
        if rows:
            db.executemany(f"INSERT INTO runs VALUES ({','.join('?' * len(rows[0]))})", rows)
    return path


def rows(path: Path, sql: str = "SELECT * FROM runs ORDER BY 1, 2") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def mark(path: Path) -> tuple[int, int, bytes]:
    """What shows that a file was written to."""
    return path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()


def table(done: Done) -> list[dict[str, str]]:
    """The TSV report as rows."""
    lines = [line for line in done.out.splitlines() if "\t" in line]
    names = lines[0].split("\t")
    return [dict(zip(names, line.split("\t"), strict=True)) for line in lines[1:]]


# -- plain files ---------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path) -> Path:
    make(tmp_path / "a.db", [("x", 0.5), ("y", 0.6)])
    make(tmp_path / "b.db", [("y", 0.6), ("z", 0.7)])
    return tmp_path


def test_files_without_a_repository(two: Path) -> None:
    done = xexp_inside("merge", "a.db", "b.db", "-o", "all.db", cwd=two).good()
    assert rows(two / "all.db") == [("x", 0.5), ("y", 0.6), ("z", 0.7)]
    assert table(done)[0]["table"] == "runs"
    again = xexp_inside("merge", "a.db", "b.db", "-o", "all.db", cwd=two).good()
    assert "every row is here already" in again.err
    assert rows(two / "a.db") == [("x", 0.5), ("y", 0.6)]


def test_the_report_counts(two: Path) -> None:
    done = xexp_inside("merge", "b.db", "-o", "a.db", cwd=two).good()
    (row,) = table(done)
    assert (row["here"], row["incoming"], row["new"], row["identical"]) == ("2", "2", "1", "1")


def test_a_dry_run_writes_nothing(two: Path) -> None:
    before = (two / "a.db").read_bytes()
    done = xexp_inside("merge", "b.db", "-o", "a.db", "--dry-run", cwd=two).good()
    assert table(done)[0]["new"] == "1"
    assert (two / "a.db").read_bytes() == before
    assert xexp_inside("merge", "a.db", "b.db", "-o", "all.db", "--plan", cwd=two).code == 0
    assert sorted(p.name for p in two.iterdir()) == ["a.db", "b.db"]


def test_a_conflict_shows_both_values_and_writes_nothing(two: Path) -> None:
    sql(two / "b.db", "UPDATE runs SET f1 = 0.9 WHERE k = 'y'")
    before = (two / "a.db").read_bytes()
    done = xexp_inside("merge", "b.db", "-o", "a.db", cwd=two)
    planned = xexp_inside("merge", "b.db", "-o", "a.db", "--dry-run", cwd=two)
    assert planned == done  # what it says, and how it ends
    assert done.code == 1
    assert 'conflict: a.db: runs, k="y": f1\n  ours    0.6\n  theirs  0.9\n' in done.out
    assert "error: 1 conflict: nothing was written" in done.err
    assert (two / "a.db").read_bytes() == before
    done = xexp_inside("merge", "b.db", "-o", "a.db", "--json", cwd=two)
    (conflict,) = done.json()["artifacts"][0]["conflicts"]
    assert (conflict["key"], conflict["ours"], conflict["theirs"]) == ({"k": "y"}, 0.6, 0.9)
    xexp_inside("merge", "b.db", "-o", "a.db", "--on-conflict", "theirs", cwd=two).good()
    assert rows(two / "a.db") == [("x", 0.5), ("y", 0.9), ("z", 0.7)]


def test_mixed_kinds_a_folder_and_a_glob(tmp_path: Path) -> None:
    import duckdb

    make(tmp_path / "a.db", [("x", 0.5)], "k TEXT, f1 DOUBLE")
    (tmp_path / "parts").mkdir()
    with duckdb.connect(str(tmp_path / "c.duckdb")) as con:
        con.execute("CREATE TABLE runs AS SELECT 'z' AS k, 0.7::DOUBLE AS f1")
        for name in ("p1", "p2"):
            con.execute(
                f"COPY (SELECT '{name}' AS k, 0.1::DOUBLE AS f1) TO '{tmp_path}/parts/{name}.parquet'"
            )
    done = xexp_inside("merge", "parts", "-o", "all.parquet", cwd=tmp_path).good()
    assert table(done)
    xexp_inside("merge", "parts/*.parquet", "-o", "glob.parquet", cwd=tmp_path).good()
    xexp_inside("merge", "a.db", "c.duckdb", "-o", "mixed.duckdb", cwd=tmp_path).good()
    with duckdb.connect(str(tmp_path / "mixed.duckdb"), read_only=True) as con:
        assert con.execute("SELECT k, f1 FROM runs ORDER BY 1").fetchall() == [
            ("x", 0.5),
            ("z", 0.7),
        ]
        for name in ("all", "glob"):
            found = con.execute(f"SELECT k FROM '{tmp_path}/{name}.parquet' ORDER BY 1").fetchall()
            assert found == [("p1",), ("p2",)]


def test_the_engine_that_was_asked_for(two: Path) -> None:
    xexp_inside("merge", "a.db", "b.db", "-o", "d.db", "--engine", "duckdb", cwd=two).good()
    assert rows(two / "d.db") == [("x", 0.5), ("y", 0.6), ("z", 0.7)]
    done = xexp_inside("merge", "a.db", "-o", "d.parquet", "--engine", "sqlite", cwd=two)
    assert done.code == 129 and "cannot merge parquet" in done.err


def test_a_similar_column_is_pointed_out_and_joined(tmp_path: Path) -> None:
    make(tmp_path / "a.db", [("x", 0.5)], "k TEXT PRIMARY KEY, learning_rate REAL")
    make(tmp_path / "b.db", [("y", 0.6)], "k TEXT PRIMARY KEY, lr REAL")
    done = xexp_inside("merge", "b.db", "-o", "a.db", "-n", cwd=tmp_path).good()
    assert "--rename lr=learning_rate" in done.out
    xexp_inside("merge", "b.db", "-o", "a.db", "--rename", "lr=learning_rate", cwd=tmp_path).good()
    assert rows(tmp_path / "a.db") == [("x", 0.5), ("y", 0.6)]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("merge", "none.db", "-o", "all.db"), 128, "none.db does not exist"),
        (("merge", "a.db"), 128, "-o FILE"),
        (("merge", "a.db", "-o", "b.db", "--only", "data"), 129, "--only is for artifacts"),
        (("merge", "a.db", "-o", "b.db", "--memory", "much"), 129, "not a size"),
        (("merge", "a.db", "-o", "a.db"), 129, "only one file"),
    ],
)
def test_what_cannot_be_done_is_said(
    two: Path, args: tuple[str, ...], code: int, message: str
) -> None:
    done = xexp_inside(*args, cwd=two)
    assert (done.code, message in done.err) == (code, True), done.err
    assert rows(two / "b.db") == [("y", 0.6), ("z", 0.7)]


def test_rebase_asks_and_replaces(two: Path) -> None:
    sql(two / "b.db", "UPDATE runs SET f1 = 0.9 WHERE k = 'y'")
    done = xexp_inside("rebase", "b.db", "-o", "a.db", "--key", "k", cwd=two)
    assert done.code == 1 and "this replaces 1 row" in done.err and "--yes" in done.err
    assert rows(two / "a.db") == [("x", 0.5), ("y", 0.6)]
    plan = xexp_inside("rebase", "b.db", "-o", "a.db", "--key", "k", "--dry-run", cwd=two).good()
    assert 'replaced: runs k="y" f1: 0.6 → 0.9' in plan.out
    assert sorted(p.name for p in two.iterdir()) == ["a.db", "b.db"]
    xexp_inside("rebase", "b.db", "-o", "a.db", "--key", "k", "--yes", cwd=two).good()
    assert rows(two / "a.db") == [("x", 0.5), ("y", 0.9), ("z", 0.7)]


def test_a_plan_of_a_rebase_names_some_rows_and_counts_all(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """The rows that would go are not all held: there may be millions."""
    monkeypatch.setattr(merge, "LISTED", 30)
    for name, value in (("a.db", 0), ("b.db", 1)):
        make(tmp_path / name, [(str(i), value) for i in range(500)])
    options = MergeOptions(mode=Mode.REBASE, key=("k",))
    plan = merge.files([str(tmp_path / "b.db")], tmp_path / "a.db", options, write=False)
    (going,) = plan.artifacts[0].going
    assert (going.changed, len(going.rows)) == (500, 30)
    text = "\n".join(merges.merged(plan))
    assert (text.count("replaced: "), "and 480 more rows" in text) == (20, True)


# -- artifacts of a repository -------------------------------------------------------------------


@pytest.fixture(scope="session")
def parted_template(trained_template: Path, sealed: Path) -> Path:
    """The folder that ``parted`` copies."""
    Clock().tick(120)
    folder = sealed / "parted-template"
    trained = copy_template(trained_template, folder)
    trained.xexp("init").good()
    trained.commit("set up")
    trained.git("switch", "-q", "-c", "sweep")
    add(trained, "sweep-1", 0.95)
    sql(trained / DB, "ALTER TABLE predictions ADD COLUMN dropout",
           "UPDATE predictions SET dropout = 0.5 WHERE track_id = 'sweep-1'")  # fmt: skip
    save(trained, "sweep")
    trained.git("switch", "-q", "main")
    trained.dvc("checkout", "-q", "--force")
    shutil.rmtree(trained / ".git/xexp")  # its paths are those of the template
    return folder


@pytest.fixture
def parted(parted_template: Path, tmp_path: Path) -> Repo:
    """``trained``, set up; branch ``sweep`` has one more run and one more column, and is elsewhere."""
    return copy_template(parted_template, tmp_path)


def add(repo: Repo, run: str, f1: float, at: str = "2030-01-01 00:00:00") -> None:
    sql(repo / DB, "INSERT INTO predictions (track_id, timestamp, lr, f1)"
                      f" VALUES ('{run}', '{at}', 0.5, {f1})")  # fmt: skip


def save(repo: Repo, message: str) -> None:
    """What a user does after a run: dvc add, commit."""
    repo.dvc_add("results/experiments.db")
    repo.commit(message)


def runs(repo: Repo) -> list[str]:
    return [r[0] for r in rows(repo / DB, "SELECT DISTINCT track_id FROM predictions ORDER BY 1")]


OLD = ["run-lr-0.01", "run-lr-0.1", "run-lr-1.0"]


def test_a_branch_into_the_work_tree(parted: Repo) -> None:
    before = (parted / DB).read_bytes()
    done = parted.xexp("merge", "sweep").good()
    assert runs(parted) == [*OLD, "sweep-1"]
    assert rows(parted / DB, "SELECT count(dropout) FROM predictions") == [(1,)]
    predictions = next(r for r in table(done) if r["table"] == "predictions")
    assert (predictions["here"], predictions["new"], predictions["columns added"]) == (
        "12",
        "1",
        "dropout",
    )
    assert "next: git add" in done.err and "results/experiments.db.dvc" in done.err
    assert parted.dvc("status").strip() == "Data and pipelines are up to date."
    ((target, sources, mode, counts, old, new),) = rows(
        parted / ".xexp/registry.db",
        "SELECT target, sources, mode, counts, hash_before, hash_after FROM merges",
    )
    (source,) = json.loads(sources)
    assert (target, source["name"], mode) == (DB, "sweep", "merge")
    assert source["commit"] == parted.git("rev-parse", "sweep")
    assert json.loads(counts)["predictions"]["new"] == 1
    assert new != old and new[4:] in (parted / f"{DB}.dvc").read_text()
    parted.xexp("undo").good()
    assert (parted / DB).read_bytes() == before
    assert parted.git("status", "--porcelain") == ""
    assert rows(parted / ".xexp/registry.db", "SELECT count(*) FROM merges") == [(0,)]


def test_merging_twice_changes_nothing(parted: Repo) -> None:
    parted.xexp("merge", "sweep", "--commit").good()
    assert parted.git("status", "--porcelain") == ""
    assert parted.git("log", "-1", "--format=%s") == f"Merge results of sweep into {DB}"
    head = parted.head
    done = parted.xexp("merge", "sweep", "--commit").good()
    assert "every row is here already" in done.err
    assert parted.head == head and parted.git("status", "--porcelain") == ""
    operations = parted.xexp("log", "--json").good().json()
    assert [op["status"] for op in operations[:2]] == ["unchanged", "done"]
    assert parted.xexp("undo").code == 1  # the last operation changed nothing
    parted.xexp("undo", "--yes").good()  # of the merge that did something
    assert parted.git("rev-parse", f"{head}^") == parted.head


def test_a_plan_changes_nothing(parted: Repo) -> None:
    before = mark(parted / DB)
    done = parted.xexp("merge", "sweep", "--dry-run", "--json").good()
    facts = done.json()
    assert facts["changed"] and not facts["artifacts"][0]["written"]
    assert mark(parted / DB) == before and parted.git("status", "--porcelain") == ""


def test_a_version_whose_object_only_the_remote_has(parted: Repo) -> None:
    parted.git("switch", "-q", "sweep")
    parted.dvc("checkout", "-q", "--force")
    parted.xexp("tag", "-m", "sweep").good()
    parted.dvc("push", "-q")
    parted.git("switch", "-q", "main")
    parted.dvc("checkout", "-q", "--force")
    pointer = parted.git("show", "e0.1.0:results/experiments.db.dvc")
    oid = pointer.partition("md5: ")[2].split()[0]
    shutil.rmtree(parted / f".dvc/cache/files/md5/{oid[:2]}")
    parted.xexp("merge", "e0.1.0").good()
    assert runs(parted) == [*OLD, "sweep-1"]
    ((sources,),) = rows(parted / ".xexp/registry.db", "SELECT sources FROM merges")
    assert json.loads(sources)[0]["version"] == "e0.1.0"


def test_a_worktree_with_rows_nobody_committed(parted: Repo, tmp_path: Path) -> None:
    parted.git("worktree", "add", "-q", "-b", "exp/live", str(tmp_path / "exp-live"), "main")
    live = Repo(tmp_path / "exp-live")
    live.write(DB, (parted / DB).read_bytes())
    add(live, "live-1", 0.7)
    before = (live / DB).read_bytes()
    parted.xexp("merge", "live").good()
    assert runs(parted) == ["live-1", *OLD]
    assert (live / DB).read_bytes() == before


def test_a_conflict_rolls_everything_back(parted: Repo) -> None:
    add(parted, "sweep-1", 0.11)
    save(parted, "the same run, another value")
    before = (parted / DB).read_bytes()
    done = parted.xexp("merge", "sweep")
    assert done.code == 1 and "ours    0.11\n  theirs  0.95" in done.out
    assert (parted / DB).read_bytes() == before
    assert parted.git("status", "--porcelain") == ""


def test_a_linked_database_gets_a_file_of_its_own(parted: Repo) -> None:
    parted.dvc("config", "--local", "cache.type", "hardlink,symlink")
    (parted / DB).unlink()
    parted.dvc("checkout", "--relink", "-q")
    assert (parted / DB).stat().st_nlink > 1
    cached = parted / ".dvc/cache/files/md5"
    before = {p: p.read_bytes() for p in cached.rglob("*") if p.is_file()}
    parted.xexp("merge", "sweep", "--dry-run").good()
    parted.xexp("merge", "sweep").good()
    assert {p: p.read_bytes() for p in before} == before
    assert runs(parted) == [*OLD, "sweep-1"]


def test_a_stale_work_tree_is_refused(parted: Repo) -> None:
    """After a checkout without ``dvc checkout`` the file is older than its pointer."""
    parted.git("switch", "-q", "sweep")
    for more in ([], ["--dry-run"]):
        done = parted.xexp("merge", "main", *more)
        assert done.code == 128 and "dvc checkout results/experiments.db.dvc" in done.err
    assert parted.git("status", "--porcelain") == ""


def test_a_database_that_is_not_checked_out(parted: Repo) -> None:
    (parted / DB).unlink()
    parted.xexp("merge", "sweep").good()
    assert runs(parted) == [*OLD, "sweep-1"]


def test_rebase_of_a_branch_keeps_the_way_back(parted: Repo) -> None:
    sql(parted / DB, "UPDATE predictions SET f1 = 0.1 WHERE track_id = 'run-lr-0.1' AND f1 > 0")
    save(parted, "worse")
    worse = (parted / DB).read_bytes()
    done = parted.xexp("rebase", "sweep")
    assert done.code == 1 and "this replaces" in done.err
    parted.xexp("rebase", "sweep", "--yes").good()
    assert rows(parted / DB, "SELECT max(f1) FROM predictions WHERE track_id = 'run-lr-0.1'") == [
        (0.9,)
    ]
    parted.xexp("undo").good()
    assert (parted / DB).read_bytes() == worse


def test_undo_never_takes_rows_that_came_later(parted: Repo) -> None:
    parted.xexp("merge", "sweep").good()
    add(parted, "later", 0.3)
    done = parted.xexp("undo")
    assert done.code == 1 and "has changed since" in done.err
    assert runs(parted) == ["later", *OLD, "sweep-1"]
    parted.xexp("undo", "--force").good()
    assert runs(parted) == OLD


def test_the_strategy_is_a_parameter(parted: Repo) -> None:
    text = (parted / "params.yaml").read_text()
    parted.write("params.yaml", text + "merge:\n  strategy: keep\n")
    done = parted.xexp("merge", "sweep").good()
    assert "results/experiments.db is left alone: strategy in params.yaml" in done.err
    assert runs(parted) == OLD
    parted.write("params.yaml", text + "merge:\n  strategy: replace\n  key_columns: [track_id]\n")
    done = parted.xexp("merge", "sweep", "--json").good()
    assert done.json()["artifacts"][0]["mode"] == "rebase"
    parted.write("params.yaml", text + "merge:\n  strategy: perhaps\n")
    assert parted.xexp("merge", "sweep").code == 129


def test_models_become_candidates(parted: Repo) -> None:
    parted.git("switch", "-q", "sweep")
    parted.write("models/production/model.bin", b"another model")
    parted.dvc_add("models/production/model.bin")
    parted.commit("model")
    parted.git("switch", "-q", "main")
    parted.dvc("checkout", "-q", "--force")
    ours = (parted / "models/production/model.bin").read_bytes()
    parted.xexp("merge", "sweep", "--models").good()
    assert (parted / "models/candidates/sweep_model.bin").read_bytes() == b"another model"
    assert "sweep" in parted.xexp("candidates").good().out
    assert (parted / "models/production/model.bin").read_bytes() == ours


def test_a_file_goes_into_the_configured_database(parted: Repo, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_bytes((parted / DB).read_bytes())
    sql(other, "INSERT INTO predictions (track_id, timestamp) VALUES ('other', 'now')")
    parted.xexp("merge", other).good()
    assert runs(parted) == ["other", *OLD]


def test_nothing_to_merge_is_said(parted: Repo) -> None:
    assert parted.xexp("merge", "sweep", "--only", "nowhere/*").code == 1
    done = parted.xexp("merge", "swep")
    assert done.code == 128 and "did you mean sweep?" in done.err


def test_a_dvc_stage_merges_and_persists(parted: Repo, clock: Clock) -> None:
    """The stage of the manual, with the strategy as a tracked parameter."""
    parted.git("rm", "-q", f"{DB}.dvc")
    parted.write(
        "params.yaml", (parted / "params.yaml").read_text() + "merge:\n  strategy: merge\n"
    )
    parted.write("dvc.yaml", "stages:\n  merge:\n    cmd: git-xexp merge sweep\n    params:\n"
                             "    - merge\n    outs:\n    - results/experiments.db:\n"
                             "        persist: true\n")  # fmt: skip
    parted.commit("a stage")
    parted.dvc("repro")
    assert runs(parted) == [*OLD, "sweep-1"]
    assert parted.dvc("status").strip() == "Data and pipelines are up to date."
    assert "didn't change" in run(sys.executable, "-m", "dvc", "repro", cwd=parted.path).out


def test_from_python(parted: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    import gitxexp

    monkeypatch.chdir(parted.path)
    project = gitxexp.open()
    merged = project.merge("sweep", only=["results"], commit=True)
    assert merged.changed and merged.commit == parted.head
    assert runs(parted) == [*OLD, "sweep-1"]
    (found,) = project.diff("HEAD~1", "HEAD")
    assert (found.path, found.tables[0].added) == (DB, 1)


def test_duckdb_leaves_nothing_on_standard_error(tmp_path: Path) -> None:
    """Its binding lists what Python did not collect before the end."""
    import duckdb

    with duckdb.connect() as con:
        for name in "ab":
            con.execute(f"COPY (SELECT i AS id FROM range(9) t(i)) TO '{tmp_path / name}.parquet'")
    done = xexp_process("merge", "a.parquet", "b.parquet", "-o", "c.parquet", cwd=tmp_path)
    assert done.good().err == "" and (tmp_path / "c.parquet").exists()
