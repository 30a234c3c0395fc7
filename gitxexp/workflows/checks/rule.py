"""The definition of a rule, its findings, and the registry of rules.

A rule is a function in one of the files of :mod:`gitxexp.workflows.checks.rules`, one file per
subject, decorated with :func:`rule`. Its docstring is its section of git-xexp-check(1): the first
paragraph says what it finds, the rest why that matters, with an example and the fix.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gitxexp.common.dataclass import dataclass

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project, Running


class Severity(StrEnum):
    """The severity of a finding: an error makes a result wrong, a warning may, a note informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Scope(StrEnum):
    """What a rule checks, which decides its arguments."""

    BEFORE = "before"  #: the work tree, before a run: ``function(context)``
    REPOSITORY = "repository"  #: the record, after a run: ``function(context)``
    FILE = "file"  #: all tables of a results file: ``function(tables, context)``
    TABLE = "table"  #: each table of a results file: ``function(table, context)``
    DATA = "data"  #: two data files, if named: ``function(context)``
    MERGE = "merge"  #: merges since a commit, if named: ``function(context)``


class Fix(NamedTuple):
    """A safe fix: what it does in one line, and how: ``inside`` an operation that may contain
    several fixes, or ``alone``, as a separate operation of a command."""

    summary: str
    inside: Callable[[Project, Running], None] | None = None
    alone: Callable[[Project], None] | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that a rule found.

    ``path`` is the file relative to the top of the work tree, ``table`` its table, ``subject`` the
    column, run, output or version concerned. ``count`` is the number of rows (or files) concerned,
    and ``rows`` has the first ones; if these are summaries (by run, by error), ``listed`` is the
    number of summaries. ``hint`` says how to continue.
    """

    rule: str
    level: Severity
    message: str
    path: str = ""
    table: str = ""
    subject: str = ""
    count: int = 1
    rows: tuple[Mapping[str, Any], ...] = ()
    hint: str = ""
    fix: Fix | None = None
    listed: int | None = None

    @property
    def more(self) -> int:
        """The number of rows that are not in ``rows``."""
        return (self.count if self.listed is None else self.listed) - len(self.rows)

    @property
    def place(self) -> str:
        """The location: the file and its table."""
        return f"{self.path}:{self.table}" if self.table else self.path


@dataclass(frozen=True)
class Rule:
    """A rule: ``level`` applies to its findings unless they set their own."""

    id: str
    level: Severity
    scope: Scope
    function: Callable[..., Iterable[Finding]]

    @property
    def manual(self) -> str:
        """Its section of the manual."""
        return inspect.cleandoc(self.function.__doc__ or "")

    @property
    def summary(self) -> str:
        """What it finds, in one sentence."""
        return " ".join(self.manual.split("\n\n")[0].split())

    @property
    def is_before(self) -> bool:
        """Whether it is part of ``--before``."""
        return self.scope is Scope.BEFORE

    def run(self, *args: Any) -> list[Finding]:
        """Apply the rule; returns its findings with the rule's id and level."""
        return [
            replace(one, rule=self.id, level=one.level if one.rule == _LEVELLED else self.level)
            for one in self.function(*args)
        ]


#: Placeholder for a rule's id, until :meth:`Rule.run` fills it in: the finding has its own level.
_LEVELLED = "levelled"
_known: dict[tuple[str, Scope], Rule] = {}


def rule(
    id: str, level: Severity, scope: Scope
) -> Callable[[Callable[..., Iterable[Finding]]], Rule]:
    """Turn a function that yields :func:`found` into a rule; a rule with several scopes (say a
    table, and two files) consists of several functions with the same id."""

    def declared(function: Callable[..., Iterable[Finding]]) -> Rule:
        made = _known[id, scope] = Rule(id, level, scope, function)
        return made

    return declared


def found(
    message: str,
    *,
    level: Severity | None = None,
    path: str = "",
    table: str = "",
    subject: str = "",
    count: int = 1,
    rows: Iterable[Mapping[str, Any]] = (),
    hint: str = "",
    fix: Fix | None = None,
    listed: int | None = None,
) -> Finding:
    """Return a finding; the rule that yields it fills in its id, and its level if ``level`` is
    None."""
    return Finding(
        _LEVELLED if level else "", level or Severity.NOTE, message, path, table, subject, count,
        tuple(rows), hint, fix, listed,
    )  # fmt: skip


#: The id of findings about a file that no rule can read.
UNREADABLE = "unreadable"
#: The files of :data:`_FOLDER` that hold the rules before a run.
_BEFORE = ("engine", "place", "schema", "uncommitted")
_FOLDER = "gitxexp.workflows.checks.rules"


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule, those before a run first, in the order of the files' subjects."""
    folder = Path(__file__).with_name("rules")
    for name in sorted(path.stem for path in folder.glob("[a-z]*.py")):
        import_module(f"{_FOLDER}.{name}")
    order = list(Scope)
    return tuple(
        sorted(_known.values(), key=lambda one: (order.index(one.scope), one.function.__module__))
    )


@cache
def rules_before() -> tuple[Rule, ...]:
    """The rules before a run, as in :func:`rules`; the files of the others are not imported."""
    for name in _BEFORE:
        import_module(f"{_FOLDER}.{name}")
    own = (one for one in _known.values() if one.is_before)
    return tuple(sorted(own, key=lambda one: one.function.__module__))
