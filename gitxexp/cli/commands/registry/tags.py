"""``git xexp registry rebuild`` and ``restore-tags``: restore the registry from tags, and tags from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.commands.registry.source import db_option
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project


def _project(db: Path | None) -> Project:
    """The repository, with the registry in the file where one is named."""
    project = open_project()
    if db is not None:
        from gitxexp.repository.registry import Registry

        project.registry = Registry(db.resolve())
    return project


@click.command(cls=Command)
@db_option
@shared(no_wait=True, json=True)
def rebuild(db: Path | None, no_wait: bool, as_json: bool) -> None:
    """Restore the registry from the tags; nothing in it is deleted."""
    from gitxexp.workflows.experiments.rebuild import rebuild

    project = _project(db)
    with progress.line("rebuilding") as project.progress:
        done = rebuild(project, wait=not no_wait)
    if as_json:
        facts = {name: list(getattr(done, name)) for name in ("restored", "unchanged", "kept")}
        console.print_json(facts)
        return
    for name in done.restored:
        console.done(f"restored  {name}")
    console.done(
        f"{len(done.unchanged)} up to date, {len(done.restored)} restored,"
        f" {len(done.kept)} only in the registry"
    )
    if done.restored and db is None:
        from gitxexp.repository.config import REGISTRY

        hints.hint(
            f"next: git add -f {project.typed(REGISTRY)} && git commit -m 'Rebuild the registry'"
        )


@click.command("restore-tags", cls=Command)
@click.option("--git-remote", metavar="NAME", help="The git remote to fetch tags from.")
@click.option("--no-fetch", is_flag=True, help="Recreate the tags without asking a remote.")
@db_option
@shared(no_wait=True, json=True)
def restore_tags(
    git_remote: str | None, no_fetch: bool, db: Path | None, no_wait: bool, as_json: bool
) -> None:
    """Recreate the tags of experiments that only the registry knows.

    Tags that the git remote has are fetched; others are made from the registry's row, at the commit
    that added it.
    """
    from gitxexp.workflows.experiments.restore_tags import restore_tags

    project = _project(db)
    with progress.line("restoring tags") as project.progress:
        done = restore_tags(project, git_remote, fetch=not no_fetch, wait=not no_wait)
    if as_json:
        facts = {name: list(getattr(done, name)) for name in ("fetched", "made", "lost")}
        console.out(console.as_json(facts))
        return
    for word in ("fetched", "made"):
        for name in getattr(done, word):
            console.done(f"{word:<8}  {name}")
    for name in done.lost:
        console.say(f"warning: {name} is in the registry, and its commit is not known here")
    if not any((done.fetched, done.made, done.lost)):
        console.done("every experiment of the registry has its tag")
    if done.lost:
        hints.hint("a shallow clone has few commits: git fetch --unshallow")
