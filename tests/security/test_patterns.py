"""Text of a clone that a regular expression would go through again from each of its characters."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitxexp.common import limits, secrets, sqlite
from gitxexp.repository import config_hash, tags
from gitxexp.storage.dvc import places
from gitxexp.tables.sqlite import schema

N = 100_000


def _config(text: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        (folder / ".dvc").mkdir()
        (folder / ".dvc/config").write_text(text)
        return places.read_config(folder)

    return read


SLOW: dict[str, Callable[[Path], object]] = {
    "comments in a schema": lambda _: sqlite._COMMENT.sub(" ", "/* " * N),
    "brackets in a schema": lambda _: list(schema._TOKEN.finditer("[" * N)),
    "a long word and an address": lambda _: secrets.masked("a" * N + "@://"),
    "many schemes": lambda _: secrets.masked("://@" + "a+." * N),
    "quotes in TOML": lambda _: limits.problem('\\"' * N),
    "quotes in TOML that end with a backslash": lambda _: limits.problem('\\"' * N + "\\"),
    "digits": lambda _: config_hash._NUMBER.fullmatch("1" * N + "x"),
    "a tagger": lambda _: re.fullmatch(tags._TAGGER, "tagger " + "a <" * N),
    "a section of DVC's configuration": _config("[" + " " * N + "x"),
    "sections of DVC's configuration": _config(("['" + " " * 300 + "x\n") * 300),
}


@pytest.mark.parametrize("name", SLOW)
def test_takes_no_longer_than_reading_it(name: str, tmp_path: Path) -> None:
    begun = time.process_time()
    SLOW[name](tmp_path)
    assert time.process_time() - begun < 2


def test_what_they_are_for_is_still_found(tmp_path: Path) -> None:
    assert secrets.masked("see 1https://me:pw@x and git+ssh://a:b@y") == (
        f"see 1https://{secrets.MASK}@x and git+ssh://{secrets.MASK}@y"
    )
    assert limits.problem('a = "[" # [\nb = "\\"["\nc = """["""') is None
    assert limits.problem('a = "x"\nb = ' + "[" * 100) is not None
    assert limits.problem("a = 'x'\nb = " + "[" * 100) is not None
    assert config_hash._NUMBER.fullmatch("1.5e3") and config_hash._NUMBER.fullmatch(".5")
    found = re.fullmatch(tags._TAGGER, "tagger Ada L <ada@x> 12 +0000")
    assert found and found.groups() == ("Ada L", "ada@x", "12", "+0000")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(
        "['remote \"s\"'] # mine\n    url = /x\n[ core ]\nremote = s\n"
    )
    found_here = places.read_config(tmp_path)
    assert found_here["remote s"] == {"url": "/x"}
    assert found_here["core"]["remote"] == "s"
