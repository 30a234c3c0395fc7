"""``git xexp report``."""

from __future__ import annotations

from pathlib import Path

import click

from gitxexp.cli import progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project
from gitxexp.cli.render import console
from gitxexp.common.errors import UsageError


@click.command(cls=Command)
@click.argument("versions", nargs=-1, metavar="VERSION...")
@click.option("--md", "as_md", is_flag=True, help="Print GitHub Markdown, which is the default.")
@click.option("--metric", metavar="METRIC", help="Rank by METRIC (default: the primary one).")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write to FILE.")
def report(versions: tuple[str, ...], as_md: bool, metric: str | None, out: Path | None) -> None:
    """Report on experiments as Markdown, for a pull request or a README.

    A summary in words, a table of experiments (all, or the versions named), what the best one changed
    and whether that is noise, and how much each parameter tells of the metric.
    """
    if out is not None and out.suffix.lower() in (".html", ".htm"):
        raise UsageError("the report is Markdown, not HTML", "use -o report.md")
    from gitxexp.cli.render.report import as_markdown
    from gitxexp.workflows.report.report import report

    with progress.line("reading"):
        found = report(open_project(), versions, metric)
    lines = as_markdown(found)
    if out is None:
        console.out(*lines)
        return
    from gitxexp.common.files import atomic_write

    with atomic_write(out) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    console.done(f"wrote {out}")
