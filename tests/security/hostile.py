"""A stranger's repository, made by hand, and a sealed outside that must stay as it is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.helpers import Done, xexp_inside

SECRET = "TOPSECRET-KEY-MATERIAL"
MD5 = "0123456789abcdef0123456789abcdef"


def git(folder: Path, *args: str) -> str:
    """git in a folder; its output."""
    return subprocess.run(
        ["git", *args], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


def snapshot(folder: Path, without: tuple[Path, ...] = ()) -> dict[str, str]:
    """Everything below a folder: kind, mode, number of links and content."""
    found = {}
    for top, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(top, name) not in without]
        for name in (*folders, *files):
            path = Path(top, name)
            info = path.lstat()
            what = f"{stat.filemode(info.st_mode)} {info.st_nlink if path.is_file() else ''}"
            if path.is_symlink():
                what += str(path.readlink())
            elif path.is_file():
                what += hashlib.md5(path.read_bytes()).hexdigest()
            found[str(path.relative_to(folder))] = what
    return found


@dataclass
class Evil:
    """``clone`` is the user's; ``outside`` has private files and a command that must not run."""

    base: Path
    clone: Path = field(init=False)
    outside: Path = field(init=False)

    def __post_init__(self) -> None:
        self.clone, self.outside = self.base / "clone", self.base / "outside"
        self.outside.mkdir()
        secret = self.outside / "id_rsa"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        (self.outside / "folder").mkdir()
        (self.outside / "params.yaml").write_text(f"token: {SECRET}\nlr: 7654321\n")
        (self.outside / "metrics.json").write_text('{"f1": 7654321}')
        canary = self.outside / "canary"
        canary.write_text(f"#!/bin/sh\ntouch '{self.base}/RAN'\n")
        canary.chmod(0o755)
        os.environ["PATH"] = f"{self.outside}{os.pathsep}{os.environ['PATH']}"
        for name in ("store/cache/files/md5", "store/remote/files/md5", ".dvc", ".xexp"):
            (self.clone / name).mkdir(parents=True)
        self._begin()
        self.write(
            ".dvc/config",
            "[core]\n    remote = s\n[cache]\n    dir = ../store/cache\n"
            "['remote \"s\"']\n    url = ../store/remote\n",
        )
        self.write(".dvc/.gitignore", "/config.local\n/tmp\n/cache\n")
        self.write(".dvcignore", "")
        self.write(".xexp/config.toml", '[metrics]\nprimary = "f1"\n')
        self.write("params.yaml", "lr: 0.1\n")
        self.write("store/cache/files/md5/.keep", "")
        self.before: dict[str, str] = {}

    def _begin(self) -> None:
        """``git init``: by a process once, and a copy of what it made then."""
        empty = Path(tempfile.gettempdir()) / "empty-repository"
        if not empty.exists():
            git(self.clone, "init", "-q", str(empty))
        shutil.copytree(empty / ".git", self.clone / ".git")

    def write(self, name: str, text: str) -> None:
        """A file of the clone."""
        path = self.clone / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def store(self, data: bytes, suffix: str = "", place: str = "cache") -> str:
        """An object in the cache (or remote) that the clone brings; its id."""
        oid = hashlib.md5(data).hexdigest() + suffix
        path = self.clone / "store" / place / "files/md5" / oid[:2] / oid[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return oid

    def folder(self, *names: str) -> str:
        """A directory's manifest that names these files; its id."""
        rows = [{"md5": self.store(b"hacked"), "relpath": name} for name in names]
        return self.store(json.dumps(rows).encode(), ".dir")

    def pointer(self, name: str, md5: str, path: str, size: int = 6, **more: str) -> None:
        """A pointer file; its values are quoted as YAML text."""
        lines = [f"outs:\n- md5: {json.dumps(md5)}\n  size: {size}\n  hash: md5\n"]
        lines.append(f"  path: {json.dumps(path)}\n")
        lines += [f"{key}: {json.dumps(value)}\n" for key, value in more.items()]
        self.write(f"{name}.dvc", "".join(lines))

    def commit(self) -> None:
        """Commit all and remember how everything outside of the clone is now."""
        git(self.clone, "add", "-A", "-f")
        git(self.clone, "commit", "-q", "-m", "work")
        (self.clone / ".dvc/tmp").mkdir(exist_ok=True)
        self.before = snapshot(self.base, (self.clone,))

    def xexp(self, *args: str) -> Done:
        """A verb in the clone, checked: no defect, nothing outside touched, no command run."""
        done = xexp_inside(*args, cwd=self.clone)
        said = done.out + done.err
        assert "this is a bug" not in said, said
        assert "Traceback" not in said, said
        self.untouched()
        return done

    def untouched(self) -> None:
        """Nothing outside changed, and nothing of it is in the clone or a worktree."""
        mine = (self.clone, self.base / "exp-x")
        assert snapshot(self.base, mine) == self.before
        for tree in mine:
            for top, _, files in os.walk(tree):
                for name in files:
                    path = Path(top, name)
                    if not path.is_symlink() and path.is_file():
                        assert SECRET.encode() not in path.read_bytes(), path
        assert not (self.base / "RAN").exists()

    def refused(self, *args: str) -> Done:
        """:meth:`xexp`, which must fail or say what it left out."""
        done = self.xexp(*args)
        assert done.code or done.err, done
        return done
