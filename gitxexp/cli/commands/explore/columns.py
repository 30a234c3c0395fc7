"""``git xexp explore columns``."""

from __future__ import annotations

import click

from gitxexp.cli.options import json_option, open_project
from gitxexp.cli.render import columns as pages
from gitxexp.cli.render import console
from gitxexp.workflows.explore.columns import columns as find_columns


@click.command()
@click.argument("table", required=False)
@json_option
def columns(table: str | None, as_json: bool) -> None:
    """Show what each column of the results is to an experiment, and why.

    A param is part of the configuration, a metric measures, context is shown and never compared, output
    stays in the database, a key names rows. [roles] in .xexp/config.toml overrides what was found.
    """
    project = open_project()
    found = find_columns(project, table)
    if as_json:
        console.out(console.as_json(pages.as_objects(found, project.top)))
    else:
        console.page(pages.as_text(found, project.top))
