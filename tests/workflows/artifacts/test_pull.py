"""``git xexp pull``: two clones of real git, DVC and trackers' databases."""

from __future__ import annotations

import pytest

from tests.helpers import Repo
from tests.workflows.experiments.test_two_clones import DB, log, sql, versions

pytestmark = pytest.mark.usefixtures("quick")  # git starts the drivers

MODEL = "models/production/model.bin"
Pair = tuple[Repo, Repo]


def train(repo: Repo, run_id: str, lr: float, model: bytes) -> None:
    """A run as a training leaves it: rows, a model written anew, its parameters."""
    log(repo, run_id, lr)
    path = repo / MODEL
    path.unlink(missing_ok=True)
    path.write_bytes(model)
    repo.write("params.yaml", f"model: softmax\nlr: {lr}\nepochs: 3\n")


def test_a_new_clone_has_everything(pair: Pair) -> None:
    ann, bob = pair
    done = bob.xexp("pull").good()
    assert done.out.startswith("registered the merge drivers for this clone\noutputs: ")
    assert bob.git("config", "merge.xexp.driver").strip()
    for name in (DB, MODEL, "data/train.csv"):
        assert (bob / name).read_bytes() == (ann / name).read_bytes()
    for name in (DB, MODEL):
        assert (bob / name).stat().st_nlink == 1 and (bob / name).stat().st_mode & 0o200
    assert bob.git("status", "--porcelain") == ""
    assert bob.xexp("pull").good().out == "already up to date\n"


def test_a_colleagues_run_comes_in_whole(pair: Pair) -> None:
    ann, bob = pair
    bob.xexp("pull").good()
    train(ann, "theirs", 0.3, b"their model" * 9)
    ann.xexp("tag", "--all", "-m", "theirs", "--push").good()
    done = bob.xexp("pull", "--json").good().json()
    assert done["experiments"] == ["e0.2.0"] and done["commits"] == 1 and not done["kept"]
    assert set(done["outputs_updated"]) == {DB, MODEL}
    assert (bob / MODEL).read_bytes() == b"their model" * 9
    assert versions(bob) == {"theirs": "e0.2.0"}
    assert bob.xexp("--json").good().json()["outputs"] == {
        "changed": [],
        "stale": [],
        "missing": [],
        "elsewhere": 0,
    }


def test_work_of_ones_own_stays(pair: Pair) -> None:
    ann, bob = pair
    bob.xexp("pull").good()
    train(ann, "theirs", 0.3, b"their model" * 9)
    ann.xexp("tag", "--all", "-m", "theirs", "--push").good()
    (bob / MODEL).unlink()
    bob.write(MODEL, b"mine")
    bob.xexp("candidates", "add", MODEL, "--run", "run-lr-0.1").good()  # a cache has it, too
    assert bob.xexp("--json").good().json()["outputs"]["changed"] == [MODEL]  # by no other commit
    done = bob.xexp("pull").good()
    assert f"note: changed here and left as it is: {MODEL}\n" in done.err
    assert (bob / MODEL).read_bytes() == b"mine" and versions(bob) == {"theirs": "e0.2.0"}


def test_both_took_one_number_and_no_row_is_lost(pair: Pair) -> None:
    ann, bob = pair
    bob.xexp("pull").good()
    train(ann, "theirs", 0.3, b"their model" * 9)
    ann.xexp("tag", "--all", "-m", "theirs", "--push").good()
    log(bob, "mine", 0.7)
    bob.xexp("tag", "--run", "mine", "-m", "mine").good()
    done = bob.xexp("pull").good()
    assert "e0.2.0 of this clone is now e0.3.0: origin has another e0.2.0\n" in done.out
    assert versions(bob) == {"theirs": "e0.2.0", "mine": "e0.3.0"}
    assert (bob / MODEL).read_bytes() == b"their model" * 9
    assert bob.git("status", "--porcelain") == "" and bob.tags[-2:] == ["e0.2.0", "e0.3.0"]
    bob.xexp("push").good()


def test_a_tag_made_again_in_other_words_is_no_other_experiment(pair: Pair) -> None:
    ann, bob = pair
    bob.xexp("pull").good()
    was = bob.git("rev-parse", "--short", "e0.1.0").strip()
    ann.git("tag", "-f", "-a", "-m", "better words", "e0.1.0", "e0.1.0^{}")
    ann.git("push", "-q", "-f", "origin", "e0.1.0")
    head = bob.head
    done = bob.xexp("pull").good()
    assert f"note: e0.1.0 was tagged again: now as origin has it (was {was})\n" in done.err
    assert (bob.head, bob.tags) == (head, ["e0.1.0"])
    assert bob.git("rev-parse", "e0.1.0") == ann.git("rev-parse", "e0.1.0")
    bob.xexp("push").good()
    for repo in (ann, bob):  # two people, one commit: two experiments
        repo.xexp("tag", "--no-commit", "e0.2.0", "-m", f"of {repo.path.name}").good()
    ann.xexp("push").good()
    assert "e0.2.0 of this clone is now " in bob.xexp("pull").good().out
    assert "of mate" in bob.git("tag", "-n1") and "of repo" in bob.git("tag", "-n1")


def test_a_merged_run_is_not_tagged_with_the_model_of_another(pair: Pair) -> None:
    """The newest run came with a merge of results, the model with a pull, of a run without a tag."""
    ann, bob = pair
    bob.xexp("pull").good()
    train(ann, "theirs", 0.3, b"their model" * 9)
    ann.dvc("add", DB, MODEL)
    ann.git("commit", "-qam", "by hand")
    ann.dvc("push", "-q")
    ann.git("push", "-q")
    bob.git("checkout", "-q", "-b", "side")
    train(bob, "beside", 0.3, b"my model" * 9)
    sql(bob / DB, "UPDATE predictions SET timestamp = '2032-01-01' WHERE track_id = 'beside'")
    bob.xexp("tag", "--all", "-m", "beside").good()
    bob.git("checkout", "-q", "main")
    bob.dvc("checkout", "-q")
    bob.xexp("pull").good()
    bob.xexp("merge", "side", "--only", "results").good()
    head, tags = bob.head, bob.tags
    refused = bob.xexp("tag", "--all", "-m", "whose model?")
    assert refused.code == 1 and refused.err.startswith(
        f"error: the newest run is beside of e0.2.0, and {MODEL} is not its model\n"
    )
    assert (bob.head, bob.tags) == (head, tags)
    bob.xexp("tag", "--all", "--run", "theirs", "-m", "theirs").good()
    assert bob.xexp("explore", "show", "e0.3.0", "--json").good().json()["run"] == "theirs"
    # made again by hand, the tag no longer says so, and the registry does
    bob.git("tag", "-f", "-a", "-m", "better words", "e0.3.0", "HEAD")
    bob.xexp("tag", "--all", "-m", "again").good()
    assert bob.xexp("explore", "show", "e0.4.0", "--json").good().json()["run"] == "theirs"


def test_rows_of_both_are_merged(pair: Pair) -> None:
    ann, bob = pair
    bob.xexp("pull").good()
    log(bob, "mine", 0.7)
    bob.dvc("add", DB)
    bob.git("commit", "-qam", "a run that is not tagged yet")
    train(ann, "theirs", 0.3, b"their model" * 9)
    ann.xexp("tag", "--all", "-m", "theirs", "--push").good()
    done = bob.xexp("pull", "--json").good().json()
    assert done["commits"] == 2 and done["kept"] == [] == done["clashing"]
    assert versions(bob) == {"theirs": "e0.2.0", "mine": None}
    assert (bob / MODEL).read_bytes() == b"their model" * 9
    assert bob.git("status", "--porcelain") == ""


def test_conflicts_and_refusals_say_how_to_go_on(pair: Pair) -> None:
    ann, bob = pair
    bob.xexp("pull").good()
    ann.write("train.py", "print('ann')\n")
    ann.commit("ann's code")
    ann.git("push", "-q")
    bob.write("train.py", "print('bob')\n")
    before = bob.head
    refused = bob.xexp("pull")
    assert refused.code == 128 and "git pull refused: " in refused.err and "hint: " in refused.err
    assert bob.head == before and (bob / "train.py").read_text() == "print('bob')\n"
    bob.commit("bob's code")
    stopped = bob.xexp("pull")
    assert stopped.code == 1 and "git pull stopped at conflicts: train.py" in stopped.err
    status = bob.xexp().good().out
    assert "  merge in progress, 1 conflict, 1 changed" in status
    assert status.endswith("next       git xexp conflicts\n")
    bob.git("add", "train.py")
    status = bob.xexp("--json").good().json()
    assert (status["unfinished"], status["conflicts"]) == ("merge", 0)
    assert status["next"] == "git merge --continue"
    bob.git("merge", "--abort")
    bob.git("config", "pull.rebase", "true")
    assert "stopped at conflicts" in bob.xexp("pull").err
    assert "  rebase in progress, 1 conflict, 1 changed" in bob.xexp().good().out
    bob.git("rebase", "--abort")


def test_what_nobody_has_is_named(pair: Pair) -> None:
    ann, bob = pair
    train(ann, "theirs", 0.3, b"their model" * 9)
    ann.xexp("tag", "--all", "-m", "theirs").good()
    ann.git("push", "-q")
    done = bob.xexp("pull")
    assert done.code == 1 and f"missing: {MODEL}\n" in done.err
    assert (bob / "data/train.csv").read_bytes() == (ann / "data/train.csv").read_bytes()


def test_a_clone_without_drivers_says_so(pair: Pair) -> None:
    _, bob = pair
    line = "this clone has no merge drivers, so git does not merge rows: git xexp init\n"
    status = bob.xexp().good()
    assert (
        "\ndrivers    not registered in this clone, so git does not merge rows: git xexp init"
        in status.out
    )
    assert bob.xexp("--json").good().json()["drivers"] is False
    for words in (("tag", "--dry-run"), ("merge", "HEAD", "--dry-run")):
        assert f"note: {line}" in bob.xexp(*words).err
    bob.xexp("init").good()
    assert "drivers " not in bob.xexp().good().out
    assert line not in bob.xexp("tag", "--dry-run").err


def promote(repo: Repo, run_id: str, model: bytes) -> None:
    """The model of a run made a candidate and put into production, pushed."""
    source = repo.write("new.bin", model)
    repo.xexp("candidates", "add", source, "--run", run_id).good()
    source.unlink()
    repo.xexp("promote", "--run", run_id, "-y").good()


def test_of_two_promotions_the_later_is_production(pair: Pair) -> None:
    """One model, two people: no conflict, and both stay in the history."""
    ann, bob = pair
    bob.xexp("pull").good()
    promote(ann, "run-lr-0.1", b"ann's" * 9)
    ann.xexp("push").good()
    earlier = ann.head
    promote(bob, "run-lr-0.01", b"bob's" * 9)
    done = bob.xexp("pull").good()
    assert (bob / MODEL).read_bytes() == b"bob's" * 9
    assert "production is now" not in done.out, "bob's own is later"
    history = bob.xexp("promote", "--history", "--json").good().json()
    assert [entry["run"] for entry in history] == ["run-lr-0.01", "run-lr-0.1"]
    assert bob.git("status", "--porcelain") == ""
    bob.xexp("push").good()
    done = ann.xexp("pull").good()
    assert "production is now run-lr-0.01, promoted by " in done.out
    assert (ann / MODEL).read_bytes() == b"bob's" * 9
    runs = {row["run"] for row in ann.xexp("candidates", "--json").good().json()}
    assert runs == {"run-lr-0.01", "run-lr-1.0"}, "the one before is a candidate on both sides"
    ann.xexp("get", earlier, MODEL, "-o", "earlier.bin").good()
    assert (ann / "earlier.bin").read_bytes() == b"ann's" * 9


def test_the_earlier_promotion_gives_way_in_a_rebase(pair: Pair) -> None:
    ann, bob = pair
    bob.xexp("pull").good()
    promote(bob, "run-lr-0.01", b"bob's" * 9)
    promote(ann, "run-lr-0.1", b"ann's" * 9)
    ann.xexp("push").good()
    done = bob.xexp("pull", "--rebase").good()
    assert "production is now run-lr-0.1, promoted by " in done.out
    assert "production of model changed: run-lr-0.1, promoted by Ada Lovelace" in bob.xexp().out
    assert [p["run"] for p in bob.xexp("--json").json()["production"]] == ["run-lr-0.1"]
    assert ann.xexp("--json").json()["production"] == []  # it was ann who did it
    assert (bob / MODEL).read_bytes() == b"ann's" * 9
    assert len(bob.xexp("promote", "--history", "--json").good().json()) == 2
