"""git xexp report: words, tables and parameters as Markdown."""

from __future__ import annotations

import math
import random

import pytest

from gitxexp.workflows.report.importance import Params
from tests import experiments
from tests.helpers import Clock, Repo


def test_report(repo: Repo, clock: Clock) -> None:
    """The best, what it changed, the table, and parameters over enough runs."""
    assert repo.xexp("report", "--md").code == 128
    experiments.three(repo, clock)
    done = repo.xexp("report", "--md").good().out
    assert done.startswith(
        f"## {repo.path.name}: experiments\n\n- 3 experiments; the newest is **e1.0.0**.\n"
    )
    assert "- Best f1 (higher is better): **0.9** by **e0.2.0**.\n" in done
    experiments.tag(repo, clock, "e0.2.1", {"train.lr": 0.5}, {"f1": 0.9})
    tie = repo.xexp("report", "--md", "e0.1.0", "e0.2.0", "e0.2.1").good().out
    assert " **0.9** by **e0.2.1**, the same as e0.2.0.\n" in tie
    repo.git("tag", "-d", "e0.2.1")
    assert "- Against e0.1.0, it changed train.lr 0.1 → 0.0001: +0.1.\n" in done
    assert "No parameter varies over at least 5 runs." in done
    for number, lr in enumerate((0.1, 0.2, 0.3, 0.4)):
        experiments.tag(
            repo, clock, f"e1.1.{number}", {"train.lr": lr, "name": "|<script>"}, {"f1": lr / 2}
        )
    done = repo.xexp("report", "-o", "report.md").good()
    assert done.out == "wrote report.md\n"
    assert repo.xexp("report", "--open", "-o", "-").code == 129
    folder = repo.xexp("report", "--md", "-o", ".")
    assert (folder.code, folder.err.splitlines()[0]) == (128, "fatal: . is a folder")
    text = (repo / "report.md").read_text()
    assert "| train.lr | " in text and "| 6 |" in text
    assert "<script>" not in text
    ranked = repo.xexp("report", "--md", "e0.1.0", "e1.0.0", "--metric", "loss").good().out
    assert "- Best loss (lower is better): **0.5** by **e0.1.0**.\n" in ranked
    assert "e0.2.0" not in ranked.split("### Experiments")[1].split("###")[0]
    assert repo.xexp("report", "--md", "--metric", "f2").code == 128


def test_importance() -> None:
    """Correlation by rank, ties shared; the share of variance between groups."""
    metric = [1.0, 2.0, 3.0, 4.0, 10.0, None]
    found = {one.name: one for one in Params(
        {"up": [1, 2, 3, 4, 5, 6], "down": [5, 4, 3, 2, 1, 0], "kind": ["a", "a", "b", "b", "b", "a"],
         "same": [1] * 6, "few": [1, 2, None, None, None, None]}).importance(metric)}  # fmt: skip
    assert set(found) == {"up", "down", "kind"}
    assert found["up"].correlation == pytest.approx(1.0)
    assert found["down"].correlation == pytest.approx(-1.0)
    assert found["up"].share is None  # every run has a value of its own
    # groups (1, 2) and (3, 4, 10): means 1.5 and 17/3, of all 4; eta squared by hand
    assert found["kind"].share == pytest.approx((2 * 2.5**2 + 3 * (17 / 3 - 4) ** 2) / 50)
    assert (found["kind"].correlation, found["kind"].runs) == (None, 5)
    (large,) = Params({"kind": [1, 1, 2, 2, 10**399, 2]}).importance([1e300, 2, 3, 4, 5, math.inf])
    assert (large.share, large.runs) == (None, 5)


def test_what_chance_gives_is_not_told_as_telling() -> None:
    """Of many values each of two runs chance alone makes the share large; six runs in order are no chance."""
    chance = random.Random(1)
    metric = [chance.random() for _ in range(400)]
    params = {"pairs": [n // 2 for n in range(400)], "noise": [chance.random() for _ in metric],
              "few": [chance.randint(1, 3) for _ in metric],
              "real": [round(value + chance.random(), 1) for value in metric]}  # fmt: skip
    found = Params(params).importance(metric)
    assert found[0].name == "real" and found[0].beyond_chance > 0.5
    assert {one.name for one in found if not one.beyond_chance} == {"pairs", "noise", "few"}
    assert next(one.share for one in found if one.name == "pairs") > 0.4
    (six,) = Params({"lr": [1, 2, 3, 4, 5, 6]}).importance([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert six.beyond_chance == pytest.approx(1.0)
    (four,) = Params({"lr": [1, 2, 4, 3, 5]}).importance([1.0, 2.0, 3.0, 4.0, 5.0])
    assert four.correlation == pytest.approx(0.9) and not four.beyond_chance


def test_numbers_beyond_floats(repo: Repo, clock: Clock) -> None:
    """Integers that no float holds, and infinities, end neither report, plot nor comparison."""
    for at, (width, loss) in enumerate([(10**399, math.inf), (-(10**399), math.inf), (8, 0.5)]):
        experiments.tag(
            repo, clock, f"e0.{at + 1}.0", {"lr": 0.1}, {"width": width, "loss": loss, "f1": 0.5}
        )
    best = repo.xexp("report", "--md", "--metric", "width").good().out
    assert "**inf** by **e0.1.0**" in best
    assert repo.xexp("plot", "width", "--json").good().json()["notes"] == [
        "2 experiments not shown: have NaN or an infinity as width"
    ]
    nothing = repo.xexp("plot", "width", "--hist", "--filter", "loss > 1").good().err
    assert "no value of width" in nothing
    changes = repo.xexp("explore", "diff", "e0.1.0", "e0.2.0", "--json").good().json()["metrics"]
    better = {change["name"]: change["better"] for change in changes}
    assert better["width"] is False and better["loss"] is None
    repo.xexp("export", "all.parquet", "--full").good()
