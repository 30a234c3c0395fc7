"""After a run: whether what is recorded is true, complete, and elsewhere too."""

from __future__ import annotations

from collections.abc import Iterator

from gitxexp.common.errors import XexpError
from gitxexp.common.text import counted, some
from gitxexp.repository.numbers import untagged
from gitxexp.repository.repository import Project
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.rule import Finding, Fix, Scope, Severity, found, rule
from gitxexp.workflows.experiments.rebuild import rebuild
from gitxexp.workflows.explore.verify import Verdict, verify
from gitxexp.workflows.merge.driver.install import lacks_drivers, register

_NAMED = 5


@rule("record", Severity.ERROR, Scope.REPOSITORY)
def record(context: Context) -> Iterator[Finding]:
    """The newest experiment is not what its tag says: its files, hashes, parameters or registry row differ.

    Anyone who relies on the tag publishes something else. `git xexp explore verify` checks the same claims
    for every experiment.

    A tag never changes. Tag the present state as a new version: `git xexp tag`.
    """
    experiments = context.project.experiments()
    since = context.request.since
    names = [since] if since else [one.name for one in experiments[:1]]
    for one in verify(context.project, names, again=False) if names else ():
        wrong = [claim for claim in one.claims if claim.verdict is Verdict.WRONG]
        if wrong:
            yield found(
                f"{one.version}: {wrong[0].name} is not as tagged"
                + (f": {wrong[0].detail}" if wrong[0].detail else ""),
                subject=one.version, count=len(wrong),
                rows=({"claim": claim.name, "detail": claim.detail} for claim in wrong),
                hint=f"git xexp explore verify {one.version}",
            )  # fmt: skip


@rule("unpushed", Severity.NOTE, Scope.REPOSITORY)
def unpushed(context: Context) -> Iterator[Finding]:
    """Experiments are on no remote branch, as far as this clone knows.

    They are lost with this machine, and nobody else can see them. If there is no remote at all,
    `remote-missing` says so instead.

    `git xexp push` pushes artifacts, branches and tags.
    """
    git = context.project.git
    if not git.refs("refs/remotes"):
        return
    here = set(git.lines("rev-list", "--branches", "HEAD", "--not", "--remotes"))
    names = [one.name for one in context.project.experiments() if one.commit in here]
    if names:
        yield found(
            f"{counted(len(names), 'experiment')} not pushed: {some(names, _NAMED)}",
            count=len(names), rows=({"version": name} for name in names), hint="git xexp push",
        )  # fmt: skip


@rule("corrupt-cache", Severity.ERROR, Scope.REPOSITORY)
def corrupt_cache(context: Context) -> Iterator[Finding]:
    """The content of an object in DVC's cache does not match its hash.

    The next `dvc checkout` puts these bytes into the work tree, and `dvc push` sends them to everybody.
    Usually a script wrote through a link into the cache. The rule checks the outputs of the work tree;
    it does not read again what has not changed since the last time.

    `git xexp get` and `git xexp push` restore the object from a work tree that has its content; otherwise
    delete it and fetch it again: `dvc fetch`.
    """
    top = context.project.top
    objects = context.objects
    hashes = file_hashes(
        top, [(path, out.legacy) for path, out in objects.items()], context.project.stat_cache
    )
    wrong = [
        (path, out) for path, out in objects.items()
        if hashes[path] != (out.oid or "").removesuffix(".dir")
    ]  # fmt: skip
    for path, out in wrong:
        yield found(
            f"the cache has different content than {out.path} had", path=out.path, subject=out.path,
            rows=({"path": out.path, "object": str(path), "is": hashes[path]},),
            hint=f"rm {path}, then: dvc fetch {context.project.typed(out.path)}",
        )  # fmt: skip


@rule("stale-registry", Severity.WARNING, Scope.REPOSITORY)
def stale_registry(context: Context) -> Iterator[Finding]:
    """The registry and the tags do not have the same experiments.

    `git tag` does not list a version that only the registry has. A clone without tags does not know a
    version that only a tag has, and could use its number again. An experiment on a branch that is not
    merged yet has its row in the registry of that branch.

    `git xexp registry rebuild`, which `--fix` runs, adds the tags to the registry;
    `git xexp registry restore-tags` makes the missing tags again.
    """
    project = context.project
    tagged = {one.name for one in project.experiments() if not one.payload.handwritten}
    absent = untagged(project, project.tags())
    if absent:
        yield found(
            f"the registry has {counted(len(absent), 'experiment')} without a tag:"
            f" {some(absent, _NAMED)}",
            count=len(absent), rows=({"version": name} for name in absent),
            hint="git xexp registry restore-tags",
        )  # fmt: skip
    try:
        known = set(project.registry.versions())
    except XexpError as error:
        yield found(error.message, level=Severity.ERROR, hint=error.hint or "")
        return
    lost = sorted(tagged - known - _on_other_branches(project)) if known else []
    if lost:
        yield found(
            f"the registry lacks {counted(len(lost), 'tagged experiment')}: {some(lost, _NAMED)}",
            count=len(lost), rows=({"version": name} for name in lost),
            hint="git xexp registry rebuild", fix=Fix("git xexp registry rebuild", alone=_rebuild),
        )  # fmt: skip


def _on_other_branches(project: Project) -> set[str]:
    """The experiments that HEAD does not contain: their rows come with a merge of their branch."""
    apart = project.git.text("rev-list", "--branches", "--tags", "--not", "HEAD", ok=(0, 128))
    return set(project.tags().names_at(set(apart.split())))


def _rebuild(project: Project) -> None:
    rebuild(project)


@rule("drivers-missing", Severity.WARNING, Scope.REPOSITORY)
def drivers_missing(context: Context) -> Iterator[Finding]:
    """The tracked attributes name the merge drivers, but this clone has not registered them.

    `git merge` then takes one side of a database that both sides changed, and silently drops the rows of
    the other.

    `git xexp init` (or `git xexp drivers install`), which `--fix` runs, registers them.
    """
    if lacks_drivers(context.project):
        yield found(
            "this clone has no merge drivers, so git does not merge rows", subject="merge.xexp",
            hint="git xexp drivers install", fix=Fix("git xexp drivers install", alone=_register),
        )  # fmt: skip


def _register(project: Project) -> None:
    register(project)
