"""``import mlflow:http://…``: a server of MLflow, asked by the real client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from gitxexp.trackers.runs import find_run, series
from tests.helpers import Repo


def answer(path: str, asked: dict[str, object]) -> dict[str, object]:
    """What MLflow's REST API answers (mlflow.org/docs/latest/rest-api.html)."""
    if path.endswith("experiments/search"):
        return {
            "experiments": [{"experiment_id": "1", "name": "iris", "lifecycle_stage": "active"}]
        }
    if path.endswith("runs/search"):
        number = 2 if asked.get("page_token") else 1
        info = {
            "run_id": f"r{number}", "run_uuid": f"r{number}", "run_name": f"run {number}",
            "experiment_id": "1", "status": "FINISHED", "start_time": 1700000000000,
            "end_time": 1700000005000, "artifact_uri": "mlflow-artifacts:/x",
            "lifecycle_stage": "active",
        }  # fmt: skip
        data = {
            "metrics": [{"key": "f1", "value": 0.5 + number / 10, "timestamp": 1, "step": 1}],
            "params": [{"key": "lr", "value": "0.1"}],
            "tags": [{"key": "mlflow.user", "value": "ada"}],
        }
        page = {"runs": [{"info": info, "data": data}]}
        return page if number == 2 else page | {"next_page_token": "more"}
    return {
        "metrics": [
            {"key": "f1", "value": 0.6, "timestamp": 1700000002000, "step": 1},
            {"key": "f1", "value": 0.4, "timestamp": 1700000001000, "step": 0},
        ]
    }


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self.reply({name: values[0] for name, values in query.items()})

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        self.reply(json.loads(self.rfile.read(size) or b"{}"))

    def reply(self, asked: dict[str, object]) -> None:
        content = json.dumps(answer(urlsplit(self.path).path, asked)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests look at what is printed."""


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


def test_a_server_is_asked_for_every_run(repo: Repo, server: str) -> None:
    repo.xexp("init", "--no-dvc").good()
    repo.commit("set up")
    done = repo.xexp("import", f"mlflow:{server}", "--json").good().json()
    assert (done["runs"], done["new"], done["values"]) == (2, 2, 4)
    run = find_run(repo / "results/imported.db", "r2")
    assert (run.params, run.metrics) == ({"lr": 0.1}, {"f1": 0.7})
    assert (run.context["experiment"], run.context["user"]) == ("iris", "ada")
    assert [p.step for p in series(run, "f1")] == [0, 1]
    assert repo.xexp("import", server, "--json").good().json()["unchanged"] == 2


def test_a_server_that_does_not_answer(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.xexp("init", "--no-dvc").good()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    done = repo.xexp("import", "mlflow:http://127.0.0.1:1")
    assert done.code == 128, done.out
    assert "http://127.0.0.1:1" in done.err
