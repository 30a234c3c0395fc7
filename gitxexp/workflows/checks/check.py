"""Apply the rules to a work tree before a run, to the record after one, or to any results file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from gitxexp.common.errors import UsageError, suggestion
from gitxexp.common.notes import note
from gitxexp.repository.config import Config
from gitxexp.repository.repository import Project
from gitxexp.storage.git import asked_once
from gitxexp.workflows.checks import unchanged
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.report import CheckReport, CheckRequest, Ignored, Skipped
from gitxexp.workflows.checks.rule import (
    UNREADABLE,
    Finding,
    Rule,
    Scope,
    Severity,
    rules,
    rules_before,
)


@asked_once()
def check(project: Project | None, request: CheckRequest) -> CheckReport:
    """Apply the rules that ``request`` selects. ``project`` is None outside a repository.

    Raises UsageError for an unknown rule, XexpError for a named file that cannot be read.
    """
    context = Context(project, request)
    chosen = _chosen(request)
    _ = context.bounds, context.since  # report unreadable settings before checking anything
    found = list(_found(chosen, context))
    kept, ignored = _sorted_out(found, context.config)
    skipped = tuple(Skipped(rule, why) for rule, why in context.skipped)
    names = tuple(dict.fromkeys(rule.id for rule in chosen))
    report = CheckReport(tuple(kept), tuple(ignored), skipped, names)
    if merges := context.merges:
        report = replace(
            report, merges=merges.merges, dropped=merges.dropped, problems=merges.problems
        )
    if project is not None and unchanged.is_whole(request):
        unchanged.remember(project, request, report, context.watched)
    return report


def checks_before(
    project: Project,
    *,
    params: Mapping[str, Any] | None = None,
    only: Iterable[str] = (),
    skip: Iterable[str] = (),
) -> list[Finding]:
    """Return the findings of ``check --before``, most severe first, without those that the
    configuration ignores.

    ``params`` are those that the run will log in addition to the parameter files, by name.
    Raises UsageError for an unknown rule in ``only`` or ``skip``.
    """
    request = CheckRequest(
        before=True, only=frozenset(only), skip=frozenset(skip), params=params or {},
    )  # fmt: skip
    return list(check(project, request).findings)


def _chosen(request: CheckRequest) -> list[Rule]:
    scopes, asked = _scopes(request), request.only | request.skip
    every = rules_before() if scopes == {Scope.BEFORE} else rules()
    if not asked <= {rule.id for rule in every}:
        every = rules()
    known = list(dict.fromkeys(rule.id for rule in every))
    for name in sorted(asked):
        if name not in known:
            raise UsageError(
                f"there is no rule '{name}'", suggestion(name, known, f"rules: {', '.join(known)}")
            )
    wanted = [rule for rule in every if rule.scope in scopes]
    if request.only:
        named = [rule for rule in every if rule.id in request.only]
        within = {rule.id for rule in wanted}
        wanted = [rule for rule in named if rule.scope in scopes or rule.id not in within]
    return [rule for rule in wanted if rule.id not in request.skip]


def _scopes(request: CheckRequest) -> set[Scope]:
    if request.before:
        return {Scope.BEFORE}
    scopes = {Scope.DATA} if request.train else set()
    scopes |= {Scope.MERGE} if request.base else set()
    if request.paths or not scopes:
        scopes |= {Scope.TABLE, Scope.FILE}
        scopes |= set() if request.paths else {Scope.REPOSITORY}
    return scopes


def _found(chosen: list[Rule], context: Context) -> Iterator[Finding]:
    for rule in chosen:
        if rule.scope in (Scope.BEFORE, Scope.REPOSITORY) and context.at is None:
            context.skip(rule.id, "there is no repository")
        elif rule.scope not in (Scope.TABLE, Scope.FILE):
            yield from rule.run(context)
    of_files = [rule for rule in chosen if rule.scope in (Scope.TABLE, Scope.FILE)]
    if of_files:
        from gitxexp.workflows.checks import results  # late: nothing of it is needed before a run

        yield from results.found(of_files, context)


_ORDER = list(Severity)


def _sorted_out(found: Iterable[Finding], config: Config) -> tuple[list[Finding], list[Ignored]]:
    """Split findings into those that count, most severe first, and those that ``[check] ignore``
    excludes."""
    ignoring = [_ignoring(text) for text in config.check_ignore]
    for name, _, why in ignoring:
        if name not in {UNREADABLE, *(rule.id for rule in rules())}:
            note(f"[check] ignore names no rule '{name}'")
        elif not why:
            note(f"[check] ignore gives no reason for {name}")
    kept: list[Finding] = []
    ignored: list[Ignored] = []
    for finding in found:
        meant = [why for name, glob, why in ignoring if _is_meant(finding, name, glob)]
        if not meant:
            kept.append(finding)
        else:
            ignored.append(Ignored(finding, meant[0]))
    return sorted(kept, key=lambda one: _ORDER.index(one.level)), ignored


def _ignoring(text: str) -> tuple[str, str, str]:
    """Parse ``RULE: why`` or ``RULE@GLOB: why``."""
    name, _, why = text.partition(":")
    name, _, glob = name.strip().partition("@")
    return name, glob, why.strip()


def _is_meant(finding: Finding, name: str, glob: str) -> bool:
    if name != finding.rule:
        return False
    places = (finding.subject, finding.path, finding.table, finding.place)
    return not glob or any(place and fnmatchcase(place, glob) for place in places)
