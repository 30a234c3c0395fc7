"""``git xexp explore diff``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gitxexp.cli import progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import NO, UsageError

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.repository.tags import Experiment
    from gitxexp.workflows.explore.compare import ComparedSide


@click.command(cls=Command)
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@click.option("--code", is_flag=True, help="Print the patch of the code too.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything differs.")
@click.option("--md", "as_md", is_flag=True, help="Print Markdown, for a pull request.")
@shared(json=True)
@click.pass_context
def diff(
    ctx: click.Context,
    before: str,
    after: str | None,
    code: bool,
    exit_code: bool,
    as_md: bool,
    as_json: bool,
) -> None:
    """Compare experiment A with B, or with the work tree and its latest run.

    Both are named as for show; A..B is understood too. Shows the parameters, artifacts and code
    files that differ, and every metric with its change, better or worse.
    """
    from gitxexp.cli.render import details
    from gitxexp.workflows.explore import compare

    if as_md and (code or as_json):
        raise UsageError(f"--md and {'--code' if code else '--json'} exclude each other")
    project = open_project()
    if after is None and ".." in before:
        before, _, after = before.partition("..")
    known = project.experiments()
    one = _side(project, before or "HEAD", known)
    now = after is None
    with progress.line("looking at the data") as project.progress:
        other = compare.of_work_tree(project) if now else _side(project, after or "HEAD", known)
    found = compare.compare(project, one, other)
    patch = compare.patch(project, found, colour=console.colour() and not as_json) if code else ""
    if as_json:
        facts = details.comparison(found)
        console.print_json(facts | {"patch": patch} if code else facts)
    elif as_md:
        console.out(*details.comparison_markdown(found))
    else:
        console.page(details.comparison_text(found), patch)
    if exit_code and found.different:
        ctx.exit(NO)


def _side(project: Project, name: str, known: Sequence[Experiment]) -> ComparedSide:
    from gitxexp.workflows.explore.compare import of_experiment
    from gitxexp.workflows.explore.show import experiment_of

    experiment, notes = experiment_of(project, name, known)
    console.notes(notes)
    return of_experiment(project, experiment)
