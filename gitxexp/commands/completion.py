"""``git xexp completion``."""

from __future__ import annotations

import click

from gitxexp import completions, render


@click.command()
@click.argument("shell", type=click.Choice(list(completions.SHELLS)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL: bash, zsh or fish.

    It can be sourced or saved.
    """
    render.out(completions.script(ctx.find_root().command, shell), end="")
