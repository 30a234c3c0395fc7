"""Two column names that may mean one thing: ``lr`` and ``learning_rate``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from gitxexp.merge.plan import SimilarColumn

RATIO = 0.85  #: of difflib; below it, names of metrics such as f1 and f2 would be taken for one


def similar_columns(
    table: str, incoming: Sequence[str], existing: Sequence[str]
) -> list[SimilarColumn]:
    """Pairs of a new column and one that the source lacks whose names look alike."""
    return [
        SimilarColumn(table, new, old) for new in incoming for old in existing if alike(new, old)
    ]


def alike(one: str, two: str) -> bool:
    """Whether two names are spellings, abbreviations or initials of each other."""
    a, b = _words(one), _words(two)
    if not a or not b:
        return False
    short, long = "".join(a), "".join(b)
    if short == long:
        return True
    if _digits(one) != _digits(two):
        return False
    if _initials(a, b) or _initials(b, a) or _abbreviates(a, b) or _abbreviates(b, a):
        return True
    return min(len(short), len(long)) > 4 and SequenceMatcher(None, short, long).ratio() >= RATIO


def _words(name: str) -> list[str]:
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return [w.lower() for w in re.split(r"[^A-Za-z0-9]+", spaced) if w]


def _digits(name: str) -> str:
    return "".join(c for c in name if c.isdigit())


def _initials(a: list[str], b: list[str]) -> bool:
    return len(a) == 1 and len(b) > 1 and a[0] == "".join(w[0] for w in b)


def _abbreviates(a: list[str], b: list[str]) -> bool:
    """Every word of ``a`` begins the word of ``b`` in its place: val_acc, validation_accuracy."""
    return len(a) == len(b) and all(
        w == v or (len(w) >= 2 and v.startswith(w)) for w, v in zip(a, b, strict=True)
    )
