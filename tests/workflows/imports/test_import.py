"""``import``: runs of real stores of MLflow and of real ``dvc exp``, tables, exports, event files."""

from __future__ import annotations

import json
import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gitxexp.repository.repository import Project
from gitxexp.trackers.runs import find_run, series
from gitxexp.workflows.imports import run as imports
from gitxexp.workflows.imports.mlflow import MlflowStore
from gitxexp.workflows.imports.source import Progress, Sink
from tests.experiments import tag
from tests.helpers import Clock, Repo

INTO = "results/imported.db"


def listed(repo: Repo, *words: str) -> dict[str, dict[str, Any]]:
    """The runs that ``list --runs`` shows, by the name that they were given."""
    rows = repo.xexp("list", "--runs", "--json", *words).good().json()
    return {row["run"]: row for row in rows}


def imported(repo: Repo, *words: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = repo.xexp("import", *words, "--json").good().json()
    return {name: found[name] for name in ("runs", "new", "changed", "unchanged")}


def query(repo: Repo, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(repo / INTO)) as db:
        return db.execute(sql).fetchall()


def test_mlflow_comes_once_and_again_when_it_changed(ready: Repo, mlflow_stores: Path) -> None:
    store = Path(shutil.copy(mlflow_stores / "mlflow.db", ready.path.parent))
    assert imported(ready, f"mlflow:{store}", "--dry-run")["new"] == 2
    assert not (ready / INTO).exists()
    first = imported(ready, f"mlflow:{store}")
    assert first == {"runs": 2, "new": 2, "changed": 0, "unchanged": 0}
    before = (ready / INTO).read_bytes()
    assert imported(ready, f"mlflow:sqlite:///{store}")["unchanged"] == 2
    assert (ready / INTO).read_bytes() == before
    runs = query(ready, "SELECT name, experiment, status, params_lr, params_model, params_use_bias,"
                 " metrics_acc, tags_team FROM imported_runs ORDER BY name")  # fmt: skip
    assert runs == [
        ("first", "iris", "finished", 0.1, "mlp", "true", pytest.approx(0.8), "vision"),
        ("second", "iris", "finished", 0.3, "mlp", "true", pytest.approx(0.9), "vision"),
    ]
    (row,) = [r for r in listed(ready).values() if r["params"]["lr"] == 0.3]
    assert row["params"] == {"lr": 0.3, "model": "mlp", "use_bias": True}
    assert row["metrics"] == {"acc": pytest.approx(0.9), "val/loss": pytest.approx(1 / 3)}
    points = series(find_run(ready / INTO, "second"), "acc")
    assert [(p.step, round(p.value, 3)) for p in points] == [(0, 0.7), (1, 0.8), (2, 0.9)]
    assert query(ready, "SELECT count(*) FROM imported_values WHERE metric = 'nan'") == [(2,)]
    # a run that goes on at its source takes the place of what was here
    with closing(sqlite3.connect(store)) as db, db:
        db.execute("UPDATE params SET value = '0.5' WHERE key = 'lr' AND value = '0.3'")
    assert imported(ready, store) == {"runs": 2, "new": 0, "changed": 1, "unchanged": 1}
    assert query(ready, "SELECT params_lr FROM imported_runs ORDER BY 1") == [(0.1,), (0.5,)]
    # the same runs in the other store are others: MLflow gives every run an id of its own
    assert imported(ready, f"mlflow:{mlflow_stores / 'mlruns'}")["new"] == 2
    assert len(listed(ready)) == 4
    shown = {c["column"]: c["role"] for c in ready.xexp("explore", "columns", "--json").json()}
    assert (shown["lr"], shown["acc"], shown["team"]) == ("param", "metric", "context")
    ready.xexp("undo").good()
    assert len(listed(ready)) == 2


def test_a_store_that_is_read_here_itself_is_not_listed_twice(
    ready: Repo, mlflow_stores: Path
) -> None:
    shutil.copy(mlflow_stores / "mlflow.db", ready.path)
    assert len(listed(ready)) == 2
    assert imported(ready, "mlflow")["new"] == 2
    assert (ready / INTO).exists()
    assert len(listed(ready)) == 2


def test_what_was_read_before_an_interruption_is_kept(ready: Repo, mlflow_stores: Path) -> None:
    whole = MlflowStore(mlflow_stores / "mlflow.db", "mlflow:store")

    class Cut:
        name = whole.name

        def each(self, sink: Sink, progress: Progress | None = None) -> None:
            def stop(done: int, _total: int, _unit: str) -> None:
                if done == 1:
                    raise KeyboardInterrupt

            whole.each(sink, stop)

    project = Project.open(ready.path)
    with pytest.raises(KeyboardInterrupt):
        imports.import_runs(project, imports.ImportRequest(Cut()))
    assert not (ready / INTO).exists()
    (left,) = (ready / ".git/xexp/imports").iterdir()
    with closing(sqlite3.connect(left)) as db:
        assert db.execute("SELECT count(*) FROM imported_runs").fetchone() == (1,)
    done = imports.import_runs(project, imports.ImportRequest(whole))
    assert (done.new, done.runs) == (2, 2)
    assert not left.exists()


def test_results_of_a_tracker_keep_their_tables(trained: Repo, mlflow_stores: Path) -> None:
    trained.xexp("init").good()
    trained.commit("set up")
    trained.xexp("import", mlflow_stores / "mlflow.db").good()
    with closing(sqlite3.connect(trained / "results/experiments.db")) as db:
        assert db.execute("SELECT count(*) FROM imported_runs").fetchone() == (2,)
    rows = listed(trained)
    assert {"run-lr-1.0", "run-lr-0.1", "run-lr-0.01"} < rows.keys()
    assert len(rows) == 5
    # what was imported did not write the files here: the next tag is of the tracker's own last run
    assert "run-lr-1.0" in trained.xexp("tag", "--dry-run").good().out
    assert trained.dvc("status", "-q") == ""


DVC_YAML = """
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [lr, net]
    outs: [model.bin]
    metrics: [{metrics.json: {cache: false}}]
"""
TRAIN = """
import json, sys
text = open("params.yaml").read()
lr = float(text.split("lr: ")[1].split()[0])
json.dump({"f1": lr * 2, "by": {"class": 1}}, open("metrics.json", "w"))
open("model.bin", "w").write(text)
"""
EXPERIMENTS = """
import time
from dvc.repo import Repo
with Repo(".") as repo:
    for name, lr in (("low", 0.2), ("high", 0.4)):
        repo.experiments.run(name=name, params=[f"lr={lr}"])
        time.sleep(1.1)  # git's dates are in seconds, and the older one is the first version
"""


def test_experiments_of_dvc_exp_become_versions(dvc_repo: Repo, clock: Clock) -> None:
    repo = dvc_repo
    repo.write("params.yaml", "lr: 0.1\nnet:\n  width: 8\n")
    repo.write("dvc.yaml", DVC_YAML)
    repo.write("train.py", TRAIN)
    repo.git("rm", "-q", "--cached", "metrics.json")
    repo.xexp("init").good()
    repo.commit("pipeline")
    repo.python("-c", EXPERIMENTS).good()
    repo.git("checkout", "-q", "--", ".")
    found = repo.xexp("import", "dvc-exp", "--tag", "--json").good().json()
    assert (found["new"], sorted(found["tagged"].values())) == (2, ["e0.1.0", "e0.2.0"])
    one = repo.xexp("show", "e0.2.0", "--json").good().json()
    assert one["params"] == {"lr": 0.4, "net.width": 8}
    assert one["metrics"] == {"by.class": 1, "f1": 0.8}
    assert one["commit"] == one["run"] == repo.git("rev-parse", "e0.2.0^{commit}")
    assert one["context"]["name"] == "high"
    assert one["parent"] == "e0.1.0"
    repo.xexp("get", "e0.1.0", "model.bin", "-o", "low.bin").good()
    assert "lr: 0.2" in (repo / "low.bin").read_text()
    again = repo.xexp("import", "dvc-exp", "--tag", "--json").good().json()
    assert (again["unchanged"], again["tagged"]) == (2, {})
    assert "e0.1.0" in repo.xexp("search", "low").out
    repo.xexp("undo").good()
    assert repo.tags == []


def test_runs_of_a_known_commit_become_versions_with_their_dates(ready: Repo, clock: Clock) -> None:
    first = ready.head
    clock.tick()
    tag(ready, clock, "e0.1.0", {"lr": 0.1})
    rows = [
        {"run_id": "b", "lr": 0.3, "f1": 0.7, "git_commit": ready.head, "ended": "2024-03-01 10:00:00"},
        {"run_id": "a", "lr": 0.2, "f1": 0.6, "git_commit": first, "ended": "2024-01-01 10:00:00"},
        {"run_id": "c", "lr": 0.4, "f1": 0.5, "git_commit": "0" * 40, "ended": "2024-01-01 10:00:00"},
    ]  # fmt: skip
    ready.write("runs.ndjson", "".join(json.dumps(row) + "\n" for row in rows))
    done = ready.xexp("import", "ndjson", "runs.ndjson", "--tag").good()
    assert "tagged  e0.2.0  a\ntagged  e0.3.0  b\n" in done.out
    assert "1 run not tagged" in done.err
    assert ready.git("rev-parse", "e0.2.0^{commit}") == first
    dates = ready.git("for-each-ref", "--format=%(taggerdate:iso-strict)", "refs/tags/e0.2.0")
    assert dates == "2024-01-01T10:00:00+00:00"
    assert ready.xexp("explore", "verify", "e0.2.0").code == 0
    with closing(sqlite3.connect(ready / ".xexp/registry.db")) as db:
        assert db.execute("SELECT version FROM experiments ORDER BY 1").fetchall() == [
            ("e0.2.0",), ("e0.3.0",),
        ]  # fmt: skip
    # what only the registry knows was before it, too
    ready.git("tag", "-d", *ready.tags)
    ready.write("runs.ndjson", json.dumps({**rows[0], "run_id": "d"}) + "\n")
    ready.xexp("import", "ndjson", "runs.ndjson", "--tag").good()
    assert 'reason = "no tag here' in ready.git("cat-file", "tag", "e0.4.0")


def test_tables_of_steps_and_of_runs(ready: Repo) -> None:
    ready.write(
        "steps.csv",
        "run_id,step,lr,loss,timestamp\nx,0,0.1,0.9,2024-01-01 00:00:00\n"
        "x,1,0.1,0.5,2024-01-01 00:01:00\ny,0,0.2,0.8,2024-01-02 00:00:00\n",
    )
    assert imported(ready, "steps.csv")["new"] == 2
    assert [p.value for p in series(find_run(ready / INTO, "x"), "loss")] == [0.9, 0.5]
    ready.write("plain.csv", "lr,f1\n0.1,0.5\n0.1,0.5\n0.2,0.7\n")
    assert imported(ready, "csv:plain.csv")["new"] == 3
    ready.write("plain.csv", "lr,f1\n0.2,0.7\n0.1,0.5\n0.1,0.5\n0.9,0.1\n")  # in another order
    assert imported(ready, "csv", "plain.csv") == {
        "runs": 4,
        "new": 1,
        "changed": 0,
        "unchanged": 3,
    }
    import duckdb

    duckdb.sql("SELECT 'p' AS run_id, 0.5 AS lr, 0.6 AS f1").write_parquet(str(ready / "t.parquet"))
    assert imported(ready, "parquet", "t.parquet")["new"] == 1
    assert listed(ready)["p"]["metrics"] == {"f1": 0.6}
    ready.git("config", "xexp.results.databases", INTO)
    unlisted = "is not among [results] databases in .xexp/config.toml: add it there"
    other = ready.xexp("import", "plain.csv", "--into", "results/other.db").good()
    assert f"note: results/other.db {unlisted}" in other.err
    assert unlisted not in ready.xexp("import", "plain.csv").good().err


def test_exports_of_wandb_and_aim(ready: Repo) -> None:
    ready.write(
        "wandb.csv",
        '"Name","State","User","Created","ID","lr","val_acc"\n'
        '"brave-sky","finished","ada","2024-05-01T10:00:00.000Z","abc123","0.1","0.9"\n',
    )
    ready.xexp("import", "wandb", "wandb.csv").good()
    (row,) = query(ready, "SELECT origin, run_id, name, status, user, params_lr, metrics_val_acc"
                   " FROM imported_runs")  # fmt: skip
    assert row == ("wandb", "abc123", "brave-sky", "finished", "ada", 0.1, 0.9)
    document = {
        "id": "abc123", "name": "brave-sky", "state": "finished", "created_at": "2024-05-01T10:00:00",
        "config": {"lr": {"desc": None, "value": 0.1}, "net": {"value": {"width": 8}}, "_wandb": {}},
        "summary": {"val_acc": 0.9, "_step": 3, "note": "x"}, "tags": ["a", "b"],
        "history": [{"_step": 0, "val_acc": 0.5}, {"_step": 3, "val_acc": 0.9}],
    }  # fmt: skip
    ready.write("runs.json", json.dumps([document]))
    assert imported(ready, "wandb", "runs.json") == {
        "runs": 1, "new": 0, "changed": 1, "unchanged": 0,
    }  # fmt: skip
    assert listed(ready)["abc123"]["params"] == {"lr": 0.1, "net.width": 8}
    assert [p.step for p in series(find_run(ready / INTO, "abc123"), "val_acc")] == [0, 3]
    ready.write("aim.csv", "Hash,Experiment,hparams.lr,metric_f1\nff00,base,0.1,0.7\n")
    assert imported(ready, "aim", "aim.csv")["new"] == 1


def field(number: int, kind: int, payload: bytes) -> bytes:
    """One field of a protocol buffer message."""
    size = bytes([len(payload)]) if kind == 2 else b""
    return bytes([number << 3 | kind]) + size + payload


def event(step: int, tag_: str, value: bytes) -> bytes:
    """A record with one scalar."""
    summary = field(1, 2, field(1, 2, tag_.encode()) + value)
    data = field(1, 1, struct.pack("<d", 1_700_000_000 + step)) + field(2, 0, bytes([step]))
    data += field(5, 2, summary)
    return struct.pack("<Q", len(data)) + b"\0" * 4 + data + b"\0" * 4


def test_scalars_of_event_files(ready: Repo) -> None:
    simple = [event(n, "loss", field(2, 5, struct.pack("<f", 1 / (n + 1)))) for n in range(3)]
    tensor = field(
        8, 2, field(1, 0, b"\x01") + field(2, 2, b"") + field(4, 2, struct.pack("<f", 0.75))
    )
    matrix = field(8, 2, field(1, 0, b"\x01") + field(2, 2, field(2, 2, field(1, 0, b"\x02"))))
    content = b"".join([*simple, event(2, "acc", tensor), event(2, "image", matrix)])
    ready.write("logs/train/events.out.tfevents.1.host", content + b"\x09\0\0cut short")
    assert imported(ready, "tensorboard", "logs")["new"] == 1
    run = find_run(ready / INTO, "logs/train")
    assert run.metrics == {"acc": 0.75, "loss": pytest.approx(1 / 3)}
    assert [p.step for p in series(run, "loss")] == [0, 1, 2]
    assert run.started == "2023-11-14 22:13:20+00:00"


def test_old_stores_of_mlflow(ready: Repo, tmp_path: Path) -> None:
    """MLflow 0.9: no latest_metrics, no steps, states as numbers in files."""
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as db, db:
        db.executescript("""
            CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name TEXT);
            CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, name TEXT, status TEXT, start_time BIGINT,
                end_time BIGINT, lifecycle_stage TEXT, experiment_id INTEGER, artifact_uri TEXT);
            CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
            CREATE TABLE metrics (key TEXT, value REAL, timestamp BIGINT, run_uuid TEXT, step BIGINT,
                is_nan BOOLEAN DEFAULT 0);
            CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
            INSERT INTO experiments VALUES (1, 'old');
            INSERT INTO runs VALUES ('r1', 'first', 'FINISHED', 1500000000000, NULL, NULL, 1, NULL);
            INSERT INTO params VALUES ('LR', '0.1', 'r1'), ('lr', '0.2', 'r1');
            INSERT INTO metrics VALUES ('acc', 0.5, 1, 'r1', 0, 0), ('acc', 0.6, 2, 'r1', 1, 0);
        """)
    assert imported(ready, old)["new"] == 1
    row = listed(ready)["r1"]
    assert row["params"] == {"LR": 0.1, "lr": 0.2}  # two names to MLflow, one to SQL
    assert row["metrics"] == {"acc": 0.6}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing",), "is not a file, folder or kind of source"),
        (("mlflow",), "there is no mlflow.db and no mlruns here"),
        (("mlflow:README.md",), "is not an MLflow store"),
        (("mlflow:gone.db",), "no such MLflow store"),
        (("dvc-exp",), "there are no experiments of dvc exp here"),
        (("csv", "gone.csv"), "no such file or folder"),
        (("csv", "empty.csv"), "has no rows"),
        (("ndjson", "README.md"), "cannot read"),
        (("tensorboard", "."), "has no event files"),
        (("wandb",), "is followed by"),
        (("README.md",), "cannot tell what wrote"),
    ],
)
def test_sources_that_are_none(ready: Repo, words: tuple[str, ...], said: str) -> None:
    ready.write("empty.csv", "")
    done = ready.xexp("import", *words)
    assert done.code in (128, 129)
    assert said in done.err
    assert not (ready / INTO).exists()
