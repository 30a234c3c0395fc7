"""``git xexp completion``."""

from __future__ import annotations

import click

from gitxexp.cli.group import Command
from gitxexp.cli.shell.completion import SHELLS, script
from gitxexp.common import streams


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion(shell: str) -> None:
    """Print the completion script of SHELL: bash, zsh or fish.

    It can be sourced or saved.
    """
    streams.write(script(shell))
