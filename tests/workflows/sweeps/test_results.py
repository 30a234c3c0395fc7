"""Rows of runs into the user's database: all of them, once, whatever the tables are."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitxexp.repository.repository import Project
from gitxexp.workflows.sweeps import results
from gitxexp.workflows.sweeps.blank import write_blank
from gitxexp.workflows.sweeps.gather import gather
from tests.helpers import Repo

KEYED = "CREATE TABLE runs (run_id TEXT, timestamp TEXT, f1 REAL, PRIMARY KEY (run_id, timestamp))"
NUMBERED = (
    "CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT, timestamp TEXT, f1 REAL)"
)
PLAIN = "CREATE TABLE runs (run_id TEXT, timestamp TEXT, f1 REAL)"


def database(path: Path, schema: str, rows: Sequence[tuple[Any, ...]] = ()) -> Path:
    """A database with a table of runs."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute(schema)
        db.executemany("INSERT INTO runs (run_id, timestamp, f1) VALUES (?, ?, ?)", rows)
        db.commit()
    return path


def content(path: Path) -> list[tuple[Any, ...]]:
    """The rows without their numbers."""
    with closing(sqlite3.connect(path)) as db:
        return sorted(db.execute("SELECT run_id, timestamp, f1 FROM runs").fetchall())


@pytest.mark.parametrize("schema", [KEYED, NUMBERED, PLAIN])
def test_every_row_comes_once_however_often_it_is_merged(repo: Repo, schema: str) -> None:
    project = Project.open(repo.path)
    mine = [("mine", "0", 0.5), ("mine", "1", 0.6)]
    target = database(repo / "runs.db", schema, mine)
    sources, expected = [], list(mine)
    for number in range(11):
        rows = [(f"r{number}", str(step), number / 10) for step in range(3)]
        expected += rows
        sources.append(database(repo / f"run-{number}.db", schema, rows))
    done = results.merge(project, {"runs.db": sources[:9]})
    assert done.rows == 27 and not done.refused
    results.merge(project, {"runs.db": sources[4:]})
    assert results.merge(project, {"runs.db": sources}).rows == 0
    assert content(target) == sorted(expected)


def test_a_file_that_cannot_be_merged_is_named_and_the_others_are(repo: Repo) -> None:
    project = Project.open(repo.path)
    target = database(repo / "runs.db", KEYED, [("same", "0", 0.5)])
    other = database(repo / "a.db", KEYED, [("same", "0", 0.7)])
    broken = repo.write("b.db", b"SQLite format 3\0" + bytes(3000))
    fine = database(repo / "c.db", KEYED, [("new", "0", 0.9)])
    done = results.merge(project, {"runs.db": [other, broken, fine]})
    assert set(done.refused) == {other, broken} and done.rows == 1
    assert content(target) == [("new", "0", 0.9), ("same", "0", 0.5)]
    first = results.merge(project, {"new/runs.db": [fine]})
    assert first.rows == 1 and content(repo / "new/runs.db") == [("new", "0", 0.9)]


row = st.tuples(st.sampled_from("abc"), st.sampled_from("01"), st.sampled_from([None, 0.5]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.lists(st.lists(row, max_size=3, unique_by=lambda r: r[:2]), min_size=2, max_size=5))
def test_what_is_put_together_is_what_there_was(
    tmp_path: Path, runs: list[list[tuple[Any, ...]]]
) -> None:
    """Runs that clash stay apart; together they have every row."""
    sources = [database(tmp_path / f"{n}.db", KEYED, rows) for n, rows in enumerate(runs)]
    found = gather(sources, tmp_path)
    assert sorted(member for each in found for member in each.members) == sorted(sources)
    for each in found:
        assert content(each.file) == sorted(r for member in each.members for r in content(member))


def test_a_blank_has_tables_and_rules_but_no_runs(tmp_path: Path) -> None:
    source = database(tmp_path / "a.db", NUMBERED, [("r", "0", 1.0)])
    with closing(sqlite3.connect(source)) as db:
        db.executescript(
            "CREATE TABLE datasets (name TEXT PRIMARY KEY); INSERT INTO datasets VALUES ('iris');"
            "CREATE UNIQUE INDEX once ON runs (run_id, timestamp); PRAGMA user_version = 7;"
            "CREATE VIEW best AS SELECT max(f1) FROM runs;"
        )
    blank = tmp_path / "blank.db"
    assert write_blank(source, blank)
    with closing(sqlite3.connect(blank)) as db:
        assert db.execute("SELECT count(*) FROM runs").fetchone() == (0,)
        assert db.execute("SELECT * FROM datasets").fetchall() == [("iris",)]
        assert db.execute("SELECT * FROM best").fetchall() == [(None,)]
        assert db.execute("PRAGMA user_version").fetchone() == (7,)
        db.execute("INSERT INTO runs (run_id, timestamp) VALUES ('s', '1')")
        assert db.execute("SELECT id FROM runs").fetchone() == (2,)
        with pytest.raises(sqlite3.IntegrityError):
            db.execute("INSERT INTO runs (run_id, timestamp) VALUES ('s', '1')")


def test_runs_that_both_make_an_experiment_of_mlflow(repo: Repo, mlflow_stores: Path) -> None:
    """Its number and name are the same, its dates and folder are not."""
    sources = [repo / name for name in ("one.db", "two.db")]
    for number, source in enumerate(sources):
        source.write_bytes((mlflow_stores / "mlflow.db").read_bytes())
        with closing(sqlite3.connect(source)) as db, db:
            tables = db.execute(
                "SELECT m.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c"
                " WHERE c.name = 'run_uuid'"
            ).fetchall()
            for (table,) in tables:
                db.execute(f"UPDATE {table} SET run_uuid = run_uuid || ?", (f"-{number}",))
            db.execute(
                "UPDATE experiments SET artifact_location = ?, creation_time = creation_time + ?",
                (f"/trees/{number}", number),
            )
    done = results.merge(Project.open(repo.path), {"mlflow.db": sources})
    assert not done.refused
    with closing(sqlite3.connect(repo / "mlflow.db")) as db:
        assert db.execute("SELECT count(*), count(DISTINCT run_uuid) FROM runs").fetchone() == (
            6,
            6,
        )
        assert db.execute("SELECT name FROM experiments").fetchall() == [("Default",), ("iris",)]
        assert {each for (each,) in db.execute("SELECT experiment_id FROM runs")} == {1}


#: Logs a run with an artifact as MLflow does: the places are those of the work tree that it runs in.
MLFLOW = """
import os, pathlib, sqlite3
run, here = os.environ["XEXP_RUN"], os.getcwd()
for store in ("mlruns", "mlruns/2"):
    place = pathlib.Path(store, "1", run, "artifacts")
    place.mkdir(parents=True)
    (place / "note.txt").write_text(run)
pathlib.Path("mlruns/2/1", run, "meta.yaml").write_text(
    f"artifact_uri: file://{here}/mlruns/2/1/{run}/artifacts\\nrun_id: {run}\\n")
with sqlite3.connect("mlflow.db") as db:
    db.execute("CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, artifact_uri TEXT)")
    db.execute("INSERT INTO runs VALUES (?, ?)", (run, f"{here}/mlruns/1/{run}/artifacts"))
    db.execute("INSERT INTO runs VALUES (?, ?)", (f"{run}-far", "s3://bucket/1"))
"""


def test_the_artifacts_of_mlflow_are_where_its_rows_say(set_up: Repo) -> None:
    """They named the worktree of the sweep, which is gone."""
    set_up.write("log.py", MLFLOW)
    set_up.write(".gitignore", "mlruns\nmlflow.db\n")
    set_up.commit("a training that logs to MLflow")
    set_up.xexp("sweep", "-S", "lr=0.1,0.2", "--", sys.executable, "-S", "log.py").good()
    with closing(sqlite3.connect(set_up / "mlflow.db")) as db:
        places = dict(db.execute("SELECT run_uuid, artifact_uri FROM runs").fetchall())
    assert [uri for run, uri in places.items() if run.endswith("-far")] == ["s3://bucket/1"] * 2
    own = {run: Path(uri) for run, uri in places.items() if not run.endswith("-far")}
    assert len(own) == 2
    for run, place in own.items():
        assert (place / "note.txt").read_text() == run and place.is_relative_to(set_up.path)
        kept = set_up / f"mlruns/2/1/{run}"
        (line, _) = (kept / "meta.yaml").read_text().splitlines()
        assert line == f"artifact_uri: file://{kept}/artifacts"
