"""What Ctrl-C and SIGTERM do to a command.

While Python imports and ends they end the process without a word, as they do git. In between they
raise KeyboardInterrupt, so that a rollback runs, but not in the two places where Python would lose it
or be left in pieces:

- An import that is interrupted leaves modules half made: some refuse to be imported a second time,
  which a rollback may need, and one in C++ ends the process with abort(3). It is raised after the import.
- What is raised in a destructor or a callback of the interpreter is printed and forgotten. It is raised
  again, and other errors there, which change nothing, are printed with XEXP_TRACEBACK only.
"""

from __future__ import annotations

# The module around it makes enumerations: a quarter of what Python takes to start.
import _signal as signal  # type: ignore[import-not-found]
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

CODE = 128 + 2  #: the exit code by which shells report SIGINT
#: Seconds after which a signal that came at such a place is sent again.
_AGAIN = 0.005


def end() -> None:
    """Ctrl-C and SIGTERM end the process."""
    _set(signal.SIG_DFL)
    if signal.setitimer(signal.ITIMER_REAL, 0)[0]:
        signal.raise_signal(signal.SIGINT)
    if sys.unraisablehook is _unraisable:
        sys.unraisablehook = sys.__unraisablehook__


def interrupt() -> None:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt."""
    _set(_raise)
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _unraisable


def _set(handler: object) -> None:
    """Where whoever started us had a signal ignored, or handles it, that stays so."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler, _raise):
            try:  # noqa: SIM105
                signal.signal(number, handler)
            except ValueError:
                pass  # in a thread


def _raise(number: int, frame: FrameType | None) -> None:
    if not _importing(frame):
        raise KeyboardInterrupt
    _repeat(number)


def _repeat(number: int) -> None:
    """Send the signal again in a moment, to whatever handles it then."""
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
    signal.setitimer(signal.ITIMER_REAL, _AGAIN)


def _importing(frame: FrameType | None) -> bool:
    """Whether a command waits for an import; whoever imports the command itself does not count."""
    while frame is not None and frame.f_globals.get("__name__") != "gitxexp.entry":
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    if issubclass(lost.exc_type, KeyboardInterrupt):
        _repeat(signal.SIGINT)
    elif os.environ.get("XEXP_TRACEBACK"):
        sys.__unraisablehook__(lost)
