"""What a command learns about its run: environment variables, and placeholders in its words."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.repository.tag_message import show
from gitxexp.storage.git import LOCAL_ENV


@dataclass(frozen=True)
class RunContext:
    """What is known about a run before it begins. Texts are "" if unknown.

    ``version`` is the one it will be tagged as, ``data`` the data hash of six digits.
    """

    run: str
    version: str
    commit: str
    branch: str
    data: str
    config_hash: str
    log: Path
    sweep: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """The ``XEXP_…`` variables that the command gets."""
        found = {
            "XEXP_VERSION": self.version,
            "XEXP_RUN": self.run,
            "XEXP_GIT_COMMIT": self.commit,
            "XEXP_GIT_BRANCH": self.branch,
            "XEXP_DVC_HASH": self.data,
            "XEXP_CONFIG_HASH": self.config_hash,
            "XEXP_LOG": str(self.log),
        }
        return found | ({"XEXP_SWEEP": self.sweep} if self.sweep else {})


def environment(context: RunContext, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment of a command: ours, without variables that tie git to this repository
    or belong to an enclosing run, then those of ``context``, then ``more``.

    Python output is unbuffered (``PYTHONUNBUFFERED``) unless already set, because it goes through a
    pipe.
    """
    ours = {
        name: value
        for name, value in os.environ.items()
        if name not in LOCAL_ENV and not (name.startswith("XEXP_") and name in _OF_A_RUN)
    }
    return {"PYTHONUNBUFFERED": "1", **ours, **context.variables, **(more or {})}


_OF_A_RUN = frozenset(
    ("XEXP_VERSION", "XEXP_RUN", "XEXP_GIT_COMMIT", "XEXP_GIT_BRANCH", "XEXP_DVC_HASH",
     "XEXP_CONFIG_HASH", "XEXP_LOG", "XEXP_SWEEP")
)  # fmt: skip


def words(
    command: Sequence[str], context: RunContext, params: Mapping[str, Any] | None = None
) -> list[str]:
    """The command with ``{version}`` and ``{run}`` replaced, and ``{NAME}`` of each of ``params``.

    Other braces stay: they belong to the program (JSON, a template).
    """
    values = {name: show(value) for name, value in (params or {}).items()}
    values |= {"version": context.version, "run": context.run}
    return [_filled(word, values) for word in command]


def _filled(word: str, values: Mapping[str, str]) -> str:
    if "{" not in word:
        return word
    import re  # few commands have any

    names = "|".join(re.escape(name) for name in sorted(values, key=len, reverse=True))
    return re.sub(rf"\{{({names})\}}", lambda found: values[found[1]], word)


def uses(command: Sequence[str], name: str) -> bool:
    """Whether a word of the command has ``{name}``."""
    return any(f"{{{name}}}" in word for word in command)
