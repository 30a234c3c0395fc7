"""Reuse the last check's report as long as its inputs have not changed.

A check that found no error saves its report in the repository's state folder, with a fingerprint of
its inputs: refs, settings, and the stats of databases, pointers, registry and cache objects.
Recomputing the fingerprint takes three git calls and a stat of each file; nothing else is imported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from gitxexp._version import __version__
from gitxexp.common.files import SUFFIXES, atomic_write
from gitxexp.repository.repository import Project
from gitxexp.workflows.checks.report import CheckReport, CheckRequest, Ignored, Skipped
from gitxexp.workflows.checks.rule import Finding, Severity

#: Its name in the repository's state folder; a different one for each work tree.
_FILE = "check.json"
_POINTERS = ("*.dvc", "dvc.lock", "*/dvc.lock", "dvc.yaml", "*/dvc.yaml", ".gitattributes")
_SETTINGS = r"^(xexp|merge\.xexp)\."
_OURS = (".xexp/config.toml", ".xexp/registry.db", ".dvc/config", ".dvc/config.local")


def known(project: Project, request: CheckRequest) -> CheckReport | None:
    """The report of the last check that found no error, if nothing has changed since."""
    if not is_whole(request) or project.places.top is None:
        return None
    with suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(_path(project).read_text("utf-8"))
        if stored["fingerprint"] == fingerprint(project, request, stored["watched"]):
            return _report(stored["report"])
    return None


def remember(
    project: Project, request: CheckRequest, report: CheckReport, watched: Iterable[Path]
) -> None:
    """Save the report of a check that found no error; otherwise delete the last one."""
    if not is_whole(request) or project.places.top is None:
        return
    path = _path(project)
    if report.count(Severity.ERROR):
        path.unlink(missing_ok=True)
        return
    names = sorted(str(each) for each in watched)
    stored = {
        "fingerprint": fingerprint(project, request, names), "watched": names, "report": _plain(report),
    }  # fmt: skip
    with suppress(OSError, TypeError, ValueError):  # a report that JSON cannot hold is not saved
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(stored)
        with atomic_write(path, durable=False) as temporary:
            temporary.write_text(text, "utf-8")


def is_whole(request: CheckRequest) -> bool:
    """Whether the whole record is checked."""
    elsewhere = request.ask_remote or request.train
    return not (request.paths or request.before or elsewhere or request.base)


def _path(project: Project) -> Path:
    return project.state / f"{project.places.git_dir.name.strip('.')}-{_FILE}"


def fingerprint(project: Project, request: CheckRequest, watched: Iterable[str]) -> list[Any]:
    """A fingerprint as JSON values: equal to the previous one if nothing has changed."""
    refs = project.git.refs_later()
    patterns = [*_POINTERS, *(f"*{suffix}" for suffix in SUFFIXES)]
    names = project.at_top.fields("ls-files", "-z", "--cached", "--others", "--", *patterns)
    top = project.top
    paths = [*(str(top / name) for name in dict.fromkeys((*_OURS, *names))), *watched]
    head = (project.places.git_dir / "HEAD").read_text("utf-8")
    asked = [
        sorted(request.only),
        sorted(request.skip),
        request.since,
        request.run,
        request.id_column,
    ]
    return [
        __version__, asked, head, project.git.config(_SETTINGS), refs(), list(_stats(paths)),
    ]  # fmt: skip


def _stats(paths: Iterable[str]) -> Iterator[list[Any]]:
    for path in paths:
        for name in (path, f"{path}-wal"):
            try:
                info = os.stat(name)  # noqa: PTH116 - many of them
            except OSError:
                continue
            yield [name, info.st_ino, info.st_size, info.st_mtime_ns]


def _plain(report: CheckReport) -> dict[str, Any]:
    return {
        "findings": [_finding(one) for one in report.findings],
        "ignored": [[_finding(one.finding), one.reason] for one in report.ignored],
        "skipped": [[one.rule, one.reason] for one in report.skipped],
        "rules": list(report.rules),
    }


def _finding(one: Finding) -> list[Any]:
    rows = [dict(row) for row in one.rows]
    return [
        one.rule,
        one.level,
        one.message,
        one.path,
        one.table,
        one.subject,
        one.count,
        rows,
        one.hint,
        one.listed,
    ]


def _report(stored: dict[str, Any]) -> CheckReport:
    def finding(values: list[Any]) -> Finding:
        *named, count, rows, hint, listed = values
        rule, level, message, path, table, subject = named
        return Finding(
            rule,
            Severity(level),
            message,
            path,
            table,
            subject,
            count,
            tuple(rows),
            hint,
            listed=listed,
        )

    return CheckReport(
        tuple(map(finding, stored["findings"])),
        tuple(Ignored(finding(values), reason) for values, reason in stored["ignored"]),
        tuple(Skipped(*pair) for pair in stored["skipped"]),
        tuple(stored["rules"]),
        unchanged=True,
    )
