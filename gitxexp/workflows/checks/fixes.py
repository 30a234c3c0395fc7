"""Apply the fixes for what a check found, in operations that ``undo`` can revert."""

from __future__ import annotations

from collections.abc import Sequence

from gitxexp.repository.repository import Project
from gitxexp.workflows.checks.rule import Finding, Fix


def fixable(findings: Sequence[Finding]) -> list[Fix]:
    """Return the fixes of findings, without duplicates."""
    found: dict[str, Fix] = {}
    for one in findings:
        if one.fix is not None:
            found.setdefault(one.fix.summary, one.fix)
    return list(found.values())


def apply(project: Project, fixes: Sequence[Fix], *, wait: bool = True) -> tuple[str, ...]:
    """Apply the fixes, as far as possible in one operation; return descriptions of what was done.

    Raises XexpError if one fails; then that operation changes nothing.
    """
    inside = [fix for fix in fixes if fix.inside is not None]
    if inside:
        with project.operation("check --fix", wait=wait) as running:
            for fix in inside:
                assert fix.inside is not None
                fix.inside(project, running)
            running.summary.append("; ".join(fix.summary for fix in inside))
    for fix in fixes:
        if fix.alone is not None:
            fix.alone(project)
    return tuple(fix.summary for fix in fixes)
