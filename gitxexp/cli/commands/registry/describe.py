"""``git xexp registry describe``."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from gitxexp.cli import prompts
from gitxexp.cli.commands.registry.label import annotated, vars_of
from gitxexp.cli.commands.registry.source import db_option
from gitxexp.cli.group import Command
from gitxexp.cli.options import shared
from gitxexp.cli.render import console
from gitxexp.common.errors import NoAnswer, XexpError, only_one


@click.command(cls=Command)
@click.argument("version")
@shared(message="The description.")
@click.option("-e", "--edit", is_flag=True, help="Write it in the editor.")
@click.option("--no-commit", is_flag=True, help="Do not commit the changed registry.")
@db_option
@shared(no_wait=True, json=True)
def describe(
    version: str,
    message: str | None,
    edit: bool,
    no_commit: bool,
    db: Path | None,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Change the description of an experiment; without -m or -e, print it.

    The new description replaces the text of the tag wherever it is shown. The registry records who
    changed it and when; the tag is not touched.
    """
    from gitxexp.workflows.registry.annotate import Annotation

    only_one({"-e": edit, "-m": message is not None})
    text = _edited(db, version) if edit else message
    if text is not None and not text.strip():
        raise XexpError("the description is empty: nothing was changed", "give a text: -m TEXT")
    wanted = Annotation(text=text)
    done = annotated(db, [version], wanted, commit=not no_commit, wait=not no_wait)
    if as_json:
        console.print_json([vars_of(one) for one in done])
        return
    for one in done:
        console.out(f"{one.version}  {one.text or '(no description)'}")


def _edited(db: Path | None, version: str) -> str:
    """What the user leaves in the editor, without comments."""
    from gitxexp.workflows.registry.annotate import Annotation

    (today,) = annotated(db, [version], Annotation(), commit=False, wait=True)
    note = f"# The description of {today.version}. An empty one changes nothing.\n"
    with TemporaryDirectory(prefix="git-xexp-") as folder:
        place = Path(folder) / "TAG_EDITMSG"  # known to editors
        edited = prompts.edit(f"{today.text}\n\n{note}", place)
    lines = [line.rstrip() for line in edited.splitlines() if not line.startswith("#")]
    text = "\n".join(lines).strip()
    if not text:
        raise NoAnswer("the description is empty: nothing was changed")
    return text
