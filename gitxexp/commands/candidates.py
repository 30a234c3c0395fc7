"""``git xexp candidates``: the group and ``list``."""

from __future__ import annotations

import click

from gitxexp import progress, render
from gitxexp.lazygroup import LazyGroup
from gitxexp.models import listing
from gitxexp.options import json_option, nul_option, open_project
from gitxexp.render import candidates as pages

VERBS = {
    "list": ("gitxexp.commands.candidates", "list production and candidates, the best first"),
    "add": ("gitxexp.commands.candidates_add", "put a model file in as the candidate of a run"),
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
        found = listing.listing(project, slot, metric, ask_remote=ask_remote, progress=show)
    for note in found.notes:
        render.say(f"note: {note}")
    if as_json:
        render.out(render.as_json(pages.as_objects(found)))
    elif nul:
        render.names(row.model.path for row in found.rows)
    elif found.rows:
        render.page(pages.table(found))
    else:
        render.remark("there are no models yet; add one: git xexp candidates add PATH")
