"""``git xexp demo``."""

from __future__ import annotations

from pathlib import Path

import click

from gitxexp.cli.group import Command
from gitxexp.cli.options import shared
from gitxexp.cli.render import console


@click.command(cls=Command)
@click.argument("directory", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
@shared(json=True)
def demo(directory: Path | None, as_json: bool) -> None:
    """Make a real experiment repository in DIR (or a temporary folder) and walk through it.

    Trains small models on Fisher's iris data, one by one, side by side and in a sweep, tags and
    compares them. Every command is shown as it runs. Needs no network and half a minute.
    """
    from gitxexp.cli.shell.demo import run_demo

    project = run_demo(directory, console.say if as_json else console.out)
    if as_json:
        console.print_json({"path": str(project)})
