"""Print what would be pushed where, and what was pushed."""

from __future__ import annotations

from collections import Counter

from gitxexp.cli import hints
from gitxexp.cli.render import console
from gitxexp.common.text import counted
from gitxexp.workflows.artifacts.push import Pushed, PushPlan


def plan_text(planned: PushPlan) -> list[str]:
    """What would be checked and pushed, a line each."""
    lines = []
    for path, times in Counter(out.path for out in planned.every).items():
        said = f"  ({times} versions of it)" if times > 1 else ""
        lines.append(f"would check and push  {path}{said}")
    if planned.git_remote:
        lines += [f"would push            {ref} -> {planned.git_remote}" for ref in planned.refs]
    lines += [
        f"would not push        {e.name}: {planned.git_remote} has another"
        for e in planned.clashing
    ]
    return lines or ["nothing to push"]


def plan_object(planned: PushPlan) -> dict[str, object]:
    """``push --dry-run --json``."""
    return {
        "experiments": [found.name for found in planned.experiments],
        "outputs": [out.path for out in planned.every],
        "git_remote": planned.git_remote,
        "refs": list(planned.refs) if planned.git_remote else [],
    }


def show(done: Pushed, *, known: bool) -> None:
    """Print what was pushed; ``known``: whether there are experiments at all."""
    if not done.experiments and not done.refs:
        why = "every experiment is on the remote" if known else "there are no experiments yet"
        console.done(f"nothing to push: {why}")
        _believe(done)
        hints.hint()
        return
    sent = len(done.artifacts.pushed)
    sent_ones, outputs = counted(sent, "object"), counted(done.checked, "output")
    console.done(f"artifacts: {sent_ones} sent, {outputs} verified")
    for item in (*done.artifacts.missing, *done.artifacts.corrupt):
        console.say(f"warning: {item.path} was not pushed: no valid copy")
    if done.git_remote is None:
        console.say("note: there is no git remote, so no branch and no tag was pushed")
        hints.hint("git remote add origin URL")
    for ref in done.refs:
        name = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
        console.done(f"pushed {name} -> {done.git_remote}")


def _believe(done: Pushed) -> None:
    """Say what was taken for granted."""
    believed = done.believed
    if not believed.experiments:
        return
    known = [f"proved {console.ago(believed.since)}"] if believed.since is not None else []
    if believed.never:
        which = "" if believed.never == believed.experiments else f"{believed.never} "
        known.append(f"{which}never proved from this clone")
    if believed.vanished:
        known.append(f"{believed.vanished} not complete when last asked")
    console.say(
        f"note: not checked: the artifacts of {counted(believed.experiments, 'experiment')} that"
        f" {done.git_remote} has ({', '.join(known)}); git xexp push --all checks them"
    )


def as_object(done: Pushed) -> dict[str, object]:
    """``push --json``."""
    return {
        "experiments": list(done.experiments),
        "objects_sent": len(done.artifacts.pushed),
        "bytes_sent": done.artifacts.size,
        "outputs_checked": done.checked,
        "believed": {
            "experiments": done.believed.experiments,
            "never": done.believed.never,
            "vanished": done.believed.vanished,
            "since": console.moment(done.believed.since),
        },
        "missing": [item.path for item in done.artifacts.missing],
        "corrupt": [item.path for item in done.artifacts.corrupt],
        "git_remote": done.git_remote,
        "refs": list(done.refs),
    }
