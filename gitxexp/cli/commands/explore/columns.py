"""``git xexp explore columns``."""

from __future__ import annotations

import click

from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import only_one


@click.command(cls=Command)
@click.argument("table", required=False)
@click.option("--md", "as_md", is_flag=True, help="Print Markdown tables.")
@shared(json=True)
def columns(table: str | None, as_md: bool, as_json: bool) -> None:
    """Show the role of each column of the results, and why it has that role.

    A param is part of the configuration, a metric measures, context is shown but never compared,
    output stays in the database, and a key names rows. [roles] in .xexp/config.toml overrides the
    roles.
    """
    from gitxexp.cli.render.columns import as_markdown, as_objects, as_text
    from gitxexp.workflows.explore.columns import columns

    only_one({"--md": as_md, "--json": as_json})
    project = open_project()
    found = columns(project, table)
    if as_json:
        console.print_json(as_objects(found, project.top))
    elif as_md:
        console.out(*as_markdown(found, project.top))
    else:
        console.page(as_text(found, project.top))
