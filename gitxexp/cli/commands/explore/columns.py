"""``git xexp explore columns``."""

from __future__ import annotations

import click

from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console


@click.command(cls=Command)
@click.argument("table", required=False)
@shared(json=True)
def columns(table: str | None, as_json: bool) -> None:
    """Show the role of each column of the results, and why it has that role.

    A param is part of the configuration, a metric measures, context is shown but never compared,
    output stays in the database, and a key names rows. [roles] in .xexp/config.toml overrides the
    roles.
    """
    from gitxexp.cli.render.columns import as_objects, as_text
    from gitxexp.workflows.explore.columns import columns

    project = open_project()
    found = columns(project, table)
    if as_json:
        console.print_json(as_objects(found, project.top))
    else:
        console.page(as_text(found, project.top))
