"""git-xexp: machine-learning experiments versioned by git, DVC and the tracker's own database."""

from __future__ import annotations

from gitxexp._version import __version__

__all__ = ["__version__"]
