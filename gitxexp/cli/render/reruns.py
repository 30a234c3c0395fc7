"""Print a rerun: each metric then and now, and what differed."""

from __future__ import annotations

from gitxexp.cli.render import console
from gitxexp.cli.render.console import Column
from gitxexp.cli.render.runs import as_object, duration
from gitxexp.common.text import counted, some
from gitxexp.repository.tag_message import show as shown
from gitxexp.workflows.runs.rerun import Rerun

#: Packages that are named.
_MOST = 10


def show(done: Rerun, *, as_json: bool) -> None:
    """Print the comparison and the verdict."""
    if as_json:
        console.print_json(
            {
                "name": done.past.name,
                "version": done.past.version or None,
                "run": done.past.record.id if done.past.record else None,
                "commit": done.past.commit,
                "command": list(done.past.command),
                "reproduced": done.reproduced,
                "seconds": done.seconds,
                "metrics": [
                    {"name": one.name, "before": one.before, "after": one.after,
                     "delta": one.delta, "within": one.within}
                    for one in done.metrics
                ],
                "packages": [
                    {"name": one.name, "before": one.before or None, "after": one.after or None}
                    for one in done.packages
                ],
                "outputs": dict(done.outputs),
                "kept": as_object(done.kept) if done.kept else None,
                "notes": list(done.notes),
            }
        )  # fmt: skip
        return
    console.notes(done.notes)
    if done.packages:
        named = [f"{one.name} {one.before or '-'} → {one.after or '-'}" for one in done.packages]
        console.say(f"note: {counted(len(named), 'package')} not as then: {some(named, _MOST)}")
    differs = frozenset(at for at, one in enumerate(done.metrics) if not one.within)
    columns = [
        Column("metric", [one.name for one in done.metrics], flexible=True, red=differs),
        Column("then", [_text(one.before) for one in done.metrics], right=True, red=differs),
        Column("now", [_text(one.after) for one in done.metrics], right=True, red=differs),
        Column("difference", [_delta(one.delta) for one in done.metrics], right=True, red=differs),
        Column("", ["same" if one.within else "differs" for one in done.metrics], red=differs),
    ]
    console.out(*console.table(columns))
    for path, same in done.outputs.items():
        console.done(f"{path}: {'the same bytes' if same else 'different bytes'}")
    verdict = "reproduced" if done.reproduced else "not reproduced"
    console.out(f"{done.past.name} {verdict} in {duration(done.seconds)}")
    if done.kept is not None:
        console.done(f"kept as run {done.kept.id}")


def _text(value: object) -> str:
    return "" if value is None else shown(value)


def _delta(value: float | None) -> str:
    return "" if value is None else f"{value:+.3g}" if value else "0"
