"""``git xexp status``: the status page, which ``git xexp`` alone shows, too."""

from __future__ import annotations

import click

from gitxexp.cli import status as page
from gitxexp.cli.group import Command
from gitxexp.cli.options import shared


@click.command(cls=Command, hidden=True)
@shared(json=True)
def status(as_json: bool) -> None:
    """Show where you are, the last experiment, and the next sensible command."""
    page.show(as_json=as_json)
