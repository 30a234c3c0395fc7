"""DVC's pointers (``.dvc`` files and ``dvc.lock``) of a commit or of the work tree, without DVC."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from gitxexp.storage import paths
from gitxexp.storage.dvc.pipeline import Reader
from gitxexp.storage.dvc.pointer_file import (
    File,
    ImportSource,
    Output,
    PointerParser,
    contents,
    is_data_pointer,
    is_definition,
)
from gitxexp.storage.git import DVC_FILES, TREE, Git, GitError, decode
from gitxexp.storage.paths import Refused, shown

__all__ = [
    "File",
    "ImportSource",
    "Output",
    "check_pointers",
    "conflicted_at",
    "contents",
    "definitions_in",
    "is_data_pointer",
    "output_named",
    "outputs_at",
    "outputs_by",
    "outputs_here",
    "outputs_in",
]


def outputs_here(git: Git, rev: str) -> list[Output] | None:
    """Like :func:`outputs_at`; None if a partial clone lacks the pointers and its remote does not
    answer."""
    try:
        return outputs_at(git, rev)
    except GitError as error:
        if not error.unfetched:
            raise
        return None


def outputs_at(git: Git, rev: str) -> list[Output]:
    """Return the outputs of a commit, sorted by path, with one ``ls-tree`` and one ``cat-file``.

    Unreadable pointers (conflict markers, foreign files) are skipped.
    """
    listing: dict[str, str] = {}
    roots: set[str] = set()
    for line in git.raw(*TREE, rev).split(b"\0"):
        if line.endswith((b".dvc", b"/dvc.lock", b"\tdvc.lock", b"dvc.yaml", b"params.yaml")):
            meta, _, path = line.partition(b"\t")
            if meta.startswith(b"100"):
                listing[decode(path)] = meta.split(b" ")[2].decode()
        elif line.endswith(b".dvc/config"):
            roots.add(decode(line.partition(b"\t")[2])[: -len(".dvc/config")].rstrip("/"))

    def read(names: Iterable[str]) -> dict[str, bytes]:
        """Return pointers by blob, and the files named in a pipeline's ``vars`` by path."""
        known = [n for n in names if n in listing or not (is_definition(n) or "\n" in n)]
        blobs = git.cat(listing.get(n) or f"{rev}:{n}" for n in known) if known else iter(())
        pairs = zip(known, blobs, strict=True)
        return {name: blob[2] for name, blob in pairs if blob and blob[1] == "blob"}

    wanted = [path for path in listing if is_definition(path)]
    return PointerParser(read, lambda folder: _nearest(folder, roots), strict=False).parse(wanted)


def conflicted_at(git: Git, rev: str) -> list[str]:
    """Return the pointers of a commit that contain conflict markers, by path."""
    where = ("--", ":(top,glob)**/*.dvc", ":(top,glob)**/dvc.lock")
    found = git.call("grep", "-l", "-z", "-e", "^<<<<<<< ", rev, *where)
    names = decode(found.stdout).split("\0") if not found.returncode else []
    return [name.removeprefix(f"{rev}:") for name in names if name]


def output_named(git: Git, rev: str, path: str) -> Output | None:
    """Return the output at or around ``path`` whose ``.dvc`` file is in the usual place, named
    after it.

    Costs one ``cat-file`` instead of a listing; None means only that it is not in that place.
    """
    if "\n" in path:
        return None
    folders = [folder for folder in _upward(path) if folder]
    configs = [posixpath.join(folder, ".dvc/config") for folder in [*folders[1:], ""]]
    names = [*(f"{folder}.dvc" for folder in folders), *configs]
    blobs = dict(zip(names, git.cat(f"{rev}:{name}" for name in names), strict=True))
    roots = {name[: -len(".dvc/config")].rstrip("/") for name in configs if blobs[name]}
    found = {name: blob[2] for name, blob in blobs.items() if blob and name.endswith(".dvc")}
    parser = PointerParser(lambda _: found, lambda folder: _nearest(folder, roots), strict=False)
    outputs = [out for out in parser.parse(()) if out.holds(path)]
    return outputs[0] if len(outputs) == 1 else None


def outputs_in(top: Path, git: Git | None = None, *, left_out: bool = False) -> list[Output]:
    """Return the outputs of the work tree at ``top``, tracked and untracked, sorted by path.

    ``git`` is git in any folder of that work tree. Ignored folders (data) and nested worktrees are
    skipped. With ``left_out`` also those that the next commit has although a sparse checkout leaves
    them out. Raises XexpError naming a broken pointer.
    """
    return outputs_by(top, definitions_in(top, git), left_out=left_out)


def definitions_in(top: Path, git: Git | None = None) -> list[str]:
    """Return the pointers and pipelines of the work tree at ``top``, tracked and untracked, as for
    :func:`outputs_in`."""
    return [name for name in (git or Git(top)).fields(*DVC_FILES) if is_definition(name)]


def outputs_by(top: Path, definitions: Iterable[str], *, left_out: bool = False) -> list[Output]:
    """Return the outputs named by these pointers and pipelines of the work tree at ``top``, sorted
    by path; missing files are skipped, but for ``left_out`` as :func:`outputs_in` says. Raises
    XexpError naming a broken pointer."""

    def read(names: Iterable[str]) -> dict[str, bytes]:
        found = {}
        for name in names:
            with suppress(FileNotFoundError, IsADirectoryError):
                found[name] = paths.read(top, name)
        return found | _left_out(top, known - found.keys()) if left_out else found

    definitions = sorted({*definitions})
    known = {*definitions}
    roots: dict[str, bool] = {}

    def root(folder: str) -> str:
        for place in _upward(folder):
            if place not in roots:
                roots[place] = (top / place / ".dvc").is_dir()
            if roots[place]:
                return place
        return ""

    return PointerParser(read, root, strict=True).parse(definitions)


def _left_out(top: Path, names: Collection[str]) -> dict[str, bytes]:
    """Return those files, by the index, that a sparse checkout keeps out of the work tree
    (skip-worktree, git-sparse-checkout(1))."""
    if not names:
        return {}
    git = Git(top)
    listed = git.fields("ls-files", "-t", "-z", "--", *(f":(literal){name}" for name in names))
    absent = [line[2:] for line in listed if line.startswith("S ")]
    blobs = zip(absent, git.cat(f":{name}" for name in absent), strict=True)
    return {name: blob[2] for name, blob in blobs if blob}


def check_pointers(top: Path, outputs: Iterable[Output]) -> None:
    """Raise Refused if a pointer of these outputs, as it is in the work tree at ``top``, names
    anything outside, is reached or leads out through a link, or imports a local file."""
    for pointer in dict.fromkeys(out.pointer for out in outputs):
        text = paths.read(top, pointer)
        pipeline = posixpath.join(posixpath.dirname(pointer), "dvc.yaml")
        texts = {pointer: text}
        if pointer.endswith("dvc.lock"):
            with suppress(FileNotFoundError):
                texts[pipeline] = paths.read(top, pipeline)
        parser = PointerParser(_reader(texts), lambda folder: "", strict=True, whole=True)
        for out in parser.parse([pointer]):
            paths.resolved(top, posixpath.dirname(out.path))
            _refuse_local_import(out)
            for name in (out.pointer, posixpath.join(posixpath.dirname(out.path), ".gitignore")):
                paths.resolved(top, name)


def _reader(texts: dict[str, bytes]) -> Reader:
    return lambda names: texts


def _refuse_local_import(out: Output) -> None:
    """A local file is imported only if its hash is already known."""
    if out.source is None or out.source.repo or out.oid:
        return
    url = out.source.url
    if "://" not in url or url.startswith(("file:", "local:")):
        raise Refused(
            f"{out.pointer} imports {shown(url)}, a file of this machine",
            f"if that is what you want: dvc update {out.pointer}",
        )


def _upward(folder: str) -> Iterator[str]:
    """Return the folder and its parents, "" last."""
    while folder:
        yield folder
        folder = posixpath.dirname(folder)
    yield ""


def _nearest(folder: str, roots: set[str]) -> str:
    return next((place for place in _upward(folder) if place in roots), "")
