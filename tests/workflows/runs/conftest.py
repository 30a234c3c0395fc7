"""A repository with a trainer, for run and rerun."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.conftest import copy_template
from tests.helpers import Clock, Repo

#: A trainer that logs rows as xetrack lays them out, without its start-up time.
TRAIN = """
import json, os, pathlib, sqlite3, sys, time
from datetime import datetime
params = dict(line.split(": ") for line in open("params.yaml").read().split("\\n") if ": " in line)
lr = float(params["lr"].split("#")[0])
pathlib.Path("results").mkdir(exist_ok=True)
pathlib.Path("models/production").mkdir(parents=True, exist_ok=True)
db = sqlite3.connect("results/experiments.db")
db.execute('CREATE TABLE IF NOT EXISTS events (track_id TEXT, timestamp TEXT, lr REAL,'
           ' version TEXT, f1 REAL, PRIMARY KEY (track_id, timestamp))')
run = f"run-{lr}-{os.environ['XEXP_RUN'][-6:]}"
version = sys.argv[sys.argv.index("--version") + 1] if "--version" in sys.argv else None
for epoch in range(3):
    db.execute("INSERT INTO events (track_id, timestamp, lr, version, f1) VALUES (?,?,?,?,?)", (
        run, datetime.now().isoformat(sep=" "), lr, version, round(0.5 + epoch / 10 - lr, 3)))
db.commit()
pathlib.Path("models/production/model.bin").write_text(f"weights {lr}\\n" * 100)
pathlib.Path("metrics.json").write_text(json.dumps({"f1": round(0.7 - lr, 3)}))
print("trained", lr, flush=True)
if "--fail" in sys.argv:
    sys.exit("out of memory")
"""


@pytest.fixture(scope="session")
def ready_template(dvc_template: Path, sealed: Path) -> Path:
    """``dvc_repo`` set up, with a trainer, everything committed."""
    Clock()
    folder = sealed / "run-template"
    made = copy_template(dvc_template, folder)
    made.write("train.py", textwrap.dedent(TRAIN).lstrip())
    made.xexp("init").good()
    made.commit("set up")
    return folder


@pytest.fixture
def ready(ready_template: Path, tmp_path: Path) -> Repo:
    """A private copy of it."""
    return copy_template(ready_template, tmp_path)
