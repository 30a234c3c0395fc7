"""Find which tag contains a model: as production, or in its candidates folder.

The candidates folder has a manifest named by its own hash, so its cached content
(``xexp/manifests.db``, sixteen bytes per file) is never stale.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from gitxexp.repository.tags import Experiment
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.objects import manifest
from gitxexp.workflows.models.inventory import ModelStore, SlotModels

_DIGEST = 16


def tags_holding(
    store: ModelStore, slot: SlotModels, experiments: Sequence[Experiment], hashes: Iterable[str]
) -> dict[str, str]:
    """Hash ("md5:…") → the newest tag that holds it. Manifests in no local cache are skipped."""
    wanted = {value for value in hashes if value}
    tags: dict[str, str] = {}
    folders: dict[str, str] = {}
    for experiment in experiments:
        artifacts = experiment.payload.artifacts
        held = artifacts.get(slot.production)
        if held in wanted:
            tags.setdefault(held, experiment.name)
        folder = artifacts.get(slot.candidates)
        if folder:
            folders.setdefault(folder, experiment.name)
    order = {e.name: at for at, e in enumerate(experiments)}
    with closing(Manifests(store)) as manifests:
        for value, name in manifests.first(slot, folders, wanted).items():
            if value not in tags or order[name] < order[tags[value]]:
                tags[value] = name
    return tags


class Manifests:
    """The members of candidates' folders by the hash of the folder."""

    def __init__(self, store: ModelStore) -> None:
        self.store = store
        self.new: dict[str, bytes] = {}
        self.db = _open(store.project.state / "manifests.db")

    def close(self) -> None:
        """Save what was read; a failure only costs time later."""
        if self.db is None:
            return
        with suppress(sqlite3.Error), self.db:
            self.db.executemany(
                "INSERT OR REPLACE INTO members VALUES (?, ?)", list(self.new.items())
            )
        self.db.close()

    def first(
        self, slot: SlotModels, folders: Mapping[str, str], wanted: Iterable[str]
    ) -> dict[str, str]:
        """Return wanted hash → name of the first folder that contains it; ``folders``: hash → name."""
        left = {bytes.fromhex(value[4:]): value for value in wanted if len(value) == 36}
        names: dict[str, str] = {}
        for folder, name in folders.items():
            if not left:
                break
            members = self.members(slot, folder)
            if not members:
                continue
            inside = {members[at : at + _DIGEST] for at in range(0, len(members), _DIGEST)}
            for digest in left.keys() & inside:
                names[left.pop(digest)] = name
        return names

    def members(self, slot: SlotModels, folder: str) -> bytes | None:
        """The digests of a folder's files, one after another; None if no cache has its manifest."""
        if self.db is not None:
            row = self.db.execute("SELECT digests FROM members WHERE folder = ?", (folder,))
            for (digests,) in row:
                return bytes(digests)
        root = self.store.owner(slot.candidates)
        for legacy in (False, True):
            out = Output(
                path=slot.candidates, hash=folder, size=None, nfiles=None, remote=None, pointer="",
                stage=None, legacy=legacy, root=root.root if root else "",
            )  # fmt: skip
            entries = manifest(out, self.store.caches(out.root))
            if entries is not None:
                values = (entry.hash or "" for entry in entries)
                digests = b"".join(bytes.fromhex(v[4:]) for v in values if len(v) == 36)
                self.new[folder] = digests
                return digests
        return None


def _open(path: Path) -> sqlite3.Connection | None:
    """The cache, recreated if corrupt; None if it is not writable."""
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(path, timeout=5)
            db.execute("PRAGMA synchronous = OFF")  # it can always be read again
            db.execute(
                "CREATE TABLE IF NOT EXISTS members (folder TEXT PRIMARY KEY, digests BLOB NOT NULL)"
            )
            return db
        except sqlite3.OperationalError:
            return None
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
        except OSError:
            return None
    return None
