"""``git xexp report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitxexp.cli import progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project
from gitxexp.cli.render import console
from gitxexp.common import streams
from gitxexp.common.errors import UsageError, XexpError, only_one

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.workflows.report.report import ReportRequest

#: Where the page is written unless -o says otherwise.
_FILE = Path("report.html")


@click.command(cls=Command)
@click.argument("versions", nargs=-1, metavar="VERSION...")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE",
    help="Write to FILE (-: standard output) instead of report.html.",
)  # fmt: skip
@click.option("--md", "as_md", is_flag=True, help="GitHub Markdown, to standard output or -o FILE.")
@click.option("--metric", metavar="METRIC", help="Rank by METRIC (default: the primary one).")
@click.option(
    "--filter", "filter_", metavar="EXPR", help="Only experiments that match, such as 'f1 > 0.8'."
)
@click.option("--where", metavar="SQL", help="Only where this SQL is true: 'f1 > 0.8 AND lr < 1'.")
@click.option("--title", metavar="TEXT", help="The title (default: the name of the folder).")
@click.option("--open", "open_", is_flag=True, help="Show the page in the browser that git uses.")
def report(
    versions: tuple[str, ...],
    out: Path | None,
    as_md: bool,
    metric: str | None,
    filter_: str | None,
    where: str | None,
    title: str | None,
    open_: bool,
) -> None:
    """Write a report about experiments: one HTML file that needs no network, or Markdown.

    It has a summary in words, a table to sort and filter, charts, how each parameter relates to the
    metric, the difference of any two experiments, artifacts and checks. It covers all experiments,
    or the versions given. --md prints Markdown for a pull request.
    """
    from gitxexp.workflows.report.report import ReportRequest

    request = ReportRequest(versions, metric, filter_, where, title)
    if as_md or (out is not None and out.suffix.lower() in (".md", ".markdown")):
        only_one({"--open": open_, "--md": True}, "--open shows the HTML page")
        _markdown(open_project(), request, out)
        return
    only_one({"--open": open_, "-o -": out == Path("-")}, "name a file: -o report.html")
    _page(open_project(), request, out, show=open_)


def _markdown(project: Project, request: ReportRequest, out: Path | None) -> None:
    from gitxexp.cli.render.report import as_markdown
    from gitxexp.workflows.report.report import report

    with progress.line("reading"):
        found = report(project, request)
    lines = as_markdown(found)
    if out is None or str(out) == "-":
        console.out(*lines)
    else:
        _write(out, "".join(f"{line}\n" for line in lines))


def _page(project: Project, request: ReportRequest, out: Path | None, *, show: bool) -> None:
    from gitxexp.cli.render.page import html, vega
    from gitxexp.workflows.report.page import page

    if out is None:
        _refuse_foreign(_FILE)
    with progress.line("reading"):
        script = vega.script()
        text = html.as_html(page(project, request), script)
    if out is not None and str(out) == "-":
        streams.write(text)
        return
    _write(out or _FILE, text)
    if show:
        done = project.git.call("web--browse", (out or _FILE).resolve().as_uri())
        if done.returncode:
            raise XexpError(
                "git found no browser", "name one: git config --global web.browser NAME"
            )


def _refuse_foreign(path: Path) -> None:
    """Raises UsageError where a file is in the way that is no report of ours."""
    from gitxexp.cli.render.page.html import GENERATOR

    if not path.exists():
        return
    with path.open("rb") as stream:
        if GENERATOR.encode() not in stream.read(4096):
            raise UsageError(
                f"{path} exists, and git xexp did not write it",
                "name another file: -o FILE; or the same, to replace it",
            )


def _write(path: Path, text: str) -> None:
    from gitxexp.common.files import output_file

    with output_file(path) as temporary:
        temporary.write_text(text, "utf-8")
    console.done(f"wrote {path}")
