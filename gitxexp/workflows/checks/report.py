"""The request to a check, and its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp.common.dataclass import dataclass
from gitxexp.workflows.checks.rule import Finding, Severity

if TYPE_CHECKING:
    from gitxexp.workflows.merge.dropped_rows import DroppedRows


@dataclass(frozen=True)
class CheckRequest:
    """The request to a check.

    ``paths`` are results files (none: those of the repository). ``before`` asks for the rules
    before a run, else those after one. ``only`` and ``skip`` are ids of rules. ``since`` is a
    version: earlier rows are ignored; ``run`` is the only run to check. ``id_column`` names the
    inputs of an evaluation; ``train`` and ``test`` are two files of data. ``base`` is a commit: the
    merges since then are checked. ``params`` (or ``params_from``, a dataclass MODULE:CLASS) will be
    logged by the run. ``ask_remote``: also query non-local remotes.
    """

    paths: tuple[Path, ...] = ()
    before: bool = False
    only: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()
    since: str | None = None
    run: str | None = None
    id_column: str | None = None
    train: Path | None = None
    test: Path | None = None
    base: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    params_from: str | None = None
    ask_remote: bool = False


@dataclass(frozen=True)
class Ignored:
    """A finding that the configuration ignores, and why."""

    finding: Finding
    reason: str


@dataclass(frozen=True)
class Skipped:
    """A rule that could not be applied, and why."""

    rule: str
    reason: str


@dataclass(frozen=True)
class CheckReport:
    """The findings, most severe first; ``rules`` are those that were applied."""

    findings: tuple[Finding, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    rules: tuple[str, ...] = ()
    unchanged: bool = False  #: nothing has changed since this report was made
    merges: int = 0  #: merge commits that were checked
    dropped: tuple[DroppedRows, ...] = ()  #: rows that they dropped
    problems: tuple[str, ...] = ()  #: those that could not be compared

    def count(self, level: Severity) -> int:
        """How many findings have that level."""
        return sum(one.level is level for one in self.findings)

    def failed(self, *, strict: bool = False) -> bool:
        """Whether anything is wrong: an error, or with ``strict`` a warning."""
        return bool(self.count(Severity.ERROR) or (strict and self.count(Severity.WARNING)))
