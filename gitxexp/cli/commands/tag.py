"""``git xexp tag``."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from gitxexp.cli import hints, progress, prompts
from gitxexp.cli.group import Command
from gitxexp.cli.options import (
    Assignment,
    Label,
    Labels,
    Number,
    VersionType,
    open_project,
    shared,
)
from gitxexp.cli.render import console
from gitxexp.common.errors import NoAnswer, UsageError

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.repository.version import AnyVersion
    from gitxexp.workflows.experiments.plan import Plan, TagRequest
    from gitxexp.workflows.experiments.tag import Tagged


#: ``--name`` without a value.
_HERE = "."


@click.command(cls=Command)
@click.argument("version", type=VersionType(), required=False)
@click.option("--major", "level", flag_value="major", help="Increase the major version.")
@click.option("--minor", "level", flag_value="minor", help="Increase the minor version.")
@click.option("--patch", "level", flag_value="patch", help="Increase the patch version.")
@click.option(
    "--name",
    type=Label(),
    metavar="NAME",
    is_flag=False,
    flag_value=_HERE,
    help="Tag as exp-NAME-vN instead (default: the name of the worktree).",
)
@click.option("--run", metavar="ID", help="The tracker run to tag (default: the latest).")
@click.option("--best", metavar="METRIC", help="Tag the best untagged run by METRIC.")
@click.option("--where", metavar="FILTER", help="With --best: only runs that match FILTER.")
@click.option("--of", type=VersionType(), help="With --best: only runs that name VERSION.")
@click.option("--all-runs", is_flag=True, help="With --best: include tagged runs.")
@click.option("-P", "params", type=Assignment(), multiple=True, help="Set a parameter.")
@click.option("-M", "metrics", type=Number(), multiple=True, help="Set a metric.")
@shared(message="Text to add to the description.")
@click.option("-e", "--edit", is_flag=True, help="Edit the description first.")
@shared(yes="Accept the suggested description without asking.")
@click.option(
    "-a", "--all", "everything", is_flag=True, help="Commit modified tracked files with the tag."
)
@click.option(
    "-l",
    "--label",
    "labels",
    type=Labels(),
    metavar="TEXT",
    multiple=True,
    help="Attach a label (repeatable, or several with commas).",
)
@click.option(
    "--stamp/--no-stamp",
    default=None,
    help="Write the version into the rows of the run (or never).",
)
@click.option(
    "--track/--no-track",
    default=None,
    help="Track untracked data, models and results, or leave them untracked.",
)
@click.option("--bring-rows", is_flag=True, help="Merge the results of the last commit first.")
@click.option("--drop-rows", is_flag=True, help="Tag even if rows of the last commit are missing.")
@click.option(
    "--revert-outputs", is_flag=True, help="Tag even if outputs are those of an older commit."
)
@click.option(
    "--allow-mismatch",
    is_flag=True,
    help="Tag even if files contradict the run or belong to another run.",
)
@click.option("--no-commit", is_flag=True, help="Tag HEAD as it is.")
@click.option(
    "--push/--no-push",
    default=None,
    help="Push artifacts, branch and tag (default: xexp.tag.push).",
)
@click.option("--remote", metavar="NAME", help="The git remote to push to.")
@click.option(
    "--renumber",
    type=VersionType(),
    metavar="VERSION",
    help="Give VERSION the next number, where the remote has taken it.",
)
@click.option("--suggest", is_flag=True, help="Print the next version and exit.")
@shared(dry_run="Show what would be done.", no_wait=True, json=True)
def tag(
    version: AnyVersion | None,
    level: str | None,
    name: str | None,
    run: str | None,
    best: str | None,
    where: str | None,
    of: AnyVersion | None,
    all_runs: bool,
    params: tuple[tuple[str, Any], ...],
    metrics: tuple[tuple[str, float], ...],
    message: str | None,
    edit: bool,
    yes: bool,
    everything: bool,
    labels: tuple[tuple[str, ...], ...],
    stamp: bool | None,
    track: bool | None,
    bring_rows: bool,
    drop_rows: bool,
    revert_outputs: bool,
    allow_mismatch: bool,
    no_commit: bool,
    push: bool | None,
    remote: str | None,
    renumber: AnyVersion | None,
    suggest: bool,
    dry_run: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Snapshot the experiment as the next version.

    Collects parameters and metrics, adds changed DVC outputs, commits with the registry's row, and
    makes an annotated tag that describes the experiment.
    """
    from gitxexp.cli.render import tags
    from gitxexp.repository.version import Level
    from gitxexp.workflows.experiments.collect import RunChoice
    from gitxexp.workflows.experiments.outputs import LostRows
    from gitxexp.workflows.experiments.plan import TagRequest

    project = open_project()
    if renumber is not None:
        _renumber(project, renumber, remote, wait=not no_wait, as_json=as_json)
        return
    hints.note_drivers(project)
    request = TagRequest(
        version=version,
        level=Level(level) if level else None,
        name=_worktree_name(project) if name == _HERE else name,
        wanted=RunChoice(run=run, best=best, params=dict(params), metrics=dict(metrics)),
        text=message or "",
        labels=tuple(dict.fromkeys(chain.from_iterable(labels))),
        everything=everything,
        commit=not no_commit,
        stamp=stamp,
        track=track,
        bring_rows=bring_rows,
        drop_rows=drop_rows,
        revert_outputs=revert_outputs,
        mismatch=allow_mismatch,
        all_runs=all_runs,
        of=of,
        where=where,
    )
    if suggest:
        tags.show_next(_plan(project, request), as_json=as_json)
        return
    if dry_run:
        tags.show_plan(_plan(project, request), as_json=as_json)
        return
    if edit or (message is None and not yes and prompts.can_ask()):
        request = _confirmed(project, request, edit=edit)
    pushes = project.config.tag_push if push is None else push
    try:
        done = _tag(project, request, remote, push=pushes, wait=not no_wait)
    except LostRows as lost:
        if yes or not prompts.can_ask():
            raise
        console.say(lost.message)
        answer = prompts.ask("merge them in first? [yes]", ("yes", "no"), "yes")
        if answer != "yes":
            raise
        request = replace(request, bring_rows=True)
        done = _tag(project, request, remote, push=pushes, wait=not no_wait)
    tags.show(done, as_json=as_json)


def _worktree_name(project: Project) -> str:
    """The name that ``worktree new`` gave the work tree."""
    from gitxexp.workflows.worktrees.records import list_worktrees

    here = next((tree for tree in list_worktrees(project) if tree.path == project.top), None)
    if here is None or here.note is None:
        raise UsageError(
            "--name needs a NAME outside of a worktree that git xexp made",
            "git xexp tag --name NAME",
        )
    return here.note.name


def _renumber(
    project: Project, old: AnyVersion, remote: str | None, *, wait: bool, as_json: bool
) -> None:
    from gitxexp.cli.render import tags
    from gitxexp.workflows.experiments.renumber import renumber

    with progress.line("renumbering") as project.progress:
        done = renumber(project, old, remote, wait=wait)
    tags.show_renumbered(done, as_json=as_json)


def _tag(
    project: Project, request: TagRequest, remote: str | None, *, push: bool, wait: bool
) -> Tagged:
    from gitxexp.workflows.experiments.tag import tag, tag_and_push

    with progress.line("tagging") as project.progress:
        if not push:
            return tag(project, request, wait=wait)
        return tag_and_push(project, request, remote, wait=wait)


def _plan(project: Project, request: TagRequest) -> Plan:
    from gitxexp.workflows.experiments.plan import plan

    with progress.line("reading the data") as project.progress:
        return plan(project, request)


def _confirmed(project: Project, request: TagRequest, *, edit: bool) -> TagRequest:
    """The request with the description that the user accepted or edited."""
    plan = _plan(project, request)
    if edit:
        return replace(request, headline=_edit(project, plan))
    console.say(f"{plan.version}  {plan.reason}", plan.payload.headline)
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
