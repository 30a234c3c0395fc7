"""Print what a pull received, what it left unchanged, and what needs attention."""

from __future__ import annotations

from gitxexp.cli import hints
from gitxexp.cli.render import console
from gitxexp.common.text import counted, some
from gitxexp.workflows.artifacts.pull import Pulled

_NAMED = 5


def show(done: Pulled) -> None:
    """Print one report: commits, experiments, outputs, production, and what is left to do."""
    if done.registered:
        console.done("registered the merge drivers for this clone")
    if done.commits:
        console.done(f"{counted(done.commits, 'commit')}, now at {(done.after or '')[:7]}")
    for old, new in done.renumbered:
        console.done(f"{old} of this clone is now {new}: {done.remote} has another {old}")
    if done.experiments:
        console.done(f"experiments: {some(done.experiments, _NAMED)}")
    if done.updated:
        fetched = f" ({counted(done.fetched, 'object')} fetched)" if done.fetched else ""
        console.done(f"outputs: {some(done.updated, _NAMED)}{fetched}")
    for promotion in done.production:
        who = promotion.who.partition(" <")[0]
        model = promotion.run or promotion.version or promotion.hash_after[4:12]
        console.done(f"production is now {model}, promoted by {who} on {promotion.at[:10]}")
    if not (done.commits or done.experiments or done.updated):
        console.done("already up to date")
    if done.kept:
        console.say(f"note: changed here and left as it is: {some(done.kept, _NAMED)}")
    console.notes(done.notes)
    for path in done.missing:
        console.say(f"missing: {path}")
    if done.clashing:
        hints.hint(*(f"git xexp tag --renumber {name}" for name in done.clashing))


def as_object(done: Pulled) -> dict[str, object]:
    """``pull --json``."""
    return {
        "before": done.before,
        "after": done.after,
        "commits": done.commits,
        "experiments": list(done.experiments),
        "outputs_updated": list(done.updated),
        "objects_fetched": done.fetched,
        "kept": list(done.kept),
        "missing": list(done.missing),
        "renumbered": [new for _, new in done.renumbered],
        "clashing": list(done.clashing),
        "promotions": [promotion._asdict() for promotion in done.promotions],
        "drivers_registered": done.registered,
        "notes": list(done.notes),
    }
