"""The content of one file of a commit, as a file that may be read and must not be changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gitxexp import dvcio, pointers
from gitxexp.dvcio.objects import matches
from gitxexp.pointers import Output
from gitxexp.project import Project


@dataclass
class Contents:
    """Files of commits: sound cache objects as they lie there, anything else in ``folder``."""

    project: Project
    folder: Path  #: a private one, the caller's to remove
    progress: Callable[[int, int, str], None] | None = None
    _outputs: dict[str, dict[str, Output]] = field(default_factory=dict)
    _caches: dict[str, list[Path]] = field(default_factory=dict)
    _count: int = 0

    def outputs(self, commit: str) -> dict[str, Output]:
        """The DVC outputs of a commit by path."""
        if commit not in self._outputs:
            found = pointers.outputs_at(self.project.at_top, commit)
            self._outputs[commit] = {out.path: out for out in found if out.cached}
        return self._outputs[commit]

    def at(self, commit: str, path: str) -> Path | None:
        """The file ``path`` of ``commit``; None where the commit has no such file.

        Raises XexpError when it has one and no place has a sound copy of it.
        """
        out = self.outputs(commit).get(path)
        if out is not None and out.oid and not out.is_dir:
            cached = self.cached(out)
            if cached is not None:
                return cached
        elif out is None and not self._known(commit, path):
            return None
        return self._get(commit, path)

    def cached(self, out: Output) -> Path | None:
        """The object of an output in the nearest cache whose copy is what its name says."""
        assert out.oid is not None
        for cache in self.caches(out.root):
            file = dvcio.object_path(cache, out.oid, out.legacy)
            if file.is_file() and matches(file, out.oid, out.legacy):
                return file
        return None

    def caches(self, root: str) -> list[Path]:
        """The caches of one DVC project, this work tree's first."""
        if root not in self._caches:
            others = [tree / root for tree in self.project.tops() if tree != self.project.top]
            self._caches[root] = dvcio.cache_dirs(self.project.top / root, others)
        return self._caches[root]

    def _known(self, commit: str, path: str) -> bool:
        entries = self.project.at_top.ls_tree(commit, path)
        if any(entry.kind == "blob" for entry in entries):
            return True
        return any(path.startswith(out + "/") for out in self.outputs(commit))

    def _get(self, commit: str, path: str) -> Path:
        from gitxexp import artifacts  # late: only for what neither a cache nor this module has

        self._count += 1
        target = self.folder / str(self._count) / Path(path).name
        request = artifacts.Request(commit, (path,), out=target, force=True)
        at_top = Project(self.project.at_top, self.project.places._replace(prefix=""))
        artifacts.get(at_top, request, self.progress)
        return target
