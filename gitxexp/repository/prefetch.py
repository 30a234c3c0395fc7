"""git's answers to what every listing asks first, begun before anything heavy is imported.

git takes 15 ms to list 2,000 loose tags, and click takes longer to import: on two cores the one
hides the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from subprocess import Popen

from gitxexp.common.errors import XexpError
from gitxexp.repository.version import PATTERNS
from gitxexp.storage.git import CONFIG, DVC_FILES, PLACES, REFS, SETTINGS, Git

#: The slowest first. Arguments as :class:`Git` will ask them: any other are only asked in vain.
FIRST = ((*REFS, *PATTERNS), PLACES, (*CONFIG, SETTINGS))

#: What a query asks, whatever it is of.
QUERY = (PLACES, (*CONFIG, SETTINGS))

#: What the list of models asks.
MODELS = (*FIRST, DVC_FILES)

#: What the status page asks: the same way as :mod:`gitxexp.workflows.experiments.status`.
STATUS_HEAD = ("status", "--porcelain=v2", "--branch", "-z", "-uno")
STATUS_COMMITS = ("rev-list", "--max-count=500", "HEAD")
#: The commits of other branches that HEAD lacks.
STATUS_APART = ("rev-list", "--branches", "--not", "HEAD")
STATUS_DRIVER = r"^merge\.xexp\.driver$"
STATUS = ((*REFS, *PATTERNS), PLACES, STATUS_HEAD, STATUS_COMMITS, STATUS_APART,
          (*REFS, "refs/remotes"), DVC_FILES, (*CONFIG, STATUS_DRIVER))  # fmt: skip


class Ahead(Git):
    """git in the current folder, with ``first`` begun; each answer is taken once."""

    def __init__(self, first: Sequence[tuple[str, ...]] = FIRST) -> None:
        super().__init__(".")
        self._begun: dict[tuple[str, ...], Popen[bytes]] = {}
        with suppress(XexpError):  # such as no git at all: whoever asks will hear of it
            for args in first:
                self._begun[args] = super()._start(args)

    def _start(
        self, args: Sequence[str], fed: bool = False, env: Mapping[str, str] | None = None
    ) -> Popen[bytes]:
        return self._begun.pop(tuple(args), None) or super()._start(args, fed, env)

    def drop(self) -> None:
        """End what nobody asked for."""
        while self._begun:
            process = self._begun.popitem()[1]
            process.kill()
            process.communicate()
