"""``git xexp explore show``."""

from __future__ import annotations

import click

from gitxexp import progress, render
from gitxexp.explore.showing import details
from gitxexp.options import json_option, open_project
from gitxexp.render import details as pages
from gitxexp.render import objects


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
        render.say(f"note: {note}")
    if as_json:
        render.out(render.as_json(objects.details(found)))
    else:
        render.page(pages.as_text(found))
