"""Pointers: the quick YAML reader agrees with ruamel, and outputs are what DVC says they are."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gitxexp.common.errors import XexpError
from gitxexp.storage.dvc import plain_yaml
from gitxexp.storage.dvc.pointers import (
    ImportSource,
    Output,
    is_data_pointer,
    outputs_at,
    outputs_in,
)
from gitxexp.storage.git import Git
from tests.helpers import Repo, run

EXAMPLES = int(os.environ.get("XEXP_TEST_EXAMPLES", "50"))
ODD_WORDS = ["no", "yes", "On", "off", "y", "N", "False", "TRUE", "Null",
             "1e5", "0x1f", "007", ".5", ".inf", "true", "Yes", "null", "~", "=", "- x", "a: b",
             "a #b", "12:30", "2001-12-14", "x:", "'q", "[a", "a]", "&x", "é", "1_000", "", " x",
             "x ", "-1", "+1", "1.", "-.5", "0o17", "a\nb", "\u2028", "key", "{}", "|", "%x", "@x",
             "12345678901234567890123456789012", "123456789012345678901234e1234567",
             "d41d8cd98f00b204e9800998ecf8427e.dir", "python train.py --lr 0.1 " * 6]  # fmt: skip
words = st.sampled_from(ODD_WORDS) | st.text(st.characters(max_codepoint=0x17F), max_size=12)
scalars = words | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3)
)


def slow(text: str) -> Any:
    return YAML(typ="safe").load(text)


def dump(value: Any) -> str:
    """As DVC writes YAML (dvc/utils/serialize/_yaml.py)."""
    yaml = YAML()
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.dictionaries(words, values, min_size=1, max_size=4))
def test_what_dvc_would_write_reads_as_ruamel_reads_it(value: dict[str, Any]) -> None:
    text = dump(value)
    assert repr(plain_yaml.load(text)) == repr(slow(text))


tokens = st.sampled_from(
    ["a: ", "b:", "c: 1", "- ", "-", "x", "\n", "\n", "\n  ", "\n    ", "# c", " # d", "'q'", '"d"', ": ",
     " ", "1", "e5", ".", "true", "[]", "{}", "|", "&", "*", "?", "%", "---", "\t", "no", "0x1"]
)  # fmt: skip


@settings(max_examples=EXAMPLES * 3, deadline=None)
@given(st.lists(tokens, max_size=14).map("".join))
def test_any_text_is_read_as_ruamel_reads_it_or_refused_as_ruamel_refuses(text: str) -> None:
    try:
        expected = repr(slow(text))
    except Exception:
        with pytest.raises(XexpError):
            plain_yaml.load(text)
    else:
        assert repr(plain_yaml.load(text)) == expected


@pytest.mark.parametrize("value", [
    {"outs": [{"md5": "22a1a2931c8370d3aeedd7183606fd7f", "size": 3, "hash": "md5", "path": "a.b"}]},
    {"outs": [{"md5": "22a1a2931c8370d3aeedd7183606fd7f.dir", "size": 3, "nfiles": 2,
               "hash": "md5", "path": "data/raw", "remote": "other"}], "wdir": ".."},
    {"schema": "2.0", "stages": {"train": {"cmd": " ".join(["python train.py"] * 9), "params": {
        "params.yaml": {"lr": 0.1, "n": 3, "name": "bert-base"}}, "outs": [{"path": "m.pt"}]}}},
])  # fmt: skip
def test_the_usual_forms_need_no_library(value: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setattr(plain_yaml, "_load_any", lambda *_: pytest.fail("ruamel was used"))
    assert plain_yaml.load(dump(value)) == value


def test_comments_and_numbers_of_parameters_need_no_library(monkeypatch: Any) -> None:
    text = "lr: 1e-4  # rate\nmodel: # which\n  name: bert # base\n  eps: -2.5E+3\n# end\nq: 1"
    expected = slow(text)
    monkeypatch.setattr(plain_yaml, "_load_any", lambda *_: pytest.fail("ruamel was used"))
    assert plain_yaml.load(text) == expected
    assert expected["lr"] == 1e-4 and expected["model"] == {"name": "bert", "eps": -2500.0}


def test_pointer_names() -> None:
    assert is_data_pointer("a/b.csv.dvc") and is_data_pointer("dvc.lock")
    assert not is_data_pointer("dvc.yaml") and not is_data_pointer("my-dvc.lock.bak")
    assert not is_data_pointer(".dvc")


def test_a_commit_and_its_work_tree_give_the_same_outputs(trained: Repo) -> None:
    at = outputs_at(Git(trained.path), "HEAD")
    assert at == outputs_in(trained.path)
    assert [(out.path, out.pointer) for out in at] == [
        ("data/train.csv", "data/train.csv.dvc"),
        ("models/production/model.bin", "models/production/model.bin.dvc"),
        ("results/experiments.db", "results/experiments.db.dvc"),
    ]
    assert all(out.hash and out.hash.startswith("md5:") and not out.legacy for out in at)
    assert at[1].size == 5000 and not at[1].is_dir


PIPELINE = """\
vars:
  - where: sub
stages:
  plain:
    cmd: mkdir -p out && cp params.yaml out/a && cp params.yaml m.json
    outs:
      - out
    metrics:
      - m.json:
          cache: false
  inside:
    wdir: sub
    cmd: cp ../params.yaml x.bin
    outs:
      - x.bin:
          push: false
  group:
    foreach: [one, two]
    do:
      wdir: ${where}
      cmd: echo ${item} > ${item}.txt
      outs:
        - ${item}.txt:
            remote: store
"""


def test_pipelines_as_dvc_sees_them(dvc_repo: Repo) -> None:
    dvc_repo.write("dvc.yaml", PIPELINE)
    dvc_repo.write("sub/.keep", "")
    dvc_repo.dvc("repro", "-q")
    dvc_repo.commit()
    found = {out.path: out for out in outputs_at(Git(dvc_repo.path), "HEAD")}
    assert found == {out.path: out for out in outputs_in(dvc_repo.path)}
    listed = run("dvc", "ls", "-R", "--dvc-only", ".", cwd=dvc_repo.path)
    if listed.code == 0:
        assert {"out/a", "sub/x.bin"} <= set(listed.out.split())
    assert set(found) == {"data/train.csv", "m.json", "out", "sub/one.txt", "sub/two.txt",
                          "sub/x.bin"}  # fmt: skip
    assert not found["m.json"].cached and found["out"].is_dir and found["out"].nfiles == 1
    assert not found["sub/x.bin"].push and found["sub/x.bin"].stage == "inside"
    assert found["sub/one.txt"].remote == "store" and found["sub/one.txt"].stage == "group@one"
    assert found["out"].addressing == "dvc.yaml:plain"


def output(repo: Repo, path: str) -> Output:
    """One output of the work tree."""
    (out,) = [out for out in outputs_in(repo.path) if out.path == path]
    return out


def test_the_old_layout_imports_and_versioned_pointers(repo: Repo) -> None:
    md5 = "22a1a2931c8370d3aeedd7183606fd7f"
    repo.write("d/old.dvc", f"outs:\n- md5: {md5}\n  size: 7\n  path: old\n")
    repo.write("d/up.dvc", f"wdir: ../e\nouts:\n- md5: {md5}.dir\n  hash: md5\n  path: up\n")
    repo.write("imp.dvc", f"frozen: true\ndeps:\n- path: a/b\n  repo:\n    url: /there\n"
               f"    rev_lock: abc123\nouts:\n- md5: {md5}\n  hash: md5\n  path: imp\n")  # fmt: skip
    repo.write("url.dvc", "deps:\n- path: https://x.org/f\nouts:\n- path: f\n  hash: md5\n")
    repo.write("v.dvc", f"outs:\n- path: v\n  hash: md5\n  files:\n  - relpath: a/b\n    md5: {md5}\n"
               f"    size: 5\n    cloud:\n      s3:\n        version_id: x\n")  # fmt: skip
    repo.write("out.dvc", f"outs:\n- md5: {md5}\n  hash: md5\n  path: ../out\n- path: s3://b/k\n")
    assert output(repo, "d/old").legacy
    assert output(repo, "e/up").is_dir and output(repo, "e/up").wdir == "e"
    assert output(repo, "imp").source == ImportSource("/there", "a/b", True, "abc123")
    assert output(repo, "f").source == ImportSource("https://x.org/f", "https://x.org/f", False)
    assert output(repo, "f").hash is None
    versioned = output(repo, "v")
    assert versioned.versioned and versioned.size == 5 and versioned.files[0].path == "a/b"
    assert len(outputs_in(repo.path)) == 5


def test_a_broken_pointer_is_an_error_now_and_skipped_in_the_past(dvc_repo: Repo) -> None:
    dvc_repo.write("bad.dvc", "<<<<<<< ours\nouts:\n")
    with pytest.raises(XexpError, match=r"bad\.dvc"):
        outputs_in(dvc_repo.path)
    dvc_repo.write("utf.dvc", b"\xff\xfe")
    dvc_repo.commit()
    assert [out.path for out in outputs_at(Git(dvc_repo.path), "HEAD")] == ["data/train.csv"]


def test_odd_names_subrepos_and_nested_worktrees(dvc_repo: Repo) -> None:
    md5 = "22a1a2931c8370d3aeedd7183606fd7f"
    text = f"outs:\n- md5: {md5}\n  hash: md5\n  path: 'mödel v1 \"x\".bin'\n"
    dvc_repo.write('sub/mödel v1 "x".bin.dvc', text)
    dvc_repo.write("sub/.dvc/config", "")
    dvc_repo.write("ignored/x.dvc", text)
    dvc_repo.write(".gitignore", "ignored/\n")
    dvc_repo.commit()
    dvc_repo.git("worktree", "add", "-q", "nested", "HEAD")
    found = outputs_in(dvc_repo.path)
    assert [(out.path, out.root) for out in found] == [
        ("data/train.csv", ""), ('sub/mödel v1 "x".bin', "sub")]  # fmt: skip
    assert outputs_at(Git(dvc_repo.path), "HEAD") == found
    assert outputs_in(dvc_repo / "nested") == found
    (dvc_repo / "data/train.csv.dvc").unlink()
    assert len(outputs_in(dvc_repo.path)) == 1


def test_outside_git_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(XexpError, match="not a git repository"):
        outputs_in(tmp_path)
