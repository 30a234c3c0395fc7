"""Transfer objects from the cache to a remote and back.

Lists a remote in full, pushes what it lacks and fetches what the cache lacks.

``dvc push`` and ``dvc status -c`` trust an index of what was pushed before: after an interrupted
push both reported an incomplete remote as complete (12 of 18 kills). Here every object of every
output is checked, including each entry of each directory manifest; manifests are sent last, so that
a manifest on a remote means its files are there too.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.files import Folder
from gitxexp.common.notes import note
from gitxexp.common.text import some
from gitxexp.storage import paths
from gitxexp.storage.dvc import proofs
from gitxexp.storage.dvc.listing import Remote
from gitxexp.storage.dvc.places import (
    Config,
    cache_dir,
    cache_dirs,
    local_remote_dir,
    read_config,
    remote_name,
    remotes,
    today,
)
from gitxexp.storage.dvc.pointers import File, Output
from gitxexp.storage.dvc.session import (
    DvcError,
    NoRemote,
    check_project,
    dvc_errors,
    opened,
    targets,
)
from gitxexp.storage.git import Git
from gitxexp.storage.objects import (
    CorruptObject,
    Progress,
    WantedObject,
    find_object,
    is_object,
    manifest,
    matches,
    object_path,
    objects_of,
    parse_manifest,
    pushable,
    take_in,
)
from gitxexp.storage.paths import Refused


@dataclass(frozen=True, slots=True)
class PushReport:
    """What a push did. ``missing``: objects that are in no local cache and no remote."""

    pushed: tuple[MissingObject, ...] = ()  #: objects that the remote lacked and has now
    size: int = 0  #: their bytes
    missing: tuple[MissingObject, ...] = ()
    corrupt: tuple[MissingObject, ...] = ()  #: the local copy is corrupt: not sent

    @property
    def complete(self) -> bool:
        """Whether the remote has everything now, according to a second full listing."""
        return not self.missing and not self.corrupt

    def and_then(self, other: PushReport) -> PushReport:
        """Return the combined result of this push and a later one."""
        return PushReport(
            (*self.pushed, *other.pushed),
            self.size + other.size,
            (*self.missing, *other.missing),
            (*self.corrupt, *other.corrupt),
        )


@dataclass(frozen=True, slots=True)
class FetchReport:
    """``fetched``: hashes that are now in the cache; ``missing``: paths that are nowhere."""

    fetched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def push(
    top: Path,
    outputs: Iterable[Output],
    remote: str | None = None,
    progress: Progress | None = None,
    siblings: Iterable[Path] = (),
    memory: Path | None = None,
) -> PushReport:
    """Send the objects of these outputs that the remote lacks, then list it again.

    Lists, sends files, sends manifests, lists again: after an interruption at any point the next
    push completes the remote. ``progress`` counts objects. Raises XexpError if there is no remote,
    it cannot be reached or written to, or objects are still missing after sending.
    """
    outputs, siblings = list(outputs), list(siblings)
    _refuse_unsent([out for out in outputs if out.unsent and out.push])
    open_remotes = OpenRemotes()
    lacking = missing_on_remote(top, outputs, remote, siblings, memory, open_remotes)
    nowhere = tuple(item for item in lacking if item.cached is None)
    here = [item for item in lacking if item.cached is not None]
    sound = [
        item for item in here if item.cached and matches(item.cached, item.oid, item.output.legacy)
    ]
    corrupt = tuple(item for item in here if item not in sound)
    if not sound:
        return PushReport(missing=nowhere, corrupt=corrupt)
    size = sum(item.cached.stat().st_size for item in sound if item.cached)
    _send(top, sound, progress, open_remotes)
    sent = list(dict.fromkeys(item.output for item in sound))
    again = missing_on_remote(top, sent, remote, siblings, memory, open_remotes)
    left = {item.oid for item in again}
    lost = [item for item in sound if item.oid in left]
    if lost:
        raise DvcError(
            f"remote {lost[0].remote!r} still lacks {len(lost)} objects after they were sent",
            f"first: {lost[0].path} (md5 {lost[0].oid}); check the remote, then push again",
        )
    return PushReport(tuple(sound), size, nowhere, corrupt)


def _send(
    top: Path, items: list[MissingObject], progress: Progress | None, open_remotes: OpenRemotes
) -> None:
    """Send files first, manifests last, in one batch per project, remote and cache layout."""
    batches: dict[tuple[bool, str, str, bool], list[MissingObject]] = {}
    for item in items:
        is_manifest = item.oid.endswith(".dir")
        key = (is_manifest, item.output.root, item.remote, item.output.legacy)
        batches.setdefault(key, []).append(item)
    count = _Counter(progress, len(items))
    for root in dict.fromkeys(item.output.root for item in items):
        with opened(today(top / root), "push") as repo:
            repo.drop_data_index()
    for (_, root, name, legacy), batch in sorted(batches.items()):
        action = f"push to remote {name!r}"
        with open_remotes.opened(today(top / root), name, legacy, action) as store:
            folder = local_remote_dir(top / root, name)
            for item in batch if folder else ():
                place = object_path(folder or top, item.oid, legacy)
                paths.resolved(folder or top, place.parent.relative_to(folder or top).as_posix())
            _send_batch(store.odb, batch, count)


def _send_batch(odb: Any, batch: list[MissingObject], count: _Counter) -> None:
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
    """One object count over several batches."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress = progress
        self.total = total
        self.done = 0

    def add(self, count: int) -> None:
        """Add this many finished objects."""
        self.done += count
        if self.progress:
            self.progress(self.done, self.total, "object")

    def callback(self) -> Any:
        """An fsspec callback that forwards the number of finished objects."""
        from dvc.fs import Callback  # DVC's own name for fsspec's

        counter = self

        class Forward(Callback):  # type: ignore[misc]
            def relative_update(self, inc: int = 1) -> None:
                counter.add(inc)

        return Forward()


#: Only DVC itself pushes to a remote that versions files, because it writes the versions into the
#: pointers.
_BY_VERSION = (
    "dvc push writes the versions into the pointers, then tag them: git xexp tag\n"
    "commits and tags alone: git push --follow-tags"
)


def _by_root(outputs: Iterable[Output]) -> dict[str, list[Output]]:
    groups: dict[str, list[Output]] = {}
    for out in outputs:
        groups.setdefault(out.root, []).append(out)
    return groups


def _refuse_unsent(outputs: Sequence[Output]) -> None:
    """Raise DvcError for cloud-versioned outputs without a version in the commit. DVC writes a
    version only after the upload finished."""
    if outputs:
        names = some([out.path for out in outputs], 3)
        raise DvcError(
            f"the pointers do not say which version a remote has of {names}", _BY_VERSION
        )


def fetch(
    top: Path,
    outputs: Iterable[Output],
    remote: str | None = None,
    progress: Progress | None = None,
    siblings: Iterable[Path] = (),
    *,
    own: bool = False,
) -> FetchReport:
    """Fetch the objects of these outputs into the cache that ``top`` uses.

    Only objects in no cache (including ``siblings``) are requested from the remote; manifests
    first. Imports and cloud-versioned outputs are left to DVC. ``own``: use the remotes that a
    worktree's commit names. Raises XexpError if a remote cannot be reached.
    """
    siblings, open_remotes = list(siblings), OpenRemotes()
    mine = [out for out in outputs if out.cached and (out.hash or out.files)]
    special = [out for out in mine if out.versioned or (out.source and out.source.repo)]
    plain = [out for out in mine if out not in special]
    caches = {
        out.root: cache_dirs(top / out.root, (s / out.root for s in siblings)) for out in plain
    }
    folders = [out for out in plain if out.is_dir and manifest(out, caches[out.root]) is None]
    wants = {(out.oid or "", out): out.path for out in folders}
    fetched = _receive(top, wants, remote, None, open_remotes, own=own)
    caches = {
        out.root: cache_dirs(top / out.root, (s / out.root for s in siblings)) for out in plain
    }
    wants = _absent(plain, caches)
    fetched += _receive(top, wants, remote, progress, open_remotes, own=own)
    got = set(fetched)
    missing = [path for (oid, _), path in wants.items() if oid not in got]
    return FetchReport(tuple(fetched), (*missing, *_fetch_special(top, special)))


def _absent(outputs: list[Output], caches: dict[str, list[Path]]) -> dict[tuple[str, Output], str]:
    """Return every object that no cache has: (hash, output) → path."""
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
    open_remotes: OpenRemotes,
    *,
    own: bool = False,
) -> list[str]:
    """Fetch these objects into the cache; return the hashes that arrived intact."""
    outputs = dict.fromkeys(out for _, out in wants)
    names = {
        out: remote_name(top / out.root, remote, pointer=out.remote, own=own) for out in outputs
    }
    batches: dict[tuple[str, str | None, bool], dict[str, None]] = {}
    for oid, out in wants:
        batches.setdefault((out.root, names[out], out.legacy), {})[oid] = None
    count = _Counter(progress, sum(map(len, batches.values())))
    arrived: list[str] = []
    for (root, name, legacy), oids in batches.items():
        folder = local_remote_dir(top / root, name, own=own)
        if folder is not None:
            check_project(top / root)
            places = {oid: object_path(folder, oid, legacy) for oid in oids}
            arrived += _taken_in(cache_dir(top / root), places, legacy, f"remote {name!r}", count)
            continue
        asked = top / root if own else today(top / root)
        action = f"fetch from remote {name!r}" if name else "fetch"
        with open_remotes.opened(asked, name, legacy, action) as store:
            there = list(store.sizes(list(oids)))
            arrived += _downloaded(store, cache_dir(top / root), there, count)
    return arrived


def _downloaded(store: Remote, home: Path, oids: list[str], count: _Counter) -> list[str]:
    """Download objects next to the cache ``home`` and move those that are intact into it."""
    from dvc.fs import localfs
    from dvc_data.hashfile.db import get_odb

    odb = store.odb
    home.mkdir(parents=True, exist_ok=True)
    with Folder(home) as folder:
        beside = get_odb(localfs, str(folder.path))
        beside.add([odb.oid_to_path(oid) for oid in oids], odb.fs, oids, callback=count.callback())
        places = {oid: Path(beside.oid_to_path(oid)) for oid in oids}
        return _taken_in(home, places, store.legacy, "the remote", None, move=True)


def _taken_in(
    cache: Path,
    places: dict[str, Path],
    legacy: bool,
    name: str,
    count: _Counter | None,
    *,
    move: bool = False,
) -> list[str]:
    """Return the objects that are intact in their places; these are now cached, by moving them if
    nobody else can write to their places (``move``)."""
    arrived = []
    for oid, place in places.items():
        if is_object(place):
            try:
                if move and not matches(place, oid, legacy):
                    raise CorruptObject("its content is not what its name says")
                take_in(cache, place, oid, legacy, move=move)
                arrived.append(oid)
            except CorruptObject as error:
                note(f"{name} has a corrupt copy of {oid}: {error}")
        elif place.is_symlink():
            note(f"{name} has a symbolic link in the place of {oid}; it is not followed")
        if count is not None:
            count.add(1)
    return arrived


def _sound(cache: Path, oid: str, legacy: bool) -> bool:
    """Return whether the cached object is intact; remove it if not."""
    path = object_path(cache, oid, legacy)
    if is_object(path) and matches(path, oid, legacy):
        return True
    path.unlink(missing_ok=True)
    return False


def _fetch_special(top: Path, outputs: list[Output]) -> list[str]:
    """Fetch imports and cloud-versioned outputs one by one; return the paths that failed."""
    missing = []
    for out in outputs:
        root = top / out.root
        try:
            with opened(root, f"fetch {out.path}", _verifying(root, {})) as repo:
                repo.fetch(targets=targets(top, [out]))
        except Refused as error:
            note(error.message)
            missing.append(out.path)
        except DvcError:
            missing.append(out.path)
    return missing


def fetch_objects(
    top: Path,
    output: Output,
    oids: list[str],
    remote: str | None = None,
    progress: Progress | None = None,
    open_remotes: OpenRemotes | None = None,
    *,
    own: bool = False,
) -> list[str]:
    """Fetch only these objects of an output into the cache; return the hashes that arrived intact.

    A corrupt copy in the cache is replaced. ``own`` is as for :func:`fetch`; remotes that are open
    (``open_remotes``) are not connected to again. Raises XexpError if
    the remote cannot be reached.
    """
    cache = cache_dir(top / output.root)
    for oid in oids:
        _sound(cache, oid, output.legacy)
    wants = dict.fromkeys(((oid, output) for oid in oids), "")
    return _receive(top, wants, remote, progress, open_remotes or OpenRemotes(), own=own)


def send_file(root: Path, file: Path, md5: str) -> None:
    """Upload one file to the default remote of the DVC project at ``root``, as the object ``md5``.

    Raises XexpError if there is no remote, or it cannot be reached or written to.
    """
    name = _default(root)
    action = f"push to remote {name!r}"
    with OpenRemotes().opened(today(root), name, legacy=False, action=action) as store:
        from dvc.fs import localfs

        failures: list[BaseException] = []
        store.odb.add(
            [str(file)], localfs, [md5], check_exists=False,
            on_error=lambda _oid, error: failures.append(error),
        )  # fmt: skip
        if failures:
            raise failures[0]


def receive_file(root: Path, md5: str, target: Path) -> None:
    """Fetch the object ``md5`` from the default remote into the file ``target``, bypassing the
    cache. Raises XexpError if it is missing or corrupt."""
    name = _default(root)
    action = f"fetch from remote {name!r}"
    with OpenRemotes().opened(today(root), name, legacy=False, action=action) as store:
        odb = store.odb
        odb.fs.get_file(odb.oid_to_path(md5), str(target))
    if not matches(target, md5):
        target.unlink(missing_ok=True)
        raise DvcError(
            f"remote {name!r} has a corrupt copy of {md5}",
            "remove it there, and push again from a clone that has it: git xexp push",
        )


def _default(root: Path) -> str:
    name = remote_name(root)
    if name is None:
        raise DvcError("there is no DVC remote", "dvc remote add --default NAME URL")
    return name


def pull(top: Path, outputs: Iterable[Output], home: Path, remote: str | None = None) -> set[str]:
    """Run ``dvc pull`` on these outputs in the work tree at ``top``, from the remotes that its commit
    names, then from those of ``home`` today; return the paths that failed."""
    lost = set()
    for out in outputs:
        own = remotes(today(home / out.root))
        of_today: dict[str, Any] = {"remote": _named_in(own)}
        if "remote" in own.get("core", {}):
            of_today["core"] = {"remote": own["core"]["remote"]}
        if not any(_pulled(top, out, remote, config) for config in ({}, of_today)):
            lost.add(out.path)
    return lost


def _named_in(config: Config) -> dict[str, dict[str, Any]]:
    """The remotes of a configuration, by name."""
    return {key[7:]: {**values} for key, values in config.items() if key.startswith("remote ")}


def _verifying(root: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with which DVC hashes what it downloads in the project at ``root``, as it does
    not by default: a corrupt copy would go into the cache."""
    named = _named_in(read_config(root)) | config.get("remote", {})
    checked = {name: config.get("remote", {}).get(name, {}) | {"verify": True} for name in named}
    return config | {"remote": checked}


def _pulled(top: Path, out: Output, remote: str | None, config: dict[str, Any]) -> bool:
    root = top / out.root
    try:
        with opened(root, f"pull {out.path}", _verifying(root, config)) as repo:
            repo.pull(targets=targets(top, [out]), remote=remote)
    except DvcError:
        return False
    return (top / out.path).exists()


def checkout(
    top: Path,
    outputs: Iterable[Output],
    *,
    force: bool = False,
    links: Iterable[str] | None = None,
) -> dict[str, list[str]]:
    """Check out these outputs from the cache into the work tree.

    ``links`` overrides ``cache.type`` (reflink, hardlink, symlink, copy in order of preference).
    Returns the paths added, modified and deleted. Raises XexpError if objects are missing.
    """
    result: dict[str, list[str]] = {"added": [], "modified": [], "deleted": []}
    config = {"cache": {"type": list(links)}} if links else None
    for root, members in _by_root(out for out in outputs if out.cached).items():
        with opened(top / root, "check data out", config) as repo, dvc_errors("check data out"):
            done = repo.checkout(targets=targets(top, members), force=force)
        for kind, names in result.items():
            names += done.get(kind, [])
    return result


@dataclass(frozen=True, slots=True)
class MissingObject:
    """One object that a remote lacks. ``path`` is the file's (or directory's) path."""

    oid: str
    path: str
    remote: str
    output: Output
    cached: Path | None  #: its place in a local cache; None: it is nowhere
    damaged: bool = False  #: the remote has an object of another size under this name


def missing_on_remote(
    top: Path,
    outputs: Iterable[Output],
    remote: str | None = None,
    siblings: Iterable[Path] = (),
    memory: Path | None = None,
    open_remotes: OpenRemotes | None = None,
) -> list[MissingObject]:
    """Return every object of these outputs that its remote lacks, by a full listing.

    ``siblings`` are other worktrees' tops, whose caches may hold manifests and objects. A local
    remote is checked without importing DVC. A directory whose manifest is nowhere is reported by
    its manifest only. The result is recorded in the file ``memory``
    (:mod:`gitxexp.storage.dvc.proofs`). Raises XexpError if there is no remote or it cannot be
    reached.
    """
    siblings, open_remotes = list(siblings), open_remotes or OpenRemotes()
    found: list[MissingObject] = []
    for (root, name), group in _by_remote(top, outputs, remote).items():
        caches = cache_dirs(top / root, (place / root for place in siblings))
        folder = local_remote_dir(top / root, name)
        if folder is not None:
            answers = list(_asked_in_folder(folder, name, group, caches))
        else:
            answers = list(_asked_by_dvc(today(top / root), name, group, caches, open_remotes))
        if memory is not None:
            _write_down(memory, top, name, answers)
        found += [answer.missing for answer in answers if answer.missing is not None]
    return found


def _write_down(memory: Path, top: Path, name: str, answers: Sequence[Answer]) -> None:
    """What a remote was verified to have; a directory's manifest stands for the whole directory."""
    partly = {answer.missing.output for answer in answers if answer.missing is not None}
    for legacy in {answer.want.output.legacy for answer in answers}:
        wants = [a for a in answers if a.want.output.legacy is legacy]
        place = proofs.place_of(top, wants[0].want.output._replace(remote=name))
        if place is None:
            continue
        lacking = {
            a.want.oid
            for a in wants
            if a.missing is not None or (a.want.output in partly and a.want.oid.endswith(".dir"))
        }
        proved = [
            proofs.Proof(a.want.oid, a.want.path, a.want.output.oid or "")
            for a in wants
            if a.want.oid not in lacking
        ]
        proofs.keep(memory, place, proved, lacking)


def present(top: Path, place: proofs.RemotePlace, oids: Sequence[str]) -> set[str]:
    """Return those objects that a remote has. Raises XexpError if it cannot be reached."""
    root, name = top / place.root, place.remote
    folder = local_remote_dir(root, name)
    if folder is not None:
        if not folder.parent.is_dir():
            raise _no_folder(name, folder)
        return {oid for oid in oids if is_object(object_path(folder, oid, place.legacy))}
    with OpenRemotes().opened(today(root), name, place.legacy, f"ask remote {name!r}") as store:
        return set(store.sizes(oids))


def _no_folder(name: str, folder: Path) -> XexpError:
    return XexpError(f"remote {name!r} cannot be reached: no such folder: {folder}", "mount it")


def _by_remote(
    top: Path, outputs: Iterable[Output], remote: str | None
) -> dict[tuple[str, str], list[Output]]:
    """Group outputs by project and remote; a remote named in the pointer wins over ``remote``."""
    groups: dict[tuple[str, str], list[Output]] = {}
    for out in outputs:
        if pushable(out):
            name = remote_name(top / out.root, remote, pointer=out.remote)
            if name is None:
                raise NoRemote("no DVC remote is set", "dvc remote add -d NAME URL")
            groups.setdefault((out.root, name), []).append(out)
    return groups


@dataclass(frozen=True, slots=True)
class Answer:
    """A remote's answer about one object; ``missing`` is None if it has the object."""

    want: WantedObject
    missing: MissingObject | None


def _asked_in_folder(
    folder: Path, name: str, group: list[Output], caches: list[Path]
) -> Iterator[Answer]:
    if not folder.parent.is_dir():
        raise _no_folder(name, folder)
    seen: set[tuple[str, bool]] = set()
    for out in group:
        entries = manifest(out, [*caches, folder]) if out.is_dir else ()
        for want in objects_of(out, entries):
            key = (want.oid, out.legacy)
            if key in seen:
                continue
            seen.add(key)
            there = _size(object_path(folder, want.oid, out.legacy))
            cached = find_object(caches, want.oid, out.legacy)
            size = _size_of(want, cached)
            lacks = there is None or (size is not None and there != size)
            missing = MissingObject(want.oid, want.path, name, out, cached, there is not None)
            yield Answer(want, missing if lacks else None)


def _size(path: Path) -> int | None:
    """Return the size of an object; -1 if something else is there (a link), None if nothing is."""
    try:
        info = path.lstat()
    except OSError:
        return None
    return info.st_size if stat.S_ISREG(info.st_mode) else -1


def _asked_by_dvc(
    root: Path, name: str, group: list[Output], caches: list[Path], open_remotes: OpenRemotes
) -> Iterator[Answer]:
    for legacy in (False, True):
        members = [out for out in group if out.legacy is legacy]
        if members:
            with open_remotes.opened(root, name, legacy, f"ask remote {name!r}") as store:
                yield from _asked_of(store, members, caches)


def _asked_of(store: Remote, outputs: list[Output], caches: list[Path]) -> Iterator[Answer]:
    """Return the remote's answers about these outputs' objects."""
    lists = {out: _file_list(store, out, caches) for out in outputs}
    wants: dict[str, WantedObject] = {}
    for out, files in lists.items():
        for want in objects_of(out, files.entries):
            wants.setdefault(want.oid, want)
    there = store.sizes(list(wants))
    cached = {oid: find_object(caches, oid, store.legacy) for oid in wants}
    expected = {oid: _size_of(want, cached[oid]) for oid, want in wants.items()}
    unsure = {oid for oid, size in there.items() if size is None or expected[oid] is None}
    for out, files in lists.items():
        unsure -= files.proved(out, there)
    for oid, want in wants.items():
        sizes = there.get(oid), expected[oid]
        wrong = None not in sizes and sizes[0] != sizes[1]
        if oid in unsure:
            wrong = not store.has_content(oid)
        missing = MissingObject(oid, want.path, store.name or "", want.output, cached[oid], wrong)
        yield Answer(want, missing if oid not in there or wrong else None)


def _size_of(want: WantedObject, cached: Path | None) -> int | None:
    return want.size if cached is None or want.size is not None else _size(cached)


@dataclass(frozen=True, slots=True)
class _FileList:
    """The files of a directory, None if the manifest is nowhere; ``read``: from the remote itself."""

    entries: tuple[File, ...] | None = ()
    read: bool = False

    def proved(self, out: Output, there: Mapping[str, int | None]) -> set[str]:
        """Return objects whose content need not be read: a manifest that was just read, and files
        whose sizes add up to the pointer's (the manifest has no sizes)."""
        own = {out.oid or ""} if self.read else set()
        oids = [(entry.hash or "")[4:] for entry in self.entries or ()]
        found = [size for oid in oids if (size := there.get(oid)) is not None]
        whole = len(found) == len(oids) and sum(found) == out.size
        return own | set(oids) if whole else own


def _file_list(store: Remote, out: Output, caches: list[Path]) -> _FileList:
    """Return the files of an output; a manifest that no cache has is read from the remote."""
    entries = manifest(out, caches) if out.is_dir else ()
    if entries is not None or not out.oid:
        return _FileList(entries)
    data = store.read(out.oid)
    entries = parse_manifest(data, out.oid) if data is not None else None
    return _FileList(entries, entries is not None)


#: DVC's timeout settings for remotes, by URL scheme (dvc.org/doc/command-reference/remote/modify).
_TIMEOUTS = {
    "s3": ("connect_timeout", "read_timeout"),
    "http": ("connect_timeout", "read_timeout"),
    "https": ("connect_timeout", "read_timeout"),
    "azure": ("connection_timeout", "read_timeout"),
    "ssh": ("timeout",),
    "webdav": ("timeout",),
    "webdavs": ("timeout",),
}
#: Seconds, unless ``xexp.remote.timeout`` is set.
_TIME_LIMIT = 30.0


def _remote_of(repo: Any, name: str | None, legacy: bool) -> Remote:
    """Open a remote of an open project; raises what DVC raises if it cannot be opened.

    The time limit applies to each answer, unless DVC's own settings give another.
    """
    limit = time_limit(Path(repo.root_dir))
    settings = repo.config["remote"].get(name or repo.config["core"].get("remote") or "", {})
    scheme = str(settings.get("url", "")).partition("://")[0]
    for option in _TIMEOUTS.get(scheme, ()):
        settings.setdefault(option, math.ceil(limit))
    if settings.get("version_aware") or settings.get("worktree"):
        raise DvcError(
            f"remote {name!r} keeps versions of files by their paths (version_aware), and a pointer names"
            " none",
            _BY_VERSION,
        )
    odb = repo.cloud.get_remote_odb(name, hash_name="md5-dos2unix" if legacy else "md5")
    return Remote(odb, name, legacy, limit)


class OpenRemotes:
    """Remotes that stay open over the steps of one operation: to open a project and a client of S3 takes
    0.1 s of the processor."""

    def __init__(self) -> None:
        self._open: dict[tuple[Path, str | None, bool], Remote] = {}

    @contextmanager
    def opened(self, root: Path, name: str | None, legacy: bool, action: str) -> Iterator[Remote]:
        """Yield a remote of the project at ``root``, opened when it is first asked for; errors read
        "cannot ACTION: …"."""
        key = root, name, legacy
        if key in self._open:
            with dvc_errors(action):
                yield self._open[key]
            return
        with opened(root, action) as repo:
            self._open[key] = _remote_of(repo, name, legacy)
            yield self._open[key]


def time_limit(root: Path) -> float:
    """Return the seconds within which a remote must answer: ``git config xexp.remote.timeout``.

    Raises XexpError if it is not a positive number.
    """
    values = Git(root).config(r"^xexp\.remote\.timeout$").get("xexp.remote.timeout")
    if not values:
        return _TIME_LIMIT
    try:
        limit = float(values[-1])
    except ValueError:
        limit = 0.0
    if not 0 < limit < math.inf:
        raise XexpError(
            f"xexp.remote.timeout is not a number of seconds: {values[-1]}",
            "git config xexp.remote.timeout 30",
        )
    return limit
