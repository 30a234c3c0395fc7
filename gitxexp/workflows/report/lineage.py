"""Find the parent of each experiment, for thousands with one git call."""

from __future__ import annotations

from collections.abc import Sequence

from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment
from gitxexp.storage.git import encode

#: Lists the named commits, each with its nearest named ancestors.
_NAMED = (
    "rev-list",
    "--parents",
    "--topo-order",
    "--reverse",
    "--simplify-by-decoration",
    "--stdin",
)


def parents(project: Project, experiments: Sequence[Experiment]) -> list[str]:
    """Return the name of the experiment that each was compared with when tagged, else of the newest
    one before its commit; "" if there is none. ``experiments`` are all in the repository, newest
    first."""
    names = {experiment.name for experiment in experiments}
    rest = [one for one in experiments if not one.payload.parent]
    before = _before(project, experiments, rest) if rest else {}
    return [
        before.get(one.name, "") if not one.payload.parent
        else one.payload.parent if one.payload.parent in names else ""
        for one in experiments
    ]  # fmt: skip


def _before(
    project: Project, experiments: Sequence[Experiment], asked: Sequence[Experiment]
) -> dict[str, str]:
    """Return the newest experiment before each requested one."""
    places: dict[str, list[int]] = {}  # of the experiments of each commit, newest first
    for at, one in enumerate(experiments):
        places.setdefault(one.commit, []).append(at)
    commits = "\n".join(dict.fromkeys(one.commit for one in asked))
    done = project.git.call(*_NAMED, stdin=encode(f"{commits}\n"))
    newest: dict[str, int] = {}
    above: dict[str, int | None] = {}
    for line in done.stdout.decode().splitlines():
        commit, *parents = line.split(" ")
        known = [newest[parent] for parent in parents if parent in newest]
        above[commit] = min(known, default=None)
        own = places.get(commit, [])
        if own or known:
            newest[commit] = min([*known, *own])
    place = {one.name: at for at, one in enumerate(experiments)}
    found = {}
    for one in asked:
        older = [at for at in places[one.commit] if at > place[one.name]]
        before = older[0] if older else above.get(one.commit)
        if before is not None and before > place[one.name]:
            found[one.name] = experiments[before].name
    return found
