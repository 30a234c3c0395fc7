"""Limits for TOML and JSON from a repository: nesting depth and length of numbers.

A few bytes of text can take gigabytes, or hours, to parse. (YAML, whose aliases multiply its size
as well, has its own limits where it is read: :mod:`gitxexp.storage.dvc.plain_yaml`.)
"""

from __future__ import annotations

import re

DEEPEST = 64
MOST_DIGITS = 400


def number(text: str) -> int | float | str:
    """Return the number that a text spells, else the text."""
    if len(text) <= MOST_DIGITS:
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def scalar(text: str) -> bool | int | float | str:
    """Return the number or boolean that a text spells (``True``, ``false``), else the text."""
    lowered = text.lower()
    return lowered == "true" if lowered in ("true", "false") else number(text)


_QUOTED = (
    r"#[^\n]*|"
    r'"""(?:[^\\]|\\.)*?(?:"""|\\?\Z)|'
    r"'''.*?(?:'''|\Z)|"
    r'"(?:[^"\\\n]|\\.)*+(?:"|(?=\n)|\\?\Z)|'
    r"'[^'\n]*+(?:'|(?=\n)|\Z)"
)
_DOTTED = rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{DEEPEST}}}"
_DIGITS = rf"(?<![0-9a-fA-F_])[0-9a-fA-F_]{{{MOST_DIGITS + 1},}}"


def problem(text: str) -> str | None:
    """Return what is wrong with a TOML or JSON text, in words that complete "it …"; None if
    nothing.

    Quoted strings may contain anything.
    """
    bare = re.sub(_QUOTED, "q", text, flags=re.DOTALL)
    if _depth(bare) > DEEPEST or re.search(_DOTTED, bare):
        return f"nests deeper than {DEEPEST}"
    if re.search(_DIGITS, bare):
        return f"has a number of more than {MOST_DIGITS} digits"
    return None


def _depth(text: str) -> int:
    """Return the nesting depth of brackets and braces."""
    deepest = now = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        now = now + 1 if bracket in "[{" else max(now - 1, 0)
        deepest = max(deepest, now)
    return deepest
