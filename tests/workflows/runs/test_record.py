"""Run records in the registry, and those of runs whose process was killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gitxexp.common.errors import XexpError
from gitxexp.repository.repository import Project
from gitxexp.workflows.runs import record
from gitxexp.workflows.runs.record import RowsFound, RunFolders, RunRecord
from tests.helpers import Repo


def a_record(id: str = "20230101-000000-aaaaaa", **known: object) -> RunRecord:
    """A record with all kinds of values."""
    values: dict[str, object] = {
        "status": "done", "command": ("python", "träin.py"), "code": 0, "version": "e0.1.0",
        "started": "2023-01-01T00:00:00.000Z", "ended": "2023-01-01T00:00:02.500Z",
        "params": {"lr": 0.1, "layers": [1, 2], "on": True}, "metrics": {"f1": 0.9, "n": 3},
        "outputs": {"m.bin": "md5:1"}, "log": "sha256:1",
        "tables": (RowsFound("r.db", "events", "blue-moon", 4),),
    }  # fmt: skip
    return RunRecord(id, **{**values, **known})  # type: ignore[arg-type]


def test_records_come_back_as_they_were_put_and_are_found_by_any_name(repo: Repo) -> None:
    repo.xexp("init").good()
    project = Project.open(repo.path)
    first, second = a_record(), a_record("20230102-000000-bbbbbb", version="", tables=())
    record.write(project, [first, second], {"sha256:p": ["a==1", "b==2"]})
    assert record.read(project) == [second, first] or record.read(project) == [first, second]
    assert project.registry.packages("sha256:p") == ["a==1", "b==2"]
    assert first.seconds == 2.5
    both = record.read(project)
    for name in ("20230101-000000-aaaaaa", "blue-moon", "e0.1.0", "20230101", "blue"):
        assert record.find(both, name) == first
    assert record.find(both, "nothing") is None
    with pytest.raises(XexpError, match="ambiguous"):
        record.find(both, "2023")
    with pytest.raises(XexpError, match="there is no record of a run 'nope'"):
        record.require(both, "nope")
    record.write(project, [record.replace(first, version="e0.2.0")])
    assert len(record.read(project)) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from gitxexp.workflows.runs.record import RunFolders, RunRecord
from gitxexp.workflows.runs.execute import execute
state, top = Path(sys.argv[1]), Path(sys.argv[2])
made = RunRecord("20230101-000000-cccccc", "running", ("sleep", "983"), started="2023-01-01T00:00:00Z")
with RunFolders(state).under_way(made, top) as under_way:
    def started(group):
        under_way.note(made, group)
        os.kill(os.getpid(), signal.SIGKILL)
    execute(["sleep", "983"], cwd=top, env={**os.environ, "XEXP_RUN": made.id},
            log=under_way.log, echo=False, started=started)
"""


def test_a_run_whose_process_was_killed_is_recorded_and_its_command_ended(repo: Repo) -> None:
    repo.xexp("init").good()
    project = Project.open(repo.path)
    done = subprocess.run([sys.executable, "-c", KILLED, project.state, repo.path], check=False)
    assert done.returncode == -9
    (found,) = record.read(project)
    assert (found.status, found.note) == ("killed", "git xexp was killed while it ran")
    assert project.registry.runs() == []  # a read writes nothing
    assert [one.id for one in record.settle(project)] == [found.id]
    assert [row["status"] for row in project.registry.runs()] == ["killed"]
    assert record.settle(project) == []
    assert not RunFolders(project.state).any
    from tests.workflows.runs.test_execute import gone

    assert gone("983")


def test_a_run_under_way_is_listed_and_left_alone(repo: Repo) -> None:
    repo.xexp("init").good()
    project = Project.open(repo.path)
    with RunFolders(project.state).under_way(a_record(), repo.path) as under_way:
        assert [one.status for one in record.read(project)] == ["running"]
        assert record.settle(project) == []
        record.write(project, [a_record()])
        under_way.settled()
    assert [one.status for one in record.read(project)] == ["done"]


def test_a_record_from_elsewhere_is_read_as_far_as_it_is_one(repo: Repo) -> None:
    row = {"id": "../../x", "command": 3, "tables": [{"run": 1}, 5], "params": "no", "code": "x"}
    found = record.loaded(json.loads(json.dumps(row)))
    assert (found.command, found.tables, found.params, found.code) == ((), (), {}, None)
    with pytest.raises(XexpError, match="is not the id of a run"):
        RunFolders(Path("state")).log(found.id)
