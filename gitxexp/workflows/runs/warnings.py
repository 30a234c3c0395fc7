"""What is said before a command runs: mistakes that ``check --before`` finds and nothing else refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitxexp.repository.repository import Project
from gitxexp.workflows.checks.check import checks_before
from gitxexp.workflows.checks.rule import Finding

#: What ``run`` and ``sweep`` refuse by themselves, or need not know to run something.
_OTHERS = ("version-taken", "data-uncommitted", "remote-missing", "on-main")


def warnings(project: Project, params: Mapping[str, Any] | None = None) -> tuple[Finding, ...]:
    """The findings, the gravest first, without what the configuration ignores. ``params`` are those
    that run instead of what the files say."""
    return tuple(checks_before(project, params=params, skip=_OTHERS))
