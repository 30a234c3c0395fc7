"""``git xexp check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitxexp.cli import hints, progress, prompts
from gitxexp.cli.group import Command
from gitxexp.cli.options import Columns, open_project, shared
from gitxexp.cli.render import console
from gitxexp.common import streams
from gitxexp.common.errors import UsageError, XexpError, only_one
from gitxexp.common.text import counted

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.workflows.checks.report import CheckReport, CheckRequest
    from gitxexp.workflows.checks.rule import Fix

_FILE = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("paths", nargs=-1, type=_FILE, metavar="PATH...")
@click.option("--before", "stage", flag_value="before", help="Apply the rules for before a run.")
@click.option("--after", "stage", flag_value="after",
              help="Apply the rules for after a run (the default).")  # fmt: skip
@click.option("--only", type=Columns(), metavar="RULES", help="Apply only these rules.")
@click.option("--skip", type=Columns(), metavar="RULES", help="Skip these rules.")
@click.option("--since", metavar="VERSION", help="Check only what was logged after VERSION.")
@click.option("--run", metavar="ID", help="Check only this run.")
@click.option("--id", "id_column", metavar="COLUMN", help="The column that names the inputs.")
@click.option("--train", type=_FILE, metavar="FILE", help="Training data, to compare with --test.")
@click.option("--test", type=_FILE, metavar="FILE", help="Test data, to look for in --train.")
@click.option("--merge", "base", metavar="BASE",
              help="Check the merges that are in HEAD and not in BASE.")  # fmt: skip
@click.option("--params-from", metavar="MODULE:CLASS",
              help="The dataclass whose fields the run will log.")  # fmt: skip
@click.option("--remote", "ask_remote", is_flag=True, help="Also query non-local remotes.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings, too.")
@click.option("--fix", is_flag=True, help="Fix what can be fixed safely.")
@shared(dry_run="With --fix: show what would be fixed.", yes="With --fix: fix without asking.")
@click.option("-v", "--verbose", is_flag=True, help="Show the rows behind each finding.")
@click.option("--md", is_flag=True, help="Print Markdown, for a pull request.")
@click.option("--github", is_flag=True, help="Print annotations for GitHub Actions.")
@click.option("--ci", type=click.Choice(("github", "gitlab")),
              help="Print a CI workflow that runs the checks.")  # fmt: skip
@shared(json=True)
@click.pass_context
def check(
    ctx: click.Context,
    paths: tuple[Path, ...],
    stage: str | None,
    only: tuple[str, ...] | None,
    skip: tuple[str, ...] | None,
    since: str | None,
    run: str | None,
    id_column: str | None,
    train: Path | None,
    test: Path | None,
    base: str | None,
    params_from: str | None,
    ask_remote: bool,
    strict: bool,
    fix: bool,
    dry_run: bool,
    yes: bool,
    verbose: bool,
    md: bool,
    github: bool,
    ci: str | None,
    as_json: bool,
) -> None:
    """Report whether a benchmark is sound; exit with 1 if it is not.

    Examines the results, the record and the data after a run, or with --before what a run would
    fail to record; with PATH, any SQLite, DuckDB or parquet file.
    """
    from gitxexp.workflows.checks.report import CheckRequest

    if ci:
        _print_workflow(ci)
        return
    only_one({"--json": as_json, "--md": md, "--github": github})
    before = "--before" if params_from is None else "--params-from"
    only_one({before: params_from is not None, "--after": stage == "after"},
             "--params-from checks what a run would record")  # fmt: skip
    stage = "before" if params_from is not None else stage
    only_one({"PATH": paths, before: stage == "before"}, f"{before} checks the repository")
    only_one({"--merge": base, before: stage == "before"}, "run them one after the other")
    _refuse(train, test, fix=fix, dry_run=dry_run)
    request = CheckRequest(
        paths=_files(paths),
        before=stage == "before",
        only=frozenset(only or ()),
        skip=frozenset(skip or ()),
        since=since,
        run=run,
        id_column=id_column,
        train=train,
        test=test,
        base=base,
        params_from=params_from,
        ask_remote=ask_remote,
    )
    project = _project(request)
    report = _report(project, request, fix=fix)
    fixed: tuple[str, ...] = ()
    if fix:
        report, fixed = _fixed(
            project, request, report, dry_run=dry_run, yes=yes or not prompts.can_ask()
        )
    if as_json or md or github:
        _print(report, fixed, md=md, github=github)
    elif base and not (stage or only or paths or train):
        _show_merges(report, base)
    else:
        _show(report, verbose=verbose)
    ctx.exit(1 if report.failed(strict=strict) else 0)


def _refuse(train: Path | None, test: Path | None, *, fix: bool, dry_run: bool) -> None:
    if (train is None) != (test is None):
        raise UsageError("--train and --test go together", "git xexp check --train A --test B")
    if dry_run and not fix:
        raise UsageError("--dry-run requires --fix: a check changes nothing", "add --fix")


def _files(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """The files that are named, and the databases in folders that are no tracker's own."""
    from gitxexp.common.files import SUFFIXES
    from gitxexp.trackers.runs import tracker_of

    found: dict[Path, None] = {}
    for path in paths:
        inside = [path]
        if path.is_dir() and tracker_of(path) is None:
            inside = sorted(
                p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()
            )
            if not inside:
                raise XexpError(f"no database in {path}", f"looked for {', '.join(SUFFIXES)}")
        found.update(dict.fromkeys(inside))
    return tuple(found)


def _project(request: CheckRequest) -> Project | None:
    """The repository; None outside of one, where files are named."""
    try:
        return open_project()
    except XexpError:
        if request.paths or request.train:
            return None
        raise


def _report(project: Project | None, request: CheckRequest, *, fix: bool) -> CheckReport:
    from gitxexp.workflows.checks.unchanged import known

    if project is not None and not fix and (report := known(project, request)):
        return report
    from gitxexp.workflows.checks.check import check

    if project is None:
        return check(None, request)
    with progress.line("checking") as project.progress:
        return check(project, request)


def _fixed(
    project: Project | None, request: CheckRequest, report: CheckReport, *, dry_run: bool, yes: bool
) -> tuple[CheckReport, tuple[str, ...]]:
    """The report after what is corrected, and what that is."""
    from gitxexp.workflows.checks.fixes import apply, fixable

    fixes = fixable(report.findings)
    if dry_run or project is None or not fixes:
        for one in fixes:
            console.say(f"would: {one.summary}")
        if not fixes:
            console.remark("nothing that can be fixed safely")
        return report, ()
    chosen = [one for one in fixes if yes or _is_wanted(one)]
    done = apply(project, chosen)
    for text in done:
        console.say(f"corrected: {text}")
    if not done:
        return report, ()
    return _report(project, request, fix=True), done


def _is_wanted(one: Fix) -> bool:
    return prompts.confirm(f"{one.summary}?")


def _print(report: CheckReport, fixed: tuple[str, ...], *, md: bool, github: bool) -> None:
    from gitxexp.cli.render import checks

    if md:
        streams.write(checks.as_markdown(report))
    elif github:
        console.out(*checks.as_annotations(report))
    else:
        console.print_json(checks.as_object(report, fixed))


def _show(report: CheckReport, *, verbose: bool) -> None:
    from gitxexp.cli.render import checks

    console.out(*checks.as_text(report, rows=verbose))
    if not verbose:
        console.notes(one.reason for one in report.skipped if one.rule == "results")
    if report.findings and not verbose:
        if not console.is_terminal():
            console.remark(checks.summary(report))
        hints.hint("run git xexp check -v to see the rows and how to fix them")


def _print_workflow(name: str) -> None:
    from importlib.resources import files

    text = files("gitxexp.cli.shell").joinpath("ci", f"{name}.yml").read_text("utf-8")
    streams.write(text)


def _show_merges(found: CheckReport, base: str) -> None:
    from gitxexp.cli.render import rows

    for item in found.dropped:
        count = len(item.rows)
        what = f"{counted(count, 'row')} of {item.table} in {item.path}"
        console.out(f"{item.commit[:10]} ({item.subject}) dropped {what}")
        for change in item.rows[: rows.MOST]:
            console.out(f"  {rows.row(change)}")
        if count > rows.MOST:
            console.out(f"  and {count - rows.MOST} more")
    for problem in found.problems:
        console.say(f"warning: {problem}")
    if found.dropped:
        commit = found.dropped[0].commit[:10]
        hints.hint(f"bring them back: git xexp merge {commit}^1 {commit}^2 --commit")
    elif not found.problems:
        console.out(f"{counted(found.merges, 'merge')} since {base}: no row was dropped")
