"""The state of a work tree's outputs (:func:`.changes.standing`); where there are none, finding that out
imports nothing of DVC's formats."""

from __future__ import annotations

from typing import NamedTuple


class Standing(NamedTuple):
    """Outputs that differ from their pointers, by path.

    ``stale``: present, but as another commit has it. git leaves this state behind, because it updates
    pointers and not data.
    """

    changed: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    total: int = 0  #: outputs that were examined
    remote: int = 0  #: how many stale or missing outputs the cache lacks, so ``dvc pull`` is needed
