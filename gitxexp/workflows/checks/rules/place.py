"""Before a run: where it takes place, and under which version."""

from __future__ import annotations

from collections.abc import Iterator

from gitxexp.repository import numbers, version
from gitxexp.repository.version import Level
from gitxexp.storage.dvc.places import is_dvc_repo, remote_name
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.rule import Finding, Scope, Severity, found, rule
from gitxexp.workflows.experiments.collect import written_params

#: Names in a parameter file under which people keep the version of the experiment.
_VERSIONS = ("experiment.version", "experiment_version", "version")
_MAIN = ("main", "master", "trunk")


@rule("version-taken", Severity.ERROR, Scope.BEFORE)
def version_taken(context: Context) -> Iterator[Finding]:
    """The version that the run will use is taken: a tag or the registry already has it.

    The rows of two experiments would carry one version, and `git xexp tag` would have to choose another
    number than the rows say. The version is the one in a parameter file (`experiment.version`,
    `experiment_version` or `version`), and the one that the rows of the last run name, if any.

    Use the next one: `git xexp tag --suggest` prints it.
    """
    params = written_params(context.project.top, context.config)
    name = next((name for name in _VERSIONS if isinstance(params.get(name), str)), None)
    parsed = version.parse(str(params[name])) if name else None
    parsed = context.project.own(parsed) if parsed else None
    taken = numbers.taken(context.project, context.project.tags())
    free = taken.following(Level.PATCH)
    if parsed is not None and parsed in taken:
        yield found(
            f"{parsed} is taken ({name} says it)",
            subject=str(parsed),
            hint=f"the next free one is {free}",
        )
    tagged = {one.name: one.payload.run for one in context.project.experiments()}
    for run in context.latest:
        declared = run.declared_version or ""
        if tagged.get(declared) and not run.named(tagged[declared]):
            yield found(
                f"run {run.id} calls itself {declared}, which is run {tagged[declared]}",
                path=context.shown(run.database), table=run.table, subject=declared,
                hint=f"use {free}, the next free one",
            )  # fmt: skip


@rule("on-main", Severity.NOTE, Scope.BEFORE)
def on_main(context: Context) -> Iterator[Finding]:
    """The experiment would run on the main branch.

    One branch for each experiment keeps main usable: what does not work out is never merged, and several
    experiments can run at once.

    `git xexp worktree new NAME` makes a branch with a folder of its own, `git switch -c NAME` only a branch.
    If you experiment on main on purpose, ignore the rule (see *Ignoring* below).
    """
    git = context.project.git
    branch, _ = git.head()
    default = git.text("rev-parse", "--abbrev-ref", "--verify", "-q", "origin/HEAD", ok=(0, 1, 128))
    names = {default.removeprefix("origin/")} if default and default != "origin/HEAD" else _MAIN
    if branch is not None and branch in names:
        yield found(
            f"on {branch}: experiments are made on branches of their own", subject=branch,
            hint="git xexp worktree new NAME, or git switch -c NAME",
        )  # fmt: skip


@rule("remote-missing", Severity.WARNING, Scope.BEFORE)
def remote_missing(context: Context) -> Iterator[Finding]:
    """There is no git remote, or no DVC remote, to push to.

    What exists only on this machine is lost with it: `git xexp push` has nowhere to send the experiment,
    its data and its model.

    Add them: `git remote add origin URL`; `dvc remote add -d NAME URL`, then commit `.dvc/config`.
    """
    if not context.project.git.lines("remote"):
        yield found("git has no remote", subject="git", hint="git remote add origin URL")
    top = context.project.top
    if is_dvc_repo(top) and remote_name(top) is None:
        yield found(
            "DVC has no default remote",
            subject="dvc",
            hint="dvc remote add -d NAME URL, and commit",
        )
