"""``git xexp completion``."""

from __future__ import annotations

import click

from gitxexp.cli.render import console
from gitxexp.cli.shell import completion as shell_completion


@click.command()
@click.argument("shell", type=click.Choice(list(shell_completion.SHELLS)))
def completion(shell: str) -> None:
    """Print the completion script of SHELL: bash, zsh or fish.

    It can be sourced or saved.
    """
    console.out(shell_completion.script(shell), end="")
