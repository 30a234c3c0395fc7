"""``git xexp registry describe``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitxexp.cli import prompts
from gitxexp.cli.commands.registry.label import vars_of
from gitxexp.cli.group import Command
from gitxexp.cli.options import open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import NoAnswer, UsageError

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project


@click.command(cls=Command)
@click.argument("version")
@shared(message="The description.")
@click.option("-e", "--edit", is_flag=True, help="Write it in the editor.")
@click.option("--no-commit", is_flag=True, help="Leave the changed registry uncommitted.")
@shared(no_wait=True, json=True)
def describe(
    version: str, message: str | None, edit: bool, no_commit: bool, no_wait: bool, as_json: bool
) -> None:
    """Give an experiment another description; without -m or -e, print the one that it has.

    It stands in the place of the text that the tag was made with. Who gave it and when is kept in
    the registry; the tag is not touched.
    """
    from gitxexp.workflows.registry.annotate import Annotation, annotate

    if edit and message is not None:
        raise UsageError("-e and -m exclude each other", "omit one of them")
    project = open_project()
    text = _edited(project, version) if edit else message
    done = annotate(
        project, [version], Annotation(text=text), commit=not no_commit, wait=not no_wait
    )
    if as_json:
        console.print_json([vars_of(one) for one in done])
        return
    for one in done:
        console.out(f"{one.version}  {one.text or '(no description)'}")


def _edited(project: Project, version: str) -> str:
    """What the user leaves in the editor, without comments."""
    from gitxexp.workflows.registry.annotate import Annotation, annotate

    (today,) = annotate(project, [version], Annotation())
    note = f"# The description of {today.version}. An empty one changes nothing.\n"
    edited = prompts.edit(
        f"{today.text}\n\n{note}",
        project.places.git_dir / "TAG_EDITMSG",  # known to editors
    )
    lines = [line.rstrip() for line in edited.splitlines() if not line.startswith("#")]
    text = "\n".join(lines).strip()
    if not text:
        raise NoAnswer("the description is empty: nothing was changed")
    return text
