"""``git xexp candidates``: list, add."""

from __future__ import annotations

from pathlib import Path

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.group import Group
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import only_one


@click.group(cls=Group, default="list")
def candidates() -> None:
    """List the production model and the candidates, or add a candidate."""


@candidates.command("list")
@click.option("--slot", metavar="NAME", help="List only this model slot.")
@click.option("--metric", metavar="METRIC", help="Rank by METRIC (default: the primary one).")
@click.option("--remote", "ask_remote", is_flag=True, help="Also query non-local remotes.")
@click.option("--md", "as_md", is_flag=True, help="Print a Markdown table.")
@shared(nul="Print only the paths, each ended by NUL.", json=True, full=True)
def list_(
    slot: str | None, metric: str | None, ask_remote: bool, as_md: bool, nul: bool, as_json: bool
) -> None:
    """List production and every candidate: run, version, metrics, size and location."""
    from gitxexp.cli.render.candidates import as_markdown, as_objects, table
    from gitxexp.workflows.models.candidates import list_models

    only_one({"--md": as_md, "-z" if nul else "--json": nul or as_json})
    with progress.line("reading") as show:
        project = open_project()
        models = list_models(project, slot, metric, ask_remote=ask_remote, progress=show)
    console.notes(models.notes)
    if as_json:
        console.print_json(as_objects(models))
    elif nul:
        console.names(row.model.path for row in models.rows)
    elif as_md:
        console.out(*as_markdown(models))
    elif models.rows:
        console.page(table(models))
    else:
        console.remark("there are no models yet; add one: git xexp candidates add PATH")
        for path in project.config.models_paths[:1]:
            if path != project.config.models_production and "*" not in path:
                hints.hint(
                    f"to make {path} the production model: git config xexp.models.production {path}"
                )


@candidates.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--run", metavar="ID", help="The run that made it (default: the latest).")
@click.option("--slot", metavar="NAME", help="The model slot, where there are several.")
@shared(no_wait=True, json=True)
def add(path: Path, run: str | None, slot: str | None, no_wait: bool, as_json: bool) -> None:
    """Add a model file as the candidate of a run; the file itself is not moved."""
    from gitxexp.workflows.models.add import add

    with progress.line("adding") as show:
        done = add(open_project(), path, run, slot, show, wait=not no_wait)
    if as_json:
        names = ("path", "run", "hash", "size", "how", "touched")
        console.print_json({name: getattr(done, name) for name in names})
    elif not done.touched and done.how == "there":
        console.done(f"{done.path} already exists: nothing to do")
    else:
        console.done(f"added {done.path}  ({done.how}, {done.hash[4:12]}, run {done.run})")
        hints.hint("next: git xexp tag")
