"""Configurations that Optuna chooses: within what was given, remembered, and told what came of them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from gitxexp.common.errors import UsageError
from gitxexp.workflows.sweeps.grid import parse
from gitxexp.workflows.sweeps.sampler import Sampler
from tests.helpers import Repo
from tests.workflows.sweeps.sweep_tools import TRAINING, assert_nothing_left, records, trainable

AXES = [parse("lr=log(1e-4,1e-1)"), parse("n=range(8,65,8)"), parse("m=mlp,[1, 2],null")]


def test_chosen_values_are_in_the_grid_and_the_study_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    journal = tmp_path / "study" / "optuna.log"
    sampler = Sampler(journal, AXES, "tpe", 3, maximize=True)
    given = {}
    for _ in range(12):
        number, params = sampler.ask()
        assert 1e-4 <= params["lr"] <= 1e-1 and params["n"] in range(8, 65, 8)
        assert params["m"] in ("mlp", [1, 2], None)
        sampler.tell(number, None if number % 3 == 0 else params["lr"])
        sampler.tell(number, 5.0)  # told already
        given[number] = params
    again = Sampler(journal, AXES, "random", 3, maximize=True)
    assert again.asked == 12 and again.trials() == given
    assert again.study.best_value == max(p["lr"] for n, p in given.items() if n % 3)


def test_without_optuna_the_commands_that_install_it_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UsageError, match="optuna is not installed") as caught:
        Sampler(tmp_path / "x", AXES, "tpe", 0, maximize=True)
    assert caught.value.hint is not None
    assert [line.split()[0] for line in caught.value.hint.splitlines()] == ["python", "pipx", "uv"]


def test_a_sweep_of_trials_goes_on_where_it_was(set_up: Repo) -> None:
    pytest.importorskip("optuna")
    repo = trainable(set_up)
    words = ("-S", "lr=log(1e-3,1)", "--sampler", "tpe", "--metric", "f1", "-j", "2")
    nothing = repo.xexp("sweep", "-S", "lr=log(1e-3,1)", "--", *TRAINING)
    assert nothing.code == 129 and "how many values" in nothing.err
    first = repo.xexp("sweep", *words, "--trials", "3", "--", *TRAINING).good()
    assert "3 done" in first.out
    more = repo.xexp("sweep", *words, "--trials", "5", "--", *TRAINING).good()
    assert "5 done" in more.out and more.out.count("[") == 2
    found = records(repo)
    assert len(found) == len({each.params["lr"] for each in found}) == 5
    assert_nothing_left(repo)
