"""Notes on what was left out and why, and what stays done of a command that does not finish: recorded
where found, shown once at the end."""

from __future__ import annotations

_said: dict[str, None] = {}
_stays: list[str] = []


def note(text: str) -> None:
    """Record a note for the user; the same text counts once."""
    _said[text] = None


def taken() -> list[str]:
    """Return the notes recorded since the last call, in order."""
    texts = list(_said)
    _said.clear()
    return texts


def stays(text: str) -> None:
    """Record what the command has done for good: no rollback of what follows takes it back."""
    _stays.append(text)


def done_so_far() -> list[str]:
    """Return what was recorded with :func:`stays` since the last call, in order."""
    texts = list(_stays)
    _stays.clear()
    return texts
