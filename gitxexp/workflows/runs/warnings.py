"""Warnings before a command runs: findings of ``check --before`` that nothing else refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitxexp.repository.repository import Project
from gitxexp.workflows.checks.check import checks_before
from gitxexp.workflows.checks.rule import Finding

#: Rules that ``run`` and ``sweep`` enforce themselves or do not need.
_OTHERS = ("version-taken", "data-uncommitted", "remote-missing", "on-main")


def warnings(project: Project, params: Mapping[str, Any] | None = None) -> tuple[Finding, ...]:
    """Return the findings, most severe first, without ignored ones. ``params`` override those in
    the files."""
    return tuple(checks_before(project, params=params, skip=_OTHERS))
