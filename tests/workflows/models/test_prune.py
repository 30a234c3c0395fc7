"""``git xexp prune``: what stays, what goes, and the proof that it is somewhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import copy_template
from tests.helpers import Done, Repo
from tests.workflows.models.model_tools import (
    FOLDER,
    PRODUCTION,
    cache_object,
    candidate,
    content,
    models,
    remote_object,
    set_metric,
    state,
)

BOTH = [candidate("run-lr-0.01"), candidate("run-lr-0.1")]


@pytest.fixture(scope="session")
def pushed_template(models_template: Path, sealed: Path) -> Path:
    folder = sealed / "pushed-models-template"
    copy_template(models_template, folder).dvc("push")
    return folder


@pytest.fixture
def pushed(pushed_template: Path, tmp_path: Path) -> Repo:
    """``modelled`` with every object on the remote."""
    return copy_template(pushed_template, tmp_path)


def fates(done: Done) -> dict[str, dict[str, Any]]:
    return {Path(item["path"]).name: item for item in done.json()["candidates"]}


def names(repo: Repo) -> list[str]:
    return [path for path in models(repo) if path != PRODUCTION]


# -- what goes ---------------------------------------------------------------------------------------


def test_the_best_stay_and_the_rest_goes(pushed: Repo) -> None:
    head = pushed.head
    done = pushed.xexp("prune", "--keep", "1").good()
    assert names(pushed) == [candidate("run-lr-0.1")]
    assert done.out.splitlines()[-1] == f"removed 1 of 2, {len(content('x')) / 1000:.1f} kB freed"
    assert pushed.git("log", "-1", "--format=%P %s") == f"{head} prune: 1 candidate"
    assert pushed.git("status", "--porcelain") == ""
    assert pushed.dvc("status") == "Data and pipelines are up to date.\n"
    assert "no such" not in pushed.xexp("candidates").good().out


def test_what_goes_is_red_on_a_terminal(pushed: Repo) -> None:
    env = {"GIT_PAGER_IN_USE": "true", "TERM": "xterm", "COLUMNS": "120"}
    done = pushed.forked("--color=always", "prune", "--keep", "1", "--dry-run", env=env).done()
    assert "\x1b[31mremove" in done.good().out and "?[" not in done.out


def test_nothing_goes_by_default_while_there_are_five(pushed: Repo) -> None:
    before = state(pushed)
    done = pushed.xexp("prune").good()
    assert "number 1 of the 5 kept" in done.out
    assert state(pushed) == before


def test_a_dry_run_says_what_and_why(pushed: Repo) -> None:
    before = state(pushed)
    done = pushed.xexp("prune", "--keep", "1", "-n", "--json").good()
    found = fates(done)
    worst = found["run-lr-0.01_model.bin"]
    assert (worst["goes"], worst["proof"]) == (True, "remote store")
    assert worst["frees"] == len(content("run-lr-0.01"))
    assert worst["why"] == "number 2 by f1, 1 are kept"
    assert found["run-lr-0.1_model.bin"]["goes"] is False
    assert done.json()["frees"] == worst["frees"]
    table = pushed.xexp("prune", "--keep", "1", "--dry-run").good().out.splitlines()
    assert table[0].split("\t")[0] == "action"
    assert [line.split("\t")[0] for line in table[1:]] == ["keep", "remove"]
    assert state(pushed) == before


def test_by_a_loss_the_lowest_stay(pushed: Repo) -> None:
    rows = pushed.xexp("candidates", "--metric", "loss", "--json").good().json()
    best = next(row["path"] for row in rows if not row["production"])
    pushed.xexp("prune", "--keep", "1", "--metric", "loss").good()
    assert names(pushed) == [best]


def test_without_a_number_it_stays_unless_told(pushed: Repo) -> None:
    set_metric(pushed, "run-lr-0.01", "f1", None)
    set_metric(pushed, "run-lr-0.1", "f1", "n/a")
    done = pushed.xexp("prune", "--keep", "0", "--metric", "f1", "-n", "--json")
    if done.code:  # nothing here has a number: the metric itself is refused
        assert "no model has a value for f1" in done.err or "is text" in done.err
    set_metric(pushed, "run-lr-0.1", "f1", 0.9)
    found = fates(pushed.xexp("prune", "--keep", "1", "-n", "--json").good())
    assert found["run-lr-0.01_model.bin"]["why"] == "no value for f1 (NULL)"
    pushed.xexp("prune", "--keep", "1", "--include-unranked").good()
    assert names(pushed) == [candidate("run-lr-0.1")]


def test_what_is_labelled_keep_stays(pushed: Repo) -> None:
    pushed.xexp("tag", "--run", "run-lr-0.01", "-l", "keep").good()
    pushed.xexp("promote", "--run", "run-lr-0.1", "-y").good()
    found = fates(pushed.xexp("prune", "--keep", "0", "-n", "--json").good())
    assert found["run-lr-0.01_model.bin"]["why"] == "e0.2.0 is labelled keep"


def test_production_and_the_last_promoted_stay(pushed: Repo) -> None:
    pushed.xexp("promote", "--run", "run-lr-0.1").good()
    pushed.write("copy.bin", content("run-lr-0.1"))
    pushed.xexp("candidates", "add", "copy.bin", "--run", "run-lr-0.1").good()
    found = fates(pushed.xexp("prune", "--keep", "0", "-n", "--json").good())
    assert found["run-lr-0.1_model.bin"]["why"] == "in production"
    pushed.write(PRODUCTION, b"trained over it")
    found = fates(pushed.xexp("prune", "--keep", "0", "-n", "--json").good())
    assert found["run-lr-0.1_model.bin"]["why"] == "the last promoted"


def test_per_model_keeps_the_best_of_each(pushed: Repo) -> None:
    for run, model in (("run-lr-0.01", "forest"), ("run-lr-0.1", "linear")):
        set_metric(pushed, run, "model", model)
    pushed.xexp("prune", "--keep", "1", "--per", "model").good()
    assert names(pushed) == BOTH
    pushed.xexp("prune", "--keep", "1").good()
    assert names(pushed) == [candidate("run-lr-0.1")]


def test_per_version_keeps_the_best_of_each(pushed: Repo) -> None:
    pushed.xexp("tag", "--run", "run-lr-0.01").good()
    pushed.xexp("prune", "--keep", "1", "--per", "VERSION").good()
    assert names(pushed) == BOTH


def test_older_than(pushed: Repo) -> None:
    pushed.xexp("prune", "--keep", "0", "--older-than", "1d").good()
    assert names(pushed) == BOTH
    pushed.xexp("prune", "--keep", "0", "--older-than", "0d").good()
    assert names(pushed) == []
    done = pushed.xexp("prune", "--older-than", "soon")
    assert (done.code, "'soon' is not an age (like 12h, 30d" in done.err) == (129, True)


def test_a_file_that_is_no_candidate_is_left_alone(pushed: Repo) -> None:
    pushed.write(f"{FOLDER}/notes.txt", b"mine")
    pushed.dvc("add", FOLDER)
    pushed.xexp("prune", "--keep", "0").good()
    assert names(pushed) == [f"{FOLDER}/notes.txt"]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--metric", "f9"], 128, "no metric is named 'f9'"),
        (["--keep", "-1"], 129, "-1"),
        (["--cache", "--keep", "3"], 129, "--keep and --cache cannot be used together"),
        (["--cache", "--explore"], 129, "--cache and --explore cannot be used together"),
        (["--project", "."], 129, "--project goes with --cache"),
        (["--slot", "x"], 129, "no model slot 'x'"),
    ],
)
def test_bad_input(pushed: Repo, args: list[str], code: int, message: str) -> None:
    before = state(pushed)
    done = pushed.xexp("prune", *args)
    assert (done.code, message in done.err) == (code, True), done.err
    assert state(pushed) == before


def test_no_results_database(pushed: Repo) -> None:
    (pushed / "results/experiments.db").unlink()
    before = models(pushed)
    done = pushed.xexp("prune", "--keep", "0").good()
    assert "no metric to rank by" in done.out
    assert models(pushed) == before


# -- the only copy -------------------------------------------------------------------------------------


def test_the_only_copy_is_never_deleted(modelled: Repo) -> None:
    before = state(modelled)
    done = modelled.xexp("prune", "--keep", "1")
    assert done.code == 1
    assert "number 2 by f1, 1 are kept, but it is the only copy" in done.out
    assert "not known to be stored elsewhere: 1; they stay" in done.err
    assert "hint: push them and prune them: git xexp prune --push" in done.err
    assert state(modelled) == before


def test_push_makes_it_safe_first(modelled: Repo) -> None:
    done = modelled.xexp("prune", "--keep", "1", "--push").good()
    assert done.err.splitlines()[0] == f"pushed {candidate('run-lr-0.01')}"
    assert remote_object(modelled, content("run-lr-0.01")).read_bytes() == content("run-lr-0.01")
    assert names(modelled) == [candidate("run-lr-0.1")]


def test_push_of_a_file_that_dvc_never_saw(modelled: Repo) -> None:
    modelled.write(candidate("run-lr-0.01"), b"changed by hand")
    modelled.xexp("prune", "--keep", "1", "--push").good()
    assert remote_object(modelled, b"changed by hand").read_bytes() == b"changed by hand"
    assert names(modelled) == [candidate("run-lr-0.1")]


def test_push_without_a_remote(modelled: Repo) -> None:
    modelled.dvc("remote", "remove", "store")
    modelled.git("commit", "-qam", "no remote")
    before = state(modelled)
    done = modelled.xexp("prune", "--keep", "1", "--push")
    assert (done.code, "no DVC remote is set" in done.err) == (128, True)
    assert state(modelled) == before


def test_a_tag_with_the_object_in_the_cache_is_proof(modelled: Repo) -> None:
    modelled.xexp("tag", "--run", "run-lr-0.1").good()
    done = modelled.xexp("prune", "--keep", "1", "-n", "--json").good()
    assert fates(done)["run-lr-0.01_model.bin"]["proof"] == "e0.2.0 and the cache"
    modelled.xexp("prune", "--keep", "1").good()
    modelled.xexp("prune", "--cache").good()
    assert cache_object(modelled, content("run-lr-0.01")).is_file()


def test_a_damaged_cache_object_is_no_proof(modelled: Repo) -> None:
    modelled.xexp("tag", "--run", "run-lr-0.1").good()
    damaged = cache_object(modelled, content("run-lr-0.01"))
    damaged.chmod(0o644)
    damaged.write_bytes(b"y" * damaged.stat().st_size)
    before = state(modelled)
    assert modelled.xexp("prune", "--keep", "1").code == 1
    assert state(modelled) == before


def test_a_remote_that_lost_the_object_is_no_proof(pushed: Repo) -> None:
    remote_object(pushed, content("run-lr-0.01")).unlink()
    before = state(pushed)
    assert pushed.xexp("prune", "--keep", "1").code == 1
    assert state(pushed) == before


def test_a_remote_that_is_away_is_no_proof(pushed: Repo) -> None:
    assert pushed.remote is not None
    pushed.dvc("remote", "modify", "store", "url", "/nowhere/at/all")
    pushed.git("commit", "-qam", "away")
    done = pushed.xexp("prune", "--keep", "1")
    assert done.code == 128
    assert "remote 'store' cannot be reached" in done.err


def test_a_candidate_that_was_changed_by_hand(pushed: Repo) -> None:
    pushed.write(candidate("run-lr-0.01"), b"changed by hand")
    before = models(pushed)
    done = pushed.xexp("prune", "--keep", "1")
    assert done.code == 1
    assert "it was changed by hand" in done.err
    assert models(pushed) == before


def test_force_says_that_the_only_copy_goes(modelled: Repo) -> None:
    worst = "run-lr-0.01_model.bin"
    assert f"keep (only copy)\t{FOLDER}/{worst}" in modelled.xexp("prune", "--keep", "1", "-n").out
    planned = modelled.xexp("prune", "--keep", "1", "--force", "-n").good()
    assert f"remove (only copy)\t{FOLDER}/{worst}" in planned.out
    shown = modelled.xexp("prune", "--keep", "1", "--force", "-n", "--json").good()
    assert fates(shown)[worst]["goes"] is True


def test_force_keeps_bytes_and_no_link_to_the_cache(modelled: Repo) -> None:
    modelled.dvc("config", "cache.type", "symlink")
    modelled.dvc("checkout", "--relink")
    modelled.git("commit", "-qam", "links")
    assert (modelled / candidate("run-lr-0.01")).is_symlink()
    modelled.xexp("prune", "--keep", "1", "--force").good()
    modelled.dvc("gc", "-w", "-f")
    assert not cache_object(modelled, content("run-lr-0.01")).exists()
    modelled.xexp("undo").good()
    assert (modelled / candidate("run-lr-0.01")).read_bytes() == content("run-lr-0.01")


def test_force_moves_the_bytes_instead(modelled: Repo) -> None:
    before = state(modelled)
    done = modelled.xexp("prune", "--keep", "1", "--force").good()
    assert names(modelled) == [candidate("run-lr-0.1")]
    kept = list((modelled / ".git/xexp/ops").rglob("*.run-lr-0.01_model.bin"))
    assert [path.read_bytes() for path in kept] == [content("run-lr-0.01")]
    assert "they are kept in" in done.out
    cache_object(modelled, content("run-lr-0.01")).unlink()
    modelled.xexp("undo").good()
    assert state(modelled) == before


def test_what_is_proved_goes_although_something_else_is_not(modelled: Repo) -> None:
    modelled.xexp("prune", "--keep", "1", "--push", "-n")
    data = content("run-lr-0.01")
    target = remote_object(modelled, data)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    done = modelled.xexp("prune", "--keep", "0").good()
    assert names(modelled) == [candidate("run-lr-0.1")]
    assert "they stay" in done.err


# -- undo ----------------------------------------------------------------------------------------------


def test_undo_brings_every_file_back(pushed: Repo) -> None:
    before = state(pushed)
    path = pushed / candidate("run-lr-0.01")
    path.chmod(0o640)
    os.utime(path, ns=(10**18, 10**18))
    pushed.xexp("prune", "--keep", "0").good()
    assert names(pushed) == []
    assert not list((pushed / ".git/xexp/ops").rglob("*_model.bin"))
    pushed.xexp("undo").good()
    assert state(pushed) == before
    assert (path.stat().st_mtime_ns, path.stat().st_mode & 0o777) == (10**18, 0o640)


def test_undo_by_the_remote(pushed: Repo) -> None:
    before = state(pushed)
    pushed.xexp("prune", "--keep", "0").good()
    for run in ("run-lr-0.01", "run-lr-0.1"):
        cache_object(pushed, content(run)).unlink()
    pushed.xexp("undo").good()
    assert state(pushed) == before


def test_undo_says_when_nobody_has_it(pushed: Repo) -> None:
    pushed.xexp("prune", "--keep", "1").good()
    cache_object(pushed, content("run-lr-0.01")).unlink()
    remote_object(pushed, content("run-lr-0.01")).unlink()
    after = state(pushed)
    done = pushed.xexp("undo")
    assert done.code == 1
    assert "no cache and no remote has its bytes" in done.err
    assert state(pushed) == after


def test_a_candidate_that_is_not_checked_out_leaves_the_list_only(pushed: Repo) -> None:
    (pushed / candidate("run-lr-0.01")).unlink()
    pushed.xexp("prune", "--keep", "1").good()
    assert len(pushed.xexp("candidates", "--json").good().json()) == 2


def test_no_commit(pushed: Repo) -> None:
    head = pushed.head
    pushed.xexp("prune", "--keep", "1", "--no-commit").good()
    assert pushed.head == head
    assert pushed.git("status", "--porcelain") == f" M {FOLDER}.dvc"


# -- an old cache layout -------------------------------------------------------------------------------


@pytest.fixture
def legacy(pushed: Repo) -> Repo:
    """The candidates as DVC 2.x tracked them: no ``hash: md5``, objects at ``ab/…``."""
    pointer = pushed / f"{FOLDER}.dvc"
    pointer.write_text(pointer.read_text().replace("  hash: md5\n", ""))
    assert pushed.remote is not None
    for store in (pushed / ".dvc/cache", pushed.remote):
        for path in sorted((store / "files/md5").rglob("*")):
            if path.is_file():
                target = store / path.parent.name / path.name
                target.parent.mkdir(exist_ok=True)
                os.link(path, target)
    pushed.commit("as DVC 2 wrote it")
    return pushed


def test_the_old_layout_is_listed_promoted_and_pruned(legacy: Repo) -> None:
    rows = legacy.xexp("candidates", "--json").good().json()
    assert {(row["state"], row["cache"], row["remote"]) for row in rows} == {
        ("tracked", True, True)
    }
    before = state(legacy)
    legacy.xexp("promote", "--best", "f1").good()
    assert (legacy / PRODUCTION).read_bytes() == content("run-lr-0.1")
    assert legacy.dvc("status") == "Data and pipelines are up to date.\n"
    legacy.xexp("undo").good()
    assert state(legacy) == before
    legacy.xexp("prune", "--keep", "1").good()
    assert names(legacy) == [candidate("run-lr-0.1")]
    legacy.xexp("undo").good()
    assert state(legacy) == before
