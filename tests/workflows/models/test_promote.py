"""``git xexp promote``: the model in production, and what becomes of the one before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from gitxexp.repository.registry import Registry
from gitxexp.storage.dvc.pointers import outputs_in
from tests.helpers import Repo
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


def promotions(repo: Repo) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = repo.xexp("promote", "--history", "--json").good().json()
    return found


def test_a_candidate_and_production_change_places(modelled: Repo) -> None:
    head = modelled.head
    done = modelled.xexp("promote", "--run", "run-lr-0.1", "-m", "it is better").good()
    assert models(modelled) == {
        PRODUCTION: content("run-lr-0.1"),
        candidate("run-lr-0.01"): content("run-lr-0.01"),
        candidate("run-lr-1.0"): content("run-lr-1.0"),
    }
    assert "promoted run-lr-0.1 to models/production/model.bin" in done.out
    assert "the replaced model is now models/candidates/run-lr-1.0_model.bin" in done.out
    f1 = next(line.split() for line in done.out.splitlines() if line.split()[:1] == ["f1"])
    assert f1 == ["f1", "0.45", "0.9", "+0.45", "better"]
    assert modelled.git("log", "-1", "--format=%P%n%s%n%b") == (
        f"{head}\npromote: run-lr-0.1 (f1=0.9) to {PRODUCTION}\nit is better\n"
    )
    assert modelled.git("status", "--porcelain") == ""
    assert modelled.dvc("status") == "Data and pipelines are up to date.\n"


def test_the_pointers_are_what_dvc_itself_would_write(modelled: Repo) -> None:
    modelled.xexp("promote", "--run", "run-lr-0.1").good()
    before = {out.path: out.hash for out in outputs_in(modelled.path)}
    modelled.dvc("add", PRODUCTION, FOLDER)
    assert {out.path: out.hash for out in outputs_in(modelled.path)} == before


def test_the_promotion_is_on_record(modelled: Repo) -> None:
    modelled.xexp("promote", "--run", "run-lr-0.1", "-m", "why not").good()
    (row,) = promotions(modelled)
    oid = {run: cache_object(modelled, content(run)) for run in ("run-lr-0.1", "run-lr-1.0")}
    hashes = {run: f"md5:{p.parent.name}{p.name}" for run, p in oid.items()}
    assert row["who"] == "Ada Lovelace <ada@example.org>"
    assert (row["slot"], row["run"], row["why"]) == ("model", "run-lr-0.1", "why not")
    assert (row["metric"], row["value"]) == ("f1", 0.9)
    assert (row["hash_before"], row["hash_after"]) == (hashes["run-lr-1.0"], hashes["run-lr-0.1"])
    text = modelled.xexp("promote", "--history").good().out.splitlines()
    assert text[0].split("\t") == [
        "at",
        "version",
        "run",
        "metric",
        "before",
        "after",
        "who",
        "why",
    ]
    assert text[1].split("\t")[2:4] == ["run-lr-0.1", "f1=0.9"]


def test_explore_show_names_the_promotion(modelled: Repo) -> None:
    modelled.xexp("promote", "--run", "run-lr-0.1", "-m", "for show").good()
    modelled.xexp("tag", "--run", "run-lr-0.1").good()
    shown = modelled.xexp("explore", "show", "e0.2.0").good().out
    assert "promotions" in shown
    assert "for show" in shown
    (row,) = modelled.xexp("explore", "show", "e0.2.0", "--json").good().json()["promotions"]
    assert row["run"] == "run-lr-0.1"
    assert modelled.xexp("explore", "show", "e0.1.0", "--json").good().json()["promotions"] == []


def test_what_is_in_production_already_changes_nothing(modelled: Repo) -> None:
    before = state(modelled)
    for args in (["--run", "run-lr-1.0"], ["e0.1.0"]):
        done = modelled.xexp("promote", *args).good()
        assert "is already in production: nothing to do" in done.out
        assert state(modelled) == before
    assert promotions(modelled) == []


def test_why_a_model_is_in_production_already_is_recorded_once(modelled: Repo) -> None:
    modelled.xexp("promote", "--run", "run-lr-0.1").good()
    modelled.git("checkout", "-q", "HEAD~1", "--", f"{PRODUCTION}.dvc")  # back, but by no promotion
    modelled.write(PRODUCTION, content("run-lr-1.0"))
    modelled.commit("back again")
    for _ in range(2):
        done = modelled.xexp("promote", "--run", "run-lr-1.0", "-m", "as before", "--yes").good()
    assert "is already in production: nothing to do" in done.out
    assert modelled.git("show", "--format=", "--name-only", "HEAD") == ".xexp/registry.db"
    latest, first = promotions(modelled)
    assert (latest["run"], latest["why"]) == ("run-lr-1.0", "as before")
    assert (latest["hash_before"], latest["hash_after"]) == (
        first["hash_after"], first["hash_before"],
    )  # fmt: skip
    assert modelled.git("status", "--porcelain") == ""
    modelled.xexp("promote", "--rollback").good()
    assert (modelled / PRODUCTION).read_bytes() == content("run-lr-0.1")


def test_something_worse_needs_a_yes(modelled: Repo) -> None:
    modelled.xexp("promote", "--best", "f1").good()
    before = state(modelled)
    done = modelled.xexp("promote", "e0.1.0")
    assert done.code == 1
    assert done.err == (
        "error: it is worse than production by f1: nothing was promoted\n"
        "hint: promote it anyway: --yes\n"
    )
    assert state(modelled) == before
    modelled.xexp("promote", "e0.1.0", "--yes").good()
    assert (modelled / PRODUCTION).read_bytes() == content("run-lr-1.0")


def test_what_has_no_number_needs_a_yes_too(modelled: Repo) -> None:
    set_metric(modelled, "run-lr-0.1", "f1", None)
    done = modelled.xexp("promote", "--run", "run-lr-0.1")
    assert done.code == 1
    assert "it has no value for f1, and production has" in done.err
    modelled.xexp("promote", "--run", "run-lr-0.1", "-y").good()


def test_a_dry_run_changes_nothing(modelled: Repo) -> None:
    before = state(modelled)
    done = modelled.xexp("promote", "--best", "f1", "-n", "--json").good().json()
    assert (done["before"]["run"], done["after"]["run"]) == ("run-lr-1.0", "run-lr-0.1")
    assert done["metrics"][0] == {
        "name": "f1", "before": 0.45, "after": 0.9, "delta": 0.45, "better": True,
    }  # fmt: skip
    assert "←" in modelled.xexp("promote", "--best", "f1", "-n").good().out
    assert state(modelled) == before


# -- the best --------------------------------------------------------------------------------------


def test_without_a_choice_the_best_by_the_primary_metric(modelled: Repo) -> None:
    done = modelled.xexp("promote").good()
    assert "note: chosen as the best by f1" in done.err
    assert (modelled / PRODUCTION).read_bytes() == content("run-lr-0.1")
    assert "is already in production" in modelled.xexp("promote").good().out


def test_the_best_by_a_loss_is_the_lowest(modelled: Repo) -> None:
    done = modelled.xexp("promote", "--best", "loss", "-n", "--json").good().json()
    losses = {r["run"]: r["metrics"]["loss"] for r in modelled.xexp("candidates", "--json").json()}
    assert done["after"]["run"] == min(losses, key=lambda run: losses[run])


def test_null_and_text_never_win_and_are_named(modelled: Repo) -> None:
    set_metric(modelled, "run-lr-0.1", "f1", None)
    set_metric(modelled, "run-lr-0.01", "f1", "great")
    done = modelled.xexp("promote", "--best", "f1").good()
    assert "is already in production" in done.out
    assert "without a value for f1, so not considered:" in done.err
    assert "run-lr-0.1 (NULL)" in done.err
    assert "run-lr-0.01 ('great')" in done.err


def test_a_tie_is_said_and_production_stays(modelled: Repo) -> None:
    set_metric(modelled, "run-lr-0.1", "f1", 0.45)
    set_metric(modelled, "run-lr-0.01", "f1", 0.45)
    done = modelled.xexp("promote", "--best", "f1").good()
    assert "is already in production" in done.out
    assert "f1=0.45 is shared by run-lr-" in done.err
    assert "took run-lr-1.0" in done.err
    modelled.xexp("candidates", "add", PRODUCTION, "--run", "run-lr-1.0").good()  # as run does
    again = modelled.xexp("promote", "--best", "f1").good().err
    assert "took run-lr-1.0" in again and "run-lr-1.0" not in again.partition("; took")[0]


def test_a_better_run_without_a_model_is_said(modelled: Repo) -> None:
    (modelled / candidate("run-lr-0.1")).unlink()
    modelled.dvc("add", FOLDER)
    done = modelled.xexp("promote", "--best", "f1").good()
    assert "note: run run-lr-0.1 has f1=0.9 but no model file" in done.err
    assert (modelled / PRODUCTION).read_bytes() == content("run-lr-0.01")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--best", "f9"], 128, "no metric is named 'f9'"),
        (["--run", "run-lr-7"], 128, "no run 'run-lr-7' in the results"),
        (["--run", "run-lr-0"], 128, "run 'run-lr-0' is ambiguous: run-lr-0.01, run-lr-0.1"),
        (["e9.9.9"], 128, "there is no experiment e9.9.9"),
        (["nonsense"], 129, "'nonsense' is not a version"),
        (["e0.1.0", "--best", "f1"], 129, "VERSION and --best cannot be used together"),
        (["--tag", "--no-commit"], 129, "--tag and --no-commit cannot be used together"),
        (["--rollback"], 1, "there is no promotion to roll back"),
        (["--from-worktree", "x"], 128, "there is no worktree x"),
        (["--slot", "x"], 129, "there is no model slot 'x'"),
    ],
)
def test_bad_input(modelled: Repo, args: list[str], code: int, message: str) -> None:
    before = state(modelled)
    done = modelled.xexp("promote", *args)
    assert done.code == code
    assert message in done.err
    assert state(modelled) == before


def test_a_run_without_a_model_file(modelled: Repo) -> None:
    (modelled / candidate("run-lr-0.1")).unlink()
    modelled.dvc("add", FOLDER)
    done = modelled.xexp("promote", "--run", "run-lr-0.1")
    assert done.code == 128
    assert done.err.startswith("fatal: run run-lr-0.1 has no model file")
    assert "hint: add it first: git xexp candidates add PATH --run run-lr-0.1" in done.err


def test_no_results_database(modelled: Repo) -> None:
    (modelled / "results/experiments.db").unlink()
    done = modelled.xexp("promote", "--run", "run-lr-0.1")
    assert done.code == 1  # it cannot be compared with production, whose tag has a number
    modelled.xexp("promote", "--run", "run-lr-0.1", "--yes").good()


# -- where the bytes come from -----------------------------------------------------------------------


def test_from_a_tag_by_the_cache(modelled: Repo) -> None:
    modelled.xexp("promote", "--best", "f1", "--no-keep").good()
    assert candidate("run-lr-1.0") not in models(modelled)
    modelled.xexp("promote", "e0.1.0", "-y").good()
    found = models(modelled)
    assert found[PRODUCTION] == content("run-lr-1.0")
    assert found[candidate("run-lr-0.1")] == content("run-lr-0.1")
    assert (modelled / PRODUCTION).stat().st_nlink == 1
    assert (modelled / PRODUCTION).stat().st_mode & 0o200


def test_from_a_tag_by_the_remote(modelled: Repo) -> None:
    modelled.dvc("push")
    modelled.xexp("promote", "--best", "f1", "--no-keep").good()
    cache_object(modelled, content("run-lr-1.0")).unlink()
    modelled.xexp("promote", "e0.1.0", "-y").good()
    assert (modelled / PRODUCTION).read_bytes() == content("run-lr-1.0")


def test_a_corrupt_cache_object_is_not_taken(modelled: Repo) -> None:
    modelled.dvc("push")
    modelled.xexp("promote", "--best", "f1", "--no-keep").good()
    damaged = cache_object(modelled, content("run-lr-1.0"))
    damaged.chmod(0o644)
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    modelled.xexp("promote", "e0.1.0", "-y").good()
    assert (modelled / PRODUCTION).read_bytes() == content("run-lr-1.0")
    assert damaged.read_bytes() == content("run-lr-1.0")
    (modelled / candidate("run-lr-0.01")).unlink()
    damaged = cache_object(modelled, content("run-lr-0.01"))
    damaged.chmod(0o644)
    damaged.write_bytes(b"x")
    damaged.chmod(0o444)  # DVC trusts it
    modelled.xexp("promote", "--run", "run-lr-0.01", "-y").good()
    assert (modelled / PRODUCTION).read_bytes() == content("run-lr-0.01")
    assert damaged.read_bytes() == content("run-lr-0.01")


def test_a_model_that_nobody_has(modelled: Repo) -> None:
    modelled.xexp("tag").good()
    modelled.xexp("promote", "--best", "f1", "--no-keep").good()
    cache_object(modelled, content("run-lr-1.0")).unlink()
    before = state(modelled)
    done = modelled.xexp("promote", "e0.1.0", "-y")
    assert done.code == 128
    assert "no valid copy of models/production/model.bin" in done.err
    assert state(modelled) == before


def test_a_candidate_that_is_not_checked_out(modelled: Repo) -> None:
    (modelled / candidate("run-lr-0.1")).unlink()
    (modelled / candidate("run-lr-0.01")).unlink()
    modelled.xexp("promote", "--run", "run-lr-0.1").good()
    assert (modelled / PRODUCTION).read_bytes() == content("run-lr-0.1")
    modelled.dvc("checkout")
    assert set(models(modelled)) == {PRODUCTION, candidate("run-lr-0.01"), candidate("run-lr-1.0")}


def test_from_a_worktree(modelled: Repo, tmp_path: Path) -> None:
    modelled.xexp("worktree", "new", "a").good()
    tree = Repo(tmp_path / "exp-a", modelled.remote)
    for path in (PRODUCTION, "results/experiments.db"):
        (tree / path).unlink(missing_ok=True)
    tree.write(PRODUCTION, b"trained in a worktree")
    shutil.copy(modelled / "results/experiments.db", tree / "results/experiments.db")
    done = modelled.xexp(
        "promote", "--from-worktree", "a", "--run", "run-lr-1.0", "-m", "wt"
    ).good()
    assert models(modelled)[PRODUCTION] == b"trained in a worktree"
    assert models(modelled)[candidate("run-lr-1.0")] == content("run-lr-1.0")
    assert (tree / PRODUCTION).read_bytes() == b"trained in a worktree"
    assert "worktree a" in done.out
    assert promotions(modelled)[0]["why"] == "wt"


# -- the replaced model ------------------------------------------------------------------------------


def test_no_keep_refuses_what_would_be_the_only_copy(modelled: Repo) -> None:
    modelled.write(PRODUCTION, b"trained and never added")
    before = state(modelled)
    done = modelled.xexp("promote", "--best", "f1", "--no-keep", "-y")
    assert done.code == 1
    assert "is the only copy of that model" in done.err
    assert state(modelled) == before


def test_an_edited_production_model_is_kept_as_it_is(modelled: Repo) -> None:
    modelled.write(PRODUCTION, b"trained and never added")
    done = modelled.xexp("promote", "--best", "f1", "-y").good()
    assert "differs from its pointer; it is kept as it is now" in done.err
    kept = [path for path, data in models(modelled).items() if data == b"trained and never added"]
    assert len(kept) == 1
    assert cache_object(modelled, b"trained and never added").is_file()


def test_a_second_model_of_a_run_gets_a_name_of_its_own(modelled: Repo) -> None:
    modelled.xexp("promote", "--run", "run-lr-0.1").good()
    modelled.write("again.bin", b"trained again")
    modelled.xexp("candidates", "add", "again.bin", "--run", "run-lr-0.1").good()
    modelled.xexp("promote", "--run", "run-lr-0.1", "-y").good()
    found = models(modelled)
    assert found[PRODUCTION] == b"trained again"
    (second,) = (p for p in found if "run-lr-0.1@" in p)
    assert found[second] == content("run-lr-0.1")


def test_the_first_production_model(trained: Repo) -> None:
    trained.git("rm", "-q", f"{PRODUCTION}.dvc")
    (trained / PRODUCTION).unlink()
    trained.xexp("init").good()
    trained.commit("no model")
    trained.write(candidate("run-lr-0.1"), content("run-lr-0.1"))
    before = state(trained)
    done = trained.xexp("promote", "--best", "f1").good()
    assert models(trained) == {PRODUCTION: content("run-lr-0.1")}
    assert "the replaced model" not in done.out
    assert promotions(trained)[0]["hash_before"] == ""
    assert "there was no model in production" in trained.xexp("promote", "--rollback").err
    trained.xexp("undo").good()
    assert state(trained) == before


def test_no_commit(modelled: Repo) -> None:
    head = modelled.head
    modelled.xexp("promote", "--best", "f1", "--no-commit").good()
    assert modelled.head == head
    assert modelled.git("status", "--porcelain").split("\n") == [
        " M .xexp/registry.db", f" M {FOLDER}.dvc", f" M {PRODUCTION}.dvc",
    ]  # fmt: skip


def test_with_a_tag_it_is_one_operation(modelled: Repo) -> None:
    before = state(modelled)
    done = modelled.xexp("promote", "--best", "f1", "--tag", "-m", "best so far").good()
    assert "e0.2.0  model=softmax | lr=0.1" in done.out
    assert modelled.git("log", "-1", "--format=%s").startswith("e0.2.0: ")
    row = Registry(modelled / ".xexp/registry.db").rows()["e0.2.0"]
    assert (row.run, row.metrics["f1"]) == ("run-lr-0.1", 0.9)
    assert len(promotions(modelled)) == 1
    modelled.xexp("undo").good()
    after = state(modelled)
    assert after[0] == before[0]
    assert modelled.tags == ["e0.1.0"]


# -- rollback and undo -------------------------------------------------------------------------------


def test_rollback_goes_back_step_by_step(modelled: Repo) -> None:
    modelled.xexp("promote", "--run", "run-lr-0.01").good()
    modelled.xexp("promote", "--run", "run-lr-0.1").good()
    modelled.xexp("promote", "--rollback", "-m", "a mistake").good()
    assert (modelled / PRODUCTION).read_bytes() == content("run-lr-0.01")
    modelled.xexp("promote", "--rollback").good()
    assert (modelled / PRODUCTION).read_bytes() == content("run-lr-1.0")
    rows = promotions(modelled)
    assert [row["run"] for row in rows] == [
        "run-lr-1.0", "run-lr-0.01", "run-lr-0.1", "run-lr-0.01",
    ]  # fmt: skip
    assert rows[1]["why"] == f"rollback of {rows[2]['id']}: a mistake"
    assert "rollback of run-lr-0.1: a mistake" in modelled.xexp("promote", "--history").good().out
    assert modelled.xexp("promote", "--rollback").code == 1


def test_rollback_of_a_model_that_was_not_kept(modelled: Repo) -> None:
    modelled.xexp("promote", "--run", "run-lr-0.1", "--no-keep").good()
    modelled.xexp("promote", "--rollback").good()
    assert (modelled / PRODUCTION).read_bytes() == content("run-lr-1.0")


@pytest.mark.parametrize("args", [["--best", "f1"], ["--best", "f1", "--no-keep"]])
def test_undo_brings_every_file_back(modelled: Repo, args: list[str]) -> None:
    before = state(modelled)
    times = {p: (modelled / p).stat().st_mtime_ns for p in models(modelled)}
    modelled.xexp("promote", *args).good()
    modelled.xexp("undo").good()
    assert state(modelled) == before
    assert {p: (modelled / p).stat().st_mtime_ns for p in models(modelled)} == times


def test_undo_refuses_where_production_was_changed_since(modelled: Repo) -> None:
    modelled.xexp("promote", "--best", "f1").good()
    modelled.write(PRODUCTION, b"trained since")
    done = modelled.xexp("undo")
    assert done.code == 1
    assert "was changed since" in done.err
    assert (modelled / PRODUCTION).read_bytes() == b"trained since"
    done = modelled.xexp("undo", "--force").good()
    assert models(modelled)[PRODUCTION] == content("run-lr-1.0")
    assert models(modelled)[candidate("run-lr-0.1")] == content("run-lr-0.1")
    (rescued,) = (modelled / ".git/xexp/rescued").iterdir()
    assert rescued.read_bytes() == b"trained since"
    assert str(rescued) in done.err


def test_undo_where_the_kept_candidate_is_gone(modelled: Repo) -> None:
    before = state(modelled)
    modelled.xexp("promote", "--best", "f1").good()
    (modelled / candidate("run-lr-1.0")).unlink()
    modelled.xexp("undo").good()
    assert state(modelled) == before


def test_undo_by_the_remote_when_the_cache_is_gone(modelled: Repo) -> None:
    modelled.dvc("push")
    before = models(modelled)
    modelled.xexp("promote", "--best", "f1").good()
    (modelled / candidate("run-lr-1.0")).unlink()
    cache_object(modelled, content("run-lr-1.0")).unlink()
    assert remote_object(modelled, content("run-lr-1.0")).is_file()
    modelled.xexp("undo").good()
    assert models(modelled) == before


def test_undo_that_cannot_bring_it_back_says_so(modelled: Repo) -> None:
    modelled.xexp("promote", "--best", "f1").good()
    (modelled / candidate("run-lr-1.0")).unlink()
    cache_object(modelled, content("run-lr-1.0")).unlink()
    done = modelled.xexp("undo")
    assert done.code == 1
    assert "no cache and no remote has its bytes" in done.err
    assert models(modelled)[PRODUCTION] == content("run-lr-0.1")
    assert "no cache and no remote" in modelled.xexp("undo", "--force").good().err
    assert models(modelled)[candidate("run-lr-0.1")] == content("run-lr-0.1")
    modelled.xexp("tag", "-m", "nothing is held up").good()


def test_the_python_interface(modelled: Repo) -> None:
    import gitxexp
    from gitxexp.common.errors import NoAnswer

    here = gitxexp.open(modelled.path)
    assert here.candidates().rows[0].facts.run == "run-lr-0.1"
    done = here.promote(best="f1", message="from Python")
    assert done.promotion is not None
    assert (modelled / PRODUCTION).read_bytes() == content("run-lr-0.1")
    with pytest.raises(NoAnswer, match="worse than production"):
        here.promote("e0.1.0")
    assert here.prune(keep=5).gone == ()
    here.undo(1)


@pytest.fixture
def bare_models(modelled: Repo) -> Repo:
    """``modelled`` as a new clone has it: pointers, and no file of a model."""
    modelled.dvc("push")
    for path in models(modelled):
        (modelled / path).unlink()
    return modelled


def test_the_model_that_is_not_checked_out_is_on_record_and_kept(bare_models: Repo) -> None:
    before = state(bare_models)
    shutil.rmtree(bare_models / ".dvc/cache")
    done = bare_models.xexp("promote", "--run", "run-lr-0.1").good()
    assert f"the replaced model is now {candidate('run-lr-1.0')}" in done.out
    assert models(bare_models) == {
        PRODUCTION: content("run-lr-0.1"), candidate("run-lr-1.0"): content("run-lr-1.0"),
    }  # fmt: skip
    (row,) = promotions(bare_models)
    assert row["hash_before"].startswith("md5:")
    bare_models.dvc("pull")
    assert set(models(bare_models)) == {
        PRODUCTION,
        candidate("run-lr-1.0"),
        candidate("run-lr-0.01"),
    }
    bare_models.xexp("undo").good()
    (bare_models / candidate("run-lr-0.01")).unlink()
    assert state(bare_models) == before


def test_what_is_in_production_and_not_checked_out_is_promoted_by_no_one(bare_models: Repo) -> None:
    before = state(bare_models)
    done = bare_models.xexp("promote", "--run", "run-lr-1.0").good()
    assert "run-lr-1.0 is already in production: nothing to do" in done.out
    assert f"hint: it is not checked out: dvc checkout {PRODUCTION}" in done.err
    assert state(bare_models) == before
    assert promotions(bare_models) == []


def test_a_replaced_model_that_nobody_has_stops_no_promotion(bare_models: Repo) -> None:
    for place in (cache_object, remote_object):
        place(bare_models, content("run-lr-1.0")).unlink()
    done = bare_models.xexp("promote", "--run", "run-lr-0.1").good()
    assert "the replaced model is not kept as a candidate: no cache and no remote has" in done.err
    assert models(bare_models) == {PRODUCTION: content("run-lr-0.1")}
    (row,) = promotions(bare_models)
    assert row["hash_before"].startswith("md5:")
    failed = bare_models.xexp("promote", "--rollback")
    assert failed.code == 128
    assert row["hash_before"] in failed.err
