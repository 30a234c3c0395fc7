"""``git xexp drivers``."""

from __future__ import annotations

import click

from gitxexp import manners, render
from gitxexp.lazygroup import Group
from gitxexp.merge import installing
from gitxexp.merge.installing import Status
from gitxexp.options import json_option, no_wait_option, open_project


@click.group(cls=Group)
def drivers() -> None:
    """Let git merge and show results row by row: install, uninstall or status."""


@drivers.command()
@no_wait_option
@json_option
def install(no_wait: bool, as_json: bool) -> None:
    """Register the merge driver and the textconv in this clone and in .gitattributes."""
    project = open_project()
    done: list[str] = []
    if installing.missing(project):
        with project.operation("drivers install", wait=not no_wait) as running:
            done = list(installing.install(project, running))
            running.summary.append(", ".join(done))
    if as_json:
        render.out(render.as_json({"registered": done}))
        return
    if not done:
        render.done("everything is registered already")
        manners.hint()
    for name in done:
        render.done(f"registered {name}")
    if installing.ATTRIBUTES in done:
        manners.hint(f"next: git add {installing.ATTRIBUTES} && git commit -m 'Merge rows by rows'")


@drivers.command()
@no_wait_option
@json_option
def uninstall(no_wait: bool, as_json: bool) -> None:
    """Take both out again; merges are git's own then."""
    project = open_project()
    with project.operation("drivers uninstall", wait=not no_wait) as running:
        done = installing.uninstall(project, running)
        running.summary.append(", ".join(done))
    if as_json:
        render.out(render.as_json({"removed": list(done)}))
        return
    if not done:
        render.done("nothing is registered here")
        manners.hint()
    for name in done:
        render.done(f"removed {name}")


@drivers.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Say what is registered; exit 1 where git would not merge rows by itself."""
    found = installing.status(open_project())
    if as_json:
        render.out(render.as_json(_facts(found)))
    else:
        render.out(f"merge driver  {found.driver or 'not registered in this clone'}")
        render.out(f"textconv      {found.textconv or 'not registered in this clone'}")
        render.out(f"attributes    {'yes' if found.attributes else 'none in .gitattributes'}")
        for pattern in found.missing if found.attributes else ():
            render.say(f"warning: {pattern} is not in .gitattributes")
        if found.driver and not found.runs:
            render.say("warning: the driver's program is not on PATH: every merge will conflict")
        if not found.complete:
            render.say("warning: git will not merge rows by itself here")
            manners.hint("git xexp drivers install")
    ctx.exit(0 if found.complete else 1)


def _facts(found: Status) -> dict[str, object]:
    return {
        "driver": found.driver,
        "textconv": found.textconv,
        "attributes": found.attributes,
        "missing": list(found.missing),
        "runs": found.runs,
        "complete": found.complete,
    }
