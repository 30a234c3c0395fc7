"""``git xexp explore list``."""

from __future__ import annotations

import gc
from typing import Any

import click

from gitxexp.cli import hints
from gitxexp.cli.options import json_option, open_project
from gitxexp.cli.render import console, lists
from gitxexp.common.errors import UsageError
from gitxexp.workflows.experiments.resolve import none_here
from gitxexp.workflows.explore import query as explore_query
from gitxexp.workflows.explore.query import Query


@click.command("list")
@click.option(
    "--sort", metavar="NAME", help="By a metric (best first), parameter, date or version."
)
@click.option("--reverse", is_flag=True, help="Turn the order round; missing values stay last.")
@click.option("--filter", "filter_", metavar="EXPR", help="Such as 'f1 > 0.8 and model = bert'.")
@click.option("-l", "--label", "labels", multiple=True, help="Only with this label (repeatable).")
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N.")
@click.option("--columns", metavar="A,B,...", help="These columns; +A,+B adds to the usual ones.")
@click.option("--runs", is_flag=True, help="The runs of the results databases, tagged or not.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with all digits.")
@click.option("--porcelain", is_flag=True, help="Print stable lines of tab-separated fields.")
@click.option("-z", "nul", is_flag=True, help="End lines with NUL; implies --porcelain.")
def list_(**options: Any) -> None:
    """List experiments, whatever branch they are on, the newest first.

    A filter compares names with = != < <= > >= and ~ (contains, glob or regular expression), and
    joins with and, or, not and parentheses. The best value of every metric is marked.
    """
    form = _form(options)
    names = tuple(name.strip() for name in (options["columns"] or "").split(",") if name.strip())
    query = Query(
        sort=options["sort"],
        reverse=options["reverse"],
        filter=options["filter_"],
        labels=options["labels"],
        limit=options["limit"],
        columns=names or lists.porcelain_columns(form, runs=options["runs"]),
        runs=options["runs"],
    )
    gc.disable()  # thousands of rows and no cycle: looking for some took a fifth of the time
    project = open_project()
    found = explore_query.list_experiments(project, query)
    if not found.rows and form == "table":
        none = f"there are no experiments {none_here(project)}"
        console.remark(_nothing(found.total, runs=query.runs) or none)
        hints.hint(*filter(None, [found.hint]))
    elif form == "json":
        console.out(console.as_json(lists.as_objects(found, chosen=bool(names))))
    elif form == "csv":
        console.out(lists.as_csv(found), end="")
    elif form == "porcelain":
        console.out(lists.as_porcelain(found, end="\0" if options["nul"] else "\n"), end="")
    else:
        console.page(lists.as_table(found, {name.lstrip("+") for name in names}))


def _form(options: dict[str, Any]) -> str:
    asked = {
        "json": options["as_json"],
        "csv": options["as_csv"],
        "porcelain": options["porcelain"] or options["nul"],
    }
    chosen = [form for form, given in asked.items() if given]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other")
    return chosen[0] if chosen else "table"


def _nothing(total: int, *, runs: bool) -> str | None:
    if total:
        return f"none of {total} {'runs' if runs else 'experiments'} match"
    if runs:
        return (
            "there are no runs: no database has a table with a column of times or runs; name what "
            "the tracker writes in .xexp/config.toml, [results] databases and table"
        )
    return None
