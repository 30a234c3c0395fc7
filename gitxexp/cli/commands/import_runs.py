"""``git xexp import``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitxexp.repository.repository import Project
    from gitxexp.workflows.imports.run import Imported
    from gitxexp.workflows.imports.tag import TaggedRuns


@click.command("import", cls=Command)
@click.argument("source", nargs=-1, required=True, metavar="SOURCE [PATH]")
@click.option("--into", metavar="DB", help="The results database (default: the configured one).")
@click.option("--tag", is_flag=True, help="Tag runs whose commit is in this repository.")
@click.option("--models", is_flag=True, help="Also add logged models as candidates.")
@click.option("--commit", is_flag=True, help="Commit the changed results.")
@shared(dry_run="Read everything and change nothing.", no_wait=True, json=True)
def import_runs(
    source: tuple[str, ...],
    into: str | None,
    tag: bool,
    models: bool,
    commit: bool,
    dry_run: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Import the runs of another tracker into the results database.

    SOURCE is mlflow:PATH (mlflow.db, mlruns or the address of a server), dvc-exp, or a kind and a
    path: dvclive, csv, ndjson, parquet, wandb, aim, tensorboard; the kind can be omitted if the
    file identifies it. Each run is imported once; a run that has changed since replaces the earlier
    import.
    """
    from gitxexp.workflows.imports.find import find_source
    from gitxexp.workflows.imports.run import ImportRequest, import_runs
    from gitxexp.workflows.imports.tag import tag_runs

    project = open_project()
    found = find_source(project, source)
    request = ImportRequest(found, into, dry_run=dry_run, commit=commit)
    with progress.line("importing") as show:
        done = import_runs(project, request, show, wait=not no_wait)
    tagged = (
        tag_runs(project, done.into, done.found, wait=not no_wait) if tag and not dry_run else None
    )
    added = _add_models(project, done, wait=not no_wait) if models and not dry_run else None
    if as_json:
        console.print_json(_facts(done, tagged, added) | {"dry_run": dry_run})
    else:
        _show(done, dry_run=dry_run)
        _show_more(tagged, added)
    if not done.listed:
        console.say(
            f"note: {done.into} is not among [results] databases in .xexp/config.toml: add it there,"
            " or its runs are not listed"
        )
    if done.advice:
        hints.hint(f"next: {done.advice}")


def _add_models(project: Project, done: Imported, *, wait: bool) -> Sequence[str]:
    """The paths of the models that became candidates."""
    from gitxexp.workflows.imports.models import add_models

    with progress.line("adding models"):
        found = add_models(project, done, wait=wait)
    for run, problem in found.problems.items():
        console.say(f"warning: the model of {run} was not added: {problem}")
    return found.added


def _facts(
    done: Imported, tagged: TaggedRuns | None, added: Sequence[str] | None
) -> dict[str, object]:
    facts: dict[str, object] = {
        "source": done.source,
        "into": done.into,
        "runs": done.runs,
        "new": done.new,
        "changed": done.changed,
        "unchanged": done.unchanged,
        "values": done.values,
    }
    if tagged is not None:
        facts["tagged"] = dict(tagged.made)
        facts["elsewhere"] = list(tagged.elsewhere)
        facts["commit"] = tagged.commit
    if added is not None:
        facts["models"] = list(added)
    return facts


def _show_more(tagged: TaggedRuns | None, added: Sequence[str] | None) -> None:
    if tagged is not None:
        for run, version in tagged.made.items():
            console.done(f"tagged  {version}  {run}")
        if tagged.elsewhere:
            many = counted(len(tagged.elsewhere), "run")
            console.say(
                f"note: {many} not tagged: their commit is unknown or not in this repository"
            )
    for path in added or ():
        console.done(f"added  {path}")


def _show(done: Imported, *, dry_run: bool) -> None:
    said = [f"{done.new} new", f"{done.changed} changed", f"{done.unchanged} unchanged"]
    verb = "would import" if dry_run else "imported"
    console.done(f"{verb} {counted(done.runs, 'run')} of {done.source}: {', '.join(said)}")
    if done.new or done.changed:
        console.done(f"into {done.into}, list them with: git xexp list --runs")
