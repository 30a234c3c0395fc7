"""``git xexp registry import``."""

from __future__ import annotations

from pathlib import Path

import click

from gitxexp.cli.commands.registry.source import db_option
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console


@click.command("import", cls=Command)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@click.option("--no-commit", is_flag=True, help="Do not commit the changed registry.")
@db_option
@shared(no_wait=True, json=True)
def import_configs(
    files: tuple[Path, ...], no_commit: bool, db: Path | None, no_wait: bool, as_json: bool
) -> None:
    """Register the configurations of JSON, TOML or YAML files, and print their hashes.

    Reads what export wrote, and plain objects, in which everything except description, tags and
    labels is a parameter. Known configurations are not registered again.
    """
    from gitxexp.workflows.registry.import_configs import import_configs, import_into

    if db is not None:
        found = import_into(db, files)
    else:
        found = import_configs(open_project(), files, commit=not no_commit, wait=not no_wait)
    if as_json:
        console.print_json(
            [
                {
                    "config_hash": one.config.config_hash,
                    "known": list(one.known),
                    "new": one.new,
                    "source": one.source,
                }
                for one in found
            ]
        )
        return
    for one in found:
        if one.edited:
            console.say(f"note: {one.source} was edited: its hash is another now")
        said = f"is {', '.join(one.known)}" if one.known else "new" if one.new else "known"
        console.out(f"{one.config.config_hash}  {said}")
