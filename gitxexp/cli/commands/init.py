"""``git xexp init``."""

from __future__ import annotations

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.options import json_option, no_wait_option, open_project
from gitxexp.cli.render import console
from gitxexp.workflows.experiments import init as experiments_init


@click.command()
@click.option("--no-dvc", is_flag=True, help="Do not set DVC up.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be done.")
@no_wait_option
@json_option
def init(no_dvc: bool, dry_run: bool, no_wait: bool, as_json: bool) -> None:
    """Set a repository up for git xexp; run again, it does only what is missing."""
    project = open_project()
    with progress.line("setting up"):
        done = experiments_init.init(project, dvc=not no_dvc, dry_run=dry_run, wait=not no_wait)
    if as_json:
        console.out(console.as_json({"done": list(done.done), "next": list(done.advice)}))
        return
    for line in done.done or ("everything is set up already",):
        console.done(line)
    hints.hint(*(f"next: {command}" for command in done.advice))
