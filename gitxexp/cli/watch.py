"""Draw something again whenever what it shows has changed."""

from __future__ import annotations

import time
from collections.abc import Callable

from gitxexp.common import streams

#: Seconds between two looks.
_EVERY = 0.5


def watch(state: Callable[[], object], draw: Callable[[], None], every: float = _EVERY) -> None:
    """Call ``draw``, and again each time that ``state`` gives something else, or the terminal has
    another size; until Ctrl-C, which ends it and is no error."""
    import shutil

    last: object = None
    try:
        while True:
            now = state(), shutil.get_terminal_size()
            if now != last:
                last = now
                draw()
                streams.flush()
            time.sleep(every)
    except KeyboardInterrupt:
        return
