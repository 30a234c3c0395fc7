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
    """Show what each column of the results is to an experiment, and why.

    A param is part of the configuration, a metric measures, context is shown and never compared, output
    stays in the database, a key names rows. [roles] in .xexp/config.toml overrides what was found.
    """
    from gitxexp.cli.render.columns import as_objects, as_text
    from gitxexp.workflows.explore.columns import columns

    project = open_project()
    found = columns(project, table)
    if as_json:
        console.print_json(as_objects(found, project.top))
    else:
        console.page(as_text(found, project.top))
