"""Files of experiments: getting them out of any version, and pushing them where others find them."""

from gitxexp.artifacts.asking import Got, Report, Request
from gitxexp.artifacts.getting import get, stream
from gitxexp.artifacts.pushing import Pushed, PushPlan, plan, push, push_artifacts, unpushed
from gitxexp.artifacts.sources import Strategy

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
