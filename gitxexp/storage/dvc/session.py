"""DVC in this process: imported late, silenced, its exceptions converted to ours.

``import dvc.repo`` takes 0.15 s and more, so it happens inside functions only.
"""

from __future__ import annotations

import copy
import errno
import fcntl
import io
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from gitxexp.common.errors import XexpError, is_full, system_hint
from gitxexp.common.files import atomic_write
from gitxexp.common.missing import missing_package
from gitxexp.storage.dvc.places import cache_dir, local_remote_dir, refuse_tracked_link
from gitxexp.storage.dvc.pointer_file import Output
from gitxexp.storage.paths import Refused

#: Texts that DVC is to parse once: so many, and so long.
_KNOWN, _POINTER = 10_000, 4_096
#: What ``dvc init`` creates and stages.
MADE = (".dvc/config", ".dvc/.gitignore", ".dvcignore")


class DvcError(XexpError):
    """DVC refused or failed; the message is DVC's own."""


class NoRemote(DvcError):
    """There is no remote to ask; any other error means that a remote could not be reached."""


class Unreachable(DvcError):
    """A remote did not answer, so its content is unknown."""

    def __init__(self, name: str | None, why: str) -> None:
        super().__init__(
            f"remote {name or 'of the project'!r} could not be asked: {why}",
            "check the network and the credentials; its content is unknown",
        )


def quiet() -> None:
    """Silence DVC's logging, progress and analytics for the whole process."""
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    try:
        import colorama.initialise as colours

        colours.atexit_done = True  # or the last thing a terminal receives is an escape sequence
        import dvc  # noqa: F401  (its import sets the levels of its loggers: it has to come first)
    except Exception as error:  # whatever a damaged installation raises
        raise DvcError(
            f"DVC cannot be started: {error}", "install it again: pip install dvc"
        ) from error

    if sys.stdout is colours.wrapped_stdout:  # strips colours from what goes to a pipe
        colours.deinit()

    for name in ("dvc", "dvc_data", "dvc_objects", "dvc_studio_client", "scmrepo"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    os.environ.setdefault("TQDM_DISABLE", "1")
    if sys.stderr.isatty():  # where DVC would show its spinners
        from dvc.ui import ui

        ui.error_console.quiet = True


@contextmanager
def dvc_errors(action: str) -> Iterator[None]:
    """Convert exceptions of DVC and its file systems to XexpError; ``action`` completes "cannot …"."""
    try:
        yield
    except XexpError:
        raise
    except OSError as error:
        raise _os_error(action, error) from error
    except Exception as error:
        known = _known(action, error)
        if known is None:
            raise
        raise known from error


def _os_error(action: str, error: OSError) -> XexpError:
    where = f": {error.filename}" if error.filename else ""
    reason = error.strerror or str(error)
    hints = {
        errno.ENOSPC: "free some space and run the command again; it continues where it stopped",
        errno.EACCES: "check the permissions of the folder, or use another remote (-r)",
        errno.EROFS: "the file system is read-only; use another remote (-r)",
        errno.ENOENT: "does the folder that its URL names exist? dvc remote list"
        if action.startswith("push")
        else None,
    }
    limited = system_hint(error) if is_full(error) else None
    hint = hints.get(error.errno or 0, limited or "check the remote: dvc remote list")
    return DvcError(f"cannot {action}: {reason}{where}", hint)


def _known(action: str, error: Exception) -> XexpError | None:
    """Return the error for an exception of DVC or of a remote's client library; None for a bug."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if is_full(error):  # SQLite's, in which DVC keeps what it knows of files
        return DvcError(
            f"cannot {action}: no space is left for DVC's own databases, or a limit is reached",
            "make room in .dvc/tmp and in DVC's site cache (dvc config core.site_cache_dir), then try again",
        )
    if type(error) is NotImplementedError:  # fsspec's message for HTTP, for example
        return DvcError(f"cannot {action}: it is read-only", "name a writable one: -r NAME")
    text = str(error).strip() or type(error).__name__
    if "NotDvcRepoError" in names:
        return DvcError(f"cannot {action}: this is not a DVC project", "git xexp init")
    if "NoRemoteError" in names:
        return NoRemote(f"cannot {action}: no DVC remote is set", "dvc remote add -d NAME URL")
    if "RemoteNotFoundError" in names:
        return DvcError(f"cannot {action}: {text}", "dvc remote list")
    if "LockError" in names:
        return DvcError(
            f"cannot {action}: another DVC process is at work here", "wait and try again"
        )
    if "ChecksumMismatch" in names and b"link".hex() in text:
        # dulwich takes the extension of a split index (gitformat-index(5), "link") for the end of
        # the index
        return DvcError(
            f"cannot {action}: DVC cannot read this repository's index, which is split",
            "git update-index --no-split-index (and git config core.splitIndex false)",
        )
    if names & {"RemoteMissingDepsError", "ImportError"}:
        return _without_package(action, text)
    if "AuthError" in names or "GitAuthError" in names:
        return DvcError(f"cannot {action}: {text}", "check your credentials for this remote")
    if "DvcException" in names or any(_foreign(kind) for kind in type(error).__mro__):
        lines = text.splitlines()
        return DvcError(f"cannot {action}: {lines[0]}", "\n".join(lines[1:]).strip() or None)
    return None


#: DVC packages that an extra of this project installs.
_EXTRAS = {f"dvc-{name}": name for name in ("s3", "ssh", "gs", "azure", "webdav")}


def _without_package(action: str, text: str) -> XexpError:
    """Return the error for a remote whose package is not installed; DVC writes "s3 … requires
    'dvc-s3' …"."""
    named = re.search(r"'(dvc-[a-z0-9]+)'", text)
    if named is None:
        return DvcError(f"cannot {action}: the remote needs a package that is not installed", text)
    package = named.group(1)
    return missing_package(package, f"cannot {action}", _EXTRAS.get(package))


def _foreign(kind: type) -> bool:
    """Return whether an exception's class belongs to DVC, its data layer or a remote's client."""
    root = kind.__module__.partition(".")[0]
    ours = {"gitxexp", "builtins", "abc", "typing"}
    return root not in ours and kind is not Exception


#: Files that DVC reads, writes and locks in a project, besides its cache.
_OWN = (".dvc", ".dvc/config", ".dvc/config.local", ".dvc/.gitignore", ".dvc/tmp", ".dvcignore")


def check_project(root: Path) -> None:
    """Raise Refused if git tracks a link in place of one of DVC's own files or its cache."""
    for name in _OWN:
        refuse_tracked_link(root / name)
    cache_dir(root)


def targets(top: Path, outputs: Iterable[Output]) -> list[str]:
    """Return what to pass to DVC to work on these outputs of the work tree at ``top``.

    DVC trusts pointers completely. So each pointer is read again as it is here: all its outputs
    must be inside the tree, and no link may lead out. Raises Refused.
    """
    from gitxexp.storage.dvc.pointers import check_pointers

    outputs = list(outputs)
    check_pointers(top, outputs)
    for out in outputs:
        _check_objects(top, out)
    return list(dict.fromkeys(str(top / out.addressing) for out in outputs))


def _check_objects(top: Path, out: Output) -> None:
    """Raise Refused if a cache or local remote has a link or a pipe in place of an object: DVC
    would follow the link and block on the pipe."""
    from gitxexp.storage.objects import is_object, manifest, object_path

    remote = local_remote_dir(top / out.root, pointer=out.remote)
    folders = [cache_dir(top / out.root), *([remote] if remote else [])]
    entries = manifest(out, folders) if out.is_dir and not out.versioned else ()
    oids = [out.oid, *((entry.hash or "")[4:] for entry in entries or ())]
    for oid in filter(None, oids if not out.versioned else ()):
        for folder in folders:
            place = object_path(folder, oid, out.legacy)
            if os.path.lexists(place) and not is_object(place):
                raise Refused(f"{place} is not a regular file", "remove it, then try again")


@contextmanager
def opened(root: Path, action: str, config: dict[str, Any] | None = None) -> Iterator[Any]:
    """Open ``dvc.repo.Repo`` at ``root`` as a context manager; errors read "cannot ACTION: …".

    ``core.autostage`` does not count: what DVC stages no undo takes out of git's index.
    """
    check_project(root)
    quiet()
    with dvc_errors(action):
        from dvc.repo import Repo

        _write_whole_files()
        _parse_once()
        remove_torn_lock(root / ".dvc" / "tmp")
        core = {**(config or {}).get("core", {}), "autostage": False}
        repo = Repo(str(root), config={**(config or {}), "core": core})
        try:
            yield repo
        finally:
            repo.close()


def _write_whole_files() -> None:
    """Make DVC replace pointers and ``.gitignore`` atomically, announced before each replacement.

    DVC 3.67 writes both in place (``dvc/utils/serialize/_common.py``, ``scmrepo/git/__init__.py``):
    a process that dies leaves a truncated file.
    """
    from dvc.utils.serialize import _common, _yaml
    from scmrepo.git import Git as ScmGit

    if getattr(_yaml._dump_data, "whole", False):
        return
    in_place = _common._dump_data

    def dump(path: Any, data: Any, dumper: Any, fs: Any = None, **kwargs: Any) -> None:
        target = Path(os.fspath(path))
        if target.is_symlink() or getattr(fs, "protocol", "local") not in (
            "local",
            ("local", "file"),
        ):
            in_place(path, data, dumper, fs=fs, **kwargs)
            return
        text = io.StringIO()
        dumper(data, text, **kwargs)
        with atomic_write(target) as temporary:
            temporary.write_text(text.getvalue(), "utf-8")

    def add_entry(scm: Any, entry: str, gitignore: str) -> None:
        target = Path(gitignore)
        with atomic_write(target) as temporary:
            if target.exists():
                shutil.copyfile(target, temporary)
            append(scm, entry, str(temporary))

    append: Any = ScmGit._add_entry_to_gitignore
    dump.whole = True  # type: ignore[attr-defined]
    _common._dump_data = _yaml._dump_data = dump
    setattr(ScmGit, append.__name__, add_entry)


def _parse_once() -> None:
    """Make DVC parse pointers of the same text once.

    Each of its operations reads all pointers of a project again (``dvc/repo/__init__.py``, lock_repo),
    with a parser that is written in Python (3 ms a pointer): half of the time of adding a file.
    """
    from dvc.utils import strictyaml

    if isinstance(strictyaml.parse_yaml, partial):
        return
    strictyaml.parse_yaml = partial(_parsed, strictyaml.parse_yaml, {})


def _parsed(parse: Any, known: dict[str, Any], text: str, path: str, typ: str = "safe") -> Any:
    """What ``parse`` returns, a copy of what it returned for the same text before."""
    if typ != "safe" or len(text) > _POINTER:
        return parse(text, path, typ)
    if text not in known:
        if len(known) >= _KNOWN:
            known.clear()
        known[text] = parse(text, path, typ)
    return copy.deepcopy(known[text])


def remove_torn_lock(folder: Path) -> bool:
    """Remove a truncated ``rwlock`` of a killed process, which makes DVC refuse every command;
    return whether there was one.

    DVC writes it in place, holding ``rwlock.lock`` (``dvc/rwlock.py``): whoever gets that lock is
    alone. The file lists the paths that running DVC processes use.
    """
    path = folder / "rwlock"
    try:
        text = path.read_bytes()
        json.loads(text)
    except OSError:
        return False
    except ValueError:
        with suppress(OSError), (folder / "rwlock.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.read_bytes() == text:
                path.unlink()
                return True
    return False


def current_hash(root: Path, path: Path) -> str | None:
    """Return the hash that DVC computes for the current content of ``path``."""
    with opened(root, f"hash {path.name}") as repo, repo.lock:
        (out,) = repo.find_outs_by_path(str(path))
        return str(out.get_hash().value)


def remembered(root: Path, files: Iterable[Path]) -> dict[Path, str]:
    """Return the md5 of files that DVC has hashed and whose stat is unchanged since."""
    found = {}
    with opened(root, "ask for known hashes") as repo:
        from dvc.fs import localfs

        for file in files:
            _, known = repo.state.get(str(file), localfs)
            if known is not None and known.name == "md5" and known.value:
                found[file] = str(known.value)
    return found


def init(top: Path) -> list[str]:
    """Run ``dvc init`` at ``top``, in-process and silently; return the created files, relative to
    ``top``.

    DVC also stages them. In a folder below the top of the git repository it creates a subrepo.
    """
    quiet()
    try:
        with dvc_errors("set DVC up"):
            from dvc.repo import Repo

            Repo.init(str(top), subdir=not (top / ".git").exists()).close()
    except DvcError as error:  # such as a repository of SHA-256 objects, which DVC cannot read
        raise DvcError(
            error.message, error.hint or "go without DVC: git xexp init --no-dvc"
        ) from error
    return [name for name in MADE if (top / name).exists()]
