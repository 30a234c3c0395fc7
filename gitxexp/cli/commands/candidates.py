"""``git xexp candidates``: the group and ``list``.

``git xexp candidates add``.
"""

from __future__ import annotations

from pathlib import Path

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.group import LazyGroup
from gitxexp.cli.options import json_option, no_wait_option, nul_option, open_project
from gitxexp.cli.render import candidates as pages
from gitxexp.cli.render import console
from gitxexp.workflows.models import add as models_add
from gitxexp.workflows.models import candidates as models_candidates

VERBS = {
    "list": ("gitxexp.cli.commands.candidates", "list production and candidates, the best first"),
    "add": ("gitxexp.cli.commands.candidates", "put a model file in as the candidate of a run"),
}


@click.group(cls=LazyGroup, verbs=VERBS, default="list")
def candidates() -> None:
    """The model in production and the candidates beside it."""


@click.command("list")
@click.option("--slot", metavar="NAME", help="Only this model slot.")
@click.option("--metric", metavar="METRIC", help="Rank by METRIC (default: the primary one).")
@click.option("--remote", "ask_remote", is_flag=True, help="Ask a remote that is no local folder.")
@nul_option("Print the paths alone, each ended by NUL.")
@json_option
def list_(slot: str | None, metric: str | None, ask_remote: bool, nul: bool, as_json: bool) -> None:
    """List production and every candidate: run, version, metrics, size, where its bytes are."""
    project = open_project()
    with progress.line("reading") as show:
        found = models_candidates.list_models(
            project, slot, metric, ask_remote=ask_remote, progress=show
        )
    for note in found.notes:
        console.say(f"note: {note}")
    if as_json:
        console.out(console.as_json(pages.as_objects(found)))
    elif nul:
        console.names(row.model.path for row in found.rows)
    elif found.rows:
        console.page(pages.table(found))
    else:
        console.remark("there are no models yet; add one: git xexp candidates add PATH")


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--run", metavar="ID", help="The run that made it (default: the latest).")
@click.option("--slot", metavar="NAME", help="The model slot, where there are several.")
@no_wait_option
@json_option
def add(path: Path, run: str | None, slot: str | None, no_wait: bool, as_json: bool) -> None:
    """Put a model file in as the candidate of a run; the file itself stays where it is."""
    with progress.line("adding") as show:
        done = models_add.add(open_project(), path, run, slot, show, wait=not no_wait)
    if as_json:
        names = ("path", "run", "hash", "size", "how", "touched")
        console.out(console.as_json({name: getattr(done, name) for name in names}))
        return
    if not done.touched and done.how == "there":
        console.done(f"{done.path} is there already: nothing to do")
        return
    console.done(f"added {done.path}  ({done.how}, {done.hash[4:12]}, run {done.run})")
    hints.hint("next: git xexp tag")
