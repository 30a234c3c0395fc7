"""``git xexp registry label``."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitxexp.cli.commands.registry.source import db_option
from gitxexp.cli.group import WordCommand
from gitxexp.cli.options import Labels, open_project, shared
from gitxexp.cli.render import console
from gitxexp.common.errors import UsageError, XexpError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitxexp.workflows.registry.annotate import Annotated, Annotation


@click.command(cls=WordCommand)
@click.argument("versions", nargs=-1, required=True, metavar="VERSION... [+LABEL|-LABEL]...")
@click.option("--no-commit", is_flag=True, help="Do not commit the changed registry.")
@db_option
@shared(no_wait=True, json=True)
def label(
    versions: tuple[str, ...], no_commit: bool, db: Path | None, no_wait: bool, as_json: bool
) -> None:
    """Add labels to experiments, or remove them; without any, print those that they have.

    +LABEL adds and -LABEL removes, several with commas. Who did it and when is kept in the
    registry; the tag is not touched.
    """
    from gitxexp.workflows.registry.annotate import Annotation as Wanted

    names = [word for word in versions if not word.startswith(("+", "-"))]
    if not names:
        raise UsageError("VERSION is missing", "such as: git xexp registry label e0.1.0 +baseline")
    wanted = Wanted(_labels(versions, "+"), _labels(versions, "-"))
    try:
        done = annotated(db, names, wanted, commit=not no_commit, wait=not no_wait)
    except XexpError as error:
        if len(names) < 2 or any(word.startswith(("+", "-")) for word in versions):
            raise
        add = shlex.join(["+" + word for word in names[1:]])
        hint = f"to add a label: git xexp registry label {names[0]} {add}"
        raise XexpError(error.message, hint, error.exit_code) from None
    if as_json:
        console.print_json([vars_of(one) for one in done])
        return
    for one in done:
        console.out(f"{one.version}  {', '.join(one.labels) or '(no labels)'}")


def annotated(
    db: Path | None, names: Sequence[str], wanted: Annotation, *, commit: bool, wait: bool
) -> list[Annotated]:
    """Experiments, or configurations, with labels or a description noted."""
    from gitxexp.workflows.registry import plain
    from gitxexp.workflows.registry.annotate import annotate

    if db is not None:
        return plain.annotate_in(db, names, wanted)
    project = open_project()
    found = plain.only_configurations(project, names)
    if found:
        return plain.annotate_configurations(project, found, wanted, commit=commit, wait=wait)
    return annotate(project, names, wanted, commit=commit, wait=wait)


def vars_of(one: object) -> dict[str, object]:
    """An experiment with its labels and text, as JSON has it."""
    names = ("version", "labels", "text", "changed")
    return {name: getattr(one, name) for name in names}


def _labels(words: Iterable[str], sign: str) -> tuple[str, ...]:
    """The labels of the words with that sign, each once."""
    given = (Labels().convert(word[1:], None, None) for word in words if word.startswith(sign))
    return tuple(dict.fromkeys(chain.from_iterable(given)))
