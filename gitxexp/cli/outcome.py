"""The one mapping of errors to exit codes.

Exit codes are git's: 129 usage, 128 fatal, 1 a plain "no", 130 and 141 for Ctrl-C and a closed pipe.
click is not imported here: the status page does without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from gitxexp.cli import hints
from gitxexp.common import interrupts, streams
from gitxexp.common.errors import NO, XexpError
from gitxexp.common.notes import done_so_far, taken

#: What is said of an error: the message, a hint, and the exit code.
Told = tuple[str, str | None, int]

#: How many of the things that stay done are named where a command is interrupted.
_SHOWN = 5


def _unknown(_error: Exception) -> Told | None:
    return None


def of(
    argv: Sequence[str],
    work: Callable[[], object],
    known: Callable[[Exception], Told | None] = _unknown,
) -> int:
    """Do the work of a command line; returns the exit code and lets no exception out, but that nobody
    reads what is written: ClosedPipe or BrokenPipeError, for :mod:`gitxexp.entry`.

    ``known`` says what to tell of errors that are not ours.
    """
    taken()
    done_so_far()
    hints.begin()
    as_json = wants_json(argv)
    try:
        code = work()
        streams.flush()
        _tell_notes()
        return code if isinstance(code, int) else 0
    except (streams.ClosedPipe, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        return _interrupted(as_json=as_json)
    except Exception as error:
        if "Query interrupted" in str(error):  # DuckDB's word for a KeyboardInterrupt it took
            return _interrupted(as_json=as_json)
        try:
            return _failed(error, known, as_json=as_json)
        except KeyboardInterrupt:  # it came with the error, and is why there is one
            return _interrupted(as_json=as_json)


def wants_json(argv: Sequence[str]) -> bool:
    """Whether a command line, right or wrong, asks for JSON."""
    own = argv[: argv.index("--")] if "--" in argv else argv
    return any(len(word) > 3 and "--json".startswith(word) for word in own)


def say(*lines: str) -> None:
    """Write lines to standard error, after what standard output has."""
    with suppress(XexpError):  # what went wrong first is said
        streams.flush()
    streams.tell(*lines)


def _interrupted(*, as_json: bool) -> int:
    code, stays = interrupts.CODE, done_so_far()
    text = f"interrupted; {'the rest was' if stays else 'all changes were'} rolled back"
    if as_json:
        say(hints.error_as_json("; ".join((text, *stays)), None, code))
    else:  # after the terminal's own ^C
        more = [f"and {len(stays) - _SHOWN} more"] if len(stays) > _SHOWN else []
        lines = [f"  {line}" for line in (*more, *stays[-_SHOWN:])]
        say(*([""] if sys.stderr.isatty() else []), text, *lines)
    return code


def _tell_notes() -> None:
    """What the repository names and was left out."""
    for text in taken():
        streams.tell(f"note: {text}")


def _failed(error: Exception, known: Callable[[Exception], Told | None], *, as_json: bool) -> int:
    _tell_notes()
    told = _told(error, known)
    if as_json:
        say(hints.error_as_json(*told))
        return told[2]
    lines = error.lines if isinstance(error, XexpError) else [told[0]]
    say(f"{'error' if told[2] == NO else 'fatal'}: {lines[0]}", *lines[1:])
    if told[1]:
        hints.hint(*told[1].splitlines())
    return told[2]


def _told(error: Exception, known: Callable[[Exception], Told | None]) -> Told:
    if isinstance(error, XexpError):
        return error.message, error.hint, error.exit_code
    told = known(error)
    if told is None:
        from gitxexp.cli import failures

        message, hint, code = failures.unexpected(error)
        return message, "\n".join(filter(None, (hint, *done_so_far()[-_SHOWN:]))) or None, code
    return told
