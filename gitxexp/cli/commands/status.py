"""``git xexp`` alone, or ``git xexp status``: the status page."""

from __future__ import annotations

import click

from gitxexp.cli import hints
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.garbage import no_collection


@click.command(cls=Command, hidden=True)
@shared(json=True)
def status(as_json: bool) -> None:
    """Show where you are, the last experiment, and the next sensible command."""
    show_status(as_json=as_json)


@no_collection()
def show_status(*, as_json: bool) -> None:
    """Print the status page."""
    from gitxexp.cli.render.status import as_object, as_text
    from gitxexp.workflows.experiments import status as experiments

    found = experiments.status(open_project())
    if as_json:
        console.print_json(as_object(found))
    else:
        console.out(*as_text(found, advice=hints.advises()))
