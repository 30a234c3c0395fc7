"""``git xexp`` alone: the status page."""

from __future__ import annotations

import gc

from gitxexp import manners, render
from gitxexp import status as domain
from gitxexp.options import open_project
from gitxexp.render import statuspage


def status(*, as_json: bool) -> None:
    """Print where one is, and the next sensible command."""
    gc.disable()  # thousands of tags and no cycle to find
    found = domain.status(open_project())
    if as_json:
        render.out(render.as_json(statuspage.as_object(found)))
    else:
        render.out(statuspage.as_text(found, advice=manners.advises()))
