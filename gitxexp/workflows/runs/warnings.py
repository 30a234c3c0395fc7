"""Warnings before a command runs: findings of ``check --before`` that nothing else refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitxexp.repository.repository import Project
from gitxexp.workflows.checks.check import checks_before
from gitxexp.workflows.checks.rule import Finding
from gitxexp.workflows.checks.rules import engine

#: Rules that ``run`` and ``sweep`` enforce themselves or do not need.
_OTHERS = ("version-taken", "data-uncommitted", "remote-missing", "on-main")


#: What :func:`warnings` asks git: a search of all Python files, to be begun early.
QUESTIONS = (engine.QUESTION,)


def warnings(project: Project, params: Mapping[str, Any] | None = None) -> tuple[Finding, ...]:
    """Return the findings, most severe first, without ignored ones. ``params`` override those in
    the files."""
    return tuple(checks_before(project, params=params, skip=_OTHERS))
