"""What a tag compares and names: today's roles, aliases, what changed, dataclasses, context."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import gitxexp
from gitxexp.repository.config import Config
from gitxexp.repository.tag_message import Payload
from gitxexp.trackers import column_names
from gitxexp.trackers.column_names import Role
from gitxexp.workflows.experiments.collect import Collected
from tests.experiments import tag
from tests.helpers import Clock, Repo


def log(path: Path, run: str, second: int, **values: Any) -> None:
    """A row as xetrack writes it: columns are added by name."""
    row = {"track_id": run, "timestamp": f"2026-01-02 03:04:{second:02}.123456", **values}
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "CREATE TABLE IF NOT EXISTS events (track_id, timestamp, PRIMARY KEY (track_id, timestamp))"
        )
        known = [column[1] for column in db.execute("PRAGMA table_info(events)")]
        for name in row:
            if name not in known:
                db.execute(f'ALTER TABLE events ADD COLUMN "{name}"')
        names = ", ".join(f'"{name}"' for name in row)
        db.execute(
            f"INSERT INTO events ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values())
        )


@pytest.fixture
def tracked(ready: Repo) -> Repo:
    """A project whose parameters are in the tracker alone; nothing is logged yet."""
    ready.write(".gitignore", "r.db\n")
    ready.commit("ignored")
    return ready


def shown(repo: Repo, version: str) -> Any:
    return repo.xexp("explore", "show", version, "--json").good().json()


def test_what_was_context_and_is_a_parameter_today_is_compared() -> None:
    """Columns of two branches are in another order after a merge, and so may be their roles."""
    today = Collected({"marble": 7}, {}, roles={"marble": Role.PARAM, "n_rows": Role.CONTEXT})
    before = Payload("", params={"n_rows": 3}, context={"marble": 7, "host": "a"})
    assert today.comparable(before, Config()) == {"marble": 7}


def test_what_changed_is_always_in_the_description(tracked: Repo) -> None:
    common = {"model": "rf", "lr": 0.1, "batch_size": 4, "epochs": 3, "optimizer": "sgd"}
    log(tracked / "r.db", "a", 1, **common, zeta_mode="plain", f1=0.8)
    tracked.xexp("tag").good()
    assert "zeta_mode" not in shown(tracked, "e0.1.0")["headline"]
    log(tracked / "r.db", "b", 2, **common, zeta_mode="fancy", f1=0.8)
    tracked.xexp("tag", "-m", "a try").good()
    said = shown(tracked, "e0.2.0")
    assert said["reason"] == "minor: zeta_mode changed since e0.1.0"
    assert said["headline"] == (
        "model=rf | lr=0.1 | batch_size=4 | epochs=3 | zeta_mode=fancy | f1=0.8000 | data=none | a try"
    )


def test_a_dataclass_is_named_without_its_prefix(tracked: Repo) -> None:
    log(tracked / "r.db", "a", 1, params_model_name="bert", params_temperature=0.7,
        config_learning_rate=0.001, params_config_learning_rate=0.001, accuracy=0.9)  # fmt: skip
    tracked.xexp("tag").good()
    assert shown(tracked, "e0.1.0")["headline"].startswith(
        "model_name=bert | learning_rate=0.001 | temperature=0.7 | accuracy=0.9000"
    )
    log(tracked / "r.db", "b", 2, params_model_name="gpt", params_temperature=0.7,
        config_learning_rate=0.001, params_config_learning_rate=0.001, accuracy=0.9)  # fmt: skip
    tracked.xexp("tag").good()
    assert shown(tracked, "e1.0.0")["reason"] == "major: params_model_name changed since e0.1.0"


def test_context_is_recorded_and_never_compared(tracked: Repo) -> None:
    for second, (run, host) in enumerate((("a", "gpu-01"), ("b", "laptop"))):
        log(tracked / "r.db", run, second, lr=0.1, hostname=host, code_commit=f"{second}abcdef1",
            n_samples=second, raw_response="I cannot say. " * 20, f1=0.8)  # fmt: skip
        tracked.xexp("tag").good()
    one, two = shown(tracked, "e0.1.0"), shown(tracked, "e0.1.1")
    assert one["config_hash"] == two["config_hash"] and two["params"] == {"lr": 0.1}
    message = tracked.git("for-each-ref", "--format=%(contents)", "refs/tags/e0.1.1")
    assert 'hostname = "laptop"' in message and "raw_response" not in message


def test_a_tag_of_a_version_before_is_compared_by_todays_roles(tracked: Repo, clock: Clock) -> None:
    """It took commits and hosts for parameters; the same run again is a patch all the same."""
    log(tracked / "r.db", "a", 1, lr=0.1, code_commit="abc1234", f1=0.8)
    tag(tracked, clock, "e0.1.0", {"lr": 0.1, "code_commit": "0ddba11", "hostname": "old", "merge.key": "x"},
        {"f1": 0.8})  # fmt: skip
    tracked.xexp("tag").good()
    assert shown(tracked, "e0.1.1")["reason"].startswith("patch: nothing changed since e0.1.0")


def test_remarks_in_a_parameter_file_are_no_parameters(tracked: Repo) -> None:
    tracked.write(
        "params.yaml",
        "lr: 0.1\nexperiment: {version: e1, description: first, kind: a}\nmerge: {key: [x]}\n",
    )
    tracked.commit("params")
    tracked.xexp("tag").good()
    assert shown(tracked, "e0.1.0")["params"] == {"lr": 0.1, "experiment.kind": "a"}


@pytest.mark.parametrize(
    ("one", "other"),
    [("lr", "learning_rate"), ("acc", "accuracy"), ("val_acc", "val_accuracy"), ("F1", "f1_score"),
     ("bs", "batch_size"), ("f1", "F1")],
)  # fmt: skip
def test_aliases(one: str, other: str) -> None:
    assert column_names.canonical(one) == column_names.canonical(other)
    assert column_names.alias_in([other, "loss"], one) == other


def test_names_that_are_no_aliases() -> None:
    assert column_names.alias_in(["learning_rate_decay", "lrf", "account"], "lr") is None
    assert column_names.alias_in(["lr", "LR"], "learning_rate") is None  # which one?


def test_one_column_for_two_names(ready: Repo, clock: Clock) -> None:
    tag(ready, clock, "e0.1.0", {"lr": 0.1}, {"acc": 0.8})
    tag(ready, clock, "e0.2.0", {"learning_rate": 0.1}, {"accuracy": 0.9})
    tag(ready, clock, "e0.3.0", {"learning_rate": 0.2}, {"accuracy": 0.7})
    out = ready.xexp("explore", "list", "--csv").good().out.splitlines()
    assert out[0].split(",")[2:4] == ["learning_rate", "accuracy"]
    assert [line.split(",")[2:4] for line in out[1:]] == [
        ["0.2", "0.7"],
        ["0.1", "0.9"],
        ["0.1", "0.8"],
    ]
    assert "e0.1.0" in ready.xexp("explore", "list", "--filter", "lr = 0.1 and acc < 0.85").out
    found = ready.xexp("explore", "diff", "e0.1.0", "e0.2.0", "--json").good().json()
    assert found["params"] == []
    assert [(m["name"], m["before"], m["after"]) for m in found["metrics"]] == [
        ("accuracy", 0.8, 0.9)
    ]


def test_two_names_in_one_tag_are_two_things(ready: Repo, clock: Clock) -> None:
    tag(ready, clock, "e0.1.0", {"lr": 0.1, "learning_rate": 0.3}, {"f1": 1})
    tag(ready, clock, "e0.2.0", {"lr": 0.2, "learning_rate": 0.4}, {"f1": 1})
    head = ready.xexp("explore", "list", "--csv").good().out.splitlines()[0]
    assert "lr" in head.split(",") and "learning_rate" in head.split(",")


def test_a_run_that_a_hand_made_tag_names_is_known(tracked: Repo) -> None:
    log(tracked / "r.db", "a", 1, version="e0.0.1", lr=0.1, f1=0.8)
    tracked.git("tag", "-a", "e0.0.1", "-m", "lr=0.1 | F1=0.8 | by hand")
    (run,) = tracked.xexp("explore", "list", "--runs", "--json").good().json()
    assert (run["version"], run["text"]) == ("e0.0.1", "by hand")


def test_context_says_only_what_it_knows(tracked: Repo) -> None:
    log(tracked / "r.db", "a", 1, model="mlp", lr=0.1, f1=0.8)
    tracked.xexp("tag").good()
    assert gitxexp.context(path=tracked.path)["version"] == "e0.1.1"  # the last run again
    assert gitxexp.context({"lr": 0.3}, tracked.path)["version"] == "e0.2.0"  # with its model
    same = gitxexp.context({"lr": 0.1}, tracked.path)
    assert same["version"] == "e0.1.1"
    assert same["config_hash"] == shown(tracked, "e0.1.0")["config_hash"]
    (tracked / "r.db").unlink()  # as in a clone: what the model will be is not known
    unknown = gitxexp.context({"lr": 0.3}, tracked.path)
    assert (unknown["version"], unknown["config_hash"]) == ("", "")
    assert gitxexp.context({"lr": 0.3, "model": "cnn"}, tracked.path)["version"] == "e1.0.0"


def test_a_number_of_which_nothing_is_known_is_no_parameter_and_said(tracked: Repo) -> None:
    for second, (run, kind) in enumerate((("a", 3), ("b", 4))):
        log(tracked / "r.db", run, second, lr=0.1, marble=kind, f1=0.8)
        done = tracked.xexp("tag").good()
    assert "e0.1.1" in done.out
    assert "marble changed, and nothing says whether that is a parameter" in done.err
    tracked.git("config", "xexp.roles.param", "marble")
    log(tracked / "r.db", "c", 5, lr=0.1, marble=5, f1=0.8)
    assert "e0.2.0" in tracked.xexp("tag").good().out
