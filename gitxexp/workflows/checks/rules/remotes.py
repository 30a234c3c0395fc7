"""After a run: whether what was proved to be on a remote still is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from gitxexp.common.errors import XexpError
from gitxexp.common.text import counted, some
from gitxexp.storage.dvc import proofs
from gitxexp.storage.dvc.places import is_dvc_repo, local_remote_dir, remote_urls
from gitxexp.storage.dvc.proofs import Proof, RemotePlace
from gitxexp.storage.dvc.remote import present
from gitxexp.storage.objects import object_path
from gitxexp.workflows.checks.context import Context
from gitxexp.workflows.checks.rule import Finding, Scope, Severity, found, rule

_NAMED = 5


@rule("vanished", Severity.ERROR, Scope.REPOSITORY)
def vanished(context: Context) -> Iterator[Finding]:
    """Artifacts of experiments that were once found on a remote are no longer there.

    Somebody cleaned the bucket or the folder (`dvc gc --cloud`, or a rule that lets objects expire), and
    the experiments cannot be fetched from there. Remotes that are folders are always checked, others with
    `--remote`.

    `git xexp push --all` uploads again what a cache still has.
    """
    project = context.project
    if not project.proofs.exists():
        return
    wanted = {
        oid.partition(":")[2]
        for experiment in project.experiments()
        for oid in experiment.payload.artifacts.values()
    }
    roots = dict.fromkeys(["", *(out.root for out in context.outputs)])
    for place in _places(project.top, roots):
        known = [p for p in proofs.everything(project.proofs, place) if p.output in wanted]
        folder = local_remote_dir(project.top / place.root, place.remote)
        if not known or not (context.request.ask_remote or folder):
            continue
        if folder:
            objects = (object_path(folder, proof.oid, place.legacy) for proof in known)
            context.seen |= {path.parent for path in objects}
        try:
            there = present(project.top, place, [proof.oid for proof in known])
        except XexpError as error:
            context.skip("vanished", error.message)
            continue
        lost = [proof for proof in known if proof.oid not in there]
        if lost:
            yield _found(place, lost)


def _places(top: Path, roots: Iterable[str]) -> Iterator[RemotePlace]:
    for root in roots:
        if is_dvc_repo(top / root):
            for name, url in remote_urls(top / root).items():
                yield from (RemotePlace(root, name, url, legacy) for legacy in (False, True))


def _found(place: RemotePlace, lost: list[Proof]) -> Finding:
    names = list(dict.fromkeys(proof.path for proof in lost))
    return found(
        f"{counted(len(lost), 'object')} of experiments vanished from remote {place.remote!r}:"
        f" {some(names, _NAMED)}",
        subject=place.remote, count=len(lost),
        rows=({"path": proof.path, "object": proof.oid} for proof in lost),
        hint="git xexp push --all",
    )  # fmt: skip
