"""``git xexp init``."""

from __future__ import annotations

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console


@click.command(cls=Command)
@click.option("--no-dvc", is_flag=True, help="Do not set up DVC.")
@shared(dry_run="Show what would be done.", no_wait=True, json=True)
def init(no_dvc: bool, dry_run: bool, no_wait: bool, as_json: bool) -> None:
    """Set up a repository for git xexp; run again, it does only what is missing."""
    from gitxexp.workflows.experiments.init import init

    project = open_project()
    with progress.line("setting up"):
        done = init(project, dvc=not no_dvc, dry_run=dry_run, wait=not no_wait)
    if as_json:
        console.out(console.as_json({"done": list(done.done), "next": list(done.advice)}))
        return
    for line in done.done or ("everything is set up already",):
        console.done(line)
    hints.hint(*(f"next: {command}" for command in done.advice))
