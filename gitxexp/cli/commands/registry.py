"""``git xexp registry``."""

from __future__ import annotations

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.group import Group
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console


@click.group(cls=Group)
def registry() -> None:
    """The tracked table of all experiments (.xexp/registry.db)."""


@registry.command()
@shared(no_wait=True, json=True)
def rebuild(no_wait: bool, as_json: bool) -> None:
    """Restore from the tags everything that tags hold; nothing in the registry is deleted."""
    from gitxexp.workflows.experiments.rebuild import rebuild

    project = open_project()
    with progress.line("rebuilding") as project.progress:
        done = rebuild(project, wait=not no_wait)
    if as_json:
        facts = {name: list(getattr(done, name)) for name in ("restored", "unchanged", "kept")}
        console.print_json(facts)
        return
    for name in done.restored:
        console.done(f"restored  {name}")
    console.done(
        f"{len(done.restored)} restored, {len(done.unchanged)} were right,"
        f" {len(done.kept)} only the registry has"
    )
    if done.restored:
        hints.hint("next: git add -f .xexp/registry.db && git commit -m 'Rebuild the registry'")
