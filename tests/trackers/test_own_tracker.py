"""Trackers that people write themselves: their columns, their endings, how the work tree stands."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from gitxexp.trackers.runs import latest_run
from gitxexp.trackers.tables import event_tables
from tests.helpers import Repo, sql

RUNS = "CREATE TABLE runs (run_id TEXT, started TEXT, lr REAL, acc REAL)"


def logged(run: str, day: int, lr: float) -> str:
    return f"INSERT INTO runs VALUES ('{run}', '2026-01-0{day}T10:00:00.5', {lr}, 0.{day})"


# -- which table and column is which ---------------------------------------------------------------


def test_a_table_of_runs_with_started_beside_steps(tmp_path: Path) -> None:
    steps = "CREATE TABLE epochs (run_id TEXT, epoch INTEGER, loss REAL)"
    path = sql(tmp_path / "r.db", steps, "INSERT INTO epochs VALUES ('b', 0, 0.5)", RUNS,
               logged("b", 2, 0.2), logged("a", 1, 0.1))  # fmt: skip
    assert [table.name for table in event_tables(path)] == ["runs"]
    latest = latest_run(path)
    assert latest is not None
    assert (latest.id, latest.params, latest.metrics) == ("b", {"lr": 0.2}, {"acc": 0.2})


@pytest.mark.parametrize(
    ("column", "kind"), [("evaluated_at", "TEXT"), ("moment", "TIMESTAMP"), ("day", "DATE")]
)
def test_times_by_ending_and_by_type_beside_a_run_column(
    tmp_path: Path, column: str, kind: str
) -> None:
    one = sql(tmp_path / "r.db", f"CREATE TABLE e (run_name TEXT, {column} {kind}, auc REAL)",
              "INSERT INTO e VALUES ('new', '2026-01-02 10:00', 1), ('old', '2026-01-01', 2)")  # fmt: skip
    assert [t.time_column for t in event_tables(one)] == [column]
    latest = latest_run(one)
    assert latest is not None and latest.id == "new" and column not in latest.params
    # without a column of runs it may be any data
    other = sql(tmp_path / "data.db", f"CREATE TABLE people (name TEXT, {column} {kind})")
    assert event_tables(other) == []


def test_without_times_the_run_written_last_is_the_latest(tmp_path: Path) -> None:
    path = sql(tmp_path / "r.db", "CREATE TABLE a_step (run_id TEXT, loss REAL)",
               "CREATE TABLE results (run_id TEXT, f1 REAL)",
               "INSERT INTO results VALUES ('one', 0.1), ('two', 0.2)")  # fmt: skip
    assert [table.name for table in event_tables(path)] == ["results", "a_step"]
    latest = latest_run(path)
    assert latest is not None and (latest.id, latest.metrics) == ("two", {"f1": 0.2})


def test_a_point_in_time_is_no_parameter(ready: Repo) -> None:
    """It would give every run another configuration, so no rerun would be one."""
    ready.write(".gitignore", "results.db\n")
    ready.commit("ignored")
    begin = "INSERT INTO runs (run_id, timestamp, began, until, lr)"
    sql(ready / "results.db", "CREATE TABLE runs (run_id, timestamp, began, until, lr REAL)",
        f"{begin} VALUES ('a', 1, '2026-01-01T10:00:00.1', '2026-12', 0.1)")  # fmt: skip
    ready.xexp("tag", "--no-stamp").good()
    sql(ready / "results.db", f"{begin} VALUES ('b', 2, '2026-01-02T10:00:00.1', '2026-12', 0.1)")
    assert "reruns e0.1.0" in ready.xexp("tag", "--no-stamp").good().out
    shown = ready.xexp("explore", "show", "e0.1.1", "--json").good().json()
    assert shown["params"] == {"lr": 0.1, "until": "2026-12"}


# -- which databases -------------------------------------------------------------------------------


def configured(repo: Repo, *lines: str) -> None:
    repo.write(".xexp/config.toml", "\n".join(("[results]", *lines)) + "\n")
    repo.commit("configured")


def test_the_configured_table_is_looked_for_in_all_databases(repo: Repo) -> None:
    """One of two databases has it: the other is left alone, and was an error before."""
    sql(repo / "a.db", "CREATE TABLE mine (who TEXT, acc REAL)", "INSERT INTO mine VALUES ('x', 1)")
    sql(repo / "b.db", "CREATE TABLE other (x)")
    configured(repo, 'databases = ["a.db", "b.db"]', 'table = "mine"')
    assert repo.xexp("explore", "list", "--runs", "--columns", "run,acc").good().out == (
        "run\tacc\nrow-1\t1.0\n"
    )
    configured(repo, "databases = []", 'table = "mine"')
    assert "row-1" in repo.xexp("explore", "list", "--runs").good().out
    configured(repo, 'databases = ["a.db", "b.db"]', 'table = "gone"')
    assert "no table gone" in repo.xexp("tag", "-n").err


def test_a_database_without_a_table_of_runs_is_said(repo: Repo) -> None:
    sql(repo / "a.db", "CREATE TABLE mine (who TEXT, acc REAL)", "INSERT INTO mine VALUES ('x', 1)")
    configured(repo, 'databases = ["a.db"]')
    done = repo.xexp("tag").good()
    assert "note: a.db has no table with a column of times or runs; [results] table" in done.err


def test_a_found_database_that_nobody_tracks_is_said(repo: Repo) -> None:
    repo.write("results/.gitignore", "*\n")
    sql(repo / "results/my runs.sqlite", RUNS, logged("a", 1, 0.1))
    configured(repo, "databases = []")
    said = "results/my runs.sqlite is tracked by neither git nor DVC"
    assert said in repo.xexp("tag").good().err


def test_every_kind_of_database_merges_by_default(repo: Repo) -> None:
    configured(repo, 'databases = ["out/all.sqlite3", "out/blob"]')
    repo.xexp("init", "--no-dvc").good()
    names = ["a.db", "b.sqlite", "c.sqlite3", "d.db3", "e.duckdb", "f.ddb", "g.parquet", "out/blob"]
    every = [name + end for name in names for end in ("", ".dvc")]
    told = repo.git("check-attr", "merge", *every).splitlines()
    assert [line.rpartition(" ")[2] for line in told] == ["xexp"] * len(every)


# -- tables that other programs fill ---------------------------------------------------------------


@pytest.mark.parametrize("how", ["default", "config", "option"])
def test_a_table_is_widened_only_where_that_is_wanted(ready: Repo, how: str) -> None:
    """A program that inserts by position stopped: "runs has 7 columns but 4 values were supplied"."""
    sql(ready / "runs.db", RUNS, logged("a", 1, 0.1))
    ready.write(".gitignore", "runs.db\n")
    ready.commit("ignored")
    before = (ready / "runs.db").read_bytes()
    if how == "config":
        ready.git("config", "xexp.results.stamp", "true")
    done = ready.xexp("tag", *(["--stamp"] if how == "option" else [])).good()
    if how == "default":
        assert (ready / "runs.db").read_bytes() == before and "stamp" not in done.out + done.err
    else:
        assert "stamped 1 row of run a" in done.out
    rows = ready.xexp("explore", "list", "--runs", "--json").good().json()
    assert [(row["run"], row["version"]) for row in rows] == [("a", "e0.1.0")]


def test_columns_that_are_there_are_filled(ready: Repo) -> None:
    """Rows that name their version get the commit and the data hash that they lack."""
    table = "CREATE TABLE runs (run_id, timestamp, lr, acc, version, git_commit)"
    sql(ready / "runs.db", table, "INSERT INTO runs VALUES ('a', 1, 0.1, 0.5, 'e0.1.0', NULL)",
        "INSERT INTO runs VALUES ('a', 2, 0.1, 0.6, NULL, NULL)",
        "INSERT INTO runs VALUES ('a', 0, 0.1, 0.4, 'other', NULL)")  # fmt: skip
    ready.write(".gitignore", "runs.db\n")
    ready.commit("ignored")
    head = ready.head
    ready.xexp("tag", "e0.1.0").good()
    with closing(sqlite3.connect(ready / "runs.db")) as db:
        assert db.execute("SELECT version, git_commit FROM runs ORDER BY timestamp").fetchall() == [
            ("other", None), ("e0.1.0", head), ("e0.1.0", head),
        ]  # fmt: skip
        assert [row[1] for row in db.execute("PRAGMA table_info(runs)")][-1] == "git_commit"


# -- row diff of parquet behind a pointer ----------------------------------------------------------


def test_a_parquet_table_is_called_by_its_file(dvc_repo: Repo) -> None:
    (dvc_repo / "results").mkdir()
    for value in (1, 2):
        duckdb.sql(f"COPY (SELECT {value} AS i) TO '{dvc_repo / 'results/preds.parquet'}'")
        dvc_repo.dvc_add("results/preds.parquet")
        dvc_repo.commit(f"run {value}")
    shown = dvc_repo.xexp("diff", "HEAD~1", "HEAD").good().out
    assert shown.splitlines()[:2] == [
        "diff results/preds.parquet", "@@ preds: 1 added, 1 removed @@",
    ]  # fmt: skip


# -- the status page -------------------------------------------------------------------------------


def test_the_status_page_says_how_outputs_stand(set_up: Repo) -> None:
    """git status says "clean" of a database that DVC tracks, whatever was logged into it."""
    set_up.xexp("tag").good()
    assert "  clean\n" in set_up.xexp().good().out
    database = set_up / "results/experiments.db"
    sql(database, "INSERT INTO predictions (track_id, timestamp) VALUES ('x', '2030-01-01')")
    (set_up / "models/production/model.bin").unlink()
    page = set_up.xexp().good().out
    assert "  clean, 1 output changed, 1 output missing\n" in page
    assert "next       git xexp tag\n" in page
    # as after git checkout, which brings pointers and no data
    set_up.xexp("tag").good()
    set_up.git("checkout", "-q", "HEAD~1")
    set_up.dvc("checkout")
    set_up.git("checkout", "-q", "main")
    page = set_up.xexp().good().out
    assert "1 output from another commit" in page and "next       dvc checkout\n" in page
    set_up.dvc("checkout")
    assert "  clean\n" in set_up.xexp().good().out


def test_the_status_page_reads_no_large_file(
    trained: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitxexp.storage.dvc import changes

    monkeypatch.setattr(changes, "BUDGET", 100)
    model = trained / "models/production/model.bin"
    data = model.read_bytes()
    model.chmod(0o644)
    model.write_bytes(data[::-1])
    assert "output" not in trained.xexp().good().out
    model.write_bytes(data + b"more")
    assert "1 output changed" in trained.xexp().good().out
