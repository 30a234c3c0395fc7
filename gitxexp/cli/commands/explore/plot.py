"""``git xexp explore plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitxexp.cli import progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import NoAnswer, only_one

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.workflows.explore.plot import Plot


@click.command(cls=Command)
@click.argument("metric")
@click.option("--x", "along", metavar="step|version|date|PARAM",
              help="The x axis (default: version; with --runs date).")  # fmt: skip
@click.option("--by", metavar="PARAM", help="Use one colour for each value of PARAM.")
@click.option("--hist", "histogram", is_flag=True, help="Plot how often each value occurs.")
@click.option("--runs", is_flag=True, help="Plot runs, tagged or not, instead of experiments.")
@click.option("--log-x", is_flag=True, help="Use a logarithmic x axis.")
@click.option("--log-y", is_flag=True, help="Use a logarithmic y axis.")
@click.option("--sort", metavar="NAME", help="The order from which --limit takes the first.")
@click.option(
    "--filter",
    "filter_",
    metavar="EXPR",
    help="Only experiments that match, such as 'f1 > 0.8 and model = bert'.",
)
@click.option("--where", metavar="SQL", help="Only where this SQL is true.")
@click.option("-l", "--label", "labels", multiple=True, help="Only with this label (repeatable).")
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="N",
              help="Only the first N (default for curves: 10).")  # fmt: skip
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE",
              help="Write FILE.svg, FILE.png or FILE.html.")  # fmt: skip
@shared(json=True)
def plot(
    metric: str,
    along: str | None,
    by: str | None,
    histogram: bool,
    runs: bool,
    log_x: bool,
    log_y: bool,
    sort: str | None,
    filter_: str | None,
    where: str | None,
    labels: tuple[str, ...],
    limit: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Plot METRIC of experiments, or of runs, in the terminal or to a file.

    --x step draws a curve for each run from the rows that it logged, --x PARAM a point for each
    experiment. A column of the results that is no metric, and TABLE.COLUMN, becomes a histogram of its
    rows.
    """
    from gitxexp.cli.render import plot as render
    from gitxexp.cli.render import plot_file
    from gitxexp.workflows.explore.plot import PlotRequest, plot
    from gitxexp.workflows.explore.query import ListQuery

    only_one({"--out": out is not None, "--json": as_json})
    kind = plot_file.kind_of(out) if out else ""
    query = ListQuery(
        sort=sort, filter=filter_, where=where, labels=labels, limit=limit, runs=runs,
    )  # fmt: skip
    request = PlotRequest(metric, along, by, histogram, log_x, log_y, query)
    project = open_project()
    with progress.line("reading"):
        found = plot(project, request)
    nothing = _nothing(project, found, runs=runs or along == "step") if found.empty else ""
    if as_json:
        console.print_json(render.as_object(found))
    elif out is not None:
        _write(found, out, kind, nothing)
    elif nothing:
        console.notes(found.notes)
        console.remark(nothing)
    else:
        console.out(*render.as_lines(found, render.look()))
        console.notes(found.notes)


def _nothing(project: Project, found: Plot, *, runs: bool) -> str:
    if found.total:
        what = found.x.name if found.edges else f"{found.y.name} by {found.x.name}"
        return f"there is nothing to plot: no value of {what}"
    from gitxexp.workflows.experiments.resolve import none_here
    from gitxexp.workflows.explore.query import every_row

    every = len(every_row(project, runs=runs))
    if every:
        return f"none of {every} {'runs' if runs else 'experiments'} match"
    return "there are no runs to plot" if runs else f"there are no experiments {none_here(project)}"


def _write(found: Plot, out: Path, kind: str, nothing: str) -> None:
    from gitxexp.cli.render.plot_file import as_file
    from gitxexp.common.files import output_file

    console.notes(found.notes)
    if nothing:
        raise NoAnswer(nothing)
    with progress.line("drawing"):
        content = as_file(found, kind)
    with output_file(out) as temporary:
        temporary.write_bytes(content)
    console.done(f"wrote {out}")
