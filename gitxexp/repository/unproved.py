"""Experiments tagged here whose artifacts no push has proved to be on the remote yet.

A plain ``git push`` publishes commits whose data nobody else has; the status page says so. The file
names tags by their object, so one that is made again is another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gitxexp.common.files import atomic_write

_FILE = "unproved"


def read(state: Path) -> set[str]:
    """The tag objects; none where the file cannot be read."""
    try:
        return set((state / _FILE).read_text("ascii", "replace").split())
    except OSError:
        return set()


def tagged(state: Path, oid: str) -> None:
    """Note a new tag. Best effort: the tag is good without."""
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
