"""``git xexp sweep``: every configuration once, its rows and files its own, and nothing left over."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gitxexp
from tests.helpers import Repo
from tests.workflows.sweeps.sweep_tools import (
    TRAINING,
    assert_nothing_left,
    begin,
    ended,
    records,
    rows,
    trainable,
)

GRID = ("-S", "lr=0.1,0.01", "-S", "seed=7,13", "-j", "2")


def test_a_grid_runs_and_the_same_command_runs_only_what_is_left(set_up: Repo) -> None:
    repo = trainable(set_up)
    model, params = (
        (repo / "models/production/model.bin").read_bytes(),
        (repo / "params.yaml").read_text(),
    )
    planned = repo.xexp("sweep", *GRID, "--dry-run", "--json", "--", *TRAINING).good().json()
    assert [run["params"] for run in planned["runs"]] == [
        {"lr": lr, "seed": seed} for lr in (0.1, 0.01) for seed in (7, 13)
    ]
    done = repo.xexp("sweep", *GRID, "--", *TRAINING)
    assert done.code == 1, done.err  # two failed
    assert "2 done, 2 failed" in done.out and done.err.count("diverged") == 2
    lines = [line for line in done.out.splitlines() if line.startswith("[")]
    assert len(lines) == 4 and sum("failed (exit 1)" in line for line in lines) == 2
    ranking = done.out.splitlines()[4:7]
    assert [line.split("\t")[:3] for line in ranking] == [
        ["rank", "f1", "lr"], ["1", "0.9", "0.1"], ["2", "0.81", "0.01"]
    ]  # fmt: skip
    assert rows(repo) == [(0.01, 0.81), (0.1, 0.9)]
    # the user's own tree has new rows and records, and nothing else
    assert (repo / "models/production/model.bin").read_bytes() == model
    assert (repo / "params.yaml").read_text() == params
    changed = {line[3:] for line in repo.git("status", "--porcelain").splitlines()}
    assert changed == {".xexp/registry.db", "models/.gitignore", "models/candidates.dvc"}
    assert_nothing_left(repo)
    # each run is recorded, with what it was and left
    known = records(repo)
    assert sorted(each.status for each in known) == ["done", "done", "failed", "failed"]
    assert {each.sweep for each in known} == {planned["sweep"]}
    best = next(each for each in known if each.metrics.get("f1") == 0.9)
    assert best.params["lr"] == 0.1 and best.params["epochs"] == 3 and best.command == TRAINING
    assert best.run_commit == repo.head and best.tracker_run == f"t-{best.id}" and best.code == 0
    kept = Path(repo / ".git/xexp/runs" / best.id)
    candidate = repo / f"models/candidates/{best.tracker_run}_model.bin"
    assert candidate.read_bytes() == b"model of 0.1"
    assert "lr: 0.1\n" in (kept / "files/params.yaml").read_text()
    assert set(best.kept) == {"params.yaml", "metrics.json"}
    assert best.outputs["models/production/model.bin"].startswith("md5:")
    assert (kept / "log").read_text() == "training 0.1\n"
    # nothing is left to run; what failed is when it is asked for, a larger grid runs the rest
    again = repo.xexp("sweep", *GRID, "--", *TRAINING)
    assert "[" not in again.out and len(records(repo)) == 4
    retried = repo.xexp("sweep", *GRID, "--retry-failed", "--retries", "1", "--", *TRAINING)
    assert retried.code == 1 and retried.out.count("failed (exit 1)") == 2
    assert len(records(repo)) == 6
    larger = repo.xexp("sweep", "-S", "lr=0.1,0.01,0.2", "--json", "--", *TRAINING).good()
    events = [json.loads(line) for line in larger.out.splitlines()]
    assert [event["event"] for event in events] == ["run", "sweep"]
    assert events[0]["params"] == {"lr": 0.2} and events[0]["metrics"] == {"f1": 0.8}
    assert events[1]["skipped"] == 2 and events[1]["done"] == 1
    assert len(events[1]["ranking"]) == 3 and events[1]["ranking"][0] == best.id
    assert rows(repo) == [(0.01, 0.81), (0.1, 0.9), (0.2, 0.8)]
    forced = repo.xexp("sweep", "-S", "lr=0.1", "--force", "--", *TRAINING).good()
    assert "1 done" in forced.out and len(rows(repo)) == 4
    status = repo.xexp("sweep", "--status", "--json").good().json()
    assert status["state"] == "done" and status["best"]["params"] == {"lr": 0.1}
    listed = repo.xexp("sweep", "--list", "--json").good().json()
    assert [each["done"] for each in listed] == [1, 1, 2]
    assert repo.xexp("sweep", "--stop").code == 1
    assert_nothing_left(repo)


def test_from_python_and_by_words_of_the_command(set_up: Repo) -> None:
    repo = trainable(set_up)
    (repo / "nested").mkdir()
    repo.write("nested/show.py", "import sys\nprint(sys.argv[1:], open('here.txt').read())\n")
    repo.write("nested/here.txt", "there")
    repo.commit("a script in a folder")
    seen: list[int] = []
    sweeping = gitxexp.open(repo / "nested")
    command = (sys.executable, "-S", "show.py", "--wide={wide}", "--lr={lr}", "{run}")
    grid = {"wide": ["a b", "c"], "lr": [0.1, 0.2]}
    done = sweeping.sweep(command, grid, zipped=True, jobs=1, watch=lambda p: seen.append(p.done))
    assert not done.interrupted and not done.failures and max(seen) == 2
    logs = [(repo / ".git/xexp/runs" / task.run / "log").read_text() for task in done.tasks]
    assert logs == [
        f"['--wide={task.params['wide']}', '--lr={task.params['lr']}', '{task.run}'] there\n"
        for task in done.tasks
    ]


def test_the_winner_is_tagged_with_its_own_files_and_the_best_models_are_candidates(
    set_up: Repo,
) -> None:
    repo = trainable(set_up)
    words = ("sweep", "-S", "lr=0.3,0.12,0.2,0.4", "-S", "seed=18", "-j", "2", "--keep", "2")
    done = repo.xexp(*words, "--tag", "-m", "best of four", "--", *TRAINING).good()
    assert "e0.1.0" in done.out and "best of four" in done.out
    changed = repo.git("show", "--name-only", "--format=%s", "HEAD").splitlines()
    assert changed[0].startswith("e0.1.0: ") and "lr=0.12" in changed[0]
    assert {"params.yaml", "metrics.json", "models/production/model.bin.dvc"} <= {*changed}
    assert (repo / "models/production/model.bin").read_bytes() == b"model of 0.12"
    assert json.loads((repo / "metrics.json").read_text()) == {"f1": 0.88}
    assert "lr: 0.12\n" in (repo / "params.yaml").read_text()
    assert repo.git("status", "--porcelain") == ""
    models = repo.xexp("candidates", "list", "--json").good().json()
    kept = {m["metrics"]["f1"]: m for m in models if not m["production"]}
    assert sorted(kept) == [0.8, 0.88]
    left = sorted(each.name for each in (repo / ".git/xexp/runs").glob("*/files/*model*"))
    assert left == []
    best = next(each for each in records(repo) if each.metrics["f1"] == 0.88)
    assert best.version == "e0.1.0" and set(best.kept) == {"params.yaml", "metrics.json"}
    # again: it is tagged already; another base of parameters is another sweep
    again = repo.xexp(*words, "--tag", "--", *TRAINING).good()
    assert "is e0.1.0 already" in again.err and repo.tags == ["e0.1.0"]
    again = repo.xexp(*words, "--", *TRAINING).good()
    assert "is e0.1.0 already" in again.err and "tag --run" not in again.err
    repo.write("params.yaml", (repo / "params.yaml").read_text().replace("epochs: 3", "epochs: 4"))
    repo.commit("longer")
    longer = repo.xexp(*words, "--dry-run", "--json", "--", *TRAINING).good().json()
    assert [run["ran"] for run in longer["runs"]] == [None] * 4
    # one of the others is tagged later, with its own model, though a newer sweep left candidates
    second = next(each for each in records(repo) if each.metrics["f1"] == 0.8)
    repo.write("params.yaml", (repo / "params.yaml").read_text().replace("epochs: 4", "epochs: 3"))
    repo.commit("as before")
    repo.xexp("sweep", "-S", "lr=0.6", "-S", "seed=18", "--", *TRAINING).good()
    repo.xexp("tag", "--run", second.id).good()
    assert (repo / "models/production/model.bin").read_bytes() == b"model of 0.2"
    assert_nothing_left(repo)


def test_a_run_whose_rows_have_the_id_of_another_one_is_kept_apart(set_up: Repo) -> None:
    """As of a script that seeds random before it makes its tracker."""
    repo = trainable(set_up)
    repo.write("train.py", (repo / "train.py").read_text().replace('f"t-{run}"', '"t-same"'))
    repo.commit("seeded too early")
    done = repo.xexp("sweep", "-S", "lr=0.2,0.1,0.3", "-j", "1", "--", *TRAINING).good()
    assert done.err.count("create the tracker before random is seeded") == 1
    first, second, third = records(repo)
    assert rows(repo) == [(0.2, 0.8)] and first.tracker_run == "t-same" and not first.note
    assert second.tracker_run == third.tracker_run == "" and second.metrics == {"f1": 0.9}
    assert f"run {first.id} has their id t-same" in second.note
    kept = repo / f".git/xexp/runs/{second.id}/files/results%2Fexperiments.db"
    assert kept.is_file()
    repo.git("checkout", "-q", "params.yaml")
    repo.xexp("tag", "--run", second.id).good()
    assert "lr = 0.1\n" in repo.git("cat-file", "tag", "e0.1.0")
    assert rows(repo) == [(0.2, 0.8)]
    again = repo.xexp("sweep", "-S", "lr=0.2", "--force", "--json", "--", *TRAINING).good()
    (note,) = json.loads(again.out.splitlines()[-1])["notes"]
    assert "other runs have their ids" in note and rows(repo) == [(0.2, 0.8)]


def test_a_section_of_the_parameters_is_a_grid_and_what_run_did_is_not_done_again(
    set_up: Repo,
) -> None:
    repo = trainable(set_up)
    text = (repo / "params.yaml").read_text()
    repo.write("params.yaml", text + "sweep:\n  lr: [0.2, 0.3]\n  epochs: range(3,5)\n")
    repo.commit("a grid")
    repo.xexp("run", "-S", "lr=0.2", "--no-tag", "--", *TRAINING).good()
    words = ("sweep", "--dry-run", "--json", "--", *TRAINING)
    planned = repo.xexp(*words).good().json()["runs"]
    assert [run["params"] for run in planned] == [
        {"lr": lr, "epochs": epochs} for lr in (0.2, 0.3) for epochs in (3, 4)
    ]
    (ran,) = records(repo)
    assert [run["ran"] for run in planned] == [ran.id, None, None, None]
    assert not any(name.startswith("sweep") for name in ran.params)
    others = ("sweep", "--dry-run", "--json", "--", *TRAINING, "--other")
    assert {run["ran"] for run in repo.xexp(*others).good().json()["runs"]} == {None}


def test_modified_files_are_committed_first_and_mistakes_are_said(set_up: Repo) -> None:
    repo = trainable(set_up)
    repo.write("train.py", (repo / "train.py").read_text() + "# better\n")
    repo.write("metrics.json", '{"f1": 0.1, "old": 1}\n')  # of an earlier run
    repo.write("stray.py", "import this\n")
    words = ("-S", "lr=0.3", "-S", "seed=7", "--", *TRAINING)
    refused = repo.xexp("sweep", *words)
    assert refused.code == 128 and "git xexp sweep -a" in refused.err
    before = repo.head
    planned = repo.xexp("sweep", "-a", "--dry-run", "--json", *words).good()
    assert "stray.py" in planned.err and repo.head == before
    assert "stray.py" not in repo.xexp("sweep", "-a", "-n", "--no-check", *words).good().err
    # the values that run are checked, and not those that they replace
    params = (repo / "params.yaml").read_text()
    repo.write("params.yaml", params.replace("lr: 0.1", "lr: auto"))
    assert "auto" not in repo.xexp("sweep", "-a", "-n", *words).good().err
    fast = repo.xexp("sweep", "-a", "-n", "-S", "lr=0.3,fast", "--", *TRAINING).good()
    assert "lr holds numbers, and will get text: 'fast'" in fast.err
    repo.write("params.yaml", params)
    done = repo.xexp("sweep", "-a", "--tag", *words).good()
    assert f"sweep {planned.json()['sweep']}: 1 done" in done.out
    assert repo.git("log", "--format=%s", f"{before}..HEAD~1").startswith("Sweep ")
    assert repo.git("show", "HEAD~1:train.py").endswith("# better")
    (made,) = records(repo)
    assert made.run_commit == repo.git("rev-parse", "HEAD~1")
    assert "old" not in repo.git("cat-file", "tag", "e0.1.0")


def test_two_sweeps_at_once_run_each_configuration_once(set_up: Repo) -> None:
    repo = trainable(set_up)
    grids = (("lr=0.1,0.2,0.3",), ("lr=0.3,0.2,0.4",))
    both = [begin(repo, "-S", *grid, "-S", "seed=18", "-j", "1", "--", *TRAINING) for grid in grids]
    assert [ended(child, 60) for child in both] == [0, 0]
    assert [lr for lr, _ in rows(repo)] == [0.1, 0.2, 0.3, 0.4]
    assert len(records(repo)) == 4
    assert_nothing_left(repo)
