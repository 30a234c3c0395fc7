"""Bounds for TOML and JSON that a repository brings: how deep it nests, how long its numbers are.

A text of a few bytes can take gigabytes, or an afternoon, to parse. (YAML, whose aliases multiply it
besides, has its bounds where it is read: :mod:`gitxexp.storage.dvc.plain_yaml`.)
"""

from __future__ import annotations

import re

DEEPEST = 64
MOST_DIGITS = 400


def number(text: str) -> int | float | str:
    """The number that a text spells, else itself."""
    if len(text) <= MOST_DIGITS:
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def scalar(text: str) -> bool | int | float | str:
    """The number or truth value that a text spells (``True``, ``false``), else itself."""
    lowered = text.lower()
    return lowered == "true" if lowered in ("true", "false") else number(text)


_QUOTED = (
    r"#[^\n]*|"
    r'"""(?:[^\\]|\\.)*?"""|'
    r"'''.*?'''|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'[^'\n]*'"
)
_DOTTED = rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{DEEPEST}}}"
_DIGITS = rf"(?<![0-9a-fA-F_])[0-9a-fA-F_]{{{MOST_DIGITS + 1},}}"


def problem(text: str) -> str | None:
    """What is wrong with a text of TOML or JSON, in words that complete "it …"; None if nothing is.

    What stands in quotes is text and may be anything.
    """
    bare = re.sub(_QUOTED, "q", text, flags=re.DOTALL)
    if _depth(bare) > DEEPEST or re.search(_DOTTED, bare):
        return f"nests deeper than {DEEPEST}"
    if re.search(_DIGITS, bare):
        return f"has a number of more than {MOST_DIGITS} digits"
    return None


def _depth(text: str) -> int:
    """How deep brackets and braces nest."""
    deepest = now = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        now = now + 1 if bracket in "[{" else max(now - 1, 0)
        deepest = max(deepest, now)
    return deepest
