"""git-xexp: machine-learning experiments versioned by git, DVC and the tracker's own database.

``gitxexp.open(path)`` gives a repository with the verbs of the command line; ``gitxexp.context()``
gives what a training script passes to its tracker; ``%load_ext gitxexp`` gives a notebook the magics
``%xexp`` and ``%%xexp_sql``. Nothing is imported before it is used.
"""

from __future__ import annotations

from gitxexp._version import __version__

TYPE_CHECKING = False  # typing itself takes as long to import as `--version` may take
if TYPE_CHECKING:
    from typing import Any

    from gitxexp.api import Repository, context, open
    from gitxexp.common.errors import XexpError
    from gitxexp.experiments import Experiment, Experiments
    from gitxexp.registry import Registry
    from gitxexp.repository.configuration import ExperimentConfig


__all__ = [
    "Experiment",
    "ExperimentConfig",
    "Experiments",
    "Registry",
    "Repository",
    "XexpError",
    "__version__",
    "context",
    "open",
]

_HOMES = {
    **dict.fromkeys(("Repository", "context", "open"), "gitxexp.api"),
    **dict.fromkeys(("Experiment", "Experiments"), "gitxexp.experiments"),
    "ExperimentConfig": "gitxexp.repository.configuration",
    "Registry": "gitxexp.registry",
    "XexpError": "gitxexp.common.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gitxexp' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext gitxexp``: have ``%xexp`` and ``%%xexp_sql`` in a notebook."""
    from gitxexp.magics import load

    load(ipython)
