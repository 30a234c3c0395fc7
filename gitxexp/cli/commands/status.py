"""``git xexp`` alone: the status page."""

from __future__ import annotations

import gc

from gitxexp.cli import hints
from gitxexp.cli.options import open_project
from gitxexp.cli.render import console
from gitxexp.cli.render.status import as_object, as_text
from gitxexp.workflows.experiments import status as experiments


def status(*, as_json: bool) -> None:
    """Print where one is, and the next sensible command."""
    gc.disable()  # thousands of tags and no cycle to find
    found = experiments.status(open_project())
    if as_json:
        console.print_json(as_object(found))
    else:
        console.out(*as_text(found, advice=hints.advises()))
