"""Draw something again whenever what it shows has changed."""

from __future__ import annotations

import time
from collections.abc import Callable

from gitxexp.cli.render import console
from gitxexp.common import streams
from gitxexp.common.errors import XexpError

#: Seconds between two looks.
_EVERY = 0.5


def watch(state: Callable[[], object], draw: Callable[[], None], every: float = _EVERY) -> None:
    """Call ``draw``, and again each time that ``state`` gives something else, or the terminal has
    another size; until Ctrl-C, which ends it and is no error.

    What cannot be read once it was drawn, such as a database that is being written to, is told of and
    tried again. Raises XexpError where it cannot be drawn at first, and ClosedPipe once nobody reads
    standard output any more, also where there is nothing new to write.
    """
    import shutil

    wait = _waiting()
    last: object = None
    problem = ""
    try:
        while True:
            try:
                now = state(), shutil.get_terminal_size()
                if now != last:
                    draw()
                    streams.flush()
                    last, problem = now, ""
            except XexpError as error:
                if last is None:
                    raise
                if error.message != problem:
                    console.say(f"warning: {error.message}")
                problem = error.message
            if wait(every):
                raise streams.ClosedPipe
    except KeyboardInterrupt:
        return


def _waiting() -> Callable[[float], bool]:
    """Return a function that waits so many seconds, and tells whether the reader of standard output
    has gone meanwhile (poll(2), POLLERR; as tail -f does)."""
    import os
    import select
    import stat

    def sleep(seconds: float) -> bool:
        time.sleep(seconds)
        return False

    mode = os.fstat(1).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return sleep
    reader = select.poll()
    reader.register(1, 0)
    return lambda seconds: bool(reader.poll(seconds * 1000))
