"""``git xexp explore show``."""

from __future__ import annotations

import click

from gitxexp.cli import progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import only_one


@click.command(cls=Command)
@click.argument("version", required=False)
@click.option("--remote", "ask_remote", is_flag=True, help="Also query non-local remotes.")
@click.option("--md", "as_md", is_flag=True, help="Print Markdown, for a pull request.")
@shared(json=True, full=True)
def show(version: str | None, ask_remote: bool, as_md: bool, as_json: bool) -> None:
    """Show everything about one experiment.

    VERSION is a version, a config-hash prefix, a run or a prefix of its id, or any revision, for
    the experiment there or the nearest before it. The default is the experiment tagged last.
    """
    from gitxexp.cli.render.details import as_markdown, as_object, as_text
    from gitxexp.workflows.explore.show import details

    only_one({"--md": as_md, "--json": as_json})
    with progress.line("reading"):
        experiment = details(open_project(), version, ask_remote=ask_remote)
    console.notes(experiment.notes)
    if as_json:
        console.print_json(as_object(experiment))
    elif as_md:
        console.out(*as_markdown(experiment))
    else:
        console.page(as_text(experiment))
