"""What pipelines declare, and templates filled in as DVC fills them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from gitxexp.common.notes import taken
from gitxexp.repository.config import Config, DeclaredHere
from gitxexp.storage.dvc.pipeline import Pipelines, fill, output_flags
from gitxexp.storage.dvc.pointers import outputs_in
from gitxexp.workflows.experiments.collect import RunChoice, collect
from gitxexp.workflows.experiments.describe import OutputRole, role
from tests.helpers import Repo

YAML = """
vars:
- vars.yaml
- sizes: [1, 2]
params:
- conf/params.toml
metrics:
- eval/metrics.json
plots:
- roc.csv:
    x: fpr
- Curves:
    y:
      a/tsv/loss.tsv: loss
artifacts:
  best:
    path: model.bin
    type: model
  table:
    path: table.bin
    type: dataset
stages:
  prepare:
    cmd: x
    outs: [data/prepared]
  train:
    foreach: ${countries}
    do:
      wdir: ${item.dir}
      cmd: x
      outs: [model.pkl]
      metrics: ["m-${key}.json": {cache: false}]
  grid:
    matrix: {arch: [a, b], size: "${sizes}"}
    wdir: m-${item.arch}-${item.size}
    cmd: x
    outs: [out.bin: {type: model}]
"""
OUT = (
    "    - path: {}\n      md5: 0123456789abcdef0123456789abcdef\n      size: 1\n      hash: md5\n"
)


def locked(**stages: list[str]) -> str:
    text = "schema: '2.0'\nstages:\n"
    for name, paths in stages.items():
        text += f"  {name}:\n    cmd: x\n    outs:\n" + "".join(OUT.format(p) for p in paths)
    return text


@pytest.fixture
def pipeline(repo: Repo) -> Repo:
    repo.write("dvc.yaml", YAML)
    repo.write("vars.yaml", "countries:\n  us: {dir: in-us}\n  uk: {dir: in-uk}\n")
    lock = locked(**{
        "prepare": ["data/prepared"], "train@us": ["model.pkl", "m-us.json"],
        "train@uk": ["model.pkl", "m-uk.json"], "grid@a-2": ["out.bin"],
    })  # fmt: skip
    repo.write("dvc.lock", lock)
    repo.write(
        "live/dvc.yaml", "metrics:\n- metrics.json\nparams:\n- params.yaml\nplots:\n- plots\n"
    )
    return repo


def test_what_is_declared(pipeline: Repo) -> None:
    declared = Pipelines(pipeline.path).declared
    assert dict(declared.params) == {"conf/params.toml": (), "live/params.yaml": ()}
    assert set(declared.metrics) == {
        "eval/metrics.json", "in-us/m-us.json", "in-uk/m-uk.json", "live/metrics.json",
    }  # fmt: skip
    assert set(declared.plots) == {"roc.csv", "a/tsv/loss.tsv", "live/plots"}
    assert declared.models == {"model.bin", "m-a-2/out.bin"}
    assert declared.produced == {
        "data/prepared", "in-us/model.pkl", "in-us/m-us.json", "in-uk/model.pkl",
        "in-uk/m-uk.json", "m-a-2/out.bin",
    }  # fmt: skip


def test_outputs_lie_where_the_template_says(pipeline: Repo) -> None:
    found = {out.path for out in outputs_in(pipeline.path)}
    assert {"in-us/model.pkl", "in-uk/m-uk.json", "m-a-2/out.bin"} <= found


def test_what_a_stage_makes_is_no_source_data(pipeline: Repo) -> None:
    config = Config(pipelines=DeclaredHere(pipeline.path))
    roles = {
        "data/prepared": OutputRole.RESULTS, "data/raw": OutputRole.DATA, "in-us/model.pkl": OutputRole.MODEL,
        "m-a-2/out.bin": OutputRole.MODEL, "model.bin": OutputRole.MODEL, "roc.csv": OutputRole.RESULTS,
        "live/plots/a.tsv": OutputRole.RESULTS, "other.csv": OutputRole.DATA,
    }  # fmt: skip
    assert {path: role(path, config) for path in roles} == roles


@pytest.mark.parametrize(
    ("template", "stage", "result"),
    [
        ("${item}", "s@a", "a"),
        ("d/${item}/${key}", "m@x", "d/X/x"),
        ("${item.a}-${ item.b }", "g@1-z", "1-z"),
        ("${item.dir}", "l@1", "two"),
        ("${lr.base}", "s@a", "0.1"),
        ("${list[1]}", "s@a", "q"),
        ("${nothing}", "s@a", "${nothing}"),
        ("plain", "s@a", "plain"),
        ("${item.dir}", "l@9", "${item.dir}"),
        ("${lr}", "s@a", "${lr}"),
    ],
)
def test_templates(template: str, stage: str, result: str) -> None:
    definition: dict[str, Any] = {
        "vars": [{"list": ["p", "q"]}, "../outside.yaml", 3],
        "stages": {
            "s": {"foreach": ["a", "b"], "do": {}},
            "m": {"foreach": {"x": "X"}, "do": {}},
            "l": {"foreach": [{"dir": "one"}, {"dir": "two"}], "do": {}},
            "g": {"matrix": {"a": [1, 2], "b": ["z"]}},
        },
    }

    def read(names: Iterable[str]) -> dict[str, bytes]:
        assert not any(".." in name for name in names)
        return {"params.yaml": b"lr: {base: 0.1}"}

    assert fill(template, stage, "", definition, read) == result


def test_paths_that_leave_the_work_tree_are_left_out(repo: Repo) -> None:
    repo.write(
        "dvc.yaml",
        "metrics: [../../secret.json, /etc/passwd, 3]\nparams: [.git/config, {../x.yaml: [a]}]\n"
        "plots: {s3://b/x: , y: {y: {/etc/hosts: a}}}\nartifacts: {a: {path: ../m, type: model}, b: 3}\n"
        "stages: {s: {cmd: x, wdir: /tmp, outs: [x]}, t: [], u: {foreach: 3, do: 4}}\n",
    )
    taken()
    assert Pipelines(repo.path).declared == ((), (), (), frozenset(), frozenset(), ())
    assert len(taken()) >= 6


@pytest.mark.parametrize(
    "text", ["[]", "3", "stages: 3", "stages: [a]", "metrics: {a: b}", "a: [", ""]
)
def test_a_pipeline_that_is_none(repo: Repo, text: str) -> None:
    repo.write("dvc.yaml", text)
    repo.write("dvc.lock", text)
    declared = Pipelines(repo.path).declared
    assert not declared.metrics and not declared.produced


def test_a_path_of_many_templates_is_matched_at_once() -> None:
    (flags,) = output_flags({"outs": ["${a}x" * 200 + "y"]})
    assert not flags.fits("ax" * 2000)
    assert flags.fits("ax" * 200 + "y")


def test_a_metric_of_several_files_is_named_by_its_file_also_where_values_are_equal(
    tmp_path: Path,
) -> None:
    repo = Repo(tmp_path)
    repo.write("dvc.yaml", "metrics:\n- a.json\n- b.json\n- live/own.json\n")
    repo.write("a.json", '{"acc": 0.5}')
    repo.write("b.json", '{"acc": 0.5}')
    repo.write("live/own.json", '{"loss": 1.5}')
    repo.git("init", "-q")
    repo.git("add", ".")
    config = Config(params_files=(), metrics_files=(), pipelines=DeclaredHere(repo.path))
    found = collect(repo.path, config, RunChoice(files_only=True)).metrics
    assert found == {"a.acc": 0.5, "b.acc": 0.5, "loss": 1.5}


def test_metrics_that_are_on_record_and_not_here_are_named(repo: Repo) -> None:
    """Those of a folder that a stage or ``dvc add`` made, and git's; not those that no run has made."""
    repo.write("dvc.yaml", "metrics: [eval/a.json, plain/b.json, c.json, later.json, soon/d.json]\n"
               "stages: {one: {cmd: x, outs: [eval]}, two: {cmd: x, outs: [soon]}}\n")  # fmt: skip
    repo.write("dvc.lock", locked(one=["eval"]))
    repo.write("plain.dvc", "outs:\n" + textwrap.dedent(OUT).format("plain"))
    repo.write("c.json", "{}")
    repo.commit("metrics")
    (repo / "c.json").unlink()
    config = Config(params_files=(), metrics_files=(), pipelines=DeclaredHere(repo.path))
    taken()
    assert collect(repo.path, config, RunChoice(files_only=True)).metrics == {}
    assert [text.split(" is declared")[0] for text in taken()] == [
        "eval/a.json",
        "plain/b.json",
        "c.json",
    ]
