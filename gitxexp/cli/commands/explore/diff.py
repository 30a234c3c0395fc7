"""``git xexp explore diff``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gitxexp.cli import progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import NO, UsageError, only_one

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.repository.tags import Tags
    from gitxexp.workflows.explore.compare import ComparedSide, Comparison, SideBySide


@click.command(cls=Command)
@click.argument("versions", metavar="[A [B...]]", nargs=-1)
@click.option("--code", is_flag=True, help="Also print the patch of the code.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything differs.")
@click.option("--md", "as_md", is_flag=True, help="Print Markdown, for a pull request.")
@shared(json=True, full=True)
@click.pass_context
def diff(
    ctx: click.Context,
    versions: tuple[str, ...],
    code: bool,
    exit_code: bool,
    as_md: bool,
    as_json: bool,
) -> None:
    """Compare experiment A with B, or with the work tree and its latest run.

    Both are named as for show; A..B works, too. Without A, compares the last experiment with the
    work tree. Shows the parameters, artifacts and code files that
    differ, and every metric with its change, better or worse. Several B are shown in columns, each
    compared with A. If the rows of a metric are in the results, its 95% interval is shown (Wilson's
    for rates, a bootstrap's for means): a change whose interval includes 0 may be noise.
    """
    from gitxexp.workflows.explore import compare

    only_one({"--md": as_md, "--code" if code else "--json": code or as_json})
    if code and len(versions) > 2:
        raise UsageError("--code prints the patch between two", "git xexp explore diff A B --code")
    project = open_project()
    names = _names(versions)
    known = project.tags()
    sides = [_side(project, name, known) for name in names]
    if len(sides) > 2:
        several = compare.side_by_side(project, sides)
        _print_several(several, as_md=as_md, as_json=as_json)
        different = several.different
    else:
        if len(sides) < 2:
            with progress.line("reading the data") as project.progress:
                sides.append(compare.of_work_tree(project))
        found = compare.compare(project, *sides)
        shown = console.colour() and not as_json
        patch = compare.patch(project, found, colour=shown) if code else None
        _print(found, patch, as_md=as_md, as_json=as_json)
        different = found.different
    if not versions and not different:
        console.remark("hint: to compare two experiments: git xexp compare A B")
    if exit_code and different:
        ctx.exit(NO)


def _names(versions: Sequence[str]) -> list[str]:
    """What to compare; either end of ``A..B`` may be left out, and is HEAD then."""
    if len(versions) == 1 and ".." in versions[0]:
        before, _, after = versions[0].partition("..")
        return [before or "HEAD", after or "HEAD"]
    return [name or "HEAD" for name in versions or ("HEAD",)]


def _print(found: Comparison, patch: str | None, *, as_md: bool, as_json: bool) -> None:
    from gitxexp.cli.render import details

    if as_json:
        facts = details.comparison(found)
        console.print_json(facts if patch is None else facts | {"patch": patch})
    elif as_md:
        console.out(*details.comparison_markdown(found))
    else:
        console.page(details.comparison_text(found), patch or "")


def _print_several(found: SideBySide, *, as_md: bool, as_json: bool) -> None:
    from gitxexp.cli.render import side_by_side as render

    if as_json:
        console.print_json(render.as_object(found))
    elif as_md:
        console.out(*render.as_markdown(found))
    else:
        console.page(render.as_text(found))


def _side(project: Project, name: str, known: Tags) -> ComparedSide:
    from gitxexp.workflows.explore.compare import of_experiment
    from gitxexp.workflows.explore.show import experiment_of

    experiment, notes = experiment_of(project, name, known)
    console.notes(notes)
    return of_experiment(project, experiment)
