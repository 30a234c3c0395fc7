"""The git queries that a command needs, to be started before anything heavy is imported
(:func:`.git.begun`).

git takes 15 ms to list 2,000 loose tags, and click takes longer to import: on two cores they
overlap.
"""

from __future__ import annotations

from gitxexp.repository.version import PATTERNS
from gitxexp.storage.git import (
    BRANCHES,
    CHANGES,
    CONFIG,
    DVC_FILES,
    HEAD,
    IDENTITY,
    PLACES,
    PROJECTS,
    REFS,
    REGISTRY,
    SETTINGS,
    TRACKER_FOLDERS,
    UNTRACKED,
)

#: Slowest first. The arguments must match those of :class:`Git`: any others are wasted.
FIRST = ((*REFS, *PATTERNS), PLACES, (*CONFIG, SETTINGS))

#: Queries of every listing.
QUERY = (PLACES, (*CONFIG, SETTINGS))

#: Queries of the list of models.
MODELS = (*FIRST, DVC_FILES)

#: Queries of the status page, as in :mod:`gitxexp.workflows.experiments.status`.
STATUS_HEAD = ("status", "--porcelain=v2", "--branch", "-z", "-uno")
STATUS = ((*REFS, *PATTERNS), PLACES, STATUS_HEAD, BRANCHES, (*CONFIG, SETTINGS))
STATUS_DVC = (*STATUS, DVC_FILES)

#: Queries of ``run`` at the top of a work tree, before the command and after it.
RUN_BEFORE = (PLACES, (*CONFIG, SETTINGS), CHANGES, PROJECTS, HEAD, IDENTITY,
              (*REFS, *PATTERNS), DVC_FILES, TRACKER_FOLDERS, BRANCHES, REGISTRY, UNTRACKED)  # fmt: skip
RUN_AFTER = (DVC_FILES, PROJECTS, CHANGES, TRACKER_FOLDERS, UNTRACKED)

#: Queries of the plan of a tag, at the top of a work tree.
PLAN = (CHANGES, HEAD, IDENTITY, PROJECTS, DVC_FILES, TRACKER_FOLDERS, BRANCHES, REGISTRY)
