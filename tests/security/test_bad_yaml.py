"""YAML that becomes very large or deep."""

from __future__ import annotations

import time

import pytest

from gitxexp.common.errors import XexpError
from gitxexp.storage.dvc import plain_yaml
from tests.security.hostile import Evil

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
DEEP = "a: " + "[" * 50_000 + "]" * 50_000


@pytest.mark.parametrize("text", [
    BOMB, DEEP, "a: &a [*a]", "a: &a {b: *a}", "- " * 5000 + "x", "? " * 3000 + "x",
    "\n".join(" " * i + "a:" for i in range(500)), "a: " + "{a: " * 5000, "x" * 11_000_000,
    "&a [&b [*a, *b], *b]", "a: [" * 2000,
])  # fmt: skip
def test_refused_at_once(text: str) -> None:
    started = time.process_time()
    with pytest.raises(XexpError):
        plain_yaml.load(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("text", [
    "base: &b {lr: 0.1}\nrun:\n  <<: *b\n", "a: &x [1, 2]\nb: *x\n", "a: [[[[[1]]]]]",
    "text: '" + "[" * 90 + "'\n", "cmd: python x.py *.csv\n", "a: |\n" + "  [[[ text\n" * 50,
])  # fmt: skip
def test_what_people_write(text: str) -> None:
    assert plain_yaml.load(text)


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "dvc.lock", "m.dvc"])
@pytest.mark.parametrize("text", [BOMB, DEEP])
def test_files_of_a_clone(evil: Evil, name: str, text: str) -> None:
    evil.write(name, text)
    evil.commit()
    for verb in (["tag", "--suggest"], [], ["get", "HEAD", "params.yaml", "-f"]):
        started = time.process_time()
        evil.xexp(*verb)
        assert time.process_time() - started < 4
