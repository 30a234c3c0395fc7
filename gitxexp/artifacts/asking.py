"""What ``get`` is asked for, and its account afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gitxexp.artifacts.sources import Strategy


@dataclass(frozen=True, slots=True)
class Request:
    """What to get and how. ``out`` is a file, a directory, or None for the current folder."""

    commit: str  #: a full commit id
    paths: tuple[str, ...]
    called: str = ""  #: what the user called the commit, for messages
    out: Path | None = None
    strategy: Strategy = Strategy.AUTO
    force: bool = False
    verify: bool = True
    remote: str | None = None


@dataclass(frozen=True, slots=True)
class Got:
    """One file, where it went and which place served it ("there" when it was right already)."""

    path: str
    target: Path
    size: int
    source: str


@dataclass(frozen=True, slots=True)
class Report:
    """Every file in order, and remarks (a corrupt cache object, for one)."""

    files: tuple[Got, ...]
    notes: tuple[str, ...] = ()
