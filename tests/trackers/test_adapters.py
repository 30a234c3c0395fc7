"""What real trackers leave behind, read as runs: MLflow's two stores, DVCLive, xetrack, tables."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from gitxexp.trackers.column_names import Role
from gitxexp.trackers.run import Run
from gitxexp.trackers.runs import (
    columns,
    find_run,
    has_runs,
    latest_run,
    run_rows,
    runs,
    series,
    tracker_of,
)
from tests.helpers import Repo, sql

DVCLIVE = """
from dvclive import Live
with Live("dvclive", save_dvc_exp=False, dvcyaml=None, report=None) as live:
    live.log_params({"lr": 0.1, "net": {"width": 64}})
    for step in range(3):
        live.log_metric("train/loss", 1 / (1 + step))
        live.log_metric("acc", 0.5 + step / 10)
        live.next_step()
"""


def python(code: str, *args: str, cwd: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "tracker"), [("mlflow.db", "mlflow"), ("mlruns", "mlflow-files")])
def test_a_store_of_mlflow(mlflow_stores: Path, name: str, tracker: str) -> None:
    path = mlflow_stores / name
    assert tracker_of(path) == tracker
    found = runs(path)
    assert [run.context["run_name"] for run in found] == ["second", "first"]
    run = latest_run(path)
    assert run == found[0] == find_run(path, run.id) == find_run(path, "second")
    assert run.params == {"lr": 0.3, "model": "mlp", "use_bias": True}
    diverged = run.metrics["nan"]  # though MLflow's database has 0
    assert run.metrics == {"acc": 0.9, "val/loss": 1 / 3, "nan": diverged} and diverged != diverged
    assert run.context["team"] == "vision" and run.context["experiment_name"] == "iris"
    assert run.roles["system/cpu_utilization_percentage"] is Role.CONTEXT
    assert run.series == ("acc", "val/loss")
    points = series(run, "val/loss")
    assert [(p.step, p.value) for p in points] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    roles = {each.column: each.role for each in columns(path)}
    assert roles["lr"] is Role.PARAM and roles["acc"] is Role.METRIC
    assert roles["user"] is Role.CONTEXT


def test_an_mlflow_store_is_never_written_to(mlflow_stores: Path, repo: Repo) -> None:
    repo.write("mlflow.db", (mlflow_stores / "mlflow.db").read_bytes())
    repo.xexp("init", "--no-dvc").good()
    repo.commit("set up")
    before = schema(repo / "mlflow.db")
    done = repo.xexp("tag", "-a", "-m", "first", "--stamp").good()
    assert "stamped" not in done.out
    assert schema(repo / "mlflow.db") == before
    listed = repo.xexp("explore", "list", "--runs", "--json").good().json()
    assert len(listed) == 2 and listed[0]["params"] == {"lr": 0.3, "model": "mlp", "use_bias": True}
    assert listed[0]["version"] == "e0.1.0"


def test_runs_of_mlruns_are_found_and_tagged(mlflow_stores: Path, repo: Repo) -> None:
    import shutil

    shutil.copytree(mlflow_stores / "mlruns", repo / "mlruns")
    repo.write(".gitignore", "mlruns/\n")
    repo.xexp("init", "--no-dvc").good()
    repo.commit("set up")
    repo.xexp("tag", "-m", "first").good()
    said = repo.xexp("explore", "show", "e0.1.0", "--json").good().json()
    assert said["params"] == {"lr": 0.3, "model": "mlp", "use_bias": True}
    assert said["metrics"]["acc"] == 0.9 and said["results"] == "mlruns"
    assert repo.xexp("explore", "columns").good().out.startswith("mlruns\n")


def test_old_file_stores_of_mlflow(tmp_path: Path) -> None:
    """MLflow 0.x and 1: numbers for status, no steps, the name of a run as a tag only."""
    run = tmp_path / "mlruns/0/0f5c6f0b2c9a4e1f8e5d3a2b1c0d9e8f"
    for folder in ("params", "metrics/val", "tags"):
        (run / folder).mkdir(parents=True)
    (tmp_path / "mlruns/0/meta.yaml").write_text("experiment_id: '0'\nname: Default\n")
    (run / "meta.yaml").write_text(
        "artifact_uri: file:///w/mlruns/0/0f/artifacts\nend_time: 1500000001000\nexperiment_id: '0'\n"
        "name: ''\nrun_uuid: 0f5c6f0b2c9a4e1f8e5d3a2b1c0d9e8f\nstart_time: 1500000000000\nstatus: 3\n"
        "tags: []\nuser_id: it's me\n"
    )
    (run / "params/alpha").write_text("0.5")
    (run / "metrics/val/rmse").write_text("1500000000000 0.9\n1500000000500 0.7\n")
    (run / "tags/mlflow.runName").write_text("old friend")
    (run / "metrics/link").symlink_to("/etc/passwd")
    found = latest_run(tmp_path / "mlruns")
    assert found is not None and found.id == run.name
    assert (found.params, found.metrics) == ({"alpha": 0.5}, {"val/rmse": 0.7})
    with (run / "metrics/val/rmse").open("a") as file:
        file.write(
            "1500000000900 nan\n"
        )  # as MLflow tells it, the last value, not the last good one
    diverged = latest_run(tmp_path / "mlruns")
    assert diverged is not None and math.isnan(diverged.metrics["val/rmse"])
    assert found.context == {
        "run_name": "old friend", "experiment_name": "Default", "run_status": "FINISHED",
    }  # fmt: skip
    assert found.ended == "2017-07-14 02:40:01+00:00"


def schema(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def test_dvclive(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repo.path)
    exec(DVCLIVE, {})  # here, where DVC is imported already
    path = repo / "dvclive"
    assert tracker_of(path) == "dvclive"
    run = latest_run(path)
    assert run is not None and run.id.startswith("dvclive-")
    assert run.params == {"lr": 0.1, "net.width": 64}
    assert run.metrics == {"train.loss": 1 / 3, "acc": 0.7}
    assert "step" in run.context and run.table == ""
    assert [point.value for point in series(run, "acc")] == [0.5, 0.6, 0.7]
    repo.xexp("init", "--no-dvc").good()
    repo.commit("set up")
    repo.xexp("tag", "-m", "live").good()
    said = repo.xexp("explore", "show", "e0.1.0", "--json").good().json()
    assert said["params"] == {"lr": 0.1, "net.width": 64}
    assert said["metrics"] == {"acc": 0.7, "train.loss": 1 / 3}
    _order_with_another_tracker(repo)


def _order_with_another_tracker(repo: Repo) -> None:
    """DVCLive writes no times: its run is as old as the commit of its files or, before that, the files."""

    def latest() -> tuple[str, set[str]]:
        found = repo.xexp("compare", "--json").good().json()
        run = str(found["after"]["run"])
        listed = repo.xexp("list", "--runs", "--porcelain", "--columns", "run", "-n", "1")
        assert listed.good().out == f"{run}\n"
        names = {each["name"] for each in found["metrics"] if each["after"] is not None}
        return run[:7], names | {each["name"] for each in found["params"] if each["after"]}

    with closing(sqlite3.connect(repo / "runs.db")) as db, db:
        db.execute("CREATE TABLE runs (run_id TEXT, timestamp TEXT, lr REAL, f1 REAL)")
        db.execute("INSERT INTO runs VALUES ('before', '2020-01-01 00:00:00', 0.2, 0.5)")
    (repo / "dvclive/metrics.json").touch()  # as a checkout does
    assert latest() == ("dvclive", {"acc", "train.loss"})
    with closing(sqlite3.connect(repo / "runs.db")) as db, db:
        db.execute("INSERT INTO runs VALUES ('after', '2090-01-01 00:00:00', 0.2, 0.5)")
    assert latest() == ("after", {"f1", "lr"})
    (repo / "dvclive/metrics.json").write_text('{"acc": "nan"}')  # as DVCLive writes NaN
    os.utime(repo / "dvclive/metrics.json", (4e9, 4e9))
    assert latest() == ("dvclive", set())
    listed = repo.xexp("list", "--runs", "--filter", "acc = nan", "--porcelain").good().out
    assert listed.startswith("dvclive-") and listed.count("\n") == 1


def test_parquet_files_are_tables(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    duckdb.sql(
        "COPY (SELECT 'a' AS run_id, TIMESTAMP '2026-01-01' AS created_at, 0.1 AS lr, 0.8 AS f1"
        f" UNION ALL SELECT 'b', TIMESTAMP '2026-01-02', 0.2, 0.9) TO '{path}'"
    )
    run = latest_run(path)
    assert run is not None and tracker_of(path) == "table"
    assert (run.id, run.table, run.params, run.metrics) == ("b", "log", {"lr": 0.2}, {"f1": 0.9})
    assert run_rows(path) == {("log", "a"): 1, ("log", "b"): 1}


XETRACK = """
from xetrack import Tracker
for engine in ("sqlite",):
    for name in ("a", "b"):
        tracker = Tracker(f"{engine}.db", engine=engine, table=f"exp_{name}", params={"lr": 0.1},
                          warnings=False, track_id=f"run-{name}")
        tracker.log({"f1": 0.5, "thing": {"an": ["object"]}})
"""


def test_xetrack_with_a_table_for_each_experiment(tmp_path: Path) -> None:
    python(XETRACK, cwd=tmp_path)
    for engine in ("sqlite",):
        path = tmp_path / f"{engine}.db"
        assert tracker_of(path) == "xetrack"
        found = runs(path)
        assert [(run.id, run.table) for run in found] == [("run-b", "exp_b"), ("run-a", "exp_a")]
        assert found[0].params["lr"] == 0.1 and found[0].metrics == {"f1": 0.5}
        assert find_run(path, "run-a").table == "exp_a"


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE studies (study_id)", "CREATE TABLE trials (trial_id, datetime_start, value)",
         "CREATE TABLE trial_params (trial_id, param_name)"),
        ("CREATE TABLE run (id, hash, name, created_at)", "CREATE TABLE run_tag (run_id, tag_id)"),
        ("CREATE TABLE users (id, email, created_at)", "CREATE TABLE s (session_id, started_at)"),
        ("CREATE TABLE readings (sensor, time, value)",),
        ("CREATE TABLE django_migrations (id)", "CREATE TABLE jobs (run_id, created_at, score)"),
    ],
)  # fmt: skip
def test_databases_of_other_programs_are_left_alone(
    tmp_path: Path, statements: tuple[str, ...]
) -> None:
    assert not has_runs(sql(tmp_path / "app.db", *statements))


def test_hidden_folders_hold_no_results(repo: Repo) -> None:
    from gitxexp.workflows.experiments.stores import find_databases

    table = "CREATE TABLE runs (run_id, timestamp, lr, f1)"
    for name in (".aim/run.db", ".cache/deep/x.db", "out/results.db"):
        (repo / name).parent.mkdir(parents=True)
        sql(repo / name, table)
    assert find_databases(repo.path) == ["out/results.db"]


# -- one run over several tables -------------------------------------------------------------------


def two_tables(path: Path, *experiments: tuple[str, str, int]) -> Path:
    """``(experiment_id, name, minute)``: three predictions, then a row of metrics, by two trackers."""
    sql(path, "CREATE TABLE IF NOT EXISTS predictions (track_id, timestamp, experiment_id, params_model,"
        " params_threshold, prediction, latency REAL, PRIMARY KEY (track_id, timestamp))",
        "CREATE TABLE IF NOT EXISTS metrics (track_id, timestamp, experiment_id, accuracy REAL,"
        " n_failed, PRIMARY KEY (track_id, timestamp))")  # fmt: skip
    for experiment, name, minute in experiments:
        at = f"2026-01-01 10:{minute:02}"
        rows = [
            f"INSERT INTO predictions VALUES ('p-{name}', '{at}:0{i}.5', '{experiment}', 'bert',"
            f" 0.{minute}, 'x{i}', 0.0{i})"
            for i in range(3)
        ]
        sql(path, *rows, f"INSERT INTO metrics VALUES ('m-{name}', '{at}:30.5', '{experiment}',"
            f" 0.8{minute}, 0)")  # fmt: skip
    return path


def ids(run: Run) -> list[tuple[str, str]]:
    return [(part.table, part.run) for part in run.parts]


def test_two_tables_that_share_an_experiment_are_one_run(tmp_path: Path) -> None:
    path = two_tables(tmp_path / "r.db", ("exp-1", "one", 1), ("exp-2", "two", 2))
    found = runs(path)
    assert [ids(run) for run in found] == [
        [("predictions", "p-two"), ("metrics", "m-two")],
        [("predictions", "p-one"), ("metrics", "m-one")],
    ]
    run = latest_run(path)
    assert run == found[0] == find_run(path, "p-two") == find_run(path, "m-two")
    assert run.params == {"params_model": "bert", "params_threshold": 0.2}
    assert run.metrics["accuracy"] == 0.82 and run.rows == 4
    assert "prediction" not in run.context and not run.notes


def test_an_experiment_that_all_share_is_told_apart_by_time(tmp_path: Path) -> None:
    path = two_tables(tmp_path / "r.db", ("exp", "one", 1), ("exp", "two", 2), ("exp", "six", 6))
    found = runs(path)
    assert [ids(run)[1] for run in found] == [("metrics", f"m-{n}") for n in ("six", "two", "one")]
    assert latest_run(path) == found[0]


def test_what_is_not_one_to_one_is_not_joined_and_said(tmp_path: Path) -> None:
    path = two_tables(tmp_path / "r.db", ("exp", "one", 1))
    sql(path, "INSERT INTO predictions VALUES ('p-more', '2026-01-01 10:01:01.5', 'exp', 'bert', 0.9,"
        " 'y', 0.1)", "UPDATE predictions SET timestamp = '2026-01-01 10:01:30.5'"
        " WHERE timestamp = '2026-01-01 10:01:00.5'",
        "INSERT INTO predictions VALUES ('p-more', '2026-01-01 10:01:30.5', 'exp', 'bert', 0.9, 'z',"
        " 0.2)")  # fmt: skip
    found = {run.id: run for run in runs(path)}
    assert set(found) == {"p-one", "p-more", "m-one"}
    latest = latest_run(path)
    assert latest is not None and len(latest.parts) == 1
    assert "share experiment_id=exp, but not one to one" in latest.notes[0]


def test_a_run_that_wrote_to_two_tables_is_one(tmp_path: Path) -> None:
    path = sql(tmp_path / "r.db", "CREATE TABLE predictions (track_id, timestamp, lr, pred)",
               "CREATE TABLE metrics (track_id, timestamp, f1)",
               "INSERT INTO predictions VALUES ('a', '2026-01-01 10:00:00', 0.1, 'x')",
               "INSERT INTO metrics VALUES ('a', '2026-01-01 10:00:01', 0.9)")  # fmt: skip
    (run,) = runs(path)
    assert ids(run) == [("predictions", "a"), ("metrics", "a")]
    assert (run.params, run.metrics) == ({"lr": 0.1}, {"f1": 0.9})
    assert latest_run(path) == run


#: As Optuna 3 and 4 make it, without what no trial needs.
OPTUNA = """
CREATE TABLE studies (study_id INTEGER PRIMARY KEY, study_name VARCHAR(512) NOT NULL);
CREATE TABLE study_directions (study_direction_id INTEGER PRIMARY KEY, direction VARCHAR(8) NOT NULL,
    study_id INTEGER NOT NULL REFERENCES studies (study_id), objective INTEGER NOT NULL);
CREATE TABLE study_system_attributes (study_system_attribute_id INTEGER PRIMARY KEY, study_id INTEGER,
    "key" VARCHAR(512), value_json TEXT);
CREATE TABLE trials (trial_id INTEGER PRIMARY KEY, number INTEGER,
    study_id INTEGER REFERENCES studies (study_id),
    state VARCHAR(8) NOT NULL, datetime_start DATETIME, datetime_complete DATETIME);
CREATE TABLE trial_params (param_id INTEGER PRIMARY KEY, trial_id INTEGER REFERENCES trials (trial_id),
    param_name VARCHAR(512), param_value FLOAT, distribution_json TEXT);
CREATE TABLE trial_values (trial_value_id INTEGER PRIMARY KEY, trial_id INTEGER REFERENCES trials (trial_id),
    objective INTEGER NOT NULL, value FLOAT, value_type VARCHAR(7) NOT NULL);
CREATE TABLE trial_intermediate_values (trial_intermediate_value_id INTEGER PRIMARY KEY, trial_id INTEGER,
    step INTEGER, intermediate_value FLOAT, intermediate_value_type VARCHAR(7));
CREATE TABLE trial_user_attributes (trial_user_attribute_id INTEGER PRIMARY KEY, trial_id INTEGER,
    "key" VARCHAR(512), value_json TEXT);
CREATE TABLE trial_heartbeats (trial_heartbeat_id INTEGER PRIMARY KEY, trial_id INTEGER, heartbeat DATETIME);
INSERT INTO studies VALUES (1, 'search'), (2, 'two-aims');
INSERT INTO study_directions VALUES (1, 'MINIMIZE', 1, 0), (2, 'MAXIMIZE', 2, 0), (3, 'MINIMIZE', 2, 1);
INSERT INTO study_system_attributes VALUES (1, 2, 'study:metric_names', '["recall", "loss"]');
INSERT INTO trials VALUES (1, 0, 1, 'COMPLETE', '2026-01-02 03:00:00.5', '2026-01-02 03:01:00.5'),
    (2, 1, 1, 'FAIL', '2026-01-02 03:02:00.5', '2026-01-02 03:03:00.5'), (3, 2, 1, 'WAITING', NULL, NULL),
    (4, 0, 2, 'COMPLETE', '2026-01-01 03:00:00.5', '2026-01-01 03:01:00.5'),
    (5, 3, 1, 'RUNNING', '2026-01-02 02:00:00.5', NULL);
INSERT INTO trial_params VALUES
    (1, 1, 'lr', 0.25, '{"name": "FloatDistribution", "attributes": {"low": 0.0, "high": 1.0}}'),
    (2, 1, 'optimizer', 1.0,
        '{"name": "CategoricalDistribution", "attributes": {"choices": ["adam", "sgd"]}}'),
    (3, 1, 'layers', 3.0, '{"name": "IntDistribution", "attributes": {"low": 1, "high": 4}}'),
    (4, 1, 'widths', 0.0,
        '{"name": "CategoricalDistribution", "attributes": {"choices": [[8, 8], null]}}'),
    (5, 2, 'lr', 0.5, '{"broken'), (6, 4, 'lr', 0.125, '[]');
INSERT INTO trial_values VALUES (1, 1, 0, 0.75, 'FINITE'), (2, 4, 0, 0.5, 'FINITE'),
    (3, 4, 1, NULL, 'INF_POS');
INSERT INTO trial_intermediate_values VALUES (1, 1, 0, 0.9, 'FINITE'), (2, 1, 1, 0.8, 'FINITE');
INSERT INTO trial_user_attributes VALUES (1, 1, 'accuracy', '0.9'), (2, 1, 'note', '"tried twice"'),
    (3, 1, 'notes', '{"a": 1}');
"""


def test_a_storage_of_optuna(repo: Repo) -> None:
    path = repo / "study.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(OPTUNA)
    before = schema(path)
    assert tracker_of(path) == "optuna"
    found = runs(path)
    names = [run.id.rpartition("-")[0] for run in found]  # then what tells clones' trials apart
    assert names == ["search-1", "search-0", "search-3", "two-aims-0"]
    assert len({run.id for run in found}) == 4 and find_run(path, found[1].id) == found[1]
    assert latest_run(path) == found[0] and found[0].params == {"lr": 0.5} and not found[0].metrics
    first = find_run(path, "search-0")
    assert first.params == {"lr": 0.25, "optimizer": "sgd", "layers": 3, "widths": "[8, 8]"}
    assert first.metrics == {"minimized_value": 0.75, "accuracy": 0.9}
    assert first.context == {
        "study_name": "search",
        "trial_state": "COMPLETE",
        "note": "tried twice",
    }
    assert [(p.step, p.value) for p in series(first, "minimized_value")] == [(0, 0.9), (1, 0.8)]
    assert found[3].metrics == {"recall": 0.5}
    assert {each.column: each.role for each in columns(path)}["optimizer"] is Role.PARAM
    repo.commit("a study")
    assert (
        "results    study.db (sqlite, optuna store)\n" in repo.xexp("init", "--no-dvc").good().out
    )
    repo.commit("set up")
    done = repo.xexp("tag", "--dry-run").good()
    assert (
        f"note: run {found[0].id} did not finish: its tracker says trial_state=FAIL\n" in done.err
    )
    done = repo.xexp("tag", "--all", "--best", "minimized_value", "-m", "best", "--stamp").good()
    assert "did not finish" not in done.err
    assert "lr=0.25" in repo.git("tag", "-n1") and schema(path) == before
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO trial_values VALUES (9, 5, 0, 0.5, 'FINITE')")
        db.execute(
            "UPDATE trials SET state = 'COMPLETE', datetime_complete = '2026-01-02 04:00' WHERE trial_id = 5"
        )
    repo.xexp("tag", "--all", "--best", "minimized_value", "-m", "lower").good()
    assert repo.xexp("explore", "show", "--json").good().json()["run"] == found[2].id
