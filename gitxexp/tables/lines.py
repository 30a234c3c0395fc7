"""Rows of a table as lines of text, the same whatever kind of file they are in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

#: Longer blobs are shown by their length and hash.
_BLOB = 32


def quote(name: str) -> str:
    """``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def header(table: str, columns: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The lines that introduce a table."""
    yield f"table {json.dumps(table, ensure_ascii=False)}"
    for name, kind in sorted(columns):
        yield f"  column {json.dumps(name, ensure_ascii=False)} {kind}".rstrip()


def line(names: Sequence[str], row: Sequence[Any]) -> str:
    """One row; ``names`` are in the order to be shown."""
    cells = [f"{n}={shown(v)}" for n, v in zip(names, row, strict=True) if v is not None]
    return "  " + " ".join(["row", *cells])


def shown(value: Any) -> str:
    """A value on one line; text, numbers and blobs never look alike."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bytes):
        if len(value) <= _BLOB:
            return f"x'{value.hex()}'"
        return f"blob({len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()[:16]})"
    return repr(value)


def ordered(columns: Sequence[str], key: Sequence[str]) -> list[str]:
    """Key columns first, the others by name."""
    return [*key, *sorted(c for c in columns if c not in key)]
