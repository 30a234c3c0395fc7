"""What is asked of ``merge`` and ``rebase``, and the account of what was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gitxexp.errors import NoAnswer
from gitxexp.merge.engine import Engine
from gitxexp.merge.jobs import Selection
from gitxexp.merge.plan import MergeOptions, MergeReport, Mode
from gitxexp.merge.rowchanges import TableDiff
from gitxexp.wording import counted


@dataclass(frozen=True)
class Request:
    """What to merge and how. ``mode`` REBASE is the verb; MERGE leaves it to the strategy."""

    sources: tuple[str, ...]
    mode: Mode = Mode.MERGE
    strategy: str | None = None
    selection: Selection = field(default_factory=Selection)
    options: MergeOptions = field(default_factory=MergeOptions)
    engine: Engine = Engine.AUTO
    commit: bool = False
    message: str | None = None


def request(sources: Sequence[str], rebase: bool, options: dict[str, Any]) -> Request:
    """A request from keyword arguments: those of Request, ``only``, ``models`` and MergeOptions'."""
    given = dict(options)
    own = ("strategy", "engine", "commit", "message")
    fixed = {name: given.pop(name) for name in own if name in given}
    if "engine" in fixed:
        fixed["engine"] = Engine(fixed["engine"])
    selection = Selection(tuple(given.pop("only", ())), bool(given.pop("models", False)))
    mode = Mode.REBASE if rebase else Mode.MERGE
    merge_options = MergeOptions(mode=mode, **given)
    return Request(tuple(sources), mode, selection=selection, options=merge_options, **fixed)


@dataclass(frozen=True)
class Origin:
    """One source: its name as given, its version and commit where it has them."""

    name: str
    version: str = ""
    commit: str = ""


@dataclass(frozen=True)
class Artifact:
    """What became of one target, or would. Hashes are ``md5:…``, "" where they are not known."""

    path: str
    mode: Mode
    origins: tuple[Origin, ...]
    report: MergeReport
    hash_before: str = ""
    hash_after: str = ""
    going: tuple[TableDiff, ...] = ()  #: in the plan of a rebase: the first rows that give way


@dataclass(frozen=True)
class Merged:
    """The account of one command: per artifact, models laid beside, remarks, the next command."""

    artifacts: tuple[Artifact, ...]
    models: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    commit: str | None = None
    advice: str | None = None

    @property
    def changed(self) -> bool:
        """Whether anything is different now (or would be)."""
        return bool(self.models) or any(a.report.changed for a in self.artifacts)


class Conflicted(NoAnswer):
    """Conflicts that the options do not settle; nothing was written. ``merged`` holds them."""

    def __init__(self, merged: Merged) -> None:
        count = sum(len(a.report.conflicts) for a in merged.artifacts)
        super().__init__(
            f"{counted(count, 'conflict')}: nothing was written",
            "settle them in the sources, or take one side: --on-conflict ours, --on-conflict theirs",
        )
        self.merged = merged
