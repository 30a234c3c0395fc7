"""Notes on what was left out and why: recorded where found, shown once at the end."""

from __future__ import annotations

_said: dict[str, None] = {}


def note(text: str) -> None:
    """Record a note for the user; the same text counts once."""
    _said[text] = None


def taken() -> list[str]:
    """Return the notes recorded since the last call, in order."""
    texts = list(_said)
    _said.clear()
    return texts
