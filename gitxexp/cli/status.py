"""The status page: ``git xexp`` alone, or ``git xexp status``.

Most often it is asked for without options, and then click, which takes longer to import than the
page to make, is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from gitxexp.cli import hints, outcome, project
from gitxexp.cli.render import console
from gitxexp.common.garbage import no_collection


def run(argv: Sequence[str]) -> int:
    """Run one of these command lines; returns the exit code, and raises as :func:`.outcome.of` does."""
    return outcome.of(argv, lambda: show(as_json="--json" in argv))


@no_collection()
def show(*, as_json: bool) -> None:
    """Print the status page."""
    from gitxexp.cli.render.status import as_object, as_text
    from gitxexp.storage.git import asked_once
    from gitxexp.workflows.experiments import status

    with asked_once():
        found = status.status(project.open_to_read())
        if as_json:
            console.print_json(as_object(found))
        else:
            console.out(*as_text(found, advice=hints.advises()))
