"""What a rule is, what it finds, and which rules there are.

A rule is a function in one of the files of :mod:`gitxexp.workflows.checks.rules`, one file a subject,
with :func:`rule` around it. Its docstring is its section of git-xexp-check(1): the first paragraph says
what it finds, the rest why that matters, with an example and the way to correct it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project, Running


class Level(StrEnum):
    """How much a finding matters: an error makes a result wrong, a warning may, a note is to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Scope(StrEnum):
    """What a rule looks at, which decides what it is called with."""

    BEFORE = "before"  #: the work tree, before a run: ``function(context)``
    REPOSITORY = "repository"  #: what is recorded, after one: ``function(context)``
    FILE = "file"  #: all tables of a results file: ``function(tables, context)``
    TABLE = "table"  #: each table of a results file: ``function(table, context)``
    DATA = "data"  #: two files of data, where they are named: ``function(context)``
    MERGE = "merge"  #: merges since a commit, where one is named: ``function(context)``


class Fix(NamedTuple):
    """A safe way to correct something: what it does in one line, and how: ``inside`` an operation that
    may hold several of them, or ``alone``, as the operation of its own that a verb makes."""

    summary: str
    inside: Callable[[Project, Running], None] | None = None
    alone: Callable[[Project], None] | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that a rule found.

    ``path`` is the file from the top of the work tree, ``table`` its table, ``subject`` the column, run,
    output or version that it is about. ``count`` says how many rows (or files) are concerned, of which
    ``rows`` has the first ones; where these sum up several (by run, by error), ``listed`` is how many
    such there are. ``hint`` is how to go on.
    """

    rule: str
    level: Level
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
        """How many rows there are that ``rows`` has not."""
        return (self.count if self.listed is None else self.listed) - len(self.rows)

    @property
    def place(self) -> str:
        """Where it is: the file and its table."""
        return f"{self.path}:{self.table}" if self.table else self.path


@dataclass(frozen=True)
class Rule:
    """A rule: ``level`` is that of its findings where they say no other."""

    id: str
    level: Level
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
        """Whether it belongs to ``--before``."""
        return self.scope is Scope.BEFORE

    def run(self, *args: Any) -> list[Finding]:
        """What it finds, each finding with the rule's id and level."""
        return [
            replace(one, rule=self.id, level=one.level if one.rule == _LEVELLED else self.level)
            for one in self.function(*args)
        ]


#: In place of a rule's id, until :meth:`Rule.run` fills it in: the finding has a level of its own.
_LEVELLED = "levelled"
_known: dict[tuple[str, Scope], Rule] = {}


def rule(id: str, level: Level, scope: Scope) -> Callable[[Callable[..., Iterable[Finding]]], Rule]:
    """Make a rule of a function that yields :func:`found`; one that looks at several things (say a table,
    and two files) is made of several functions of one id."""

    def declared(function: Callable[..., Iterable[Finding]]) -> Rule:
        made = _known[id, scope] = Rule(id, level, scope, function)
        return made

    return declared


def found(
    message: str,
    *,
    level: Level | None = None,
    path: str = "",
    table: str = "",
    subject: str = "",
    count: int = 1,
    rows: Iterable[Mapping[str, Any]] = (),
    hint: str = "",
    fix: Fix | None = None,
    listed: int | None = None,
) -> Finding:
    """A finding of the rule that yields it, which fills in its id, and its level where ``level`` is None."""
    return Finding(
        _LEVELLED if level else "", level or Level.NOTE, message, path, table, subject, count,
        tuple(rows), hint, fix, listed,
    )  # fmt: skip


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule, those before a run first, in the order of the files' subjects."""
    folder = Path(__file__).with_name("rules")
    for name in sorted(path.stem for path in folder.glob("[a-z]*.py")):
        import_module(f"gitxexp.workflows.checks.rules.{name}")
    order = list(Scope)
    return tuple(sorted(_known.values(), key=lambda one: order.index(one.scope)))
