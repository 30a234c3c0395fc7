"""``git xexp registry``."""

from __future__ import annotations

import click

from gitxexp import manners, progress, rebuilding, render
from gitxexp.lazygroup import Group
from gitxexp.options import json_option, no_wait_option, open_project


@click.group(cls=Group)
def registry() -> None:
    """The tracked table of all experiments (.xexp/registry.db)."""


@registry.command()
@no_wait_option
@json_option
def rebuild(no_wait: bool, as_json: bool) -> None:
    """Restore from the tags everything that tags hold; nothing in the registry is deleted."""
    project = open_project()
    with progress.line("rebuilding") as project.progress:
        done = rebuilding.rebuild(project, wait=not no_wait)
    if as_json:
        facts = {name: list(getattr(done, name)) for name in ("restored", "unchanged", "kept")}
        render.out(render.as_json(facts))
        return
    for name in done.restored:
        render.done(f"restored  {name}")
    render.done(
        f"{len(done.restored)} restored, {len(done.unchanged)} were right,"
        f" {len(done.kept)} only the registry has"
    )
    if done.restored:
        manners.hint("next: git add -f .xexp/registry.db && git commit -m 'Rebuild the registry'")
