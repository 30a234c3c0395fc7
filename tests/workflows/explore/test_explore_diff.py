"""git xexp explore diff."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from gitxexp.workflows.checks.intervals import difference_of_rates, wilson
from tests.experiments import tag
from tests.helpers import Clock, Repo


@pytest.fixture
def tagged(with_three: Repo) -> Repo:
    return with_three


def test_two_experiments(tagged: Repo) -> None:
    done = tagged.xexp("explore", "diff", "e0.1.0", "e0.2.0").good()
    assert done.out == (
        "e0.1.0 (run blue-moon-1) → e0.2.0 (run blue-sky-2)\n"
        "\n"
        "parameters\n"
        "  train.lr  0.1 → 0.0001\n"
        "\n"
        "metrics\n"
        "  f1    0.8  → 0.9  +0.1  +12.5%  better\n"
        "  loss  0.5  → 0.4  -0.1  -20.0%  better\n"
    )
    assert tagged.xexp("explore", "diff", "e0.1.0..e0.2.0").good().out == done.out
    turned = tagged.xexp("explore", "diff", "e0.2.0", "e0.1.0").good().out
    assert "  f1    0.9  → 0.8  -0.1  -11.1%  worse\n" in turned


def test_a_metric_of_one_side_only(tagged: Repo) -> None:
    found = tagged.xexp("explore", "diff", "e0.2.0", "e1.0.0", "--json").good().json()
    f1 = next(d for d in found["metrics"] if d["name"] == "f1")
    assert f1 == {"name": "f1", "before": 0.9, "after": None, "delta": None, "relative": None,
                  "better": None, "low": None, "high": None}  # fmt: skip
    assert {c["name"]: (c["before"], c["after"]) for c in found["params"]} == {
        "model": ("bert", "gpt"), "train.lr": (0.0001, 0.1)}  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "relative"),
    [(0, 1, None), (-2, -1, 0.5), (0.5, 0.5, 0.0), (2, float("nan"), None)],
)
def test_relative_deltas(
    repo: Repo, clock: Clock, before: float, after: float, relative: float | None
) -> None:
    tag(repo, clock, "e0.1.0", {}, {"score": before})
    tag(repo, clock, "e0.2.0", {}, {"score": after})
    found = repo.xexp("explore", "diff", "e0.1.0", "e0.2.0", "--json").good().json()
    assert found["metrics"][0]["relative"] == relative
    repo.xexp("explore", "diff", "e0.1.0", "e0.2.0").good()


def test_exit_codes_are_gits(tagged: Repo) -> None:
    assert tagged.xexp("explore", "diff", "e0.1.0", "e0.2.0").code == 0
    assert tagged.xexp("explore", "diff", "e0.1.0", "e0.2.0", "--exit-code").code == 1
    same = tagged.xexp("explore", "diff", "e0.1.0", "e0.1.0", "--exit-code")
    assert same.code == 0
    assert same.out.endswith("\nnothing differs\n")
    alone = tagged.xexp("explore", "diff").good()
    assert alone.out.startswith("e1.0.0 → work tree\n")


def test_code_is_told_from_prose_and_pointers(repo: Repo, clock: Clock) -> None:
    repo.write("train.py", "one\ntwo\n")
    repo.write("old name.py", "x\n")
    tag(repo, clock, "e0.1.0")
    repo.write("train.py", "one\n2\nthree\n")
    repo.write("README.md", "changed\n")
    repo.write("params.yaml", "lr: 1\n")
    repo.write("data.dvc", "outs:\n- path: data\n  md5: abc\n")
    repo.write("[x] ü.py", "new\n")
    (repo / "old name.py").unlink()
    repo.write("logo.bin", b"\0\1\2")
    tag(repo, clock, "e0.2.0")
    done = repo.xexp("explore", "diff", "e0.1.0", "e0.2.0").good()
    assert done.out.partition("code\n")[2] == (
        "  [x] ü.py     +1 -0\n  logo.bin     binary\n  old name.py  +0 -1\n  train.py     +2 -1\n"
    )
    patch = repo.xexp("explore", "diff", "e0.1.0", "e0.2.0", "--code").good().out
    assert "\n-two\n+2\n+three\n" in patch
    assert "README" not in patch
    found = repo.xexp("explore", "diff", "e0.1.0", "e0.2.0", "--json", "--code").good().json()
    assert found["code"][0] == {"path": "[x] ü.py", "added": 1, "deleted": 0}
    assert found["patch"].startswith("diff --git ")


def test_handwritten_tags_are_asked_only_for_what_they_name(repo: Repo, clock: Clock) -> None:
    repo.git("tag", "-a", "-m", "model=bert | lr=0.1 | F1=0.5 | old", "e0.1.0")
    tag(repo, clock, "e0.2.0", {"model": "bert", "train.lr": 0.2, "epochs": 3}, {"f1": 0.6})
    found = repo.xexp("explore", "diff", "e0.1.0", "e0.2.0", "--json").good().json()
    assert found["params"] == [{"name": "train.lr", "before": 0.1, "after": 0.2}]
    assert [(d["name"], d["better"]) for d in found["metrics"]] == [("f1", True)]


def test_what_have_i_changed(set_up: Repo, clock: Clock) -> None:
    clock.tick()
    set_up.xexp("tag", "--run", "run-lr-0.1", "-m", "start").good()
    set_up.write("train.py", "print('changed')\n")
    set_up.write("data/train.csv", "x,y\n1,2\n")
    refs = set_up.refs()
    done = set_up.xexp("explore", "diff", "e0.1.0").good()
    assert set_up.refs() == refs
    lines = done.out.splitlines()
    assert lines[0] == "e0.1.0 (run run-lr-0.1) → work tree (run run-lr-1.0)"
    assert "  lr  0.1 → 1.0" in lines
    assert any(line.startswith("  data/train.csv") and "bf6d4e70 → " in line for line in lines)
    assert any(line.startswith("  train.py ") for line in lines)
    assert any(line.split()[:3] == ["f1", "0.9", "→"] and "worse" in line for line in lines)
    assert (
        set_up.xexp("explore", "diff", "e0.1.0", "--code").good().out.count("print('changed')") == 1
    )


def test_in_a_subdirectory_and_a_linked_worktree(tagged: Repo) -> None:
    tagged.write("src/train.py", "x = 1\n")
    tagged.commit("code")
    (tagged / "deep").mkdir()
    inside = Repo(tagged / "deep")
    assert "  src/train.py  +1 -0" in inside.xexp("explore", "diff", "e1.0.0").good().out
    tagged.git("worktree", "add", "-q", "../linked", "e0.1.0")
    linked = Repo(tagged.path.parent / "linked")
    assert linked.xexp("explore").good().out == tagged.xexp("explore").good().out
    assert "src/train.py" not in linked.xexp("explore", "diff", "e1.0.0").good().out


def test_unknown_names_change_nothing(tagged: Repo) -> None:
    failed = tagged.xexp("explore", "diff", "e0.1.0", "e7.0.0")
    assert (failed.code, failed.out) == (128, "")
    assert failed.err.startswith("fatal: 'e7.0.0' is not an experiment, run or revision\n")


def evaluated(repo: Repo, clock: Clock) -> None:
    """e0.1.0, e0.2.0 and e0.3.0 with the rows of their runs: 60 inputs each, of which 40, 42 and 59 are
    right; and a latency whose mean is recorded of the first two alone."""
    rows = [
        (run, f"2026-01-01 00:00:{at:02d}", f"in-{at}", "yes" if at < right else "no", "yes",
         at / 10 + slow)
        for run, right, slow in (("a", 40, 0), ("b", 42, 9), ("c", 59, 0))
        for at in range(60)
    ]  # fmt: skip
    with closing(sqlite3.connect(repo / "results.db")) as db, db:
        db.execute("CREATE TABLE predictions (track_id, timestamp, input_id, prediction, ground_truth,"
                   " latency REAL, PRIMARY KEY (track_id, timestamp))")  # fmt: skip
        db.executemany("INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?)", rows)
    tag(repo, clock, "e0.1.0", {"lr": 0.1}, {"acc": 0.667, "mean_latency": 2.95}, run="a")
    tag(repo, clock, "e0.2.0", {"lr": 0.1}, {"accuracy": 0.7, "mean_latency": 11.95}, run="b")
    tag(repo, clock, "e0.3.0", {"lr": 0.2}, {"accuracy": 59 / 60, "mean_latency": 7.5}, run="c")


def test_intervals_from_rows(repo: Repo, clock: Clock) -> None:
    """Of a rate, of a mean, and none where the recorded value does not follow from the rows."""
    evaluated(repo, clock)
    out = repo.xexp("explore", "diff", "e0.1.0", "e0.2.0").good().out
    delta = difference_of_rates(wilson(42, 60), wilson(40, 60))
    assert "worse" not in out.partition("mean_latency")[0]
    assert f"(noise: 95% from {delta.low:.4f} to {delta.high:.4f})" in out
    found = repo.xexp("explore", "diff", "e0.1.0", "e0.2.0", "--json").good().json()["metrics"]
    latency = next(each for each in found if each["name"] == "mean_latency")
    assert 8 < latency["low"] < 9 < latency["high"] < 10
    found = repo.xexp("explore", "diff", "e0.2.0", "e0.3.0", "--json").good().json()["metrics"]
    assert {each["name"]: each["low"] is not None for each in found} == {
        "accuracy": True, "mean_latency": False}  # fmt: skip


def _ends(right: int) -> list[str]:
    rate = wilson(right, 60)
    return [f"{rate.low:.4f}", "to", f"{rate.high:.4f}"]


def test_several_in_columns(repo: Repo, clock: Clock) -> None:
    evaluated(repo, clock)
    repo.write("train.py", "one\n")
    tag(repo, clock, "e0.4.0", {"lr": 0.1}, {"accuracy": 0.5})
    names = ["e0.1.0", "e0.2.0", "e0.3.0"]
    done = repo.xexp("explore", "diff", *names).good()
    assert [line.split() for line in done.out.splitlines()[:10]] == [
        ["e0.1.0", "(run", "a),", "e0.2.0", "(run", "b),", "e0.3.0", "(run", "c)"],
        [],
        ["parameters"],
        names,
        ["lr", "0.1", "0.1", "0.2"],
        [],
        ["metrics"],
        names,
        ["acc", "0.667", "0.7", "0.9833*"],
        ["95%", *_ends(40), *_ends(42), *_ends(59)],
    ]
    assert "+0.033 +4.9% better (noise)  +0.3163 +47.4% better\n" in done.out
    found = repo.xexp("compare", *names, "e0.4.0", "--json", "--exit-code")
    assert found.code == 1
    document = found.json()
    assert [side["run"] for side in document["versions"]] == ["a", "b", "c", None]
    assert document["params"] == [{"name": "lr", "values": [0.1, 0.1, 0.2, 0.1]}]
    assert document["metrics"][0]["best"] == [2]
    assert document["metrics"][1]["values"] == [2.95, 11.95, 7.5, None]
    assert document["metrics"][1]["rows"] == [60, 60, None, None]
    assert document["code"] == [
        {"path": "train.py", "changes": [None, None, {"added": 1, "deleted": 0}]}
    ]
    marked = repo.xexp("explore", "diff", *names, "--md").good().out
    assert "| acc | 0.667 | 0.7 | **0.9833** |" in marked
    same = repo.xexp("explore", "diff", "e0.1.0", "e0.1.0", "e0.1.0", "--exit-code").good()
    assert same.out.endswith("nothing differs\n")
    assert repo.xexp("explore", "diff", *names, "--code").code == 129
    assert repo.xexp("explore", "diff", *names, "e9.9.9").code == 128


def test_digits(repo: Repo, clock: Clock) -> None:
    """Numbers look the same on every page, and have all digits where they are asked for."""
    value = 0.8684999999999999
    tag(repo, clock, "e0.1.0", {"lr": 1e-5}, {"f1": value})
    tag(repo, clock, "e0.2.0", {"lr": value}, {"f1": 0.5})
    pages = (["list"], ["show", "e0.1.0"], ["compare", "e0.1.0", "e0.2.0"],
             ["registry", "show", "e0.1.0"], ["registry", "list"],
             ["registry", "compare", "e0.1.0", "e0.2.0"])  # fmt: skip
    for words in pages:
        out = repo.xexp(*words).good().out
        assert "0.8685" in out and str(value) not in out, words
        assert str(value) in repo.xexp(*words, "--full").good().out, words
    for form in ("--csv", "--json", "--porcelain"):
        assert str(value) in repo.xexp("list", form, "--columns", "version,f1").good().out
