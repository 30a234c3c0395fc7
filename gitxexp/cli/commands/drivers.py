"""``git xexp drivers``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitxexp.cli import hints
from gitxexp.cli.group import Group
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console

if TYPE_CHECKING:
    from gitxexp.workflows.merge.driver.install import DriverStatus


@click.group(cls=Group)
def drivers() -> None:
    """Let git merge and show results row by row: install, uninstall or status."""


@drivers.command()
@shared(no_wait=True, json=True)
def install(no_wait: bool, as_json: bool) -> None:
    """Register the merge and diff drivers in this clone and in .gitattributes."""
    from gitxexp.workflows.merge.driver.install import ATTRIBUTES, register

    done = register(open_project(), wait=not no_wait)
    if as_json:
        console.print_json({"registered": done})
        return
    if not done:
        console.done("everything is already registered")
        hints.hint()
    for name in done:
        console.done(f"registered {name}")
    if ATTRIBUTES in done:
        hints.hint(f"next: git add {ATTRIBUTES} && git commit -m 'Merge rows by rows'")


@drivers.command()
@shared(no_wait=True, json=True)
def uninstall(no_wait: bool, as_json: bool) -> None:
    """Unregister the drivers; git merges as usual again."""
    from gitxexp.workflows.merge.driver.install import unregister

    done = unregister(open_project(), wait=not no_wait)
    if as_json:
        console.print_json({"removed": list(done)})
        return
    if not done:
        console.done("nothing is registered here")
        hints.hint()
    for name in done:
        console.done(f"removed {name}")


@drivers.command()
@shared(json=True)
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show what is registered; exit with 1 if git would not merge rows."""
    from gitxexp.workflows.merge.driver import install

    registered = install.status(open_project())
    if as_json:
        console.print_json(_facts(registered))
    else:
        console.out(f"merge driver  {registered.driver or 'not registered in this clone'}")
        console.out(f"textconv      {registered.textconv or 'not registered in this clone'}")
        console.out(f"attributes    {'yes' if registered.attributes else 'none in .gitattributes'}")
        for pattern in registered.missing if registered.attributes else ():
            console.say(f"warning: {pattern} is not in .gitattributes")
        if registered.driver and not registered.runs:
            console.say(
                "warning: the driver's program is not on PATH, so every merge will conflict"
            )
        if not registered.complete:
            console.say("warning: git will not merge rows in this clone")
            hints.hint("git xexp drivers install")
    ctx.exit(0 if registered.complete else 1)


def _facts(found: DriverStatus) -> dict[str, object]:
    return {
        "driver": found.driver,
        "textconv": found.textconv,
        "attributes": found.attributes,
        "missing": list(found.missing),
        "runs": found.runs,
        "complete": found.complete,
    }
