"""``git xexp push``."""

from __future__ import annotations

from collections import Counter

import click

from gitxexp.cli import hints, progress
from gitxexp.cli.options import json_option, open_project
from gitxexp.cli.render import console
from gitxexp.common.errors import NoAnswer, XexpError
from gitxexp.common.text import counted
from gitxexp.repository.repository import Project
from gitxexp.repository.tags import Experiment
from gitxexp.workflows.artifacts import push as artifacts_push
from gitxexp.workflows.artifacts.push import Pushed, PushPlan, plan
from gitxexp.workflows.experiments.resolve import resolve


@click.command()
@click.argument("versions", nargs=-1, metavar="[VERSION...]")
@click.option("--all", "everything", is_flag=True, help="Every experiment, pushed before or not.")
@click.option("-r", "--remote", metavar="NAME", help="The DVC remote (default: DVC's default).")
@click.option("--git-remote", metavar="NAME", help="The git remote to push to.")
@click.option("--incomplete", is_flag=True, help="Push even where some artifacts are nowhere.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be pushed.")
@json_option
def push(
    versions: tuple[str, ...],
    everything: bool,
    remote: str | None,
    git_remote: str | None,
    incomplete: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Push artifacts, then branches and tags, of the VERSIONs.

    By default of every experiment that is unpushed, and of the current branch. The DVC remote is
    listed in full before and after, so what an interrupted push left out is repaired. Branches and
    tags go last and all at once.
    """
    project = open_project()
    chosen = [_experiment(project, name) for name in versions] if versions else None
    with progress.line("asking the remote"):
        planned = plan(project, chosen, git_remote=git_remote, everything=everything)
    if dry_run:
        console.out(console.as_json(_plan_facts(planned)) if as_json else _plan_text(planned))
        return
    with progress.line("pushing") as show:
        done = artifacts_push.push(
            project,
            planned,
            remote=remote,
            incomplete=incomplete,
            progress=show,
        )
    if as_json:
        console.out(console.as_json(_facts(done)))
    elif not planned.clashing or done.refs:
        _show(done, known=bool(project.experiments()))
    if planned.clashing:
        raise _clash(planned)


def _clash(planned: PushPlan) -> NoAnswer:
    """Two clones tagged at the same time, or a tag was moved: only people know which is meant."""
    remote, first = planned.git_remote, planned.clashing[0]
    names = ", ".join(found.name for found in planned.clashing)
    run = f" --run {first.payload.run}" if first.payload.run else ""
    return NoAnswer(
        f"not pushed: {remote} has another {names}",
        f"yours gets the next number: git tag -d {first.name} && git fetch --tags {remote} && "
        f"git xexp tag{run}\nor take what {remote} has: git fetch --tags --force {remote}",
    )


def _experiment(project: Project, name: str) -> Experiment:
    if name in project.git.lines("remote"):
        raise XexpError(
            f"'{name}' is a remote, not a version", f"git xexp push --git-remote {name}"
        )
    found = resolve(project, name)
    if found.experiment is None or not found.exact:
        raise XexpError(f"'{name}' is not an experiment", "tag it first: git xexp tag")
    return found.experiment


def _plan_text(planned: PushPlan) -> str:
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
    return "\n".join(lines) or "nothing to push"


def _plan_facts(planned: PushPlan) -> dict[str, object]:
    return {
        "experiments": [found.name for found in planned.experiments],
        "outputs": [out.path for out in planned.every],
        "git_remote": planned.git_remote,
        "refs": list(planned.refs) if planned.git_remote else [],
    }


def _show(done: Pushed, *, known: bool) -> None:
    if not done.experiments and not done.refs:
        why = "every experiment is on the remote" if known else "there are no experiments yet"
        console.done(f"nothing to push: {why}")
        hints.hint()
        return
    sent = len(done.artifacts.pushed)
    sent_ones, outputs = counted(sent, "object"), counted(done.checked, "output")
    console.done(f"artifacts: {sent_ones} sent, {outputs} proved complete")
    for item in (*done.artifacts.missing, *done.artifacts.corrupt):
        console.say(f"warning: {item.path} was not pushed: no sound copy")
    if done.git_remote is None:
        console.say("note: there is no git remote, so only artifacts were pushed")
    for ref in done.refs:
        name = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
        console.done(f"pushed {name} -> {done.git_remote}")


def _facts(done: Pushed) -> dict[str, object]:
    return {
        "experiments": list(done.experiments),
        "objects_sent": len(done.artifacts.pushed),
        "bytes_sent": done.artifacts.size,
        "outputs_checked": done.checked,
        "missing": [item.path for item in done.artifacts.missing],
        "corrupt": [item.path for item in done.artifacts.corrupt],
        "git_remote": done.git_remote,
        "refs": list(done.refs),
    }
