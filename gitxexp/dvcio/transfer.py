"""Objects from the cache to a remote and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitxexp.dvcio.objects import Progress, find_object, manifest, matches, object_path
from gitxexp.dvcio.places import cache_dir, cache_dirs, remote_name
from gitxexp.dvcio.remote import MissingObject, missing_on_remote, objects_of, remote_odb
from gitxexp.dvcio.session import DvcError, dvc_errors, opened
from gitxexp.pointers import Output


@dataclass(frozen=True, slots=True)
class PushReport:
    """What a push did. ``missing``: objects that no local cache and no remote has."""

    pushed: tuple[MissingObject, ...] = ()  #: objects that were missing and are there now
    size: int = 0  #: their bytes
    missing: tuple[MissingObject, ...] = ()
    corrupt: tuple[MissingObject, ...] = ()  #: the local copy is not what its name says: not sent

    @property
    def complete(self) -> bool:
        """Whether the remote now has everything, as seen by a second full listing."""
        return not self.missing and not self.corrupt

    def and_then(self, other: PushReport) -> PushReport:
        """The account of this push and of another one after it."""
        return PushReport(
            (*self.pushed, *other.pushed),
            self.size + other.size,
            (*self.missing, *other.missing),
            (*self.corrupt, *other.corrupt),
        )


@dataclass(frozen=True, slots=True)
class FetchReport:
    """``fetched``: hashes that are now in the cache; ``missing``: paths that nobody has."""

    fetched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def push(
    top: Path,
    outputs: Iterable[Output],
    remote: str | None = None,
    progress: Progress | None = None,
    siblings: Iterable[Path] = (),
) -> PushReport:
    """Send what the remote lacks of these outputs, then list it again.

    Listing, sending files, sending manifests, listing: an interruption at any point leaves a
    remote that the next push completes. ``progress`` counts objects. XexpError when there is no
    remote, it cannot be reached or written to, or objects are still missing after they were sent.
    """
    outputs, siblings = list(outputs), list(siblings)
    _push_versioned(top, [out for out in outputs if out.versioned and out.push])
    lacking = missing_on_remote(top, outputs, remote, siblings)
    nowhere = tuple(item for item in lacking if item.cached is None)
    here = [item for item in lacking if item.cached is not None]
    sound = [
        item for item in here if item.cached and matches(item.cached, item.oid, item.output.legacy)
    ]
    corrupt = tuple(item for item in here if item not in sound)
    if not sound:
        return PushReport(missing=nowhere, corrupt=corrupt)
    size = sum(item.cached.stat().st_size for item in sound if item.cached)
    _send(top, sound, progress)
    left = {item.oid for item in missing_on_remote(top, outputs, remote, siblings)}
    lost = [item for item in sound if item.oid in left]
    if lost:
        raise DvcError(
            f"remote {lost[0].remote!r} still lacks {len(lost)} objects after they were sent",
            f"first: {lost[0].path} (md5 {lost[0].oid}); check the remote, then push again",
        )
    return PushReport(tuple(sound), size, nowhere, corrupt)


def _send(top: Path, items: list[MissingObject], progress: Progress | None) -> None:
    """Files first, manifests last, one batch for each project, remote and cache layout."""
    batches: dict[tuple[bool, str, str, bool], list[MissingObject]] = {}
    for item in items:
        is_manifest = item.oid.endswith(".dir")
        key = (is_manifest, item.output.root, item.remote, item.output.legacy)
        batches.setdefault(key, []).append(item)
    count = _Counter(progress, len(items))
    for (_, root, name, legacy), batch in sorted(batches.items()):
        with opened(top / root, f"push to remote {name!r}") as repo:
            repo.drop_data_index()
            odb = remote_odb(repo, name, legacy)
            _send_batch(repo, odb, batch, count)


def _send_batch(repo: Any, odb: Any, batch: list[MissingObject], count: _Counter) -> None:
    from dvc.fs import localfs

    for item in batch:
        if item.damaged:
            odb.delete(item.oid)
    failures: list[BaseException] = []
    odb.add(
        [str(item.cached) for item in batch],
        localfs,
        [item.oid for item in batch],
        check_exists=False,
        callback=count.callback(),
        on_error=lambda _oid, error: failures.append(error),
    )
    if failures:
        raise failures[0]


class _Counter:
    """One count of objects over several batches."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress = progress
        self.total = total
        self.done = 0

    def callback(self) -> Any:
        """A fsspec callback that forwards the objects done."""
        from dvc.fs import Callback  # DVC's own name for fsspec's

        counter = self

        class Forward(Callback):  # type: ignore[misc]
            def relative_update(self, inc: int = 1) -> None:
                counter.done += inc
                if counter.progress:
                    counter.progress(counter.done, counter.total, "object")

        return Forward()


def _push_versioned(top: Path, outputs: list[Output]) -> None:
    """Cloud-versioned outputs live under their path, and only DVC itself can push those."""
    by_root: dict[str, list[str]] = {}
    for out in outputs:
        by_root.setdefault(out.root, []).append(str(top / out.addressing))
    for root, targets in by_root.items():
        with opened(top / root, "push to the cloud-versioned remote") as repo:
            repo.drop_data_index()
            repo.push(targets=targets)


def fetch(
    top: Path,
    outputs: Iterable[Output],
    remote: str | None = None,
    progress: Progress | None = None,
    siblings: Iterable[Path] = (),
) -> FetchReport:
    """Bring the objects of these outputs into the cache that ``top`` uses.

    Only what no cache (``siblings`` included) has is asked of the remote; manifests first. Imports
    and cloud-versioned outputs are left to DVC. XexpError when a remote cannot be reached.
    """
    siblings = list(siblings)
    mine = [out for out in outputs if out.cached and (out.hash or out.files)]
    special = [out for out in mine if out.versioned or (out.source and out.source.repo)]
    plain = [out for out in mine if out not in special]
    caches = {
        out.root: cache_dirs(top / out.root, (s / out.root for s in siblings)) for out in plain
    }
    folders = [out for out in plain if out.is_dir and manifest(out, caches[out.root]) is None]
    wants = {(out.oid or "", out): out.path for out in folders}
    fetched = _receive(top, wants, remote, None)
    caches = {
        out.root: cache_dirs(top / out.root, (s / out.root for s in siblings)) for out in plain
    }
    wants = _absent(plain, caches)
    fetched += _receive(top, wants, remote, progress)
    got = set(fetched)
    missing = [path for (oid, _), path in wants.items() if oid not in got]
    return FetchReport(tuple(fetched), (*missing, *_fetch_special(top, special)))


def _absent(outputs: list[Output], caches: dict[str, list[Path]]) -> dict[tuple[str, Output], str]:
    """Every object that no cache has: (hash, output) → path."""
    wants: dict[tuple[str, Output], str] = {}
    for out in outputs:
        entries = manifest(out, caches[out.root]) if out.is_dir else ()
        for want in objects_of(out, entries):
            if find_object(caches[out.root], want.oid, out.legacy) is None:
                wants.setdefault((want.oid, out), want.path)
    return wants


def _receive(
    top: Path,
    wants: dict[tuple[str, Output], str],
    remote: str | None,
    progress: Progress | None,
) -> list[str]:
    """Fetch these objects into the cache; the hashes that arrived and are what they say."""
    batches: dict[tuple[str, str | None, bool], list[str]] = {}
    for oid, out in wants:
        name = out.remote or remote_name(top / out.root, remote)
        batch = batches.setdefault((out.root, name, out.legacy), [])
        if oid not in batch:
            batch.append(oid)
    count = _Counter(progress, sum(map(len, batches.values())))
    arrived: list[str] = []
    for (root, name, legacy), oids in batches.items():
        with opened(top / root, f"fetch from remote {name!r}" if name else "fetch") as repo:
            odb = remote_odb(repo, name, legacy)
            present = list(odb.oids_exist(oids))
            cache = repo.cache.legacy if legacy else repo.cache.local
            paths = [odb.oid_to_path(oid) for oid in present]
            cache.add(paths, odb.fs, present, callback=count.callback())
        arrived += [oid for oid in present if _sound(cache_dir(top / root), oid, legacy)]
    return arrived


def _sound(cache: Path, oid: str, legacy: bool) -> bool:
    """Whether the object that arrived is what its name says; if not it is removed again."""
    path = object_path(cache, oid, legacy)
    if path.is_file() and matches(path, oid, legacy):
        return True
    path.unlink(missing_ok=True)
    return False


def _fetch_special(top: Path, outputs: list[Output]) -> list[str]:
    """Imports and cloud-versioned outputs, one by one; the paths that could not be had."""
    missing = []
    for out in outputs:
        try:
            with opened(top / out.root, f"fetch {out.path}") as repo:
                repo.fetch(targets=[str(top / out.addressing)])
        except DvcError:
            missing.append(out.path)
    return missing


def fetch_objects(
    top: Path,
    output: Output,
    oids: list[str],
    remote: str | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Fetch just these objects of an output into the cache; the hashes that arrived sound.

    A corrupt copy in the cache makes way. XexpError when the remote cannot be reached.
    """
    cache = cache_dir(top / output.root)
    for oid in oids:
        _sound(cache, oid, output.legacy)
    return _receive(top, dict.fromkeys(((oid, output) for oid in oids), ""), remote, progress)


def pull(top: Path, outputs: Iterable[Output], remote: str | None = None) -> set[str]:
    """``dvc pull`` of these outputs in the work tree at ``top``; the paths that did not come."""
    outputs, lost = list(outputs), set()
    for out in outputs:
        try:
            with opened(top / out.root, f"pull {out.path}") as repo:
                repo.pull(targets=[str(top / out.addressing)], remote=remote)
        except DvcError:
            lost.add(out.path)
    return {out.path for out in outputs if out.path in lost or not (top / out.path).exists()}


def checkout(
    top: Path,
    outputs: Iterable[Output],
    *,
    force: bool = False,
    links: Iterable[str] | None = None,
) -> dict[str, list[str]]:
    """Materialise these outputs in the work tree from the cache.

    ``links`` overrides ``cache.type`` (reflink, hardlink, symlink, copy in order of preference).
    The answer has the paths added, modified and deleted. XexpError when objects are missing.
    """
    result: dict[str, list[str]] = {"added": [], "modified": [], "deleted": []}
    by_root: dict[str, list[str]] = {}
    for out in outputs:
        if out.cached:
            by_root.setdefault(out.root, []).append(str(top / out.addressing))
    config = {"cache": {"type": list(links)}} if links else None
    for root, targets in by_root.items():
        with opened(top / root, "check data out", config) as repo, dvc_errors("check data out"):
            done = repo.checkout(targets=list(dict.fromkeys(targets)), force=force)
        for kind, names in result.items():
            names += done.get(kind, [])
    return result
