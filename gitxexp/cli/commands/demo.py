"""``git xexp demo``."""

from __future__ import annotations

from pathlib import Path

import click

from gitxexp.cli.group import Command
from gitxexp.cli.options import shared
from gitxexp.cli.render import console

#: As :data:`gitxexp.cli.shell.demo_scenes.SCENES`.
SCENES = ("tag", "worktree", "merge", "sweep", "models", "conflict")


def _list_scenes(ctx: click.Context, _param: click.Parameter, given: bool) -> None:
    if given:
        from gitxexp.cli.shell.demo_scenes import SCENES

        console.out(*(f"{name:<10}{scene.summary}" for name, scene in SCENES.items()))
        ctx.exit()


@click.command(cls=Command)
@click.argument("directory", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
@click.option(
    "--scene", type=click.Choice(SCENES), metavar="NAME", help="Show one subject in ten seconds."
)
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_scenes,
    help="List the scenes.",
)
@shared(json=True)
def demo(directory: Path | None, scene: str | None, as_json: bool) -> None:
    """Make a real experiment repository in DIR (or a temporary folder) and walk through it.

    Trains small models on Fisher's iris data, one by one, side by side and in a sweep, tags and
    compares them. Every command is shown as it runs. Needs no network and half a minute.
    """
    say = console.say if as_json else console.out
    if scene is None:
        from gitxexp.cli.shell.demo import run_demo

        project = run_demo(directory, say)
    else:
        from gitxexp.cli.shell.demo_scenes import run_scene

        project = run_scene(scene, directory, say)
    if as_json:
        console.print_json({"path": str(project)})
