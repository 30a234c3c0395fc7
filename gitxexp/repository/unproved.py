"""Experiments tagged here whose artifacts no push has verified on the remote yet.

A plain ``git push`` publishes commits whose data nobody else has; the status page says so. The file
stores tag objects, so a recreated tag counts as new.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gitxexp.common.files import atomic_write

_FILE = "unproved"


def read(state: Path) -> set[str]:
    """Return the tag objects; none if the file is unreadable."""
    try:
        return set((state / _FILE).read_text("ascii", "replace").split())
    except OSError:
        return set()


def tagged(state: Path, oid: str) -> None:
    """Record a new tag. Best effort: the tag is valid without it."""
    _write(state, read(state) | {oid})


def proved(state: Path, oids: Iterable[str]) -> None:
    """Forget tags whose artifacts a push has verified."""
    known = read(state)
    left = known - set(oids)
    if left != known:
        _write(state, left)


def _write(state: Path, oids: Iterable[str]) -> None:
    with suppress(OSError), atomic_write(state / _FILE) as temporary:
        temporary.write_text("".join(f"{oid}\n" for oid in sorted(oids)), "ascii")
