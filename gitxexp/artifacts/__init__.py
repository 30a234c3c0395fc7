"""Files of experiments: getting them out of any version, and pushing them where others find them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitxexp.artifacts.asking import Got, Report, Request
from gitxexp.artifacts.getting import get, stream
from gitxexp.artifacts.sources import Strategy

if TYPE_CHECKING:
    from gitxexp.artifacts.pushing import Pushed, PushPlan, plan, push, push_artifacts, unpushed

__all__ = [
    "Got",
    "PushPlan",
    "Pushed",
    "Report",
    "Request",
    "Strategy",
    "get",
    "plan",
    "push",
    "push_artifacts",
    "stream",
    "unpushed",
]


def __getattr__(name: str) -> Any:
    """What pushes is imported when it is asked for: ``get`` is measured in milliseconds."""
    if name in __all__:
        from gitxexp.artifacts import pushing

        return getattr(pushing, name)
    raise AttributeError(name)
