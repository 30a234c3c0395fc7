"""Stores of trackers that come with a clone: their links and the places that they name lead nowhere
outside."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gitxexp.common import notes
from gitxexp.trackers.adapter import RunQuery
from gitxexp.trackers.adapters import dvclive, mlflow_files
from gitxexp.trackers.roles import NO_RULES
from gitxexp.workflows.imports.mlflow import MlflowFolder, MlflowStore
from gitxexp.workflows.imports.source import SourceRun
from tests.security.hostile import SECRET, Evil

QUERY = RunQuery(None, NO_RULES)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "params.yaml").write_text(f"token: {SECRET}\n")
    (folder / "metrics.json").write_text('{"f1": 7654321}')
    (folder / "loss.tsv").write_text("step\tloss\n1\t7654321\n")
    (folder / "loss").write_text("1 7654321 1\n")
    (folder / "mlflow.runName").write_text(SECRET)
    return folder


def store_of_mlflow(folder: Path) -> Path:
    """A run in ``mlruns``; its folder."""
    run = folder / "mlruns/0/abc"
    for name in ("params", "metrics", "tags", "artifacts/model"):
        (run / name).mkdir(parents=True)
    (folder / "mlruns/0/meta.yaml").write_text("name: iris\n")
    (run / "meta.yaml").write_text("run_id: abc\nstatus: 3\nstart_time: 1\nend_time: 2\n")
    (run / "params/lr").write_text("0.1")
    (run / "artifacts/model/MLmodel").write_text("flavors: {}\n")
    (run / "artifacts/model/model.pkl").write_text("m")
    return run


@pytest.mark.parametrize("name", ["params", "metrics", "tags", "params/lr", "metrics/loss"])
def test_links_in_a_store_of_mlflow(name: str, tmp_path: Path, outside: Path) -> None:
    run = store_of_mlflow(tmp_path)
    place = run / name
    if place.is_dir():
        for file in place.iterdir():
            file.unlink()
        place.rmdir()
    place.unlink(missing_ok=True)
    place.symlink_to(outside if "/" not in name else outside / "loss")
    (found,) = mlflow_files.ADAPTER.runs(tmp_path / "mlruns", QUERY)
    assert SECRET not in repr(found)
    assert "7654321" not in repr(found)
    for metric in ("loss", "../../../../outside/loss", f"{outside}/loss"):
        assert mlflow_files.ADAPTER.series(found, metric) == []


@pytest.mark.parametrize("name", ["params.yaml", "metrics.json", "plots/metrics/loss.tsv", "plots"])
def test_links_in_a_folder_of_dvclive(name: str, tmp_path: Path, outside: Path) -> None:
    live = tmp_path / "dvclive"
    (live / "plots/metrics").mkdir(parents=True)
    (live / "metrics.json").write_text('{"loss": 1}')
    place = live / name
    if name == "plots":
        (outside / "metrics").symlink_to(outside)
        (live / "plots/metrics").rmdir()
        place.rmdir()
    place.unlink(missing_ok=True)
    place.symlink_to(outside / Path(name).name if name != "plots" else outside)
    (found,) = dvclive.ADAPTER.runs(live, QUERY)
    assert SECRET not in repr(found)
    assert "7654321" not in repr(found)
    assert dvclive.ADAPTER.series(found, "loss") == []
    assert dvclive.ADAPTER.series(found, str(outside / "loss").replace("/", ".")) == []


def test_models_outside_of_a_store(tmp_path: Path, outside: Path) -> None:
    """MLflow's database names the folder of a run's artifacts, and a link may stand for a model."""
    run = store_of_mlflow(tmp_path / "store")
    elsewhere = store_of_mlflow(tmp_path / "other")
    (run / "artifacts/model/larger.pkl").symlink_to(outside / "params.yaml")
    database = tmp_path / "store/mlflow.db"
    with closing(sqlite3.connect(database)) as con, con:
        con.executescript(
            "CREATE TABLE experiments (experiment_id, name, lifecycle_stage);"
            "INSERT INTO experiments VALUES (0, 'iris', 'active');"
            "CREATE TABLE runs (run_uuid, name, status, start_time, end_time, lifecycle_stage,"
            " experiment_id, artifact_uri, user_id);"
            "CREATE TABLE params (run_uuid, key, value);"
            "CREATE TABLE tags (run_uuid, key, value);"
            "CREATE TABLE metrics (run_uuid, key, value, timestamp, step, is_nan);"
            "CREATE TABLE latest_metrics (run_uuid, key, value, timestamp, step, is_nan);"
        )
        for id, place in (
            ("a", run / "artifacts"),
            ("b", elsewhere / "artifacts"),
            ("c", f"file://{elsewhere}/artifacts"),
            ("d", run / "../../../../other/mlruns/0/abc/artifacts"),
        ):
            con.execute(
                "INSERT INTO runs VALUES (?, ?, 'FINISHED', 1, 2, 'active', 0, ?, '')",
                (id, id, str(place)),
            )
    found: dict[str, SourceRun] = {}
    MlflowStore(database, "").each(lambda one: found.update({one.id: one}))
    own = run / "artifacts/model/model.pkl"
    assert {id: one.models for id, one in found.items()} == {"a": (own,), "b": (), "c": (), "d": ()}
    assert any("outside of the store's folder" in text for text in notes.taken())
    MlflowFolder(tmp_path / "store/mlruns", "").each(lambda one: found.update({one.id: one}))
    assert found["abc"].models == (own,)


def test_an_import_of_a_link(evil: Evil) -> None:
    (evil.outside / "runs.csv").write_text(f"run_id,lr,f1,model\nr1,0.1,0.5,{SECRET}\n")
    (evil.outside / "runs.ndjson").write_text(json.dumps({"run_id": "r", "f1": 1, "m": SECRET}))
    for name in ("runs.csv", "runs.ndjson"):
        (evil.clone / name).symlink_to(evil.outside / name)
    (evil.clone / "folder").symlink_to(evil.outside)
    evil.commit()
    assert evil.xexp("init").code == 0
    for name in ("runs.csv", "ndjson:runs.ndjson", "folder/runs.csv"):
        assert evil.xexp("import", name).code == 128
