"""``git xexp sweep``."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitxexp.cli import progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import Columns, Duration, Values, open_project, shared
from gitxexp.common.errors import UsageError, only_one

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.workflows.experiments.tag import Tagged
    from gitxexp.workflows.sweeps.grid import Axis
    from gitxexp.workflows.sweeps.sweep import Swept


@click.command(cls=Command, context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "-S",
    "--set",
    "axes",
    type=Values(),
    multiple=True,
    help="Values of a parameter (repeatable: all combinations run).",
)
@click.option(
    "--zip", "zipped", is_flag=True, help="Pair the values of -S instead of combining them."
)
@click.option(
    "--file", type=click.Path(path_type=Path), help="Read the grid from a TOML, YAML or CSV file."
)
@click.option(
    "--sample", type=click.IntRange(1), metavar="N", help="Run a random sample of N configurations."
)
@click.option("--seed", type=int, default=0, metavar="S", help="Seed of the random sample.")
@click.option(
    "--sampler", type=click.Choice(("tpe", "random")), help="Let Optuna choose the values."
)
@click.option(
    "--trials", type=click.IntRange(1), metavar="N", help="With --sampler: the number of runs."
)
@click.option("-j", "--jobs", type=click.IntRange(1), metavar="N", help="Run N at a time.")
@click.option("--timeout", type=Duration(), help="Stop a run after TIME (such as 90s or 2h).")
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Retry a failed run up to N times.",
)
@click.option("--gpus", type=Columns(), metavar="LIST", help="Give each job one of these GPUs.")
@click.option("--metric", metavar="NAME", help="Rank by NAME (default: the primary metric).")
@click.option(
    "--keep",
    type=click.IntRange(0),
    metavar="K",
    help="Keep the models of the best K (default: all).",
)
@click.option("--tag", "tags", is_flag=True, help="Tag the winner, with its own files.")
@click.option(
    "--push/--no-push", default=None,
    help="With --tag: push artifacts, branch and tag (default: xexp.tag.push).",
)  # fmt: skip
@click.option(
    "-a", "--all", "everything", is_flag=True, help="Commit modified tracked files first."
)
@click.option("--no-check", is_flag=True, help="Skip the checks before the run (check --before).")
@shared(message="With --tag: text to add to the description.")
@click.option("--force", is_flag=True, help="Also run configurations that ran before.")
@click.option("--engine", metavar="ADDRESS", help="Run on a Dask cluster (tcp://… or local).")
@click.option(
    "--workers", type=click.Choice(("shared", "clone")), default="shared", metavar="HOW",
    help="With --engine: workers see these files (shared), or clone the git remote (clone).",
)  # fmt: skip
@click.option("--status", is_flag=True, help="Show the progress of the last sweep.")
@click.option("--list", "lists", is_flag=True, help="List the sweeps.")
@click.option("--stop", is_flag=True, help="Stop the running sweep.")
@click.option("--retry-failed", is_flag=True, help="Run failed configurations again.")
@shared(dry_run="List the configurations, and which are skipped and why.", json=True)
def sweep(
    command: tuple[str, ...],
    axes: tuple[Axis, ...],
    file: Path | None,
    zipped: bool,
    sample: int | None,
    seed: int,
    sampler: str | None,
    trials: int | None,
    jobs: int | None,
    timeout: float | None,
    retries: int,
    gpus: tuple[str, ...] | None,
    metric: str | None,
    keep: int | None,
    tags: bool,
    push: bool | None,
    everything: bool,
    no_check: bool,
    message: str | None,
    force: bool,
    engine: str | None,
    workers: str,
    status: bool,
    lists: bool,
    stop: bool,
    retry_failed: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Run a command once for each configuration, in parallel.

    Each run has its own worktree of the last commit. Its rows are merged into the results, and it
    is recorded even if it fails. The same command continues an interrupted sweep. Without a
    command, [run] command of .xexp/config.toml is run, as by git xexp run.
    """
    from gitxexp.cli.render import sweeps as render
    from gitxexp.workflows.sweeps import overview

    only_one({"--status": status, "--list": lists, "--stop": stop})
    project = open_project()
    if lists:
        render.show_list(overview.sweeps(project), as_json=as_json)
        return 0
    if status:
        render.show_status(overview.status(project, _only(command)), as_json=as_json)
        return 0
    if stop:
        render.show_stopped(overview.stop(project, _only(command)), as_json=as_json)
        return 0
    from gitxexp.workflows.runs.run import default_command
    from gitxexp.workflows.sweeps.plan import SweepRequest, committed, plan
    from gitxexp.workflows.sweeps.sweep import sweep as run_sweep

    request = SweepRequest(
        command=command or default_command(project),
        axes=axes,
        file=file,
        zipped=zipped,
        sample=sample,
        seed=seed,
        sampler=sampler,
        trials=trials,
        metric=metric,
        jobs=jobs,
        timeout=timeout,
        retries=retries,
        gpus=gpus or (),
        keep=keep,
        force=force,
        retry_failed=retry_failed,
        engine=engine,
        clone=workers == "clone",
        everything=everything,
    )
    planned = plan(project, request)
    if not no_check:
        from gitxexp.cli.render import checks
        from gitxexp.workflows.runs.warnings import warnings

        checks.say(warnings(project, planned.expected))
    if dry_run:
        render.show_plan(planned, as_json=as_json)
        return 0
    planned = committed(project, planned)
    with render.watching(as_json=as_json) as watch:
        done = run_sweep(project, planned, watch)
    render.show(done, tagging=tags, as_json=as_json)
    if tags and not done.interrupted:
        render.show_tag(_tag(project, done, message, push), as_json=as_json)
    if done.interrupted:
        return 128 + signal.SIGINT
    return 1 if done.failures else 0


def _only(command: tuple[str, ...]) -> str | None:
    """The sweep that is named, if one is."""
    if len(command) > 1:
        raise UsageError("name one sweep", "git xexp sweep --list shows them")
    return command[0] if command else None


def _tag(project: Project, done: Swept, message: str | None, push: bool | None) -> Tagged | str:
    """Tag the best run, whose files take the place of those in the work tree."""
    from gitxexp.workflows.sweeps.winner import tag_winner

    with progress.line("tagging") as project.progress:
        wanted = project.config.tag_push if push is None else push
        return tag_winner(project, done, message or "", push=wanted)
