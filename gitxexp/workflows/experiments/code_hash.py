"""The code files of a commit, their hash, and which of them changed between two commits.

Code is every tracked file except pointers, parameters, metrics, databases, tracker folders, our own
and DVC's folder, and prose: those are compared separately.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import PurePosixPath

from gitxexp.common.files import SUFFIXES
from gitxexp.repository.config import FOLDER, Config
from gitxexp.storage.dvc.pipeline import runs_alike
from gitxexp.storage.dvc.pointers import is_data_pointer
from gitxexp.storage.git import Git, encode

_PROSE = frozenset((".md", ".rst", ".txt"))
_NAMES = frozenset((".gitignore", ".gitattributes", ".dvcignore", "LICENSE", "dvc.lock"))
#: Folders of settings.
_OURS = frozenset((FOLDER, ".dvc"))
#: Tracker folders: their content is compared separately.
_TRACKERS = frozenset(("dvclive", "mlruns"))

#: Hex digits kept of the hash of the code.
_DIGITS = 12


def is_code(path: str, config: Config) -> bool:
    """Whether the tracked file ``path`` is code."""
    return PurePosixPath(path).suffix.lower() not in _PROSE and is_by_hand(path, config)


def is_by_hand(path: str, config: Config) -> bool:
    """Whether the tracked file ``path`` is code or prose: a file that people write, as far as
    known."""
    pure = PurePosixPath(path)
    if not _OURS.isdisjoint(pure.parts[:-1]) or pure.name in _NAMES or is_data_pointer(path):
        return False
    if not config.has(path):
        return False
    if pure.suffix.lower() in SUFFIXES:
        return False
    if not _TRACKERS.isdisjoint(pure.parts[:-1]):
        return False
    pipelines = config.pipelines.read if config.pipelines else None
    if pipelines and (pipelines.is_measure(path) or pipelines.is_params(path)):
        return False
    others = (*config.params_files, *config.metrics_files, *config.results_databases,
              *config.models_paths, *config.data_paths)  # fmt: skip
    return not any(fnmatch.fnmatchcase(path, pattern) for pattern in others)


def code_hash(git: Git, rev: str, config: Config, modified: Iterable[str] = ()) -> str:
    """Twelve hex digits of the SHA-256 of ``mode oid path`` of every code file of ``rev``.

    ``modified`` are paths to take from the work tree instead (``tag -a``); git must stand at its
    top. Nothing is written to the object store.
    """
    entries = {e.path: f"{e.mode} {e.oid}" for e in git.ls_tree(rev, recursive=True)}
    present = []
    for path in modified:
        entries.pop(path, None)
        if is_code(path, config) and (git.cwd / path).is_file():
            present.append(path)
    if present:
        oids = git.lines("hash-object", "--", *present)
        entries |= {p: f"100644 {oid}" for p, oid in zip(present, oids, strict=True)}
    import hashlib  # late: 2 ms, not needed to list changed files

    digest = hashlib.sha256()
    for path in sorted(entries):
        if is_code(path, config):
            digest.update(encode(f"{_plain_mode(entries[path])} {path}\0"))
    return digest.hexdigest()[:_DIGITS]


def _plain_mode(entry: str) -> str:
    """Ignore the executable bit, so that the hash is the same before and after a commit."""
    return entry.replace("100755 ", "100644 ", 1)


def code_changes(
    git: Git, old: str, new: str, config: Config, modified: Iterable[str] = ()
) -> list[str]:
    """The code files that differ between two commits, with those of ``modified`` in the work tree, at
    whose top git must stand then; not a ``dvc.yaml`` that runs the same stages."""
    question = ("diff", "--name-only", "--no-renames", "-z", old, new, "--")
    changed = {p for p in (git.fields(*question) if old != new else ()) if is_code(p, config)}
    here = {p for p in modified if is_code(p, config)}
    there = {p for p in changed - here if not runs_alike(git, p, old, new)}
    return sorted(there | {p for p in here if not runs_alike(git, p, old)})
