"""``git xexp init``."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.helpers import Repo, run


def test_it_finds_what_is_there(trained: Repo) -> None:
    trained.write("data/extra.parquet", b"PAR1")
    done = trained.xexp("init").good()
    assert "created .xexp/config.toml\ncreated .xexp/registry.db\n" in done.out
    found = tomllib.loads((trained / ".xexp/config.toml").read_text())
    assert found["results"]["databases"] == ["results/experiments.db"]
    assert found["params"]["files"] == ["params.yaml"]
    assert found["metrics"]["files"] == ["metrics.json"]
    assert found["models"]["paths"] == ["models/production/model.bin"]
    assert (
        "# found: data/train.csv, data/extra.parquet" in (trained / ".xexp/config.toml").read_text()
    )


def test_the_second_time_changes_nothing_and_says_so(trained: Repo) -> None:
    trained.xexp("init").good()
    before = {p: p.read_bytes() for p in trained.path.rglob("*") if p.is_file()}
    done = trained.xexp("init").good()
    assert done.out.startswith("everything is already set up\n")
    assert {p: p.read_bytes() for p in trained.path.rglob("*") if p.is_file()} == before


def test_dry_run_changes_nothing(repo: Repo) -> None:
    before = sorted(repo.path.rglob("*"))
    done = repo.xexp("init", "--dry-run").good()
    assert "would create DVC (.dvc/)" in done.out
    assert sorted(repo.path.rglob("*")) == before


def test_it_sets_dvc_up(repo: Repo) -> None:
    repo.xexp("init").good()
    assert (repo / ".dvc/config").is_file()
    repo.write("data/x.csv", "1\n")
    repo.dvc("add", "-q", "data/x.csv")


def test_without_dvc(repo: Repo) -> None:
    repo.xexp("init", "--no-dvc").good()
    assert not (repo / ".dvc").exists()
    assert repo.xexp("init", "--no-dvc").good().out.startswith("everything is already set up")


def test_the_next_command_it_names_works(trained: Repo) -> None:
    said = trained.xexp("init").good().err.splitlines()
    command = next(line for line in said if line.startswith("hint: next: git add"))
    run("sh", "-c", command.removeprefix("hint: next: "), cwd=trained.path).good()
    assert trained.git("status", "--porcelain") == ""
    trained.xexp("tag").good()


@pytest.mark.parametrize("words", [(), ("--no-dvc",)])
def test_undo_takes_it_back(repo: Repo, words: tuple[str, ...]) -> None:
    """With DVC, undo said that .dvcignore had changed, and what DVC stages stayed staged."""
    repo.xexp("init", *words).good()
    repo.xexp("undo").good()
    assert repo.git("status", "--porcelain", "--ignored") == ""


def test_a_clone_needs_only_the_local_part(set_up: Repo, tmp_path: Path) -> None:
    set_up.git("clone", "-q", ".", str(tmp_path / "clone"))
    clone = Repo(tmp_path / "clone")
    clone.xexp("init").good()
    assert clone.git("status", "--porcelain") == ""


def test_it_ignores_databases_that_are_no_results(trained: Repo) -> None:
    trained.write("other.db", b"nonsense")
    trained.xexp("init").good()
    found = tomllib.loads((trained / ".xexp/config.toml").read_text())
    assert found["results"]["databases"] == ["results/experiments.db"]


def test_a_sparse_checkout_that_leaves_our_folder_out(set_up: Repo) -> None:
    set_up.git("sparse-checkout", "set", "results", "data")
    assert not (set_up / ".xexp").exists()
    for words in (("init",), ("tag", "--suggest"), ("merge", "main")):
        done = set_up.xexp(*words)
        assert done.code == 128, words
        assert ".xexp/config.toml is outside of this sparse checkout" in done.err
        assert "git sparse-checkout add .xexp" in done.err
    assert set_up.xexp("--json").good().json()["next"] == "git sparse-checkout add .xexp"
    set_up.git("sparse-checkout", "add", ".xexp")
    set_up.xexp("tag", "--suggest").good()
