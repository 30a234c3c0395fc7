"""Content that git stores in another form: filters in ``.gitattributes``, usually Git LFS.

gitattributes(5), "filter": the repository stores the output of ``clean``, and ``smudge`` restores
the file. git itself runs both, from the user's own configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from gitxexp.common.errors import XexpError
from gitxexp.storage.git import Git, GitError

#: Prefixes of content that is only a placeholder (git-lfs' docs/spec.md; git-crypt's doc/crypto).
_LFS = b"version https://git-lfs.github.com/spec/"
_STAND_INS = (_LFS, b"\0GITCRYPT\0")


def filtered(git: Git, paths: Iterable[str]) -> set[str]:
    """Return those of ``paths`` (from the top) that have a filter."""
    names = "\0".join(paths)
    if not names:
        return set()
    fields = git.raw(
        "check-attr", "-z", "--stdin", "filter", stdin=names.encode("utf-8", "surrogateescape")
    )
    parts = fields.decode("utf-8", "surrogateescape").split("\0")
    unset = ("unspecified", "unset", "set")
    return {
        path for path, value in zip(parts[::3], parts[2::3], strict=False) if value not in unset
    }


def smudged(git: Git, path: str, content: bytes, oid: str | None = None) -> bytes:
    """Return the ``content`` of blob ``oid`` as a checkout writes it to ``path``, which has a
    filter.

    Raises XexpError if the filter fails, or leaves a placeholder because the content is not here.
    """
    if oid is None:
        oid = git.text("hash-object", "-w", "--stdin", "--no-filters", stdin=content)
    lfs = content.startswith(_LFS)
    try:
        content = git.raw("cat-file", "--filters", f"--path={path}", oid)
        if lfs and content.startswith(_LFS):  # today's attributes set no filter for it
            content = git.raw("lfs", "smudge", "--", path, stdin=content)
    except GitError as error:
        if not lfs:
            raise
        raise _absent(path, error.message.partition("\n")[0]) from error  # git guesses at commands
    if content.startswith(_STAND_INS):
        raise _absent(path)
    return content


def is_stand_in(content: bytes) -> bool:
    """Return whether content is a Git LFS pointer, or locked by git-crypt."""
    return content.startswith(_STAND_INS)


def cleaned(git: Git, path: str, file: Path) -> bytes:
    """Return what git stores for ``file`` as ``path``."""
    with file.open("rb") as stream:
        oid = git.text("hash-object", "-w", "--stdin", f"--path={path}", stdin=stream.read())
    return git.raw("cat-file", "blob", oid)


def as_files(git: Git, blobs: Sequence[tuple[str, str, bytes]]) -> list[bytes]:
    """Yield what a checkout writes for each ``(path, oid, content)``; usually the content itself."""
    names = filtered(git, [path for path, _, _ in blobs])
    return [
        smudged(git, path, content, oid) if path in names or is_stand_in(content) else content
        for path, oid, content in blobs
    ]


def _absent(path: str, why: str = "") -> XexpError:
    return XexpError(
        f"git keeps {path} with a filter whose content is not available here"
        + (f": {why}" if why else ""),
        "of Git LFS: git lfs install, then git lfs fetch --all; of git-crypt: git-crypt unlock",
    )
