"""``git xexp explore list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitxexp.cli import hints
from gitxexp.cli.group import Command
from gitxexp.cli.options import Columns, open_project, shared
from gitxexp.cli.render import console
from gitxexp.common import streams
from gitxexp.common.errors import only_one
from gitxexp.common.garbage import no_collection

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.workflows.explore.query import ExperimentList, ListQuery


@click.command("list", cls=Command)
@click.argument("names", nargs=-1, metavar="VERSION|HASH...")
@click.option(
    "--sort", metavar="NAME", help="Sort by a metric (best first), parameter, date or version."
)
@click.option("--reverse", is_flag=True, help="Reverse the order; missing values stay last.")
@click.option(
    "--filter",
    "filter_",
    metavar="EXPR",
    help="Only experiments that match, such as 'f1 > 0.8 and model = bert'.",
)
@click.option(
    "--where", metavar="SQL", help="Only where this SQL is true: 'f1 > 0.8 AND lr IN (1, 2)'."
)
@click.option("-l", "--label", "labels", multiple=True, help="Only with this label (repeatable).")
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N.")
@click.option("--columns", type=Columns(), metavar="A,B,...",
              help="Show these columns; +A,+B adds to the default.")  # fmt: skip
@click.option("--all-projects", is_flag=True,
              help="Also those of the other projects in this repository.")  # fmt: skip
@click.option("--runs", is_flag=True, help="List runs, tagged or not.")
@click.option("--watch", is_flag=True,
              help="Update the list whenever it changes, until Ctrl-C.")  # fmt: skip
@shared(json=True, full=True)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with all digits.")
@click.option("--md", "as_md", is_flag=True, help="Print a Markdown table.")
@click.option("--porcelain", is_flag=True, help="Print stable lines of tab-separated fields.")
@click.option("-z", "nul", is_flag=True, help="End lines with NUL; implies --porcelain.")
def list_(
    names: tuple[str, ...],
    sort: str | None,
    reverse: bool,
    filter_: str | None,
    where: str | None,
    labels: tuple[str, ...],
    limit: int | None,
    columns: tuple[str, ...] | None,
    all_projects: bool,
    runs: bool,
    watch: bool,
    as_json: bool,
    as_csv: bool,
    as_md: bool,
    porcelain: bool,
    nul: bool,
) -> None:
    """List experiments of all branches, newest first.

    NAMEs limit the list: versions, runs or config-hash prefixes (4 characters or more). A filter
    compares names with = != < <= > >= and ~ (contains, glob or regular expression), and can use
    and, or, not and parentheses. The best value of every metric is marked.
    """
    from gitxexp.cli.render import lists
    from gitxexp.workflows.explore.query import ListQuery

    form = only_one(
        {"--json": as_json, "--csv": as_csv, "--md": as_md, "--porcelain": porcelain or nul}
    )
    form = (form or "table").removeprefix("--")
    chosen = columns or ()
    query = ListQuery(
        sort=sort,
        reverse=reverse,
        filter=filter_,
        where=where,
        labels=labels,
        limit=limit,
        columns=chosen or lists.porcelain_columns(form, runs=runs),
        runs=runs,
        names=names,
        all_projects=all_projects,
    )
    if watch:
        only_one({"--watch": watch, f"--{form}": form in ("csv", "md")})
        _watch(query, form, chosen, nul=nul)
        return
    _print(open_project(), query, form, chosen, nul=nul)


@no_collection()
def _print(
    project: Project, query: ListQuery, form: str, chosen: tuple[str, ...], *, nul: bool
) -> None:
    from gitxexp.workflows.experiments.resolve import none_here
    from gitxexp.workflows.explore.query import list_experiments

    experiments = list_experiments(project, query)
    if form != "table":
        streams.write(_text(experiments, form, chosen, nul=nul, indent=2))
    elif experiments.rows:
        console.page(_table(experiments, chosen))
    else:
        none = f"there are no experiments {none_here(project)}"
        console.remark(_nothing(experiments.total, runs=query.runs) or none)
        hints.hint(*filter(None, [experiments.hint]))


def _text(
    found: ExperimentList,
    form: str,
    chosen: tuple[str, ...],
    *,
    nul: bool,
    indent: int | None = None,
) -> str:
    """The list as programs read it; JSON without an ``indent`` is one line."""
    from gitxexp.cli.render import lists

    if form == "json":
        return f"{console.as_json(lists.as_objects(found, chosen=bool(chosen)), indent)}\n"
    if form == "csv":
        return lists.as_csv(found)
    if form == "md":
        return "".join(f"{line}\n" for line in lists.as_markdown(found))
    return lists.as_porcelain(found, end="\0" if nul else "\n")


def _table(found: ExperimentList, chosen: tuple[str, ...]) -> list[str]:
    from gitxexp.cli.render import lists

    return lists.as_table(found, {name.lstrip("+") for name in chosen})


def _watch(query: ListQuery, form: str, chosen: tuple[str, ...], *, nul: bool) -> None:
    """Draw the list over the last one on a terminal; elsewhere write each other one after it."""
    from gitxexp.cli.watch import watch
    from gitxexp.repository.repository import Project
    from gitxexp.workflows.explore.observed import Observed
    from gitxexp.workflows.explore.query import list_experiments

    observed = Observed(open_project(), runs=query.runs)
    written: list[str] = []

    def draw() -> None:
        found = list_experiments(Project.open(), query)  # a new one, which remembers nothing
        lines = _table(found, chosen) if found.rows else []
        if form == "table" and console.is_screen():
            none = _nothing(found.total, runs=query.runs) or "there are no experiments yet"
            console.redraw(lines or [none])
            return
        table = "".join(f"{streams.shown(line)}\n" for line in lines)
        text = table if form == "table" else _text(found, form, chosen, nul=nul)
        if [text] != written:
            streams.write(text)
            written[:] = [text]

    watch(observed.state, draw)


def _nothing(total: int, *, runs: bool) -> str | None:
    if total:
        return f"none of {total} {'runs' if runs else 'experiments'} match"
    if runs:
        return (
            "there are no runs: no database has a table with a column of times or runs; name what "
            "the tracker writes in .xexp/config.toml, [results] databases and table"
        )
    return None
