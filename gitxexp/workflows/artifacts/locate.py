"""Resolve a path at a commit: git blobs, DVC objects, or a directory of both."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from functools import cached_property

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.notes import note
from gitxexp.storage import paths, submodules
from gitxexp.storage.dvc.pointers import File, Output, output_named, outputs_at
from gitxexp.storage.git import Git, TreeEntry, decode

_GLOB = re.compile(r"[*?\[]")

#: ``manifest(output)``: the files of a directory output, or None if they are not available.
Manifest = Callable[[Output], tuple[File, ...] | None]


@dataclass(frozen=True, slots=True)
class CommitFile:
    """One file to get. ``path`` is its path in the experiment, ``rel`` its path below the
    destination.

    Either a git blob (``blob``, ``executable``) or a DVC object (``oid``, ``output``).
    """

    path: str
    rel: str
    blob: str | None = None
    executable: bool = False
    oid: str | None = None
    size: int | None = None
    output: Output | None = None


@dataclass(frozen=True, slots=True)
class PathMatch:
    """What one PATH argument stands for. ``opaque``: outputs that only DVC itself can fetch (a
    directory whose manifest is nowhere, an import or a cloud-versioned output)."""

    path: str
    name: str  #: what the file or directory is called by default
    directory: bool
    files: tuple[CommitFile, ...]
    opaque: tuple[Output, ...] = ()


@dataclass
class CommitFiles:
    """The files of one commit, git's and DVC's."""

    git: Git  #: at the top of the work tree
    commit: str
    manifest: Manifest
    called: str = ""  #: what the user called it
    _entries: dict[str, tuple[File, ...] | None] = field(default_factory=dict)

    @cached_property
    def outputs(self) -> list[Output]:
        """The DVC outputs that are not in git."""
        return [out for out in outputs_at(self.git, self.commit) if out.cached]

    def find(self, path: str, prefix: str = "") -> PathMatch:
        """Resolve ``path``, relative to the folder ``prefix`` first and to the top second.

        Raises XexpError with similar paths if there is none.
        """
        candidates = dict.fromkeys((_normal(prefix + path), _normal(path)))
        if all(paths.leaves(candidate) for candidate in candidates):
            raise XexpError(f"{paths.shown(path)} is outside the repository", "name a file of it")
        for candidate in (one for one in candidates if not paths.leaves(one)):
            match = self.glob(candidate) if _GLOB.search(candidate) else self.exact(candidate)
            if match is not None:
                return match
        raise self._unknown(_normal(path))

    def exact(self, path: str, depth: int = 0) -> PathMatch | None:
        """One file or directory."""
        entry = self._entry(path)
        name = posixpath.basename(path)
        if entry is not None and entry.kind == "blob":
            if entry.mode == "120000" and depth < 10:
                target = decode(self.git.raw("cat-file", "blob", entry.oid))
                linked = self.exact(
                    _normal(posixpath.join(posixpath.dirname(path), target)), depth + 1
                )
                return linked and PathMatch(
                    path, name, linked.directory, linked.files, linked.opaque
                )
            return PathMatch(path, name, False, (_blob(entry, name),))
        if path and entry is None:
            usual = output_named(self.git, self.commit, path)
            match = self._folder(path, [usual], []) if usual and usual.cached else None
            if match is not None:
                return match
        outs = [out for out in self.outputs if _related(out.path, path)]
        spec = (path + "/",) if path else ()
        folder = not path or (entry is not None and entry.kind == "tree")
        tracked = self._ls_tree(*spec) if folder else []
        if not outs and not tracked:
            return None
        return self._folder(path, outs, tracked)

    def _entry(self, path: str) -> TreeEntry | None:
        if not path or not paths.is_checked_out(path):
            return None
        return next(iter(self.git.ls_tree(self.commit, path)), None)

    def _ls_tree(self, *spec: str) -> list[TreeEntry]:
        """Yield every file that git tracks there. A tree object may contain names that git would
        never check out (git-fsck(1), hasDotgit, hasDotdot)."""
        entries = self.git.ls_tree(self.commit, *spec, recursive=True)
        wrong = [e.path for e in entries if not paths.is_checked_out(e.path)]
        for path in wrong:
            note(f"{paths.shown(path)} is left out: git does not check out such a name")
        return [e for e in entries if e.path not in wrong] if wrong else entries

    def _folder(self, path: str, outs: list[Output], tracked: list[TreeEntry]) -> PathMatch | None:
        """A directory, or the one DVC file that ``path`` names."""
        files = [_blob(e, _below(path, e.path)) for e in tracked if e.kind == "blob"]
        opaque = []
        single = False
        for out in outs:
            entries = self.entries(out) if out.is_dir else None
            if out.versioned or (entries is None and (out.is_dir or out.oid is None)):
                opaque.append(out)
            elif out.is_dir:
                inside = [i for i in _members(out, entries or ()) if _within(i.path, path)]
                single = single or any(file.path == path for file in inside)
                files += [_rebased(file, path) for file in inside]
            else:
                single = single or out.path == path
                files.append(_object(out, _below(path, out.path)))
        if not files and not opaque:
            return None
        for link in (e.path for e in tracked if e.kind == "commit"):
            note(f"{paths.shown(link)} is left out: it is a submodule")
        name = posixpath.basename(path) or "."
        single = single or any(out.path == path and not out.is_dir for out in opaque)
        return PathMatch(path, name, not single, tuple(files), tuple(opaque))

    def entries(self, out: Output) -> tuple[File, ...] | None:
        """A directory output's manifest, requested once."""
        key = out.hash or out.path
        if key not in self._entries:
            self._entries[key] = self.manifest(out)
        return self._entries[key]

    def glob(self, pattern: str) -> PathMatch | None:
        """Every file whose path matches; ``*`` stays within a folder, ``**`` does not."""
        base = posixpath.dirname(pattern[: _first_glob(pattern)])
        matches = re.compile(_translate(pattern)).fullmatch
        files = [_rebased(file, base) for file in self.everything(base) if matches(file.path)]
        return (
            PathMatch(pattern, posixpath.basename(base) or ".", True, tuple(files))
            if files
            else None
        )

    def everything(self, base: str = "") -> Iterator[CommitFile]:
        """Every file at or below ``base``, git's first."""
        spec = (base + "/",) if base else ()
        for entry in self._ls_tree(*spec):
            if entry.kind == "blob":
                yield _blob(entry, entry.path)
        for out in self.outputs:
            if not base or _related(out.path, base):
                if out.is_dir:
                    yield from _members(out, self.entries(out) or ())
                elif out.oid is not None:
                    yield _object(out, out.path)

    def _unknown(self, path: str) -> XexpError:
        where = self.called or self.commit[:10]
        for link in submodules.links(self.git, self.commit):
            if f"{path}/".startswith(f"{link.path}/") or link.path.startswith(f"{path}/"):
                below = shlex.quote(path[len(link.path) + 1 :] or "PATH")
                command = f"git -C {shlex.quote(link.path)} xexp get {link.oid[:10]} {below}"
                return XexpError(
                    f"'{link.path}' is a submodule at {where}", f"at the top: {command}"
                )
        names = dict.fromkeys(file.path for file in self.everything())
        folders = dict.fromkeys(posixpath.dirname(name) for name in names)
        close = nearest(path, [*names, *filter(None, folders)])
        hint = "did you mean:\n  " + "\n  ".join(close) if close else "it has no files at all"
        return XexpError(f"there is no '{path}' at {where}", hint)


def nearest(path: str, names: Iterable[str], count: int = 5) -> list[str]:
    """Return the names most similar to ``path``: those that start with it, then those with the same
    or a similar last part, else the closest matches of all."""
    from difflib import SequenceMatcher  # only for an error

    last = posixpath.basename(path).lower()
    scored = []
    for name in names:
        whole = SequenceMatcher(None, path.lower(), name.lower(), autojunk=False).ratio()
        part = SequenceMatcher(None, last, posixpath.basename(name).lower(), autojunk=False).ratio()
        continued = name.lower().startswith(path.lower())
        scored.append((continued, part > 0.6, whole + part, name))
    similar = [row for row in scored if row[0] or row[1]] or scored
    best = sorted(similar, key=lambda row: (-row[0], -row[1], -row[2], row[3]))
    return [row[3] for row in best[:count]]


def _normal(path: str) -> str:
    normal = posixpath.normpath(path) if path else ""
    return "" if normal == "." else normal.strip("/")


def _within(path: str, folder: str) -> bool:
    return path == folder or not folder or path.startswith(folder + "/")


def _related(out: str, path: str) -> bool:
    """Whether an output is at, below, or around the path."""
    return _within(out, path) or _within(path, out)


def _below(folder: str, path: str) -> str:
    """The path relative to the folder; the last part when they are the same."""
    return (
        posixpath.basename(path)
        if path == folder
        else path.removeprefix(f"{folder}/" if folder else "")
    )


def _blob(entry: TreeEntry, rel: str) -> CommitFile:
    return CommitFile(entry.path, rel, blob=entry.oid, executable=entry.mode == "100755")


def _object(out: Output, rel: str) -> CommitFile:
    return CommitFile(out.path, rel, oid=out.oid, size=out.size, output=out)


def _members(out: Output, entries: Iterable[File]) -> Iterator[CommitFile]:
    for entry in entries:
        path = f"{out.path}/{entry.path}"
        yield CommitFile(path, path, oid=(entry.hash or "")[4:], size=entry.size, output=out)


def _rebased(file: CommitFile, base: str) -> CommitFile:
    rel = _below(base, file.path)
    return CommitFile(file.path, rel, file.blob, file.executable, file.oid, file.size, file.output)


def _first_glob(pattern: str) -> int:
    match = _GLOB.search(pattern)
    return match.start() if match else len(pattern)


def _translate(pattern: str) -> str:
    """A path pattern as a regular expression, as gitignore(5) reads ``*``, ``**``, ``?`` and ``[…]``."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[!^]?\]?[^\]]*\])", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        known.get(part)
        or (
            f"[{re.sub('^!', '^', part[1:-1])}]"
            if part.startswith("[") and part.endswith("]")
            else re.escape(part)
        )
        for part in parts
    )
