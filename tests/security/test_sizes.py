"""Tags, parameters and pipelines that blow up: each is skipped or refused, at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gitxexp.common.errors import XexpError
from gitxexp.repository import tag_message
from gitxexp.repository.tag_message import Payload
from gitxexp.storage.dvc import plain_yaml
from gitxexp.trackers.files import read_metrics, read_params
from tests.helpers import Repo, run

HEAD = "model=mlp | f1=0.5 | bad\n\n[xexp]\nschema = 1\n[params]\n"

TOML = {
    "deep array": "a = " + "[" * 100_000 + "]" * 100_000,
    "deep table": "a = " + "{b=" * 20_000 + "1" + "}" * 20_000,
    "65 deep": "a = " + "[" * 65 + "]" * 65,
    "long key": ".".join("a" * 20_000) + " = 1",
    "long quoted key": ".".join(['"a"'] * 20_000) + " = 1",
    "long key with spaces": " . ".join("a" * 20_000) + " = 1",
    "long header": "[" + ".".join("a" * 20_000) + "]\nb = 1",
    "long key in a table": "a = {" + ".".join("a" * 20_000) + " = 1}",
    "hidden by a comment": "# '''\na = " + "[" * 100_000 + "]" * 100_000 + "\n# '''",
    "digits": "a = " + "9" * 5000,
    "float of digits": "a = 1." + "0" * 5000,
    "hex digits": "a = 0x" + "f" * 5000,
    "digits with bars": "a = " + "1_" * 5000 + "1",
    "nothing but a word": "a" * 900_000,
    "nothing but quotes": "\"'" * 400_000,
    "nothing but dots": "." * 900_000,
}  # fmt: skip


def tag(repo: Repo, name: str, message: bytes, date: str = "1700000000 +0000") -> None:
    body = (
        f"object {repo.head}\ntype commit\ntag {name}\ntagger M <m@example.org> {date}\n\n"
    ).encode() + message
    (repo / "body").write_bytes(body)
    oid = repo.git("hash-object", "-t", "tag", "-w", "--literally", "body")
    (repo / "body").unlink()
    repo.git("update-ref", f"refs/tags/{name}", oid)


@pytest.fixture
def tagged(repo: Repo) -> Repo:
    tag(repo, "e0.1.0", b"model=mlp | lr=0.1 | good\n\n[xexp]\nschema = 1\n[params]\nlr = 0.1\n")
    return repo


def test_every_hostile_tag_is_skipped_with_a_note_and_ends_nothing(tagged: Repo) -> None:
    skipped = list(TOML)[:-3]
    for number, text in enumerate(TOML.values()):
        tag(tagged, f"e1.{number}.0", (HEAD + text).encode())
    tag(tagged, "e2.0.0", b"x" * 5_000_000)
    tag(tagged, "e2.1.0", b"model=mlp | f1=0.5\n\n" + b"\n" * 2_000_000 + b"[xexp]\nschema=1\n")
    began = time.monotonic()
    done = tagged.xexp("explore", "list").good()
    assert time.monotonic() - began < 10
    assert "e0.1.0" in done.out
    assert len(done.out) < 10_000
    for name in [f"e1.{n}.0" for n in range(len(skipped))] + ["e2.0.0", "e2.1.0"]:
        assert f"note: tag {name} is not read" in done.err, name
        assert name not in done.out
    assert "its message is larger than 1 MB" in done.err
    again = tagged.xexp("explore", "list").good()
    assert (again.out, again.err) == (done.out, done.err)
    for args in ([], ["--json"], ["explore", "show", "e0.1.0"], ["explore", "show", "e2.0.0"]):
        assert len(tagged.xexp(*args).out) < 100_000, args


ODD = {
    "no text": b"\xff\xfebad\n\n[xexp]\nschema = \"no\"\nversion = 7\nlabels = \"s\"\n[[params]]\n"
               b"[[metrics]]\na=1\n[artifacts]\n\"x\"=7\n",
    "odd numbers": (HEAD + "b = 1e99999\nc = nan\n[metrics]\nf1 = inf\nacc = nan\n").encode(),
    "empty": b"",
    "only newlines": b"\n" * 900_000,
    "no table": b"x\n\n[xexp]\nxexp = 1\nxexp = 2\n",
    "xexp is a list": b"x\n\n[[xexp]]\na = 1\n",
    "surrogates": b"x \xed\xa0\x80 y\n\n[xexp]\nschema = 1\n[params]\na = \"\xed\xa0\x80\"\n",
    "digits in the headline": b"lr=" + b"9" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_an_odd_tag_is_listed_as_far_as_it_goes(tagged: Repo, name: str) -> None:
    tag(tagged, "e3.0.0", ODD[name])
    done = tagged.xexp("explore", "list").good()
    assert "e0.1.0" in done.out
    for args in (["explore", "show", "e3.0.0"], ["explore", "show", "e3.0.0", "--json"],
                 ["explore", "list", "--json"], ["explore", "diff", "e0.1.0", "e3.0.0"]):  # fmt: skip
        done = tagged.xexp(*args)
        assert done.code in (0, 1, 128), done.err
        assert "bug" not in done.err


@pytest.mark.parametrize(
    "date", ["9" * 5000 + " +0000", "9" * 17 + " +9999", f"-{'9' * 17} -0000", ""]
)
def test_a_date_out_of_this_world(tagged: Repo, date: str) -> None:
    tag(tagged, "e3.0.0", b"lr=0.3 | x", date)
    for args in (
        ["explore", "list"],
        ["explore", "list", "--json"],
        ["explore", "show", "e3.0.0"],
        [],
    ):
        done = tagged.xexp(*args)
        assert done.code == 0, done.err


def test_a_version_of_many_digits_is_none(tagged: Repo) -> None:
    tag(tagged, "e99999999999999999999.0.0", b"huge")
    tag(tagged, "exp-x-v99999999999999999999999", b"huge")
    assert tagged.xexp("explore", "list").good().out.count("\n") == 2


@pytest.mark.parametrize(
    "payload",
    [
        Payload("x", params={"a": "y" * 1_000_000}),
        Payload("x" * 1_000_001),
        Payload("x", metrics={"a": 10**401}),
        Payload("x", params={"a": eval("[" * 66 + "]" * 66)}),
    ],
    ids=["long value", "long headline", "long number", "deep value"],
)
def test_no_tag_is_written_that_would_not_be_read(payload: Payload) -> None:
    with pytest.raises(XexpError, match="would not be readable"):
        tag_message.encode(payload)


def bomb(indent: str = "") -> str:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    for n in range(1, 10):
        lines.append(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]")
    return "".join(f"{indent}{line}\n" for line in lines)


MERGES = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
)
YAML = {
    "aliases": bomb(),
    "merges": MERGES,
    "deep": "a: " + "[" * 50_000 + "]" * 50_000,
    "deep in quotes that are letters": "a: [x'" + "[" * 50_000 + "y'" + "]" * 50_001,
    "deep maps": "{a: " * 20_000 + "1" + "}" * 20_000,
    "deep sequences": "- " * 50_000 + "x",
    "a recursive value": "a: &a [*a, *a]\n",
    "digits": "a: " + "9" * 5000 + "\n",
    "hex digits": "a: 0x" + "f" * 5000 + "\n",
    "large": "a: x\n" + "# \n" * 4_000_000,
}


@pytest.mark.parametrize("name", YAML)
@pytest.mark.parametrize("read", [read_params, read_metrics])
def test_a_document_that_expands_is_an_error_at_once(
    tmp_path: Path, name: str, read: object
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(YAML[name])
    began = time.monotonic()
    with pytest.raises(XexpError, match="cannot read"):
        read(path)  # type: ignore[operator]
    assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    "name", ["aliases", "merges", "deep", "deep maps", "deep sequences", "large"]
)
def test_a_pointer_that_expands_is_an_error_at_once(name: str) -> None:
    began = time.monotonic()
    try:
        assert plain_yaml.load(YAML[name], "m.dvc")
    except XexpError as error:
        assert "m.dvc" in error.message
    assert time.monotonic() - began < 8


def test_ordinary_aliases_are_read(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        "base: &base {lr: 0.1, layers: [1, 2]}\nsmall: {<<: *base, lr: 0.2}\nagain: *base\n"
    )
    assert read_params(path) == {
        "base": {"lr": 0.1, "layers": [1, 2]}, "small": {"lr": 0.2, "layers": [1, 2]},
        "again": {"lr": 0.1, "layers": [1, 2]},
    }  # fmt: skip
    shell = "stages:\n  a:\n    cmd: a && b 2>&1 & ls *txt [x] {y}\n"
    plain_yaml.check(shell)


@pytest.mark.parametrize("name", ["params.yaml", "metrics.yaml", "dvc.lock", "dvc.yaml", "m.dvc"])
def test_commands_answer_whatever_file_expands(set_up: Repo, name: str) -> None:
    text = bomb()
    if name == "metrics.yaml":
        set_up.write(".xexp/config.toml", '[metrics]\nfiles = ["metrics.yaml"]\n')
    elif name == "dvc.yaml":
        text = "stages:\n  a:\n    cmd: echo\n    outs: [o]\nvars:\n- " + bomb("  ").lstrip()
    elif name == "dvc.lock":
        set_up.write("dvc.yaml", "stages:\n  a:\n    cmd: echo\n    outs: [o]\n")
        text += "schema: '2.0'\nstages:\n  a:\n    cmd: echo\n    params:\n      params.yaml: {x: *a9}\n"
    elif name == "m.dvc":
        text += (
            "outs:\n- md5: 00000000000000000000000000000000\n  size: 1\n  path: m\n  meta: *a9\n"
        )
    set_up.write(name, text)
    for args in (["tag", "--suggest"], []):
        began = time.monotonic()
        done = set_up.xexp(*args)
        assert time.monotonic() - began < 20
        assert done.code in (0, 1, 128), done.err
        assert "Traceback" not in done.err
        assert "bug" not in done.err
    assert run("git", "status", "--short", cwd=set_up.path).code == 0
