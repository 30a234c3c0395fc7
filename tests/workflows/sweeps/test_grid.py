"""Grids: what -S, files and sections spell, and that every configuration is there once."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitxexp.common.errors import UsageError, XexpError
from gitxexp.workflows.sweeps import grid
from gitxexp.workflows.sweeps.grid import Axis, joined, multiplied, parse


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("lr=0.1,0.01", "lr", (0.1, 0.01)),
        ("train.lr=1e-4,1E-4,0.0001", "train.lr", (1e-4,)),
        ("n=1,1.0,2", "n", (1, 2)),
        ("model=mlp,softmax", "model", ("mlp", "softmax")),
        ("flag=true,false,null,on", "flag", (True, False, None, "on")),
        ("layers=[1, 2],[3]", "layers", ([1, 2], [3])),
        ("text='a,b',\"c d\",", "text", ("a,b", "c d", "")),
        ("hidden=range(8,65,8)", "hidden", (8, 16, 24, 32, 40, 48, 56, 64)),
        ("n=range(0,3)", "n", (0, 1, 2)),
        ("n=range(5,0,-2)", "n", (5, 3, 1)),
        ("x=range(0,0.35,0.1)", "x", (0.0, 0.1, 0.2, 0.3)),
        ("lr=log(1e-4,1e-1,4)", "lr", (1e-4, 1e-3, 1e-2, 1e-1)),
        ("x=7,range(1,3),choice(a,b)", "x", (7, 1, 2, "a", "b")),
        ("url=http://host:80/a=b", "url", ("http://host:80/a=b",)),
    ],
)
def test_values_are_those_of_yaml_and_of_ranges(
    text: str, name: str, values: tuple[Any, ...]
) -> None:
    axis = parse(text)
    assert (axis.name, axis.values) == (name, values)
    assert [type(value) for value in axis.values] == [type(value) for value in values]


@pytest.mark.parametrize(
    "text",
    ["lr", "=1", "a..b=1", "x=range(1)", "x=range(3,1)", "x=range(1,2,0)", "x=range(a,b)",
     "x=log(0,1,3)", "x=log(1,2,0)", "x=log(1,2,2.5)", "x=[1,2", "x='a", "x=range(0,1e9)",
     "x=range(0,nan)", "x=range(0,1e300,1e-300)"],
)  # fmt: skip
def test_what_is_no_axis_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


def test_several_multiply_and_zip_pairs() -> None:
    lr, h, seed = parse("lr=0.1,0.01"), parse("h=8,16"), parse("seed=7")
    every = multiplied([lr, h]).configurations()
    assert every == [{"lr": a, "h": b} for a, b in product((0.1, 0.01), (8, 16))]
    paired = multiplied([lr, h, seed], zipped=True).configurations()
    assert paired == [{"lr": 0.1, "h": 8, "seed": 7}, {"lr": 0.01, "h": 16, "seed": 7}]
    with pytest.raises(UsageError, match="not as many"):
        multiplied([lr, parse("h=1,2,3")], zipped=True)
    with pytest.raises(UsageError, match="given twice"):
        multiplied([lr, parse("lr=3")])
    with pytest.raises(UsageError, match="cannot both"):
        multiplied([parse("a=1"), parse("a.b=1")])


def test_files(tmp_path: Path) -> None:
    def read(name: str, text: str) -> list[dict[str, Any]]:
        (tmp_path / name).write_text(text)
        return grid.read(tmp_path / name).configurations()

    expected = [{"train.lr": 0.1, "m": "a"}, {"train.lr": 0.2, "m": "a"}]
    assert read("g.toml", "m = 'a'\n[train]\nlr = [0.1, 0.2]\n") == [
        {"m": "a", "train.lr": 0.1}, {"m": "a", "train.lr": 0.2}
    ]  # fmt: skip
    assert read("g.yaml", "train: {lr: [0.1, 0.2]}\nm: a\n") == expected
    assert read("h.yaml", "n: range(1,3)\n") == [{"n": 1}, {"n": 2}]
    assert read("list.yaml", "- {train.lr: 0.1, m: a}\n- train: {lr: 0.2}\n  m: a\n") == expected
    assert read("g.csv", "train.lr,m\n0.1,a\n0.2,a\n") == expected
    assert read("runs.toml", "seed = [1, 2]\n[[runs]]\nlr = 1\n[[runs]]\nlr = 2\n") == [
        {"lr": lr, "seed": seed} for lr in (1, 2) for seed in (1, 2)
    ]
    for name, text in (("e.yaml", "- 1\n"), ("e.csv", "a\n"), ("e.toml", "a = []\n")):
        with pytest.raises(XexpError):
            read(name, text)
    with pytest.raises(XexpError):
        grid.read(tmp_path / "none.yaml")


def test_a_sample_is_the_same_for_a_seed_and_needs_no_grid_in_memory() -> None:
    huge = multiplied([parse(f"p{n}=range(0,1000)") for n in range(8)])
    some = huge.configurations(5, seed=3)
    assert len(some) == 5 and some == huge.configurations(5, seed=3)
    assert some != huge.configurations(5, seed=4)
    with pytest.raises(UsageError, match="more than 100000"):
        huge.configurations()
    small = multiplied([parse("a=1,2"), parse("b=1,2,3")])
    assert small.configurations(99) == small.configurations()
    assert len(small.configurations(4)) == 4


values = st.lists(st.integers(0, 50), min_size=1, max_size=4, unique=True)


@given(st.lists(values, min_size=1, max_size=4), st.integers(1, 30), st.integers(0, 9))
def test_every_configuration_is_there_once_and_a_sample_is_of_them(
    columns: list[list[int]], count: int, seed: int
) -> None:
    axes = [Axis(f"p{at}", tuple(column)) for at, column in enumerate(columns)]
    whole = multiplied(axes)
    every = whole.configurations()
    expected = [dict(zip([a.name for a in axes], row, strict=True)) for row in product(*columns)]
    assert every == expected and whole.size == len(expected)
    sample = whole.configurations(count, seed)
    assert len(sample) == min(count, len(every))
    assert all(each in every for each in sample) and sample == grid.distinct(sample)
    assert joined([multiplied(axes[:1]), multiplied(axes[1:])]).configurations() == every
