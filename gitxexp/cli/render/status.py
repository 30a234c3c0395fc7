"""The status page as text and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitxexp.cli.render import console
from gitxexp.common.text import counted, show_date, some

if TYPE_CHECKING:
    from gitxexp.repository.registry import Promotion
    from gitxexp.workflows.experiments.status import Status

_NAMED_AT_MOST = 5
#: As :class:`gitxexp.storage.dvc.standing.Standing` has them.
_STANDING = ("changed", "from another commit", "missing")


def as_text(found: Status, *, advice: bool) -> list[str]:
    """A few lines: where one is, the last experiment, what is not pushed or merged, what is next."""
    lines = [_where(found), *_last(found)]
    for word, names in (("unpushed", found.unpushed), ("unmerged", found.unmerged)):
        if names and (found.has_remote or word == "unmerged"):
            lines.append(f"{word:<10} {some(names, _NAMED_AT_MOST)}")
    if found.total and not found.has_remote:
        lines.append("unpushed   all: no remote branch is known here")
    if found.incomplete:
        lines.append(
            f"incomplete {some(found.incomplete, _NAMED_AT_MOST)}: pushed by git alone, without"
            " artifacts"
        )
    if found.untagged:
        lines.append(f"no tag     {some(found.untagged, _NAMED_AT_MOST)}")
    for promotion in found.promoted:
        lines.append(f"production {_promotion(promotion)}")
    if not found.drivers:
        lines.append(
            "drivers    not registered in this clone, so git does not merge rows: git xexp init"
        )
    if found.untracked:
        lines.append(f"untracked  {some(found.untracked, _NAMED_AT_MOST)}")
    if advice:
        lines.append(f"next       {found.next}")
    width = console.columns() if console.is_terminal() else 0
    return [console.clip(line, width) if width else line for line in lines]


def _where(found: Status) -> str:
    head = found.head
    where = f"branch {head.branch}" if head.branch else "no branch"
    commit = head.commit[:7] if head.commit else "no commit yet"
    parts = [f"{found.unfinished} in progress"] if found.unfinished else []
    if head.conflicts:
        parts.append(counted(head.conflicts, "conflict"))
    parts += ["clean" if not head.changed else f"{head.changed} changed"]
    outputs = found.outputs
    for words, paths in zip(_STANDING, outputs[:3], strict=True):
        if paths:
            parts.append(f"{counted(len(paths), 'output')} {words}")
    if found.elsewhere:
        parts.append(f"{counted(found.elsewhere, 'output')} of other projects changed")
    if head.ahead:
        parts.append(f"{head.ahead} ahead of {head.upstream}")
    if head.behind:
        parts.append(f"{head.behind} behind {head.upstream}")
    return f"on         {where}  {commit}  {', '.join(parts)}"


def _promotion(promotion: Promotion) -> str:
    """What came into production by somebody else's promotion."""
    who = promotion.who.partition(" <")[0]
    what = promotion.version or promotion.run or promotion.hash_after[4:12]
    at = f"{promotion.at[:16].replace('T', ' ')}Z"
    return console.one_line(f"of {promotion.slot} changed: {what}, promoted by {who} {at}")


def _last(found: Status) -> list[str]:
    if found.last is None:
        return [f"last       no experiment is an ancestor of HEAD ({found.total} in total)"
                if found.total else "last       no experiment yet"]  # fmt: skip
    past = f", {counted(found.since, 'commit')} ago" if found.since else ""
    name = console.paint(found.last.name, "yellow")
    when = show_date(found.last.date)[:16].replace("T", " ")
    return [
        f"last       {name}  {when}{past}  ({found.total} in total)",
        f"           {console.one_line(found.last.payload.headline)}",
    ]


def as_object(found: Status) -> dict[str, Any]:
    """Every fact of the page."""
    return {
        "branch": found.head.branch,
        "commit": found.head.commit,
        "changed": found.head.changed,
        "conflicts": found.head.conflicts,
        "unfinished": found.unfinished,
        "upstream": found.head.upstream,
        "ahead": found.head.ahead,
        "behind": found.head.behind,
        "experiments": found.total,
        "last": found.last and found.last.name,
        "commits_since_last": found.since,
        "outputs": {
            "changed": list(found.outputs.changed),
            "stale": list(found.outputs.stale),
            "missing": list(found.outputs.missing),
            "elsewhere": found.elsewhere,
        },
        "unpushed": list(found.unpushed),
        "unmerged": list(found.unmerged),
        "untagged": list(found.untagged),
        "untracked": list(found.untracked),
        "incomplete": list(found.incomplete),
        "production": [promotion._asdict() for promotion in found.promoted],
        "drivers": found.drivers,
        "next": found.next,
    }
