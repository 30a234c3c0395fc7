"""``git xexp completion``."""

from __future__ import annotations

import click

from gitxexp import completions, render


@click.command()
@click.argument("shell", type=click.Choice(list(completions.SHELLS)))
def completion(shell: str) -> None:
    """Print the completion script of SHELL: bash, zsh or fish.

    It can be sourced or saved.
    """
    render.out(completions.script(shell), end="")
