"""Sequences of experiments in Python, Python functions as commands, and the magics of a notebook."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest

import gitxexp
from gitxexp.cli.ui.panes import logged
from gitxexp.repository.repository import Project
from gitxexp.workflows.explore.query import every_row
from gitxexp.workflows.report.page import page
from gitxexp.workflows.report.report import ReportRequest
from gitxexp.workflows.runs.record import RowsFound, RunRecord, write
from tests import experiments
from tests.helpers import Clock, Repo


@pytest.fixture
def project(with_three: Repo) -> gitxexp.Repository:
    return gitxexp.open(with_three.path)


class Tags(HTMLParser):
    """The tags and the text of some HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def names(found: gitxexp.Experiments) -> list[str]:
    return [experiment.name for experiment in found]


def test_it_is_a_sequence_that_is_chosen_from(project: gitxexp.Repository) -> None:
    every = project.experiments()
    assert names(every) == ["e1.0.0", "e0.2.0", "e0.1.0"] and len(every) == 3
    assert every[0] == project.experiment("e1.0.0") and every[-1] in every
    assert every[:2] == [every[0], every[1]] and isinstance(every[:2], gitxexp.Experiments)
    assert names(every.where("f1 > 0.85")) == ["e0.2.0"]
    assert names(every.where("model IN ('bert') AND list_contains(label, 'good')")) == ["e0.2.0"]
    assert names(every.filter("model = bert and lr > 0.01")) == ["e0.1.0"]
    assert names(every.sort("f1")) == ["e0.2.0", "e0.1.0", "e1.0.0"]
    assert names(every.sort("loss")) == ["e0.2.0", "e0.1.0", "e1.0.0"]
    assert names(every.sort("loss", reverse=True)) == ["e1.0.0", "e0.1.0", "e0.2.0"]
    assert names(every.where("f1 > 0.5").sort("f1")[:1]) == ["e0.2.0"]
    assert names(project.filter("f1 > 0", sort="f1", limit=1)) == ["e0.2.0"]
    with pytest.raises(gitxexp.XexpError, match="no column 'f2'") as caught:
        every.where("f2 > 1")
    assert caught.value.hint == "did you mean f1?"
    with pytest.raises(gitxexp.XexpError, match="is named 'nothing'"):
        every.sort("nothing")
    side_by_side = every.sort("version").compare()
    assert [row.values for row in side_by_side.metrics if row.name == "f1"] == [[None, 0.9, 0.8]]
    assert "  loss      0.7     0.4*                   0.5\n" in repr(side_by_side)
    assert every["e0.2.0"] == every[1]
    with pytest.raises(KeyError):
        every[:1]["e0.2.0"]
    assert repr(every["e0.1.0"].diff("e0.2.0")).startswith(
        "e0.1.0 (run blue-moon-1) → e0.2.0 (run blue-sky-2)\n\nparameters\n  train.lr  0.1 → 0.0001\n"
    )
    none = every.where("f1 > 2")
    assert (len(none), none, repr(none)) == (0, [], "<no experiments>")
    assert none.where("f1 > 2").sort("f1") == [] and none.to_pandas().empty
    with pytest.raises(gitxexp.XexpError, match="nothing to compare"):
        none.compare()


def test_it_prints_well(project: gitxexp.Repository, with_three: Repo, clock: Clock) -> None:
    assert [line.split("  ")[0] for line in repr(project.experiments()).splitlines()] == [
        "version", "e1.0.0", "e0.2.0", "e0.1.0"]  # fmt: skip
    assert " 0.0001  0.9*   0.4*  aaaaaa  lower rate" in repr(project.experiments()[1:])
    hostile = "<script>alert(1)</script>"
    experiments.tag(with_three, clock, "e1.1.0", {"model": hostile, "a<b": 1}, {"f&1": 0.5, "f1": 1},
                    text="<img src=x onerror=alert(1)>", labels=("<b>",))  # fmt: skip
    found = Tags(project.experiments()._repr_html_())
    assert {*found.seen} == {"table", "thead", "tbody", "tr", "th", "td", "b"}
    assert hostile in found.text and "<img src=x" in found.text
    assert set(Tags(project.experiment("e1.1.0")._repr_html_()).seen) <= {*found.seen}
    many = gitxexp.Experiments(project._project, [*project._project.experiments()] * 30)
    assert len(repr(many).splitlines()) == 62 and repr(many).endswith(
        "120 experiments, 60 of them shown"
    )


def test_tables_of_other_libraries(
    project: gitxexp.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = project.experiments()
    frame = every.to_pandas()
    assert list(frame.columns) == ["version", "date", "label", "run", "commit", "model", "train.lr",
                                   "epochs", "f1", "loss", "text"]  # fmt: skip
    assert frame["loss"].tolist() == [0.7, 0.4, 0.5] and frame["f1"].isna().tolist() == [
        True,
        False,
        False,
    ]
    assert str(frame["date"].dtype).startswith("datetime64") and "UTC" in str(frame["date"].dtype)
    table = every.to_arrow()
    assert table.column_names == list(frame.columns)
    assert table.to_pydict()["label"] == [[], ["baseline", "good"], []]
    polars = pytest.importorskip("polars")
    wide = every.to_polars()
    assert wide.columns == list(frame.columns)
    assert wide["date"].dtype == polars.Datetime("us", "UTC") or "UTC" in str(wide["date"].dtype)
    assert wide["date"].dt.epoch("s").to_list() == [experiment.date for experiment in every]
    for name in ("pandas", "polars", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
        with pytest.raises(gitxexp.XexpError, match=f"{name} is not installed") as caught:
            getattr(every, f"to_{name.removeprefix('py')}")()
        assert f"python -m pip install {name}" in str(caught.value.hint)


def test_names_that_are_two_things_and_values_of_two_kinds(repo: Repo, clock: Clock) -> None:
    experiments.tag(repo, clock, "e0.1.0", {"f1": "x", "text": 1, "seed": 2**70}, {"f1": 1})
    experiments.tag(repo, clock, "e0.2.0", {"f1": 3, "seed": 1}, {"f1": 0.5, "ok": True})
    table = gitxexp.open(repo.path).experiments().to_arrow().to_pydict()
    assert table["params.f1"] == ["3", "x"] and table["f1"] == [0.5, 1.0]
    assert table["params.text"] == [None, 1] and table["seed"] == ["1", str(2**70)]
    assert table["ok"] == [True, None]


def test_rows_of_one_run_in_two_tables(repo: Repo, clock: Clock) -> None:
    """Two trackers of one process have ids of their own, which only its record ties."""
    repo.xexp("init", "--no-dvc").good()
    with sqlite3.connect(repo / "r.db") as con:
        for table, ids in (("scores", ("m-1", "m-2")), ("steps", ("p-1", "p-1", "p-2"))):
            con.execute(f"CREATE TABLE {table} (track_id TEXT, timestamp TEXT, loss REAL)")
            when = "2026-01-01" if table == "scores" else ""
            rows = [(id, when, 1 / at) for at, id in enumerate(ids, 1)]
            con.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
    con.close()
    experiments.tag(repo, clock, "e0.1.0", run="m-1", results="r.db", table="scores")
    experiments.tag(repo, clock, "e0.2.0", run="m-2", results="r.db", table="scores")
    one = [RowsFound("r.db", "steps", "p-1", 2), RowsFound("r.db", "scores", "m-1", 1)]
    several = [RowsFound("r.db", "steps", run, 1) for run in ("p-2", "p-3")]
    several.append(RowsFound("r.db", "scores", "m-2", 1))
    write(Project.open(repo.path), [
        RunRecord("r-1", "done", version="e0.1.0", tables=tuple(one), ended="2026-01-02T03:04:05Z"),
        RunRecord("r-2", "done", version="e0.2.0", tables=tuple(several)),
    ])  # fmt: skip
    newest, oldest = gitxexp.open(repo.path).experiments()
    assert [row[0] for row in oldest.rows("steps").fetchall()] == ["p-1", "p-1"]
    assert [row[0] for row in oldest.rows("r.steps").fetchall()] == ["p-1", "p-1"]
    assert newest.rows("steps").fetchall() == []  # which of its runs there it is, nothing says
    listed = repo.xexp("list", "--runs", "--json").json()
    assert {row["run"]: row["version"] for row in listed} == {
        "m-1": "e0.1.0", "p-1": "e0.1.0", "m-2": "e0.2.0", "p-2": None,
    }  # fmt: skip
    dates = {row["run"]: row["date"] for row in listed}
    assert dates["p-1"].startswith("2026-01-02") and dates["p-2"] is None  # that of the record
    project = Project.open(repo.path)  # the browser and the report draw the curves of both
    row = next(row for row in every_row(project, runs=False) if row.field("version") == "e0.1.0")
    assert [run.id for run in logged(project, row)] == ["m-1", "p-1"]
    (curve,) = page(project, ReportRequest()).curves
    assert (curve.run, curve.metric, curve.total) == ("m-1", "loss", 2)


def test_a_run_that_diverged(repo: Repo) -> None:
    """NaN in a metrics file is a metric, not none."""
    repo.xexp("init", "--no-dvc").good()
    repo.write("metrics.json", '{"loss": NaN, "f1": 0.5, "note": "x"}')
    repo.commit("results")
    repo.xexp("tag", "-m", "x").good()
    (one,) = gitxexp.open(repo.path).experiments()
    assert repr(one.metrics) == "{'f1': 0.5, 'loss': nan}"
    assert repo.xexp("sql", "SELECT text FROM metrics ORDER BY name").out == "text\n0.5\nnan\n"
    assert "0 restored" in repo.xexp("registry", "rebuild").good().out
    verified = repo.xexp("explore", "verify", "--json").json()
    assert not verified[0]["wrong"], verified


def test_what_one_has(tagged: Repo) -> None:
    project = gitxexp.open(tagged.path)
    (one,) = project.experiments()
    assert one.params and one.metrics and one.context and one.artifacts
    with one.open("params.yaml") as file:
        assert file.read() == tagged.git("show", f"{one.name}:params.yaml") + "\n"
    path = "data/train.csv"
    (tagged / path).unlink()
    with one.open(path, "rb") as data:
        assert isinstance(data.read(10), bytes) and data.seekable()
    with pytest.raises(gitxexp.XexpError, match="mode 'w'"):
        one.open(path, "w")  # type: ignore[call-overload]
    with pytest.raises(gitxexp.XexpError, match="nowhere"):
        one.open("nowhere.csv")
    with pytest.raises(gitxexp.XexpError):
        one.log()
    rows = one.rows("predictions")
    at = rows.columns.index("track_id")
    assert {row[at] for row in rows.fetchall()} == {one.run}
    assert one.rows().fetchall() == rows.fetchall()
    with pytest.raises(gitxexp.XexpError):
        one.rows("nonsense")
    assert not one.diff().different and not one.diff(one).different
    tagged.write("train.py", "print('another')\n")
    assert [change.path for change in one.diff().files] == ["train.py"]


FUNCTIONS = """
def train(lr, model="softmax", name="x"):
    assert isinstance(name, str), name
    print("training", lr, model, repr(name))
    return {"f1": round(0.9 - abs(lr - 0.1), 4)}

def broken(lr):
    return [lr]
"""


def test_a_function_is_a_command(trained: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called in runs of its own, which are recorded and can be run again."""
    trained.write("pkg/__init__.py", "")
    trained.write("pkg/steps.py", f"from . import __name__ as parent\n{FUNCTIONS}")
    trained.xexp("init").good()
    trained.git("add", "-A")
    trained.commit("functions")
    monkeypatch.syspath_prepend(trained.path)
    os.chdir(trained.path)
    from pkg.steps import broken, train  # type: ignore[import-not-found]

    project = gitxexp.open()
    swept = project.sweep(train, {"lr": [0.1, 0.4], "name": ["1"]}, metric="f1", jobs=2)
    assert [task.outcome["metrics"] for task in swept.ranking] == [{"f1": 0.9}, {"f1": 0.6}]
    assert "training 0.1 softmax '1'" in project.run_log(swept.ranking[0].run).read_text()
    assert [each.sweep.id for each in project.sweeps()] == [swept.id]
    failed = project.sweep(broken, {"lr": [0.1]}, metric="f1")
    assert len(failed.failures) == 1
    assert "it returned list: return its metrics" in failed.failures[0].outcome["tail"]
    done = project.run(train, params={"lr": 0.2}, tag=False)
    assert (done.record.code, done.record.metrics["f1"]) == (0, 0.8)
    for wrong, said in ((lambda lr: None, "not a function of a file"), (print, "not a function of a file"),
                        (train, "does not take")):  # fmt: skip
        grid = {"unknown": [1]} if wrong is train else {}
        with pytest.raises(gitxexp.XexpError, match=said):
            project.sweep(wrong, {"lr": [1], **grid})
    for one in ("abc", 0.1):  # neither letters, nor an error of Python
        with pytest.raises(gitxexp.XexpError, match="needs a list of values"):
            project.sweep(train, {"lr": one})  # type: ignore[dict-item]
    with pytest.raises(gitxexp.XexpError, match="whole command"):
        project.run(train, "more")


class Shell:
    """As much of IPython's shell as registering magics needs."""

    def __init__(self) -> None:
        self.magics: dict[str, Any] = {}
        self.names: dict[str, Any] = {}

    def register_magic_function(self, function: Any, kind: str, name: str) -> None:
        self.magics[name] = function

    def push(self, names: dict[str, Any]) -> None:
        self.names |= names


def test_magics(repo: Repo, clock: Clock) -> None:
    pytest.importorskip("IPython")
    from IPython.core.error import UsageError
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from traitlets.config import Config

    experiments.three(repo, clock)
    os.chdir(repo.path)
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    shell.run_line_magic("load_ext", "gitxexp")
    with capture_output() as shown:
        shell.run_line_magic("xexp", "list --filter 'f1 > 0.85' --porcelain")
    assert shown.stdout.startswith("e0.2.0\t")
    with capture_output() as shown:
        shell.run_line_magic("xexp", "--color=never list --columns version,f1,text")
    assert shown.stdout.splitlines()[:2] == [
        "version   f1   text",
        "e1.0.0         other model",
    ]
    told = (
        "from gitxexp.cli.render import console; import os; print(os.environ.get('XEXP_NOTEBOOK'))"
    )
    environment = {**os.environ, "XEXP_NOTEBOOK": "true"}  # nothing that is started there is told
    done = subprocess.run([sys.executable, "-c", told], env=environment, capture_output=True)
    assert done.stdout == b"None\n"
    frame = shell.run_line_magic("xexp_sql", "SELECT version FROM experiments ORDER BY 1")
    assert frame["version"].tolist() == ["e0.1.0", "e0.2.0", "e1.0.0"]
    query = "SELECT value\nFROM metrics WHERE name = 'f1' ORDER BY 1"
    assert shell.run_cell_magic("xexp_sql", "best", query) is None
    assert shell.user_ns["best"]["value"].tolist() == [0.8, 0.9]
    with pytest.raises(UsageError, match="exit code 129"), capture_output():
        shell.run_line_magic("xexp", "list --nonsense")
    with pytest.raises(UsageError, match="No closing quotation"):
        shell.run_line_magic("xexp", "list --filter 'f1 > 0.85")
    with pytest.raises(UsageError, match="could not convert string"):
        shell.run_line_magic("xexp_sql", "SELECT CAST(version AS INT) FROM experiments")
    with pytest.raises(UsageError, match="did you mean experiments"):
        shell.run_cell_magic("xexp_sql", "", "FROM experimentz")


def test_help_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every public name says what it is, what it returns and which errors to expect."""
    import inspect

    for name in gitxexp.__all__:
        value = getattr(gitxexp, name)
        if isinstance(value, str):
            continue
        assert (inspect.getdoc(value) or "").strip(), name
        methods = [(name, value)] if not inspect.isclass(value) else [
            (f"{name}.{key}", each) for key, each in vars(value).items() if not key.startswith("_")
        ]  # fmt: skip
        for path, each in methods:
            each = each.__func__ if isinstance(each, classmethod | staticmethod) else each
            assert (inspect.getdoc(each) or "").strip(), path
            function = each.fget if isinstance(each, property) else each
            function = getattr(function, "func", function)  # of a cached property
            if inspect.isfunction(function):
                hints = inspect.signature(function)
                assert hints.return_annotation is not hints.empty, path
                untyped = [
                    p.name for p in list(hints.parameters.values())[1:] if p.annotation is p.empty
                ]
                assert not untyped or inspect.isclass(value) is False, (path, untyped)
        if inspect.isclass(value) and name not in ("XexpError", "ExperimentConfig"):
            text = " ".join(filter(None, [value.__doc__, *(m.__doc__ for _, m in methods)]))
            assert "aises" in text, f"{name} says nothing of errors"
    out = io.StringIO()
    import pydoc

    pydoc.Helper(output=out)(gitxexp.Experiments)
    assert "to_pandas(self)" in out.getvalue() and "Raises" in out.getvalue()
