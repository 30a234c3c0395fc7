"""What was left out and why, for whoever shows it: said where it is found, shown once at the end."""

from __future__ import annotations

_said: dict[str, None] = {}


def note(text: str) -> None:
    """Remember a remark for the user; the same text counts once."""
    _said[text] = None


def taken() -> list[str]:
    """The remarks since this was called last, in order."""
    texts = list(_said)
    _said.clear()
    return texts
