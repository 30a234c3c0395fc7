"""``git xexp explore show``."""

from __future__ import annotations

import click

from gitxexp.cli import progress
from gitxexp.cli.options import json_option, open_project
from gitxexp.cli.render import console
from gitxexp.cli.render import details as pages
from gitxexp.workflows.explore.show import details


@click.command()
@click.argument("version")
@click.option("--remote", "ask_remote", is_flag=True, help="Ask a remote that is no local folder.")
@json_option
def show(version: str, ask_remote: bool, as_json: bool) -> None:
    """Show all that is known of one experiment.

    VERSION is a version, the first digits of a configuration's hash, a run or the start of one, or
    any revision: then the experiment there, or the nearest before it, is shown.
    """
    with progress.line("reading"):
        found = details(open_project(), version, ask_remote=ask_remote)
    for note in found.notes:
        console.say(f"note: {note}")
    if as_json:
        console.out(console.as_json(pages.details(found)))
    else:
        console.page(pages.as_text(found))
