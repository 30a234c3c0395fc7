"""Plots: what is shown, how it looks in a terminal, and the files."""

from __future__ import annotations

import json
import math
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gitxexp.cli.render import plot as render
from gitxexp.cli.render import plot_file
from gitxexp.cli.render.plot import Look
from gitxexp.common import streams
from gitxexp.workflows.explore.plot import Plot, PlotAxis, PlotPoint, Series
from tests import experiments
from tests.helpers import Clock, Repo

PLAIN = Look(50, 6, None)


def points(done: Any) -> dict[str, list[tuple[Any, Any]]]:
    """Series by name."""
    return {
        each["name"]: [(point["x"], point["y"]) for point in each["points"]]
        for each in done.good().json()["series"]
    }


def of(*pairs: tuple[float, float], x: PlotAxis | None = None, kind: Any = "line") -> Plot:
    series = [Series("", [PlotPoint(*pair) for pair in pairs])]
    return Plot(kind, "y by x", x or PlotAxis("x"), PlotAxis("y"), None, series)


def test_experiments(repo: Repo, clock: Clock) -> None:
    def plotted(*words: str) -> Any:
        return repo.xexp("plot", *words, "--json")

    assert "there are no experiments" in repo.xexp("plot", "f1").good().err
    experiments.three(repo, clock)
    nan = {"f1": math.nan, "loss": math.inf}
    experiments.tag(repo, clock, "e0.10.0", {"model": "gpt", "train.lr": "auto"}, nan)
    done = plotted("loss", "--x", "version")
    assert points(done) == {"": [("e0.1.0", 0.5), ("e0.2.0", 0.4), ("e1.0.0", 0.7)]}
    assert done.json()["notes"] == ["1 experiment not shown: has NaN or an infinity as loss"]
    assert points(plotted("loss", "--x", "train.lr", "--by", "model", "--log-x")) == {
        "bert": [(0.0001, 0.4), (0.1, 0.5)], "gpt": [(0.1, 0.7)],
    }  # fmt: skip
    by_date = plotted("f1", "--x", "date").json()
    assert by_date["x"] == {"name": "date", "kind": "time", "log": False}
    assert [point["name"] for point in by_date["series"][0]["points"]] == ["e0.1.0", "e0.2.0"]
    assert plotted("f1").json()["notes"] == [
        "1 experiment not shown: has NaN or an infinity as f1", "1 experiment not shown: has no f1",
    ]  # fmt: skip
    assert points(plotted("model", "--hist"))[""] == [("bert", 2), ("gpt", 2)]
    assert points(plotted("epochs", "--hist", "--by", "model")) == {
        "bert": [(2.85, 2)],
        "gpt": [(2.85, 1)],
    }
    assert points(plotted("f1", "--where", "f1 > 0.85"))[""] == [("e0.2.0", 0.9)]
    for words, said in {
        ("f2",): "did you mean f1?", ("f1", "--x", "modle"): "did you mean model?",
        ("f1", "--hist", "--x", "lr"): "a histogram has no --x",
        ("f1", "--log-x"): "no logarithmic axis", ("version",): "is no number to plot",
        ("f1", "-o", "x.gif"): "name it with one of .svg, .png, .html",
    }.items():  # fmt: skip
        failed = repo.xexp("plot", *words)
        assert failed.code in (128, 129) and said in failed.err and not failed.out, words
    counted = repo.xexp("plot", "model", "--hist").good().out.splitlines()
    assert [line.split()[0] for line in counted if "┤" in line] == [
        "2",
        "1",
        "0",
    ]  # none between them
    assert repo.xexp("plot", "loss", "--log-y").good().out.splitlines()[1] == "loss (log)"
    shown = repo.xexp("explore", "plot", "loss", "--by", "model").good().out
    assert "loss by version" in shown and "o bert  x gpt" in shown and "\x1b" not in shown
    coloured = repo.xexp("plot", "loss", "--by", "model", "--color=always").good().out
    assert "\x1b[36m●\x1b[0m bert  \x1b[33m●\x1b[0m gpt" in coloured
    assert repo.xexp("plot", "f1", "--filter", "model = gpt").good().err.splitlines()[-1] == (
        "there is nothing to plot: no value of f1 by version"
    )
    assert repo.xexp("plot", "f1", "--filter", "model = gpt", "-o", "f1.svg").code == 1
    assert not (repo / "f1.svg").exists()
    for words in (("f1 > 5",), ("f1 > 5", "--x", "version")):
        done = repo.xexp("plot", "f1", "--filter", *words).good()
        assert done.err.splitlines()[-1] == "none of 4 experiments match"


def test_runs(set_up: Repo) -> None:
    """Curves by the steps that rows name, runs by parameter, columns of tables."""

    def plotted(*words: str) -> Any:
        return set_up.xexp("explore", "plot", *words, "--json")

    curves = points(plotted("loss", "--x", "step"))
    assert set(curves) == {"run-lr-0.01", "run-lr-0.1", "run-lr-1.0"}
    assert curves["run-lr-1.0"] == [(0, 0.5), (1, 0.3333), (2, 0.25)]
    best = plotted("loss", "--x", "step", "-n", "1", "--by", "lr")
    assert list(points(best)) == ["1.0: run-lr-1.0"]
    assert best.json()["notes"] == ["1 of 3 runs are shown, the best by loss (-n N shows more)"]
    grouped = set_up.xexp("plot", "loss", "--x", "step", "--by", "model").good().out.splitlines()
    assert grouped[-2:] == ["model:", "o softmax (3)"]  # one colour, whichever run it is
    once = plotted("f1", "--x", "step")
    assert points(once)["run-lr-0.1"] == [(0, 0.9)]
    assert once.json()["notes"] == ["no run logged f1 more than once"]
    by_rate = points(plotted("f1", "--runs", "--x", "lr"))[""]
    assert by_rate == [(0.01, 0.855), (0.1, 0.9), (1, 0.45)]
    rows = plotted("predictions.loss")
    assert sum(count for _, count in points(rows)[""]) == 9
    assert rows.json()["notes"] == ["3 rows without a value not shown"]
    for option in ("--filter=lr > 0", "--where=1 = 1", "--limit=1", "--sort=lr"):
        done = set_up.xexp("plot", "predictions.loss", option)
        assert done.code == 129 and f"{option.partition('=')[0]} cannot be used with" in done.err
    assert "did you mean predictions.loss" not in set_up.xexp("plot", "predictions.los").err
    with closing(sqlite3.connect(set_up / "results/experiments.db")) as db, db:
        db.executemany(
            "INSERT INTO predictions (track_id, timestamp, loss, epoch) VALUES (?, ?, ?, ?)",
            (("long", f"2030-01-01 00:00:{n / 500:09.6f}", n % 100, n) for n in range(20_000)),
        )
    lines = set_up.xexp("explore", "plot", "loss", "--x", "step", "-n", "9").good().out.splitlines()
    assert max(map(len, lines)) < 80 and "long" in lines[-1]


def test_a_terminal() -> None:
    assert render.as_lines(of((0, 1), (1, 2), (2, 4)), PLAIN) == [
        "y by x",
        "",
        "4 ┤                                        ⢀⣀⠤⠔⠒●",
        "  │                                  ⢀⣀⠤⠔⠒⠉⠁",
        "  │                            ⢀⣀⠤⠔⠒⠉⠁",
        "2 ┤                      ⣀●⠤⠔⠒⠉⠁",
        "  │          ⢀⣀⣀⠤⠤⠤⠒⠒⠒⠉⠉⠉",
        "  │●⡠⠤⠤⠔⠒⠒⠊⠉⠉⠁",
        "  └┬──────────────────────┬──────────────────────",
        "   0                      1",
        "                         x",
    ]
    only = render.as_lines(of((5, 0.25)), PLAIN)
    assert sum(line.count("●") for line in only) == 1 and any("0.25 ┤" in line for line in only)
    none = render.as_lines(of(), PLAIN)
    assert len(none) == 2 + 6 + 3
    huge = render.as_lines(of((-1e308, -1e308), (1e308, 1e308)), PLAIN)
    assert sum(line.count("●") for line in huge) == 2
    letters = render.as_lines(of((0, 1), (1, 2)), Look(50, 6, None, dots=False))
    assert all(line.isascii() for line in letters) and any("o" in line for line in letters)
    names = PlotAxis("x", "category", categories=["\x1b[2Jevil", "日本語のモデル"])
    odd = render.as_lines(of((0, 1), (1, 2), x=names, kind="points"), PLAIN)
    assert "\x1b" not in "".join(odd) and any("日本語" in line for line in odd)
    painted = render.as_lines(of((0, 1)), Look(50, 6, streams.paint))
    assert streams.coloured("\n".join(painted)).count("\x1b[36m●\x1b[0m") == 1


@pytest.mark.parametrize(
    ("axis", "low", "high", "labels"),
    [
        (PlotAxis("x"), 0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (PlotAxis("x"), 0.86, 0.87, ["0.860", "0.865", "0.870"]),
        (PlotAxis("x"), 0, 2e9, ["0", "5e8", "1e9", "1.5e9", "2e9"]),
        (PlotAxis("x"), 1e-7, 3e-7, ["1e-7", "1.5e-7", "2e-7", "2.5e-7", "3e-7"]),
        (PlotAxis("x", log=True), 1e-5, 0.1, ["1e-5", "1e-4", "0.001", "0.01", "0.1"]),
        (PlotAxis("x", log=True), 1, 20, ["1", "2", "5", "10", "20"]),
        (PlotAxis("x", "time"), 1_700_000_000, 1_700_100_000,
         ["11-15 00:00", "11-15 06:00", "11-15 12:00", "11-15 18:00", "11-16 00:00"]),
        (PlotAxis("x", "time"), 1_690_000_000, 1_700_000_000,
         ["2023-08-01", "2023-09-01", "2023-10-01", "2023-11-01"]),
        (PlotAxis("x", "time"), 1_600_000_000, 1_700_000_000, ["2021", "2022", "2023"]),
    ],
)  # fmt: skip
def test_labels(axis: PlotAxis, low: float, high: float, labels: list[str]) -> None:
    scale = render.Scale.of(axis, (low, high))
    assert [label for _, label in scale.ticks(5)] == labels


def test_what_cannot_be_told_apart_is_left_out() -> None:
    pairs = [PlotPoint(n / 100_000, math.sin(n / 7)) for n in range(100_000)]
    line = render.thin(pairs, lambda x: x, 100, lines=True)
    cloud = render.thin(pairs, lambda x: x, 50, lines=False)
    assert len(line) <= 404 and len(cloud) <= 51 * 51
    assert max(p.y for p in line) == max(p.y for p in pairs)
    assert [p.x for p in line] == sorted(p.x for p in line)


HOSTILE = "</script><img src=x onerror=alert(1)>\u202e"


def test_files(repo: Repo, clock: Clock) -> None:
    """What is drawn is in them, names are no markup, and the page may load nothing."""
    experiments.tag(repo, clock, "e0.1.0", {"model": HOSTILE, "lr": 1}, {"f1": 0.5})
    experiments.tag(repo, clock, "e0.2.0", {"model": "bert", "lr": 2}, {"f1": 0.75})
    svg, page = repo / "f1.svg", repo / "f1.HTML"
    done = repo.xexp("plot", "f1", "--by", "model", "-o", svg).good()
    assert done.out == f"wrote {svg}\n"
    nowhere = repo.xexp("plot", "f1", "-o", "nowhere/f1.svg")
    assert nowhere.err.splitlines() == [
        "fatal: cannot write nowhere/f1.svg: No such file or directory",
        "hint: check the path",
    ]
    text = svg.read_text()
    assert text.startswith("<svg") and "&lt;/script&gt;" in text and "<img" not in text
    assert "f1 by version" in text and "e0.2.0" in text
    repo.xexp("plot", "f1", "--hist", "-o", repo / "f1.png").good()
    assert (repo / "f1.png").read_bytes().startswith(b"\x89PNG\r\n")
    repo.xexp("plot", "f1", "--by", "model", "--x", "lr", "-o", page).good()
    text = page.read_text()
    assert "<img" not in text[-10_000:] and text.count("</script>") == 2
    spec = json.loads(re.search(r"^const spec = (.*);$", text, re.MULTILINE)[1])  # type: ignore[index]
    assert [value["series"] for value in spec["data"]["values"]] == [
        HOSTILE[:-1] + "\\u202e",
        "bert",
    ]
    assert "default-src 'none'" in text
    bars = Plot("histogram", "@spec@ @SPEC@ @bundle@ @BUNDLE@", PlotAxis("x"), PlotAxis("count"), None,
                [Series("", [PlotPoint(0, 3)])], edges=(0, 1))  # fmt: skip
    title = re.search("<title>(.*)</title>", plot_file.as_file(bars, ".html").decode())
    assert title and title[1] == bars.title


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [("plotille", (), "plot"), ("vl_convert", ("-o", "f1.png"), "report")],
)
def test_a_missing_extra(
    repo: Repo, clock: Clock, monkeypatch: pytest.MonkeyPatch, package: str, words: tuple[str, ...],
    extra: str,
) -> None:  # fmt: skip
    experiments.three(repo, clock)
    monkeypatch.setitem(sys.modules, package, None)
    done = repo.xexp("plot", "f1", *words)
    assert done.code == 128 and "is not installed" in done.err
    for command in (f"pip install 'git-xexp[{extra}]'", "pipx inject git-xexp", "uv tool install"):
        assert command in done.err


def test_a_spec_has_its_fields() -> None:
    binned = Plot("histogram", "t", PlotAxis("x"), PlotAxis("count", whole=True), None,
                  [Series("", [PlotPoint(0, 3), PlotPoint(1, 4)])], edges=(0, 1, 2))  # fmt: skip
    made = plot_file.spec(binned)
    assert made["data"]["values"][1] == {"x": 1, "y": 4, "x2": 2, "series": "", "colour": ""}
    assert made["encoding"]["y"]["axis"]["values"] == [0, 1, 2, 3, 4]
    when = plot_file.spec(of((1.5, 2), x=PlotAxis("date", "time")))
    assert when["data"]["values"] == [{"x": 1500.0, "y": 2, "series": "", "colour": ""}]
    assert when["encoding"]["x"]["type"] == "temporal"
    assert Path(plot_file.__file__).with_name("plot.json").is_file()
