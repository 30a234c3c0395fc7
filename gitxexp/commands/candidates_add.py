"""``git xexp candidates add``."""

from __future__ import annotations

from pathlib import Path

import click

from gitxexp import manners, progress, render
from gitxexp.models import adding
from gitxexp.options import json_option, no_wait_option, open_project


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--run", metavar="ID", help="The run that made it (default: the latest).")
@click.option("--slot", metavar="NAME", help="The model slot, where there are several.")
@no_wait_option
@json_option
def add(path: Path, run: str | None, slot: str | None, no_wait: bool, as_json: bool) -> None:
    """Put a model file in as the candidate of a run; the file itself stays where it is."""
    with progress.line("adding") as show:
        done = adding.add(open_project(), path, run, slot, show, wait=not no_wait)
    if as_json:
        names = ("path", "run", "hash", "size", "how", "touched")
        render.out(render.as_json({name: getattr(done, name) for name in names}))
        return
    if not done.touched and done.how == "there":
        render.done(f"{done.path} is there already: nothing to do")
        return
    render.done(f"added {done.path}  ({done.how}, {done.hash[4:12]}, run {done.run})")
    manners.hint("next: git xexp tag")
