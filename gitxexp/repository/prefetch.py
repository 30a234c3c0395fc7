"""Start the git queries that every listing needs, before anything heavy is imported.

git takes 15 ms to list 2,000 loose tags, and click takes longer to import: on two cores they
overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from subprocess import Popen

from gitxexp.common.errors import XexpError
from gitxexp.repository.version import PATTERNS
from gitxexp.storage.git import CONFIG, DVC_FILES, PLACES, REFS, SETTINGS, Git

#: Slowest first. The arguments must match those of :class:`Git`: any others are wasted.
FIRST = ((*REFS, *PATTERNS), PLACES, (*CONFIG, SETTINGS))

#: Queries of every listing.
QUERY = (PLACES, (*CONFIG, SETTINGS))

#: Queries of the list of models.
MODELS = (*FIRST, DVC_FILES)

#: Queries of the status page, as in :mod:`gitxexp.workflows.experiments.status`.
STATUS_HEAD = ("status", "--porcelain=v2", "--branch", "-z", "-uno")
STATUS_COMMITS = ("rev-list", "--max-count=500", "HEAD")
#: The commits of other branches that HEAD lacks.
STATUS_APART = ("rev-list", "--branches", "--not", "HEAD")
STATUS_DRIVER = r"^merge\.xexp\.driver$"
STATUS = ((*REFS, *PATTERNS), PLACES, STATUS_HEAD, STATUS_COMMITS, STATUS_APART,
          (*REFS, "refs/remotes"), DVC_FILES, (*CONFIG, STATUS_DRIVER))  # fmt: skip


class Ahead(Git):
    """git in the current folder, with ``first`` started; each answer is used once."""

    def __init__(self, first: Sequence[tuple[str, ...]] = FIRST) -> None:
        super().__init__(".")
        self._begun: dict[tuple[str, ...], Popen[bytes]] = {}
        with suppress(XexpError):  # such as git missing: the actual query will report it
            for args in first:
                self._begun[args] = super()._start(args)

    def _start(
        self, args: Sequence[str], fed: bool = False, env: Mapping[str, str] | None = None
    ) -> Popen[bytes]:
        return self._begun.pop(tuple(args), None) or super()._start(args, fed, env)

    def drop(self) -> None:
        """Stop the processes whose answers were not used."""
        while self._begun:
            process = self._begun.popitem()[1]
            process.kill()
            process.communicate()
