"""``-S``: which file and name a parameter has, its value, and a file that else stays as it is."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gitxexp.common.errors import XexpError
from gitxexp.repository.config import Config
from gitxexp.workflows.runs.parameters import plan, read_value, spelled, write

TEXT = """\
# what we train
model: softmax   # the architecture
train:
    lr: 0.1  # rate
    layers: [64, 32]   # widths
    betas:
      - 0.9
      - 0.99
name: 'quoted'
empty:
a: &same 5
b: *same
note: |
  many
  lines
"""


def changed(tmp_path: Path, values: dict[str, Any], text: str = TEXT) -> str:
    """The parameter file after ``-S``."""
    path = tmp_path / "params.yaml"
    path.write_text(text)
    write(tmp_path, plan(tmp_path, Config(), values))
    return path.read_text()


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("train.lr", "0.5", ("    lr: 0.1  # rate", "    lr: 0.5  # rate")),
        ("lr", "1e-5", ("    lr: 0.1  # rate", "    lr: 1.0e-05  # rate")),
        ("model", "mlp", ("model: softmax   #", "model: mlp   #")),
        ("model", "no", ("model: softmax   #", "model: 'no'   #")),
        ("layers", "[1, 2, 3]", ("[64, 32]", "[1, 2, 3]")),
        ("train.betas.1", "0.5", ("- 0.99", "- 0.5")),
        ("name", "it's", ("'quoted'", "'it''s'")),
        ("empty", "3", ("empty:", "empty: 3")),
        ("b", "7", ("b: *same", "b: 7")),
        ("params.yaml:model", "true", ("model: softmax", "model: true")),
    ],
)
def test_only_the_text_of_the_value_changes(
    tmp_path: Path, name: str, value: str, line: tuple[str, str]
) -> None:
    made = changed(tmp_path, {name: read_value(value)})
    if name == "b":  # an alias has no text of its own
        assert yaml.safe_load(made) == yaml.safe_load(TEXT) | {"b": 7}
        assert "# rate" in made and "# what we train" in made
    else:
        assert made == TEXT.replace(*line)


def test_what_has_no_place_yet_is_added_with_a_plus_and_misspelled_names_are_refused(
    tmp_path: Path,
) -> None:
    assert changed(tmp_path, {"+opt.name": "adam"}) == f"{TEXT}opt:\n  name: adam\n"
    made = changed(tmp_path, {"+train.momentum": 0.9})
    assert yaml.safe_load(made)["train"] == {
        "lr": 0.1, "layers": [64, 32], "betas": [0.9, 0.99], "momentum": 0.9,
    }  # fmt: skip
    assert "    lr: 0.1  # rate" in made
    with pytest.raises(XexpError) as caught:
        changed(tmp_path, {"modle": "mlp"})
    assert caught.value.exit_code == 129
    assert caught.value.hint == "did you mean model?\nto add it: -S +modle=..."
    with pytest.raises(XexpError) as caught:
        changed(tmp_path, {"learning_rate": 0.5})
    assert caught.value.message == "no parameter is named 'learning_rate' in params.yaml"
    assert caught.value.hint == "did you mean train.lr?\nto add it: -S +learning_rate=..."
    with pytest.raises(XexpError, match="ambiguous"):
        changed(tmp_path, {"lr": 1}, "a: {lr: 1}\nb: {lr: 2}\n")
    (tmp_path / "params.yaml").unlink()
    with pytest.raises(XexpError, match="there is no parameter file"):
        plan(tmp_path, Config(), {"lr": 1})


def test_json_and_toml_keep_their_layout(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('# top\nlr = 0.1 # rate\n\n[net]\nname = "a"\n')
    (tmp_path / "p.json").write_text('{\n    "seed": 1,\n    "a": {"b": 2}\n}\n')
    config = Config(params_files=("p.toml", "p.json"))
    values = {"lr": 0.5, "net.name": "b", "b": 3}
    assert write(tmp_path, plan(tmp_path, config, values)) == ["p.toml", "p.json"]
    assert (tmp_path / "p.toml").read_text() == ('# top\nlr = 0.5 # rate\n\n[net]\nname = "b"\n')
    assert json.loads((tmp_path / "p.json").read_text()) == {"seed": 1, "a": {"b": 3}}
    assert tomllib.loads((tmp_path / "p.toml").read_text())["lr"] == 0.5
    assert write(tmp_path, plan(tmp_path, config, values)) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.1", 0.1), ("1e-4", 1e-4), ("3", 3), ("true", True), ("null", None), ("no", "no"),
     ("#fff", "#fff"), ("a: b", "a: b"), ("[1, x]", [1, "x"]), ("{a: 1}", {"a": 1}),
     ("'5'", "5"), ("hello world", "hello world"), ("@x", "@x")],
)  # fmt: skip
def test_values_are_typed_as_yaml_has_them(text: str, value: Any) -> None:
    found = read_value(text)
    assert (found, type(found)) == (value, type(value))


PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)  # fmt: skip


@settings(max_examples=60)
@given(st.one_of(PLAIN, st.lists(PLAIN, max_size=3)))
def test_what_is_written_reads_the_same_in_yaml_1_1_and_1_2(value: Any) -> None:
    line = f"v: {spelled(value)}\n"
    assert yaml.safe_load(line)["v"] == value
    assert read_value(spelled(value)) == value
