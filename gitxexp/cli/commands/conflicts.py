"""``git xexp conflicts``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.group import Group
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import UsageError
from gitxexp.common.text import some, visible
from gitxexp.tables.plan import OnConflict
from gitxexp.tables.rules import clashing_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitxexp.workflows.merge.driver.reports import ConflictReport


class RowChoice(click.ParamType[tuple[int, OnConflict]]):
    """``3=theirs``"""

    name = "n=side"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, OnConflict]:
        if isinstance(value, tuple):
            return value
        number, _, side = str(value).partition("=")
        if not number.isdigit() or side not in ("ours", "theirs"):
            self.fail(f"'{value}' is not N=ours or N=theirs", param, ctx)
        return int(number), OnConflict(side)


@click.group(cls=Group, invoke_without_command=True)
@shared(nul="Print the unmerged paths, each ended by NUL.", json=True)
@click.pass_context
def conflicts(ctx: click.Context, nul: bool, as_json: bool) -> None:
    """List the rows that git merge could not merge, each with its values; resolve finishes."""
    if ctx.invoked_subcommand is not None:
        return
    from gitxexp.workflows.merge.conflicts import reports

    found = reports(open_project())
    if as_json:
        console.print_json(found)
    elif nul:
        console.names(report.path for report in found)
    else:
        _show(found)


def _show(found: Sequence[ConflictReport]) -> None:
    from gitxexp.cli.render import merges
    from gitxexp.workflows.merge.conflicts import numbered

    for number, path, conflict in numbered(found):
        console.out(console.paint(f"{number}  {path}: {merges.where(conflict)}", "red"))
        for side, value in merges.sides(conflict, three=True):
            console.out(f"     {side:<8}{value}")
    for report in found:
        if report.message:
            console.out(f"{report.path}: {visible(report.message)}")
    if found:
        every = (conflict for report in found for conflict in report.conflicts)
        both = "--both | " if clashing_numbers(every) else ""
        hints.hint(f"next: git xexp conflicts resolve {both}--ours | --theirs | --row N=ours ...")
    else:
        console.remark("there are no conflicts between rows")


@conflicts.command()
@click.argument("paths", nargs=-1, metavar="[PATH...]")
@click.option("--ours", "side", flag_value="ours", help="Keep our value wherever both changed.")
@click.option(
    "--theirs", "side", flag_value="theirs", help="Take their value wherever both changed."
)
@click.option(
    "--both",
    "side",
    flag_value="both",
    help="Keep both rows where only their counted ids clash: theirs get new ids, and the "
    "rows that refer to them follow.",
)
@click.option("--renumber", "side", flag_value="both", help="The same as --both.")
@click.option("--row", "rows", type=RowChoice(), multiple=True, metavar="N=SIDE",
              help="Settle conflict N: N=ours or N=theirs (repeatable).")  # fmt: skip
@shared(no_wait=True, json=True)
def resolve(
    paths: tuple[str, ...],
    side: str | None,
    rows: tuple[tuple[int, OnConflict], ...],
    no_wait: bool,
    as_json: bool,
) -> None:
    """Merge the unmerged databases again with their conflicts settled, and stage them.

    All rows that are not in conflict are merged. Without a side or a row it tries again, for
    example after the missing data was fetched.
    """
    from gitxexp.workflows.merge import conflicts

    if len({number for number, _ in rows}) < len(rows):
        raise UsageError("--row names one conflict twice", "name each conflict once")
    project = open_project()
    chosen = OnConflict(side) if side else None
    with progress.line("merging"):
        done = conflicts.resolve(project, paths, chosen, dict(rows), wait=not no_wait)
    if as_json:
        left = [{"path": item.path, "left": list(item.left)} for item in done]
        console.print_json(left)
        return
    for item in done:
        console.done(f"resolved {item.path}")
        for line in item.left:
            console.say(line)
    if not conflicts.stages(project):
        rest = conflicts.paths(project)
        first = f"merge {some(rest, 3)} by hand and git add, then " if rest else ""
        hints.hint(f"next: {first}{conflicts.go_on(project)}")
