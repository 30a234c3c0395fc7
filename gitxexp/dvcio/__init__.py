"""The one importer of DVC, and of nothing of it before it is needed.

Reading pointers, caches, local-directory remotes and "has anything changed?" needs no DVC import;
adding, other remotes and checkout do, inside their functions.
"""

from gitxexp.dvcio.adding import Added, add
from gitxexp.dvcio.changes import Change, Kind, changed, file_hashes, status
from gitxexp.dvcio.composing import (
    Tracked,
    exclusively,
    remember,
    store,
    track_file,
    track_members,
)
from gitxexp.dvcio.databases import database_kind, held_still, own_copy
from gitxexp.dvcio.objects import Progress, find_object, manifest, matches, object_path
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

__all__ = [
    "Added",
    "Change",
    "DvcError",
    "FetchReport",
    "Kind",
    "MissingObject",
    "Progress",
    "PushReport",
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
    "pull",
    "push",
    "pushable",
    "remember",
    "remote_name",
    "status",
    "store",
    "track_file",
    "track_members",
]
