"""Parameter and metrics files in every format, good and bad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitxexp.common.errors import XexpError
from gitxexp.trackers.files import read_metrics, read_params


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.yaml", "model: {name: bert, layers: [1, 2]}\nlr: 1e-4\non: off\nday: 2026-01-02\n"),
        (
            "p.json",
            (
                '{"model": {"name": "bert", "layers": [1, 2]}, "lr": 1e-4,\n'
                ' "on": "off", "day": "2026-01-02"}'
            ),
        ),
        (
            "p.toml",
            'lr = 1e-4\non = "off"\nday = 2026-01-02\n[model]\nname = "bert"\nlayers = [1, 2]\n',
        ),
    ],
)
def test_params_of_every_format_are_the_same(tmp_path: Path, name: str, text: str) -> None:
    expected = {
        "model": {"name": "bert", "layers": [1, 2]},
        "lr": 0.0001,
        "on": "off",
        "day": "2026-01-02",
    }
    found = read_params(written(tmp_path, name, text))
    assert found == expected
    assert {type(value) for value in found.values()} == {dict, float, str}


def test_a_byte_order_mark_and_anchors(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbfbase: &b {lr: 0.1}\nrun:\n  <<: *b\n  seed: 7\n"
    found = read_params(written(tmp_path, "p.yml", text))
    assert found == {"base": {"lr": 0.1}, "run": {"lr": 0.1, "seed": 7}}


@pytest.mark.parametrize("name", ["p.yaml", "p.json", "p.toml", "m.csv", "m.jsonl"])
def test_an_empty_file_holds_nothing(tmp_path: Path, name: str) -> None:
    assert read_metrics(written(tmp_path, name, "")) == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", "epoch,f1,note\r\n0,0.5,\r\n1,0.75,ok\r\n"),
        ("m.tsv", "epoch\tf1\tnote\n0\t0.5\t\n1\t0.75\tok\n"),
    ],
)
def test_a_table_of_metrics_gives_its_last_row(tmp_path: Path, name: str, text: str) -> None:
    assert read_metrics(written(tmp_path, name, text)) == {
        "epoch": 1, "f1": 0.75, "note": "ok",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["m.jsonl", "m.ndjson"])
def test_lines_of_json_give_the_last_value_of_each_metric(tmp_path: Path, name: str) -> None:
    lines = '{"step": 1, "loss": 0.5}\n{"val": {"f1": 0.7}, "loss": null}\n\n{"step": 2, "loss": 0.25}\n'
    found = read_metrics(written(tmp_path, name, lines))
    assert found == {"step": 2, "loss": 0.25, "val": {"f1": 0.7}}
    with pytest.raises(XexpError, match="line 2 is not an object"):
        read_metrics(written(tmp_path, name, "{}\n[1]\n"))
    with pytest.raises(XexpError, match="cannot read"):
        read_metrics(written(tmp_path, name, '{"loss": 1}\n{"lo'))


def test_tables_are_no_params(tmp_path: Path) -> None:
    with pytest.raises(XexpError, match=r"unknown format \.csv") as error:
        read_params(written(tmp_path, "p.csv", "lr\n1\n"))
    assert error.value.hint == ".yaml, .yml, .json, .toml"


BAD: list[tuple[str, Any, str]] = [
    ("p.yaml", "a: [1\nb: }", "cannot read"),
    ("p.yaml", "a: 1\na: 2\n", "duplicate key"),
    ("p.yaml", "!!python/object/apply:os.system ['true']", "cannot read"),
    ("p.yaml", b"a: \xff\n", "utf-8"),
    ("p.yaml", "- 1\n- 2\n", "holds a list, not names and values"),
    ("p.json", '{"a": 1', "cannot read"),
    ("p.json", "[" * 200_000, "cannot read"),
    ("p.json", "3", "holds a int"),
    ("p.toml", "a = \n", "cannot read"),
    ("p.ini", "a = 1\n", "unknown format .ini"),
    ("params", "a: 1\n", "unknown format (none)"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD)
def test_bad_files(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    path = written(tmp_path, name, text)
    for reader in (read_params, read_metrics):
        with pytest.raises(XexpError) as error:
            reader(path)
        assert message in error.value.message and str(path) in error.value.message
        assert "\n" not in error.value.message


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(XexpError, match="no such file"):
        read_params(tmp_path / "p.yaml")
    (tmp_path / "d.json").mkdir()
    with pytest.raises(XexpError, match="Is a directory"):
        read_metrics(tmp_path / "d.json")
