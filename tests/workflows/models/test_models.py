"""``git xexp candidates``: list and add, and the slots of the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitxexp.common.errors import UsageError, XexpError
from gitxexp.repository.config import Config, ModelSlot
from gitxexp.repository.repository import Project
from gitxexp.workflows.models import inventory
from gitxexp.workflows.models.context import ranked
from gitxexp.workflows.models.run_facts import RunFacts, metrics_today
from gitxexp.workflows.models.select import kept_files
from tests.helpers import Repo
from tests.workflows.models.model_tools import (
    FOLDER,
    PRODUCTION,
    RUNS,
    cache_object,
    candidate,
    content,
    models,
    set_metric,
    state,
)


@pytest.fixture
def ready(modelled: Repo) -> Repo:
    """Production of run-lr-1.0, tagged e0.1.0; candidates of run-lr-0.01 and run-lr-0.1."""
    return modelled


# -- slots -----------------------------------------------------------------------------------------


def test_the_default_slot_needs_no_configuration() -> None:
    (slot,) = inventory.all_slots(Config())
    assert (slot.name, slot.production, slot.candidates) == ("model", PRODUCTION, FOLDER)
    assert slot.candidate("run-1") == f"{FOLDER}/run-1_model.bin"


def test_named_slots_and_their_defaults() -> None:
    config = Config(models_slots=(ModelSlot("ranker", extension="pt"), ModelSlot("embedder")))
    ranker, embedder = inventory.all_slots(config)
    assert ranker.production == "models/ranker/production/model.pt"
    assert ranker.candidate("a") == "models/ranker/candidates/a_model.pt"
    assert embedder.candidates == "models/embedder/candidates"
    assert inventory.choose_slot([ranker, embedder], "ranker") is ranker
    with pytest.raises(UsageError, match="several model slots: ranker, embedder"):
        inventory.choose_slot([ranker, embedder], None)
    with pytest.raises(UsageError, match="no model slot 'x'"):
        inventory.choose_slot([ranker], "x")


@pytest.mark.parametrize(
    "slot", [ModelSlot("a", production="../m.bin"), ModelSlot("a", candidates="/tmp/c")]
)
def test_a_slot_outside_the_repository_is_refused(slot: ModelSlot) -> None:
    with pytest.raises(XexpError, match="not a path inside"):
        inventory.all_slots(Config(models_slots=(slot,)))


def test_slots_that_overlap_are_refused() -> None:
    both = (ModelSlot("a", candidates="models"), ModelSlot("b", candidates="models/b"))
    with pytest.raises(XexpError, match="overlap"):
        inventory.all_slots(Config(models_slots=both))


@pytest.mark.parametrize("run", ["run-1", "a/b", "50%", "lr=0.1 x", "hä", "x_model", "a@b"])
def test_a_run_survives_its_file_name(run: str) -> None:
    (slot,) = inventory.all_slots(Config())
    name = slot.candidate(run)
    assert inventory.run_of(name) == run
    assert inventory.run_of(slot.candidate(run, "0123456789")) == run
    assert name.count("/") == 2


def test_a_file_that_is_called_otherwise_has_no_run() -> None:
    assert inventory.run_of("notes.txt") is None
    assert inventory.run_of("model.bin") is None


# -- list ------------------------------------------------------------------------------------------


def test_list_ranks_production_among_the_candidates(ready: Repo) -> None:
    rows = ready.xexp("candidates", "--json").good().json()
    assert [(r["run"], r["rank"], r["production"]) for r in rows] == [
        ("run-lr-0.1", 1, False), ("run-lr-0.01", 2, False), ("run-lr-1.0", 3, True),
    ]  # fmt: skip
    best, _, production = rows
    assert best["metrics"]["f1"] == 0.9
    assert best["ranked_by"] == "f1"
    assert (best["workspace"], best["cache"], best["remote"]) == (True, True, False)
    assert (best["version"], best["tag"]) == (None, None)
    assert (production["version"], production["tag"]) == ("e0.1.0", "e0.1.0")
    assert production["size"] == len(content("run-lr-1.0"))
    assert {row["state"] for row in rows} == {"tracked"}


def test_list_ranks_a_loss_from_low_to_high(ready: Repo) -> None:
    rows = ready.xexp("candidates", "list", "--metric", "loss", "--json").good().json()
    losses = [row["metrics"]["loss"] for row in rows]
    assert losses == sorted(losses)


def test_list_says_which_tag_holds_a_candidate(ready: Repo) -> None:
    ready.xexp("tag", "--run", "run-lr-0.1", "--allow-mismatch").good()
    for _ in range(2):  # the second time from what the first one kept
        rows = ready.xexp("candidates", "--json").good().json()
        assert {row["run"]: row["tag"] for row in rows} == dict.fromkeys(RUNS, "e0.2.0")
    assert (ready / ".git/xexp/manifests.db").exists()
    rows = ready.xexp("candidates", "--json").good().json()
    assert {row["run"]: row["version"] for row in rows}["run-lr-0.1"] == "e0.2.0"


def test_list_as_a_table(ready: Repo) -> None:
    lines = ready.xexp("candidates").good().out.splitlines()
    assert lines[0].split("\t")[:4] == ["model", "run", "version", "f1"]
    assert lines[1].split("\t")[:4] == ["candidate", "run-lr-0.1", "-", "0.9"]
    assert "workspace, cache" in lines[1]


def test_list_without_any_model(dvc_repo: Repo) -> None:
    done = dvc_repo.xexp("candidates").good()
    assert "there are no models yet" in done.err
    assert dvc_repo.xexp("candidates", "--json").good().json() == []
    dvc_repo.git("config", "xexp.models.paths", "model.pkl")
    done = dvc_repo.xexp("candidates").good()
    assert (
        "hint: to make model.pkl the production model: git config xexp.models.production"
        in done.err
    )


def test_list_says_what_was_changed_by_hand_or_never_tracked(ready: Repo) -> None:
    ready.write(candidate("run-lr-0.1"), b"other")
    ready.write(f"{FOLDER}/new_model.bin", b"new")
    (ready / candidate("run-lr-0.01")).unlink()
    done = ready.xexp("candidates", "--json").good()
    states = {Path(row["path"]).name: row["state"] for row in done.json()}
    assert states == {
        "run-lr-0.1_model.bin": "edited",
        "new_model.bin": "untracked",
        "run-lr-0.01_model.bin": "not checked out",
        "model.bin": "tracked",
    }
    assert "run-lr-0.1_model.bin differs from its pointer: it was changed by hand" in done.err


def test_list_says_of_a_model_that_git_itself_holds_that_it_is_in_git(dvc_repo: Repo) -> None:
    dvc_repo.git("config", "xexp.models.production", "models/[a] b.bin")
    dvc_repo.write("models/[a] b.bin", b"weights")
    (row,) = dvc_repo.xexp("candidates", "--json").good().json()
    assert row["state"] == "untracked"
    dvc_repo.commit("model")
    (row,) = dvc_repo.xexp("candidates", "--json").good().json()
    assert row["state"] == "in git"
    assert "production, in git" in dvc_repo.xexp("candidates").good().out


def test_list_null_and_text_metrics_are_never_best(ready: Repo) -> None:
    set_metric(ready, "run-lr-0.1", "f1", None)
    set_metric(ready, "run-lr-0.01", "f1", "n/a")
    rows = ready.xexp("candidates", "--metric", "f1", "--json").good().json()
    assert rows[0]["run"] == "run-lr-1.0"
    assert [row["rank"] for row in rows] == [1, None, None]


def test_list_a_metric_that_is_none(ready: Repo) -> None:
    done = ready.xexp("candidates", "list", "--metric", "f11")
    assert done.code == 128
    assert done.err == "fatal: no metric is named 'f11'\nhint: did you mean f1?\n"


def test_list_without_a_results_database(ready: Repo) -> None:
    (ready / "results/experiments.db").unlink()
    rows = ready.xexp("candidates", "--json").good().json()
    assert {row["run"] for row in rows} == set(RUNS)
    assert {row["run"]: row["rank"] for row in rows}["run-lr-1.0"] == 1  # its tag knows


def test_list_changes_nothing_and_needs_no_dvc(ready: Repo) -> None:
    before = state(ready)
    code = """import sys
from gitxexp.entry import main
sys.argv[1:] = ["candidates"]
main()
print([m for m in ("dvc", "duckdb", "pandas") if m in sys.modules], file=sys.stderr)
"""
    done = ready.python("-c", code).good()
    assert done.err.strip() == "[]"
    assert state(ready) == before


def test_several_slots_are_listed_together(ready: Repo) -> None:
    with (ready / ".xexp/config.toml").open("a") as file:
        file.write('\n[models.model]\nproduction = "models/production/model.bin"\n'
                   'candidates = "models/candidates"\n[models.ranker]\nextension = ".pt"\n')  # fmt: skip
    ready.write("r.pt", b"ranker")
    ready.xexp("candidates", "add", "r.pt", "--run", "run-lr-0.1", "--slot", "ranker").good()
    rows = ready.xexp("candidates", "--json").good().json()
    assert {row["slot"] for row in rows} == {"model", "ranker"}
    assert ready.xexp("candidates", "list", "--slot", "ranker", "--json").good().json()[0][
        "path"
    ] == ("models/ranker/candidates/run-lr-0.1_model.pt")
    done = ready.xexp("candidates", "add", "r.pt")
    assert (done.code, "several model slots: model, ranker" in done.err) == (129, True)
    assert "no model slot 'x'" in ready.xexp("candidates", "list", "--slot", "x").err


def test_git_config_names_a_slot(ready: Repo) -> None:
    ready.git("config", "xexp.models.production", "models/other.bin")
    rows = ready.xexp("candidates", "--json").good().json()
    assert not any(row["production"] for row in rows)
    ready.git("config", "--unset", "xexp.models.production")
    ready.git("config", "xexp.models.ranker.extension", "pt")
    assert ready.xexp("candidates", "--json").good().json() == []


# -- add -------------------------------------------------------------------------------------------


def test_add_for_the_latest_run(ready: Repo) -> None:
    ready.write("new.pt", b"new model")
    done = ready.xexp("candidates", "add", "new.pt", "--json").good().json()
    assert (done["path"], done["run"]) == (f"{FOLDER}/run-lr-1.0_model.pt", "run-lr-1.0")
    assert done["how"] in ("copy", "reflink")
    assert (ready / "new.pt").read_bytes() == b"new model"
    assert cache_object(ready, b"new model").is_file()
    manifest = ready.xexp("candidates", "--json").good().json()
    assert len(manifest) == 4


def test_add_again_does_nothing(ready: Repo) -> None:
    before = state(ready)
    ready.write("same.bin", content("run-lr-0.1"))
    done = ready.xexp("candidates", "add", "same.bin", "--run", "run-lr-0.1").good()
    assert done.out == f"{candidate('run-lr-0.1')} already exists: nothing to do\n"
    (ready / "same.bin").unlink()
    assert state(ready) == before


def test_add_a_file_above_the_repository_by_a_relative_path(ready: Repo) -> None:
    (ready.path.parent / "new.pt").write_bytes(b"new model")
    done = ready.xexp("candidates", "add", "../new.pt", "--json").good().json()
    assert done["path"] == f"{FOLDER}/run-lr-1.0_model.pt"
    done = ready.xexp(
        "candidates", "add", "results/../../repo/train.py", "--run", "run-lr-0.1"
    ).good()
    assert "added" in done.out


def test_models_in_a_submodule_are_refused(ready: Repo) -> None:
    """Their pointers would be files of the other repository."""
    ready.git("init", "-q", "vendor/lib")
    ready.git("config", "xexp.models.candidates", "vendor/lib/others")
    before = state(ready)
    done = ready.xexp("candidates", "add", "train.py")
    assert done.code == 128
    assert "vendor/lib/others is in another repository, vendor/lib, so this one cannot" in done.err
    assert state(ready) == before
    assert not (ready / "vendor/lib/others").exists()


def test_add_never_replaces_another_model(ready: Repo) -> None:
    ready.write("other.bin", b"other")
    before = state(ready)
    done = ready.xexp("candidates", "add", "other.bin", "--run", "run-lr-0.1")
    assert done.code == 1
    assert "already exists, with other content" in done.err
    assert state(ready) == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere.bin"], "there is no file nowhere.bin"),
        (["models"], "models is a folder: a candidate is one file"),
        (["train.py", "--run", "run-lr-0.7"], "no run 'run-lr-0.7' in the results"),
    ],
)
def test_add_bad_input(ready: Repo, args: list[str], message: str) -> None:
    before = state(ready)
    done = ready.xexp("candidates", "add", *args)
    assert done.code == 128
    assert done.err.startswith(f"fatal: {message}")
    assert state(ready) == before


def test_add_without_results(ready: Repo) -> None:
    (ready / "results/experiments.db").unlink()
    ready.write("new.bin", b"new")
    done = ready.xexp("candidates", "add", "new.bin")
    assert done.code == 128
    assert "no results database has a run" in done.err
    ready.xexp("candidates", "add", "new.bin", "--run", "run-lr-1.0").good()  # its tag knows it


def test_add_where_nothing_is_set_up(trained: Repo) -> None:
    done = trained.xexp("candidates", "add", "train.py")
    assert (done.code, done.err.splitlines()[1]) == (128, "hint: run: git xexp init")


def test_add_is_undone_and_keeps_what_was_changed_since(ready: Repo) -> None:
    before = models(ready)
    pointer = (ready / f"{FOLDER}.dvc").read_bytes()
    ready.write("new.bin", b"new")
    ready.xexp("candidates", "add", "new.bin").good()
    ready.xexp("undo").good()
    assert models(ready) == before
    ready.xexp("candidates", "add", "new.bin").good()
    ready.write(candidate("run-lr-1.0"), b"changed since")
    ready.xexp("undo").good()
    assert models(ready)[candidate("run-lr-1.0")] == b"changed since"
    assert (ready / f"{FOLDER}.dvc").read_bytes() == pointer


def test_a_read_only_file_is_linked_not_copied(ready: Repo) -> None:
    fixed = ready.write("fixed.bin", b"fixed")
    fixed.chmod(0o444)
    done = ready.xexp("candidates", "add", "fixed.bin", "--json").good().json()
    assert done["how"] in ("reflink", "hardlink")
    assert (ready / done["path"]).read_bytes() == b"fixed"


def test_add_keeps_candidates_that_are_not_checked_out(ready: Repo) -> None:
    (ready / candidate("run-lr-0.01")).unlink()
    ready.write("new.bin", b"new")
    ready.xexp("candidates", "add", "new.bin").good()
    found = {row["path"] for row in ready.xexp("candidates", "--json").good().json()}
    assert candidate("run-lr-0.01") in found


def test_a_list_that_is_in_no_cache_is_not_overwritten(ready: Repo) -> None:
    text = (ready / f"{FOLDER}.dvc").read_text()
    oid = next(line.split()[-1] for line in text.splitlines() if ".dir" in line)
    (ready / f".dvc/cache/files/md5/{oid[:2]}/{oid[2:]}").unlink()
    ready.write("new.bin", b"new")
    before = state(ready)
    done = ready.xexp("candidates", "add", "new.bin")
    assert done.code == 128
    assert "is in no cache" in done.err
    assert state(ready) == before
    assert "is not in the cache" in ready.xexp("candidates").good().err


def test_candidates_that_git_tracks_are_refused(trained: Repo) -> None:
    trained.xexp("init").good()
    trained.write(candidate("run-lr-0.1"), b"in git")
    trained.commit("by mistake")
    trained.write("new.bin", b"new")
    done = trained.xexp("candidates", "add", "new.bin")
    assert done.code == 128
    assert "is tracked by git, so DVC cannot track it" in done.err
    assert "git rm -r --cached" in done.err


def test_json_is_valid_with_nan(ready: Repo) -> None:
    set_metric(ready, "run-lr-0.1", "accuracy", float("inf"))
    json.loads(ready.xexp("candidates", "--json").good().out)


def test_add_takes_the_run_that_is_recorded_for_the_bytes(ready: Repo) -> None:
    """The latest run is another one: it did not write this file."""
    source = ready.write("copy.bin", content("run-lr-0.01"))
    done = ready.xexp("candidates", "add", source, "--json").good().json()
    assert (done["run"], done["how"]) == ("run-lr-0.01", "there")


def test_a_time_that_an_old_tag_took_for_a_metric_does_not_rank() -> None:
    metrics = {"function_time": 0.1, "f1": 0.9, "own_measure": 3, "n_predictions": 8}
    assert metrics_today(metrics, Config()) == {"f1": 0.9, "own_measure": 3}
    config = Config(roles_metric=("function_time",))
    assert "function_time" in metrics_today(metrics, config)


def test_the_kept_files_of_a_run(ready: Repo) -> None:
    """Its candidate, from the work tree or a cache, whole; nothing of a file that was changed."""
    project = Project.open(ready.path)
    (kept,) = kept_files(project, "run-lr-0.1")
    assert kept.path == PRODUCTION and kept.file.read_bytes() == content("run-lr-0.1")
    (ready / candidate("run-lr-0.1")).write_bytes(b"changed by hand")
    (kept,) = kept_files(project, "run-lr-0.1")
    assert kept.file.read_bytes() == content("run-lr-0.1")
    kept.file.chmod(0o644)
    kept.file.write_bytes(b"damaged")
    assert kept_files(project, "run-lr-0.1") == []
    assert kept_files(project, "run-lr-1.0") == [], "it was never kept as a candidate"


def test_a_tagged_model_is_as_new_as_what_was_made_in_the_second_of_its_tag(ready: Repo) -> None:
    """git's dates are whole seconds: which of two runs of one second was tagged is no accident."""
    runs = [
        RunFacts(run="late", metrics={"f1": 1.0}, seconds=100.9),
        RunFacts(run="early", metrics={"f1": 1.0}, seconds=100.2),
        RunFacts(run="best", version="e0.1.0", metrics={"f1": 1.0}, seconds=100.0),
        RunFacts(run="next", metrics={"f1": 1.0}, seconds=101.0),
    ]
    files = [inventory.Model("", f"models/{r.run}", r.run, False, "md5:0", 1) for r in runs]
    order = ranked(Project.open(ready.path), files, runs, "f1")
    assert [runs[at].run for at in order] == ["next", "best", "late", "early"]
