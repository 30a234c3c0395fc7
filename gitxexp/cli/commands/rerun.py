"""``git xexp rerun``."""

from __future__ import annotations

import click

from gitxexp.cli import progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import Duration, open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import NO


@click.command(cls=Command, context_settings={"allow_interspersed_args": True})
@click.argument("run", metavar="VERSION|RUN")
@click.argument("command", nargs=-1, metavar="[-- CMD...]")
@click.option(
    "--rtol", type=click.FloatRange(min=0), metavar="R", default=1e-6,
    help="Relative tolerance of a metric (default: 1e-6).",
)  # fmt: skip
@click.option(
    "--atol", type=click.FloatRange(min=0), metavar="A", default=0.0,
    help="Absolute tolerance of a metric (default: 0).",
)  # fmt: skip
@click.option("--timeout", type=Duration(), metavar="TIME", help="Stop the command after TIME.")
@click.option("--keep", is_flag=True, help="Record the run and merge its rows into the results.")
@shared(no_wait=True, json=True)
def rerun(
    run: str,
    command: tuple[str, ...],
    rtol: float,
    atol: float,
    timeout: float | None,
    keep: bool,
    no_wait: bool,
    as_json: bool,
) -> int:
    """Run a past experiment again and compare: reproduced or not.

    Runs in a temporary worktree, at the commit that ran and with its data. Exits with 0 if every
    recorded metric comes out the same within the tolerance, with 1 if not, and with 128 if it could not
    be run.
    """
    from gitxexp.cli.render import reruns
    from gitxexp.workflows.runs.rerun import NotRun, RerunRequest
    from gitxexp.workflows.runs.rerun import rerun as run_again

    project = open_project()
    request = RerunRequest(run, command, rtol, atol, keep, timeout)
    quiet = console.quiet()
    try:
        with progress.line("preparing the worktree") as show:
            project.progress = show
            done = run_again(
                project, request, echo=not quiet, out=2 if as_json else 1,
                progress=show, started=show.close if show else None, wait=not no_wait,
            )  # fmt: skip
    except NotRun as error:
        if quiet:
            console.say(*error.tail.splitlines()[-10:])
        raise
    reruns.show(done, as_json=as_json)
    return 0 if done.reproduced else NO
