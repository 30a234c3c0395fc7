"""``git xexp explore log``."""

from __future__ import annotations

import click

from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console


@click.command(cls=Command)
@click.argument("run", metavar="RUN|VERSION")
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), metavar="N", help="Only the last N lines."
)
@click.option("--path", "print_path", is_flag=True, help="Print the path of the log instead.")
@shared(json=True)
def log(run: str, limit: int | None, print_path: bool, as_json: bool) -> None:
    """Print the full log of a run of git xexp run or sweep.

    RUN is the id of a run record or of a tracker's run, or a prefix of one; a VERSION stands for
    the run that was tagged. A log exists only in the repository that ran the command.
    """
    from gitxexp.cli.render import runs
    from gitxexp.workflows.runs.logs import find_log

    run_log = find_log(open_project(), run)
    console.notes(run_log.notes)
    if as_json:
        console.print_json(runs.as_object(run_log.record) | {"log_file": str(run_log.path)})
    elif print_path:
        console.out(str(run_log.path))
    else:
        runs.show_log(run_log.path, limit)
