"""``git xexp get``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitxexp.cli import progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common import streams
from gitxexp.common.errors import only_one

if TYPE_CHECKING:
    from gitxexp.workflows.artifacts.get import GetReport

#: As :class:`gitxexp.storage.sources.Strategy` has them.
STRATEGIES = ("auto", "cache", "dvc", "worktree")


@click.command(cls=Command)
@click.argument("version")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-o", "--out", metavar="OUT", help="File or folder to write; '-' is standard output.")
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="auto",
    help="Where to look: caches, the DVC remote or a temporary worktree (default: all, in that order).",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite files that exist and differ.")
@click.option("--no-verify", is_flag=True, help="Do not verify the content against its hash.")
@click.option("-r", "--remote", metavar="NAME", help="The DVC remote to ask.")
@shared(nul="Print only the paths written, each ended by NUL.", json=True)
def get(
    version: str,
    paths: tuple[str, ...],
    out: str | None,
    strategy: str,
    force: bool,
    no_verify: bool,
    remote: str | None,
    nul: bool,
    as_json: bool,
) -> None:
    """Get files or folders as experiment VERSION had them, from the nearest place.

    PATH is relative to the current folder, or else to the top; globs are allowed. The files are
    your own: writable, verified, and complete or absent. Files that are already correct are left
    alone.
    """
    from gitxexp.storage.sources import Strategy
    from gitxexp.workflows.artifacts.get import GetRequest, get, stream
    from gitxexp.workflows.runs.past_files import files_of

    project = open_project()
    found = files_of(project, version)
    request = GetRequest(
        commit=found.commit,
        own=found.own,
        called=version,
        paths=paths,
        out=Path(out) if out not in (None, "-") else None,
        strategy=Strategy(strategy),
        force=force,
        verify=not no_verify,
        remote=remote,
    )
    if out == "-":
        only_one({"--json": as_json, "-z": nul and not as_json, "-o -": True})
        report = stream(project, request, sys.stdout.buffer)
        streams.flush()
        _say(report)
        return
    with progress.line("getting") as show:
        report = get(project, request, show)
    if as_json:
        console.print_json(_facts(report))
    elif nul:
        console.names(got.target for got in report.files)
        _notes(report)
    else:
        _show(report)


def _show(report: GetReport) -> None:
    """Each file on its own line, or one line for each place when there are many."""
    if len(report.files) <= 10:
        for got in report.files:
            console.done(f"{got.target}  {console.size(got.size)}  {_from(got.source)}")
    else:
        for source in dict.fromkeys(got.source for got in report.files):
            mine = [got for got in report.files if got.source == source]
            size = console.size(sum(got.size for got in mine))
            console.done(f"{len(mine)} files  {size}  {_from(source)}")
    _notes(report)


def _say(report: GetReport) -> None:
    for got in report.files:
        console.remark(f"{got.path}  {console.size(got.size)}  {_from(got.source)}")
    _notes(report)


def _notes(report: GetReport) -> None:
    for note in report.notes:
        console.say(f"warning: {note}")


def _from(source: str) -> str:
    return "already there" if source == "there" else f"from {source}"


def _facts(report: GetReport) -> dict[str, object]:
    files = [
        {"path": got.path, "target": str(got.target), "size": got.size, "source": got.source}
        for got in report.files
    ]
    return {"files": files, "notes": list(report.notes)}
