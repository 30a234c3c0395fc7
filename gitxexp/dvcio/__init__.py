"""The one importer of DVC, and of nothing of it before it is needed.

Reading pointers, caches, local-directory remotes and "has anything changed?" needs no DVC import;
adding, other remotes and checkout do, inside their functions.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitxexp.dvcio.adding import Added, add
    from gitxexp.dvcio.changes import Change, Kind, changed, file_hashes, pending, status
    from gitxexp.dvcio.composing import (
        Tracked,
        exclusively,
        remember,
        store,
        track_file,
        track_members,
    )
    from gitxexp.dvcio.databases import database_kind, held_still, own_copy
    from gitxexp.dvcio.glancing import Standing, standing
    from gitxexp.dvcio.objects import (
        Progress,
        find_object,
        has_object,
        manifest,
        matches,
        object_path,
    )
    from gitxexp.dvcio.places import (
        cache_dir,
        cache_dirs,
        is_dvc_repo,
        link_types,
        local_remote_dir,
        remote_name,
    )
    from gitxexp.dvcio.remote import MissingObject, missing_on_remote, on_local_remote, pushable
    from gitxexp.dvcio.session import DvcError, init
    from gitxexp.dvcio.transfer import (
        FetchReport,
        PushReport,
        checkout,
        fetch,
        fetch_objects,
        pull,
        push,
    )

_ROOMS = {
    "adding": "Added add",
    "changes": "Change Kind changed file_hashes pending status",
    "composing": "Tracked exclusively remember store track_file track_members",
    "databases": "database_kind held_still own_copy",
    "glancing": "Standing standing",
    "objects": "Progress find_object has_object manifest matches object_path",
    "places": "cache_dir cache_dirs is_dvc_repo link_types local_remote_dir remote_name",
    "remote": "MissingObject missing_on_remote on_local_remote pushable",
    "session": "DvcError init",
    "transfer": "FetchReport PushReport checkout fetch fetch_objects pull push",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """A name is looked up in its module when it is first asked for (PEP 562): a command that reads
    pays for no more than it uses."""
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{room}"), name)
    return value


__all__ = [
    "Added",
    "Change",
    "DvcError",
    "FetchReport",
    "Kind",
    "MissingObject",
    "Progress",
    "PushReport",
    "Standing",
    "Tracked",
    "add",
    "cache_dir",
    "cache_dirs",
    "changed",
    "checkout",
    "database_kind",
    "exclusively",
    "fetch",
    "fetch_objects",
    "file_hashes",
    "find_object",
    "has_object",
    "held_still",
    "init",
    "is_dvc_repo",
    "link_types",
    "local_remote_dir",
    "manifest",
    "matches",
    "missing_on_remote",
    "object_path",
    "on_local_remote",
    "own_copy",
    "pending",
    "pull",
    "push",
    "pushable",
    "remember",
    "remote_name",
    "standing",
    "status",
    "store",
    "track_file",
    "track_members",
]
