"""``git xexp tag``."""

from __future__ import annotations

from typing import Any

import click

from gitxexp.cli import progress, prompts
from gitxexp.cli.options import (
    Assignment,
    Label,
    Number,
    VersionType,
    json_option,
    message_option,
    no_wait_option,
    open_project,
)
from gitxexp.cli.render import console
from gitxexp.common.errors import NoAnswer, UsageError
from gitxexp.common.text import counted
from gitxexp.repository import tag_message
from gitxexp.repository.repository import Project
from gitxexp.repository.version import AnyVersion, Level
from gitxexp.workflows.experiments import plan as experiments_plan
from gitxexp.workflows.experiments import tag as experiments_tag
from gitxexp.workflows.experiments.collect import Wanted
from gitxexp.workflows.experiments.plan import Plan, Request
from gitxexp.workflows.experiments.tag import Tagged


@click.command()
@click.argument("version", type=VersionType(), required=False)
@click.option("--major", "level", flag_value="major", help="Raise the first number.")
@click.option("--minor", "level", flag_value="minor", help="Raise the second number.")
@click.option("--patch", "level", flag_value="patch", help="Raise the third number.")
@click.option("--name", type=Label(), metavar="NAME", help="Tag as exp-NAME-vN instead.")
@click.option("--run", metavar="ID", help="The tracker run to tag (default: the latest).")
@click.option("--best", metavar="METRIC", help="The best run by METRIC.")
@click.option("-P", "params", type=Assignment(), multiple=True, help="Set a parameter.")
@click.option("-M", "metrics", type=Number(), multiple=True, help="Set a metric.")
@message_option("What you want to say of it, in its description.")
@click.option("-e", "--edit", is_flag=True, help="Edit the description first.")
@click.option("-y", "--yes", is_flag=True, help="Take the suggested description unasked.")
@click.option("-a", "--all", "everything", is_flag=True, help="Include modified tracked files.")
@click.option(
    "-l",
    "--label",
    "labels",
    type=Label(),
    metavar="TEXT",
    multiple=True,
    help="Attach a label (repeatable).",
)
@click.option(
    "--stamp/--no-stamp", default=None, help="Write the version into the rows of the run, or not."
)
@click.option("--drop-rows", is_flag=True, help="Tag although results of the last commit are gone.")
@click.option("--no-commit", is_flag=True, help="Tag HEAD as it is.")
@click.option(
    "--push/--no-push",
    default=None,
    help="Push artifacts, branch and tag (default: xexp.tag.push).",
)
@click.option("--remote", metavar="NAME", help="The git remote to push to.")
@click.option("--suggest", is_flag=True, help="Print the next version and do nothing.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be done.")
@no_wait_option
@json_option
def tag(version: AnyVersion | None, **options: Any) -> None:
    """Snapshot the experiment as the next version.

    Collects parameters and metrics, adds changed DVC outputs, commits with the registry's row, and
    makes an annotated tag that describes the experiment.
    """
    project = open_project()
    request = _request(version, options)
    if options["suggest"]:
        plan = _plan(project, request)
        facts = {"version": str(plan.version), "reason": plan.reason}
        console.out(console.as_json(facts) if options["as_json"] else facts["version"])
        return
    if options["dry_run"]:
        _show_plan(_plan(project, request), as_json=options["as_json"])
        return
    request = _confirmed(project, request, options)
    push = project.config.tag_push if options["push"] is None else options["push"]
    done = _tag(project, request, options, push=push)
    _show(project, done, as_json=options["as_json"])


def _tag(project: Project, request: Request, options: dict[str, Any], *, push: bool) -> Tagged:
    wait = not options["no_wait"]
    with progress.line("tagging") as project.progress:
        if not push:
            return experiments_tag.tag(project, request, wait=wait)
        return experiments_tag.tag_and_push(project, request, options["remote"], wait=wait)


def _plan(project: Project, request: Request) -> Plan:
    with progress.line("looking at the data") as project.progress:
        return experiments_plan.plan(project, request)


def _request(version: AnyVersion | None, options: dict[str, Any]) -> Request:
    chosen = [name for name in ("level", "name") if options[name]] + (
        ["version"] if version else []
    )
    if len(chosen) > 1 and set(chosen) != {"level", "name"}:
        raise UsageError("give a version, a level or --name, not several of them")
    if options["run"] and options["best"]:
        raise UsageError("--run and --best exclude each other")
    return Request(
        version=version,
        level=Level(options["level"]) if options["level"] else None,
        name=options["name"],
        wanted=Wanted(
            run=options["run"],
            best=options["best"],
            params=dict(options["params"]),
            metrics=dict(options["metrics"]),
        ),
        text=options["message"] or "",
        labels=options["labels"],
        everything=options["everything"],
        commit=not options["no_commit"],
        stamp=options["stamp"],
        drop_rows=options["drop_rows"],
    )


def _confirmed(project: Project, request: Request, options: dict[str, Any]) -> Request:
    """The request with the description that the user accepted or edited."""
    from dataclasses import replace

    asks = prompts.can_ask() and not options["yes"]
    if not options["edit"] and (options["message"] is not None or not asks):
        return request
    plan = _plan(project, request)
    if options["edit"]:
        return replace(request, headline=_edit(project, plan))
    console.say(f"{plan.version}  {plan.reason}\n{plan.payload.headline}")
    answer = prompts.ask("use, edit or quit? [u]", ("use", "edit", "quit"), "use")
    if answer in ("quit", None):
        raise NoAnswer("nothing was tagged")
    return replace(request, headline=_edit(project, plan)) if answer == "edit" else request


def _edit(project: Project, plan: Plan) -> str:
    """The first line that the user leaves in the editor, without comments."""
    note = f"# One line describes {plan.version}. An empty one tags nothing.\n"
    text = f"{plan.payload.headline}\n\n{note}"
    edited = prompts.edit(text, project.places.git_dir / "TAG_EDITMSG")  # known to editors
    lines = [line.strip() for line in edited.splitlines() if not line.startswith("#")]
    text = next((line for line in lines if line), "")
    if not text:
        raise NoAnswer("the description is empty: nothing was tagged")
    return text


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    message = tag_message.encode(plan.payload)
    if as_json:
        value = _facts(str(plan.version), plan.reason, plan.payload)
        console.out(console.as_json(value | {"files": list(plan.files), "message": message}))
        return
    console.out(f"{plan.version}  {plan.reason}\n\n{message}")
    for output in plan.changed:
        console.out(f"would add     {output.path}")
    for path in plan.files:
        console.out(f"would commit  {path}")
    _say_notes(plan.notes)


def _show(project: Project, done: Tagged, *, as_json: bool) -> None:
    _say_notes(done.notes)
    if as_json:
        facts = _facts(str(done.version), done.reason, done.payload)
        console.out(console.as_json(facts | {"commit": done.commit, "tag": done.tag}))
        return
    for path in done.added:
        console.done(f"added   {path}")
    if done.stamped:
        console.done(f"stamped {counted(done.stamped, 'row')} of run {done.payload.run}")
    version = console.paint(str(done.version), "yellow")
    console.out(
        version if console.quiet() else f"{version}  {done.reason}\n{done.payload.headline}"
    )


def _say_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        console.say(f"note: {note}")


def _facts(version: str, reason: str, found: tag_message.Payload) -> dict[str, Any]:
    return {
        "version": version,
        "reason": reason,
        "headline": found.headline,
        "config_hash": found.config_hash,
        "data": found.data,
        "run": found.run,
        "run_commit": found.run_commit,
        "labels": list(found.labels),
        "params": dict(found.params),
        "metrics": dict(found.metrics),
        "artifacts": dict(found.artifacts),
    }
