"""git xexp report: what the page holds, and that no name becomes markup."""

from __future__ import annotations

import json
import re
import threading
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import gitxexp
from gitxexp.cli.render.page import vega
from gitxexp.repository.repository import Project
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.tags import Experiment
from gitxexp.workflows.experiments import stores
from gitxexp.workflows.explore import compare
from gitxexp.workflows.explore.query import ListQuery, list_experiments
from gitxexp.workflows.explore.rows import ColumnName, Row
from gitxexp.workflows.report import code, lineage, noise
from gitxexp.workflows.report.curves import thinned
from tests import experiments
from tests.helpers import Clock, Repo
from tests.workflows.report import page_project
from tests.workflows.report.page_project import HOSTILE


class Parsed(HTMLParser):
    """The elements of a page, and the text of those with an id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            name = self.tags[-1][1].get("id") or ""
            self.texts[name] = self.texts.get(name, "") + data


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of Vega, which only a browser needs."""
    monkeypatch.setattr(vega, "script", lambda: lambda: "/* </script><!-- */")


def column(data: dict[str, Any], id_: str) -> list[Any]:
    """The values of a column, unpacked."""
    (found,) = (c for c in data["columns"] if f"{c['kind']}:{c['name']}" == id_)
    if "values" in found:
        return list(found["values"])
    packed = found["at"]
    return [
        found["of"][place]
        for place, n in zip(packed[::2], packed[1::2], strict=True)
        for _ in range(n)
    ]


def test_page(dvc_repo: Repo, clock: Clock, drawing: None) -> None:
    """Everything of every experiment, numbers as they are, names as data."""
    page_project.make(dvc_repo, clock)
    assert dvc_repo.xexp("report").good().out == "wrote report.html\n"
    text = (dvc_repo / "report.html").read_text("utf-8")
    page = Parsed(text)
    assert [tag for tag, _ in page.tags].count("script") == 4
    assert "img" not in {tag for tag, _ in page.tags}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    (policy,) = (a["content"] or "" for _, a in page.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    assert not re.search(r"(?:src|href)=[\"'](?!#)", text.split("<script")[0])

    data = json.loads(page.texts["data"])
    assert (data["experiments"], data["count"]) == (4, 5)
    assert column(data, "field:version") == ["e0.3.0", "e0.2.1", "e0.2.0", "e0.1.0", None]
    assert column(data, "metric:accuracy") == [0.6, 0.805, 0.9, 0.8, 0.7]
    assert column(data, "metric:odd")[:4] == ["inf"] * 4
    assert column(data, "param:seed")[3] == str(2**60)  # JavaScript would round it
    assert column(data, "param:train.lr") == [1e-4, 1e-3, 1e-2, 1e-1, 1e-5]  # the run has lr
    shown = HOSTILE.replace("\u2028", "\\u2028").replace("\u202e", "\\u202e")
    assert column(data, "field:run")[2] == shown
    assert data["parents"] == ["e0.2.1", "e0.1.0", "e0.1.0", ""]
    assert data["best"] == "e0.2.0"
    value, low, high, n = data["intervals"]["accuracy"][2]
    assert (value, n) == (0.9, 200) and low < 0.9 < high
    losses = {c["run"]: c["points"] for c in data["curves"] if c["metric"] == "loss"}
    assert losses.keys() == {"run-0", shown, "run-2", "run-3", "run-4"}
    assert losses["run-0"][:6] == [0, 1, 1, 0.5, 2, 0.333333]
    places = {place[0]: place for place in data["places"]}
    assert places["data/train.csv"][1] == "data" and places["data/train.csv"][5:7] == ["yes", "yes"]
    assert data["artifacts"] == {"data/train.csv": [0, 4]}
    assert data["checks"]["summary"]

    # the same again, and never over a file that is not ours
    dvc_repo.write("report.html", "my own")
    refused = dvc_repo.xexp("report")
    assert refused.code == 129 and "-o FILE" in refused.err
    chosen = (
        dvc_repo.xexp("report", "--where", "accuracy > 0.7", "-o", "-", "--title", "<i>").good().out
    )
    assert "<title>&lt;i&gt;: experiments</title>" in chosen
    assert json.loads(Parsed(chosen).texts["data"])["count"] == 3
    assert dvc_repo.xexp("report", "--md", "--filter", "accuracy > 2").code == 128


def test_python(repo: Repo, clock: Clock, drawing: None) -> None:
    """The report and its page of some experiments, from Python."""
    experiments.three(repo, clock)
    own = gitxexp.Repository(repo.path)
    found = own.report(filter="f1 > 0.1", metric="loss")
    assert found.best and (found.best.experiment.name, found.maximize) == ("e0.2.0", False)
    page = Parsed(own.report_page("e0.1.0", "e0.2.0", where="f1 > 0.8", title="Two"))
    data = json.loads(page.texts["data"])
    assert (data["title"], data["experiments"], data["parents"]) == ("Two", 1, ["e0.1.0"])


def test_code(dvc_repo: Repo, clock: Clock) -> None:
    """The lines of any two versions differ as git counts them; a file of no lines' end, too."""
    page_project.make(dvc_repo, clock)
    project = Project.open(dvc_repo.path)
    known = project.experiments()
    files = {f.path: f for f in code.code_of(project, [e.commit for e in known])}
    assert files.keys() == {"train.py", "only1.py", "only2.py", "only3.py"}
    for one in range(4):
        for other in range(4):
            sides = [compare.of_experiment(project, known[at]) for at in (one, other)]
            changes = compare.compare(project, *sides).files
            counted = {f.path: (f.added, f.deleted) for f in changes}
            assert counted == {
                path: found for path, file in files.items()
                if (found := counts(file, file.at[one], file.at[other])) != (0, 0)
            }  # fmt: skip


def counts(file: code.CodeFile, before: int, after: int) -> tuple[int, int]:
    """Added and deleted lines, from the numbers of a page alone."""
    from difflib import SequenceMatcher

    old, new = (lines(file, at) for at in (before, after))
    same = sum(
        m.size for m in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    )
    return len(new) - same, len(old) - same


def lines(file: code.CodeFile, at: int) -> list[int]:
    """The numbers of the lines of a version."""
    found: list[int] = []
    for stored in file.versions[: at + 1]:
        assert stored is not None
        first, last, *between = stored
        found = [*found[:first], *between, *found[len(found) - last :]]
    return found


def test_lineage(repo: Repo, clock: Clock) -> None:
    """A parent that the tag names, else the newest experiment before the commit, in any history."""
    experiments.tag(repo, clock, "e0.1.0")
    repo.git("checkout", "-q", "-b", "side")
    experiments.tag(repo, clock, "e0.2.0")
    repo.git("checkout", "-q", "main")
    experiments.tag(repo, clock, "e0.3.0")
    experiments.tag(repo, clock, "e0.3.1", parent="e0.2.0")
    repo.git("merge", "-q", "--no-edit", "side")
    experiments.tag(repo, clock, "e0.4.0")
    clock.tick()
    repo.git("tag", "-a", "-m", "x=1", "e0.5.0")
    experiments.tag(repo, clock, "e0.6.0", parent="e9.0.0")
    project = Project.open(repo.path)
    known = project.experiments()
    found = dict(zip((e.name for e in known), lineage.parents(project, known), strict=True))
    assert found == {
        "e0.1.0": "", "e0.2.0": "e0.1.0", "e0.3.0": "e0.1.0", "e0.3.1": "e0.2.0", "e0.4.0": "e0.3.1",
        "e0.5.0": "e0.4.0", "e0.6.0": "",
    }  # fmt: skip


def test_noise() -> None:
    """Runs of one configuration that differ in their seed; nothing where code or data differ."""

    def row(f1: float, code: str = "aa", **params: Any) -> Row:
        said = Payload("", code=code, params=params, metrics={"f1": f1})
        return Row(params, said.metrics, Experiment("e0.1.0", "", "", 0, "", said))

    metric = ColumnName("metric", "f1")
    rows = [row(0.8, lr=1, seed=1), row(0.9, lr=1, seed=2), row(0.1, lr=2), row(0.5, "bb", lr=1)]
    found = noise.spread(rows, metric)
    assert found is not None and (found.runs, found.configurations) == (2, 1)
    assert found.deviation == pytest.approx(0.005**0.5) and not found.is_sure
    assert noise.spread(rows[1:], metric) is None
    by_hand = [r.experiment and r.experiment.payload._replace(handwritten=True) for r in rows]
    told = [Row(r.params, r.metrics, r.experiment._replace(payload=p)) for r, p in
            zip(rows, by_hand, strict=True) if r.experiment and p]  # fmt: skip
    assert noise.spread(told, metric) is None
    many = noise.spread([row(0.8 + n / 100, lr=1, seed=n) for n in range(6)], metric)
    assert (
        many is not None
        and many.is_sure
        and many.least == pytest.approx(2.7718 * many.deviation, 1e-3)
    )
    assert noise.spread([row(1e300, lr=1), row(-1e300, lr=1)], metric) is None


def test_thinned() -> None:
    """A long curve keeps its ends and its peak."""
    points = [(float(n), float(n == 3777)) for n in range(10_000)]
    kept = thinned(points, 100)
    assert len(kept) <= 100 and (3777.0, 1.0) in kept
    assert kept[0] == points[0] and kept[-1] == points[-1] and kept == sorted(kept)
    assert thinned(points[:100], 100) == points[:100]


def test_the_script_is_made_beside_the_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What makes it is begun, not waited for; what it raises is raised where it is waited for."""
    vl_convert = pytest.importorskip("vl_convert")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    read = threading.Event()
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda _: "js" if read.wait(10) else "")
    script = vega.script()
    read.set()
    assert script() == "js" and vega.script()() == "js"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda _: 1 / 0)
    broken = vega.script()
    with pytest.raises(ZeroDivisionError):
        broken()


def test_the_results_are_looked_for_once(
    trained: Repo, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for every experiment: that lists the whole work tree."""
    experiments.three(trained, clock)
    project = Project.open(trained.path)
    rows = list_experiments(project, ListQuery()).rows
    calls: list[object] = []
    real = stores.databases
    monkeypatch.setattr(stores, "databases", lambda *a: calls.append(a) or real(*a))
    noise.intervals_of(project, rows, ["f1", "accuracy"])
    assert len(rows) >= 3 and len(calls) == 2


def test_without_the_extra(repo: Repo, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install, and what there is without it."""
    experiments.three(repo, clock)
    real = metadata.version

    def version(name: str) -> str:
        if name == "vl-convert-python":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    done = repo.xexp("report")
    assert done.code == 128 and not (repo / "report.html").exists()
    for part in (
        "pip install 'git-xexp[report]'", "pipx inject git-xexp vl-convert-python",
        "uv tool install --with vl-convert-python git-xexp", "git xexp report --md",
    ):  # fmt: skip
        assert part in done.err
    assert repo.xexp("report", "--md").code == 0
    assert repo.xexp("report", "--md", "--open").code == 129
