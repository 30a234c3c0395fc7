"""Conflict reports: what the driver could not merge, stored per work tree in the git common dir.

One JSON file per path, because git runs the driver once per path. A report is valid only while git
lists the path as unmerged.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.files import atomic_write
from gitxexp.tables.plan import Conflict
from gitxexp.workflows.merge.driver.place import GitPlace


@dataclass(frozen=True)
class ConflictReport:
    """The conflicts of one path; ``message`` says why rows were not merged, if there are none."""

    path: str
    conflicts: tuple[Conflict, ...] = ()
    message: str = ""


def _folder(place: GitPlace) -> Path:
    name = hashlib.sha256(os.fsencode(place.git_dir)).hexdigest()[:16]
    return place.common_dir / "xexp" / "conflicts" / name


def _file(place: GitPlace, path: str) -> Path:
    name = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return _folder(place) / f"{name}.json"


def save(place: GitPlace, path: str, found: Sequence[Conflict], message: str = "") -> None:
    """Write the report of ``path``, replacing an older one."""
    file = _file(place, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    value = {"path": path, "message": message, "conflicts": [asdict(c) for c in found]}
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(value, default=_coded), "utf-8")


def forget(place: GitPlace, path: str) -> None:
    """Remove the report of ``path``."""
    _file(place, path).unlink(missing_ok=True)


def seen(place: GitPlace, path: str) -> bool:
    """Whether the driver left a report on ``path``."""
    return _file(place, path).exists()


def load(place: GitPlace, path: str) -> ConflictReport:
    """The report of ``path``, an empty one if the driver never saw it."""
    try:
        value = json.loads(_file(place, path).read_text("utf-8"), object_hook=_decoded)
    except (OSError, ValueError):
        return ConflictReport(path, (), "git did not run the driver on it: git xexp drivers status")
    return ConflictReport(path, tuple(Conflict(**c) for c in value["conflicts"]), value["message"])


def _coded(value: object) -> Any:
    if isinstance(value, bytes):
        return {"blob": value.hex()}
    return str(value)


def _decoded(value: dict[str, Any]) -> Any:
    return bytes.fromhex(value["blob"]) if value.keys() == {"blob"} else value
