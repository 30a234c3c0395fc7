"""``explore verify``: check which claims of past tags hold.

A tag names parameters, metrics, a run and the hashes of its outputs, and points at a commit. Tags of
earlier releases, and those made by hand, were not checked when they were made.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.text import some
from gitxexp.repository.config_hash import config_hash, flatten
from gitxexp.repository.registry import same
from gitxexp.repository.repository import Project
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.tags import Experiment
from gitxexp.storage.dvc import pointers
from gitxexp.storage.dvc.changes import file_hashes
from gitxexp.storage.dvc.places import cache_dirs
from gitxexp.storage.dvc.pointers import Output
from gitxexp.storage.filters import as_files
from gitxexp.storage.objects import find_object, matches
from gitxexp.trackers.files import read_metrics, read_params
from gitxexp.trackers.stamps import linked
from gitxexp.workflows.experiments import stores
from gitxexp.workflows.experiments.binding import differing_metrics, differing_params
from gitxexp.workflows.explore.show import experiment_of


class Verdict(StrEnum):
    """Whether a claim holds; ``unknown`` if the data to check it against is not here."""

    HOLDS = "holds"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Claim:
    """One claim of a tag, by name, and the result of checking it."""

    name: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True)
class Verified:
    """The claims of one experiment."""

    version: str
    claims: tuple[Claim, ...]

    @property
    def wrong(self) -> bool:
        """Whether any claim is wrong."""
        return any(claim.verdict is Verdict.WRONG for claim in self.claims)


def verify(project: Project, names: Sequence[str] = (), *, again: bool = True) -> list[Verified]:
    """Return the experiments that ``names`` refer to (default: all), each with its claims.

    Reads the repository and the local caches; asks no remote. Unless ``again``, a cache object that
    was read before and has the same stat is not read again. Raises XexpError for an unknown name.
    """
    known = project.tags_as_made()
    chosen = [experiment_of(project, name, known)[0] for name in names] or known.experiments
    rows = _registry(project)
    with tempfile.TemporaryDirectory(prefix="git-xexp-") as folder:
        return [
            Verified(one.name, tuple(_Check(project, one, Path(folder), rows, again).claims()))
            for one in chosen
        ]


def _registry(project: Project) -> Mapping[str, Payload]:
    return project.registry.rows() if project.places.top is not None else {}


@dataclass
class _Check:
    project: Project
    experiment: Experiment
    folder: Path
    registry: Mapping[str, Payload]
    again: bool
    outputs: dict[str, Output] = field(default_factory=dict)

    def claims(self) -> Iterator[Claim]:
        """Each claim that the tag makes."""
        payload = self.experiment.payload
        found = pointers.outputs_at(self.project.git, self.experiment.commit)
        self.outputs = {output.path: output for output in found}
        if payload.artifacts:
            yield self._artifacts(payload.artifacts)
        if payload.params:
            yield from self._files("params", self.project.config.params_files)
        if payload.metrics:
            yield from self._files("metrics", self.project.config.metrics_files)
        if payload.config_hash:
            same = config_hash(payload.params) == payload.config_hash
            detail = "" if same else f"the parameters give {config_hash(payload.params)[:19]}"
            yield Claim("config hash", Verdict.HOLDS if same else Verdict.WRONG, detail)
        if payload.run:
            yield self._run(payload)
        if not payload.handwritten:
            yield self._row(payload)

    def _artifacts(self, artifacts: Mapping[str, str]) -> Claim:
        """The hashes against the pointers of the commit and the objects in the caches."""
        others = pointers.contents(self.outputs.values())
        wrong = [path for path, oid in artifacts.items() if others.get(path) != oid]
        if wrong:
            return Claim("artifacts", Verdict.WRONG, f"the commit has another {some(wrong, 3)}")
        corrupt, absent = [], []
        for path in artifacts:
            output = self.outputs[path]
            object_ = self._object(output)
            if object_ is None:
                absent.append(path)
            elif not self._matches(object_, output):
                corrupt.append(path)
        if corrupt:
            return Claim("artifacts", Verdict.WRONG, f"corrupt in the cache: {some(corrupt, 3)}")
        if absent:
            return Claim("artifacts", Verdict.UNKNOWN, f"not in the cache: {some(absent, 3)}")
        return Claim("artifacts", Verdict.HOLDS)

    def _matches(self, path: Path, output: Output) -> bool:
        """Whether a cache object is intact."""
        oid = output.oid or ""
        if self.again:
            return matches(path, oid, output.legacy)
        asked = [(path, output.legacy)]
        return file_hashes(self.project.top, asked, self.project.stat_cache)[
            path
        ] == oid.removesuffix(".dir")

    def _object(self, output: Output) -> Path | None:
        if output.oid is None or self.project.places.top is None:
            return None
        caches = cache_dirs(self.project.top / output.root)
        return find_object(caches, output.oid, output.legacy)

    def _files(self, kind: str, names: Sequence[str]) -> Iterator[Claim]:
        """The parameter or metrics files of the commit against what the tag says."""
        payload = self.experiment.payload
        for name in names:
            try:
                path = self._content(name)
                if path is None:
                    continue
                if kind == "params":
                    wrong = [*differing_params(name, flatten(read_params(path)), payload.params)]
                else:
                    values = flatten(read_metrics(path))
                    wrong = [*differing_metrics(name, values, payload.metrics)]
            except XexpError as error:
                yield Claim(name, Verdict.UNKNOWN, error.message)
                continue
            if wrong:
                more = f" (and {len(wrong) - 1} more)" if wrong[1:] else ""
                yield Claim(name, Verdict.WRONG, f"{wrong[0]}{more}")
            else:
                yield Claim(name, Verdict.HOLDS)

    def _content(self, name: str) -> Path | None:
        """Return a file of the commit under its own name; None if the commit does not have it.

        Raises XexpError if DVC tracks it but the cache lacks it.
        """
        copy = self.folder / self.experiment.name / PurePosixPath(name).name
        copy.parent.mkdir(parents=True, exist_ok=True)  # a version with a prefix is a path
        output = self.outputs.get(name)
        if output is not None and output.cached:
            source = self._object(output)
            if source is None:
                raise XexpError(f"{name} is not in the cache", "dvc fetch --all-tags")
            shutil.copyfile(source, copy)
            return copy
        blob = next(self.project.git.cat([f"{self.experiment.commit}:{name}"]), None)
        if blob is None or blob[1] != "blob":
            return None
        copy.write_bytes(as_files(self.project.commits, [(name, blob[0], blob[2])])[0])
        return copy

    def _run(self, payload: Payload) -> Claim:
        """Whether the results of the work tree have the run, and under this version."""
        if self.project.places.top is None:
            return Claim("run", Verdict.UNKNOWN, "a bare repository has no results")
        paths = stores.databases(self.project.top, self.project.config)
        for path in paths:
            commits = [payload.run_commit or self.experiment.commit]
            try:
                found = linked(path, self.experiment.name, payload.run, commits)
            except XexpError:
                continue
            if found:
                return Claim("run", Verdict.HOLDS)
        return Claim("run", Verdict.UNKNOWN, f"no rows of {payload.run} in the results here")

    def _row(self, payload: Payload) -> Claim:
        """The registry's row against the tag."""
        if self.project.places.top is None:
            return Claim("registry", Verdict.UNKNOWN, "a bare repository has none")
        row = self.registry.get(self.experiment.name)
        if row is None:
            return Claim("registry", Verdict.UNKNOWN, "no row: git xexp registry rebuild")
        names = ("config_hash", "data", "run", "params", "metrics", "artifacts")
        other = [name for name in names if not same(_value(row, name), _value(payload, name))]
        if other:
            return Claim("registry", Verdict.WRONG, f"its row has another {some(other, 3)}")
        return Claim("registry", Verdict.HOLDS)


def _value(payload: Payload, name: str) -> Any:
    value = getattr(payload, name)
    return dict(value) if isinstance(value, Mapping) else value
