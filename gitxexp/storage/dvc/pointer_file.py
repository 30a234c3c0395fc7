"""Parse ``.dvc`` files and ``dvc.lock`` to the outputs that they describe.

This is where a pointer's text becomes values: invalid ids and paths are refused here
(:mod:`gitxexp.storage.paths`), so code that has an :class:`Output` need not check again.

Formats: dvc.org/doc/user-guide/project-structure. A path in a pointer is relative to its ``wdir``;
an output with ``hash: md5`` is in the 3.x cache layout (``files/md5/ab/…``), one without it in the
2.x layout (``ab/…``, hashed with line ends made Unix: "md5-dos2unix").
"""

from __future__ import annotations

import posixpath
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.common.notes import note
from gitxexp.common.text import one_line
from gitxexp.storage import paths
from gitxexp.storage.dvc.pipeline import Reader, fill, join, mapping, output_flags, stage_body
from gitxexp.storage.paths import Refused, shown


class File(NamedTuple):
    """One entry of a directory output: ``path`` below the directory, ``hash`` as "md5:…"."""

    path: str
    hash: str | None
    size: int | None = None


class ImportSource(NamedTuple):
    """Where an import comes from: ``repo`` (url) at ``rev``, or a plain url if repo is None."""

    url: str
    path: str
    repo: bool
    rev: str | None = None
    hash: str | None = None  #: hash of the url's content at import time: "md5:…" or "etag:…"


class Output(NamedTuple):
    """One output that DVC tracks. All paths are relative to the top of the git repository."""

    path: str
    hash: str | None  #: "md5:…", with ".dir" for a directory; None if never committed
    size: int | None
    nfiles: int | None
    remote: str | None  #: the remote this output names; None: the default one
    pointer: str  #: the ``.dvc`` file or ``dvc.lock``
    stage: str | None  #: the pipeline stage; None for a ``.dvc`` file
    legacy: bool = False  #: 2.x cache layout, md5-dos2unix
    cached: bool = True  #: False for ``cache: false``: git tracks it, or nothing does
    push: bool = True  #: False for ``push: false``
    root: str = ""  #: the DVC project's folder, "" for the top (a subrepo has its own)
    wdir: str = ""  #: the folder that the pointer's paths are relative to
    source: ImportSource | None = None  #: for imports
    versioned: bool = False  #: cloud-versioned: the remote keeps it by path, not by hash
    unsent: bool = False  #: cloud-versioned, and the pointer has no version for some files
    files: tuple[File, ...] = ()  #: the manifest, if it is stored in the pointer itself
    executable: bool = False  #: ``isexec: true``
    persist: bool = False  #: a stage appends to it instead of recreating it

    @property
    def is_dir(self) -> bool:
        """Whether the output is a directory."""
        return bool(self.files) or (self.hash or "").endswith(".dir")

    @property
    def oid(self) -> str | None:
        """The hash without its algorithm."""
        return self.hash.partition(":")[2] if self.hash else None

    @property
    def content(self) -> str | None:
        """What identifies its content: the hash; for a folder whose files the pointer lists
        (cloud-versioned) the hash of that list; for an import that was never downloaded
        (``--no-download``) the hash of its source, or "rev:…", the commit of its source repository."""
        if self.hash is None and self.files:
            return f"md5:{listed_hash(self.files)}"
        if self.hash or self.source is None:
            return self.hash
        return f"rev:{self.source.rev}" if self.source.rev else self.source.hash

    def holds(self, path: str) -> bool:
        """Whether a path, from the top as the output's own, is the output or inside it."""
        return path == self.path or path.startswith(f"{self.path}/")

    @property
    def addressing(self) -> str:
        """What a ``dvc`` command calls it: the ``.dvc`` file, or ``dvc.yaml:stage``."""
        if self.stage is None:
            return self.pointer
        return posixpath.join(posixpath.dirname(self.pointer), f"dvc.yaml:{self.stage}")


def listed_hash(files: Iterable[File]) -> str:
    """Return the hash of a folder with these files, as without cloud versioning."""
    import hashlib  # late, with json: few pointers list files
    import json

    entries = [{"md5": (file.hash or "")[4:], "relpath": file.path} for file in files]
    data = json.dumps(sorted(entries, key=lambda e: e["relpath"]), sort_keys=True).encode()
    return f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}.dir"


def contents(outputs: Iterable[Output]) -> dict[str, str]:
    """Return the artifacts of a tag: path → content, sorted; outputs that were never committed are
    left out."""
    return {o.path: o.content for o in sorted(outputs, key=lambda o: o.path) if o.content}


def is_data_pointer(path: str) -> bool:
    """Return whether a path names a ``.dvc`` file or a ``dvc.lock``."""
    name = posixpath.basename(path)
    return name == "dvc.lock" or (name.endswith(".dvc") and name != ".dvc")


def is_lock(path: str) -> bool:
    """Return whether a path names a pipeline's ``dvc.lock``."""
    return posixpath.basename(path) == "dvc.lock"


def is_definition(path: str) -> bool:
    """Return whether a path is a pointer or a ``dvc.yaml`` that a pointer needs."""
    return is_data_pointer(path) or posixpath.basename(path) == "dvc.yaml"


class PointerParser:
    """Convert pointer texts to outputs.

    ``strict``: a broken pointer is an error; else it is skipped, with a note if its content was
    refused. Outputs outside the repository are skipped, or an error if ``whole``.
    """

    def __init__(
        self, read: Reader, root: Callable[[str], str], *, strict: bool, whole: bool = False
    ) -> None:
        self.read = read
        self.root = root
        self.strict = strict
        self.whole = whole

    def parse(self, names: Iterable[str]) -> list[Output]:
        """Return all outputs that these ``.dvc``, ``dvc.lock`` and ``dvc.yaml`` files describe."""
        texts = self.read(names)
        found: list[Output] = []
        for path, text in texts.items():
            if not is_data_pointer(path):
                continue
            try:
                wrong = paths.problem(path)
                if wrong:
                    raise Refused(f"pointer {shown(path)} {wrong}", "rename it")
                outs = self.lock(path, text, texts) if is_lock(path) else self.single(path, text)
                found += list(outs)  # all outputs of a pointer or none
            except Refused as error:
                if self.strict:
                    raise
                note(f"{error.message}; {shown(path)} is left out")
            except XexpError:
                if self.strict:
                    raise
        return sorted(found, key=lambda out: (out.path, out.pointer))

    def single(self, path: str, text: bytes) -> Iterator[Output]:
        """Return the outputs of a ``.dvc`` file."""
        data = mapping(path, text)
        wdir = join(posixpath.dirname(path), data.get("wdir"))
        source = _source(data.get("deps"))
        for item in _items(data.get("outs")):
            out = self.output(item, item, path, None, wdir, source)
            if out:
                yield out

    def lock(self, path: str, text: bytes, texts: Mapping[str, bytes]) -> Iterator[Output]:
        """Return the outputs of a ``dvc.lock``, with the flags from its ``dvc.yaml``."""
        data = mapping(path, text)
        folder = posixpath.dirname(path)
        pipeline = posixpath.join(folder, "dvc.yaml")
        definition = mapping(pipeline, texts[pipeline]) if pipeline in texts else None
        stages = data.get("stages", {}) if "schema" in data else data
        for stage, locked in stages.items() if isinstance(stages, dict) else ():
            if not isinstance(stage, str):
                continue
            body = stage_body(definition, stage)
            if not isinstance(locked, dict) or body is None:
                continue
            wdir = join(folder, fill(body.get("wdir"), stage, folder, definition, self.read))
            flags = list(output_flags(body))
            for item in _items(locked.get("outs")):
                flag = next((f.flags for f in flags if f.fits(str(item["path"]))), {})
                out = self.output(item, flag, path, stage, wdir, None)
                if out:
                    yield out

    def output(
        self,
        item: dict[str, Any],
        flags: Mapping[str, Any],
        pointer: str,
        stage: str | None,
        wdir: str,
        source: ImportSource | None,
    ) -> Output | None:
        """Parse one entry of ``outs``; None if it is outside the repository. Raises Refused."""
        cached = flags.get("cache", True) is not False
        named = str(item["path"])
        path = named if _external(named) else join(wdir, named)
        if paths.leaves(path):
            if self.whole:
                raise Refused(
                    f"{pointer}: {shown(named)} is outside of the repository",
                    "move it into the repository: dvc move",
                )
            if cached and item.get("md5"):
                note(f"{pointer}: {shown(named)} is outside of the repository and is left out")
            return None
        path = paths.tracked(path, pointer)
        md5 = item.get("md5")
        md5 = None if md5 is None or md5 == "" else paths.object_id(md5, f"{pointer}: {path}")
        listed = item.get("files")
        files = manifest_entries(listed if isinstance(listed, list) else [], f"{pointer}: {path}")
        versioned = bool(files) or "cloud" in item or "version_id" in item
        kept = listed if files and isinstance(listed, list) else [item]
        if item.get("hash") not in (None, "md5"):
            raise Refused(
                f"{pointer}: {path}: {shown(item['hash'])} is not a hash that DVC uses here",
                f"fix {pointer}, or write it again: dvc add",
            )
        remote = flags.get("remote") or None
        if remote is not None and not (isinstance(remote, str) and remote.isprintable()):
            raise Refused(
                f"{pointer}: {path}: {shown(remote)} is not the name of a remote",
                f"fix {pointer}: dvc remote list shows the names",
            )
        return Output(
            path=path,
            hash=f"md5:{md5}" if md5 else None,
            size=_number(item.get("size"), files),
            nfiles=len(files) if files else _number(item.get("nfiles")),
            remote=remote,
            pointer=pointer,
            stage=stage,
            legacy=item.get("hash") is None,
            cached=cached,
            push=flags.get("push", True) is not False,
            root=self.root(posixpath.dirname(pointer)),
            wdir=wdir,
            source=source,
            versioned=versioned,
            unsent=versioned and not all(one.get("cloud") or one.get("version_id") for one in kept),
            files=files,
            executable=item.get("isexec") is True,
            persist=flags.get("persist") is True,
        )


def _external(path: str) -> bool:
    return path.startswith("/") or "://" in path


def _items(outs: Any) -> list[dict[str, Any]]:
    entries = outs if isinstance(outs, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and entry.get("path")]


def manifest_entry(entry: Any, where: str) -> File:
    """Parse one entry of a directory's manifest; raises Refused for an invalid path or id."""
    if not isinstance(entry, dict):
        raise Refused(
            f"{where}: its list of files is damaged", "dvc fetch brings it back from the remote"
        )
    path, md5 = entry.get("relpath"), entry.get("md5")
    if not (isinstance(path, str) and path.isprintable() and paths.is_plain(path)):
        path = paths.tracked(path, where)
    if md5 is not None and not paths.is_file_id(md5):
        raise Refused(
            f"{where}: {shown(path)}: {shown(md5)} is not an md5",
            "restore it from an earlier commit",
        )
    return File(path, f"md5:{md5}" if md5 else None, _number(entry.get("size")))


def manifest_entries(entries: list[Any], where: str) -> tuple[File, ...]:
    """Parse the entries of a directory's manifest; raises Refused as :func:`manifest_entry` does,
    and for two entries that cannot coexist."""
    files = tuple(manifest_entry(entry, where) for entry in entries)
    names = {file.path for file in files}
    folders = {file.path.rpartition("/")[0] for file in files}
    for folder in list(folders):
        while folder := folder.rpartition("/")[0]:
            folders.add(folder)
    double = next(iter(names & folders), None)
    if double is None and len(names) < len(files):
        double = next(name for name, count in Counter(f.path for f in files).items() if count > 1)
    if double is not None:
        raise Refused(f"{where} names {shown(double)} twice", "add the folder again: dvc add")
    return files


def _number(value: Any, files: tuple[File, ...] = ()) -> int | None:
    """Return a size or a count; None if the value is neither."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= sys.maxsize:
        return value
    return sum(file.size or 0 for file in files) if files else None


def _source(deps: Any) -> ImportSource | None:
    """A ``.dvc`` file has dependencies only when it is an import."""
    first = deps[0] if isinstance(deps, list) and deps and isinstance(deps[0], dict) else None
    if first is None:
        return None
    repo, path = first.get("repo"), str(first.get("path", ""))
    if isinstance(repo, dict):
        rev = repo.get("rev_lock") or repo.get("rev")
        return ImportSource(str(repo.get("url")), path, True, str(rev) if rev else None)
    for kind in ("md5", "etag", "checksum"):
        if isinstance(first.get(kind), str):
            return ImportSource(path, path, False, hash=f"{kind}:{one_line(first[kind])}")
    return ImportSource(path, path, False)
