"""``git xexp candidates``: list, add."""

from __future__ import annotations

from pathlib import Path

import click

from gitxexp import progress, render
from gitxexp.lazygroup import LazyGroup
from gitxexp.models import adding, listing
from gitxexp.options import json_option, no_wait_option, open_project
from gitxexp.render import models as pages

VERBS = {
    "list": ("gitxexp.commands.candidates", "list production and candidates, the best first"),
    "add": ("gitxexp.commands.candidates", "put a model file in as the candidate of a run"),
}


@click.group(cls=LazyGroup, verbs=VERBS, default="list")
def candidates() -> None:
    """The model in production and the candidates beside it."""


@click.command("list")
@click.option("--slot", metavar="NAME", help="Only this model slot.")
@click.option("--metric", metavar="METRIC", help="Rank by METRIC (default: the primary one).")
@click.option("--remote", "ask_remote", is_flag=True, help="Ask a remote that is no local folder.")
@json_option
def list_(slot: str | None, metric: str | None, ask_remote: bool, as_json: bool) -> None:
    """List production and every candidate: run, version, metrics, size, where its bytes are."""
    project = open_project()
    with progress.line("reading") as show:
        found = listing.listing(project, slot, metric, ask_remote=ask_remote, progress=show)
    for note in found.notes:
        render.say(f"note: {note}")
    if as_json:
        render.out(render.as_json(pages.as_objects(found)))
    elif found.rows:
        render.page(pages.table(found))
    else:
        render.say("there are no models yet; add one: git xexp candidates add PATH")


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
        render.out(f"{done.path} is there already: nothing to do")
        return
    render.out(f"added {done.path}  ({done.how}, {done.hash[4:12]}, run {done.run})")
    render.out("next: git xexp tag")
