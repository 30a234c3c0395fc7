"""Experiments and configurations in a registry, with or without a repository."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import NoAnswer, XexpError, suggestion
from gitxexp.repository import registry
from gitxexp.repository.annotations import Annotations
from gitxexp.repository.config_hash import flatten, same_value
from gitxexp.repository.configuration import ExperimentConfig, document, documents_in, parse
from gitxexp.repository.registry import AnnotationChange, Configuration, Registry
from gitxexp.repository.tag_message import Payload
from gitxexp.workflows.registry.select import now

if TYPE_CHECKING:
    from sqlite_utils import Database

    from gitxexp.repository.repository import Project

_SHA = "sha256:"


@dataclass(frozen=True)
class RegistryConfig:
    """One entry: an experiment (``version``), or a configuration registered without a run."""

    config: ExperimentConfig
    config_hash: str
    version: str = ""
    payload: Payload | None = None
    more: tuple[
        tuple[str, Any], ...
    ] = ()  #: commit and date of a tag; source, who and at otherwise

    @property
    def name(self) -> str:
        """Its name: the version, or the first digits of the hash."""
        return self.version or self.config_hash.removeprefix(_SHA)[:12]

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Metrics by name; none of a configuration that did not run."""
        return self.payload.metrics if self.payload else {}

    def document(self, *, full: bool = False) -> dict[str, Any]:
        """Return it as stored in a file; with ``full`` everything that is known."""
        more: dict[str, Any] = {"version": self.version} if self.version else {}
        if full:
            more |= dict(self.more)
            if self.payload is not None:
                more |= _all_of(self.payload)
        return document(self.config, more) | {"config_hash": self.config_hash}


def _all_of(payload: Payload) -> dict[str, Any]:
    texts = {
        name: getattr(payload, name)
        for name in ("headline", "run", "run_commit", "data", "code", "parent", "reason", "results",
                     "table")
    }  # fmt: skip
    tables = {
        "metrics": {n: v for n, v in payload.metrics.items() if v is not None},
        "context": {n: v for n, v in payload.context.items() if v is not None},
        "artifacts": dict(payload.artifacts),
    }
    return {name: value for name, value in texts.items() if value} | tables


def of_payload(
    version: str, payload: Payload, more: Mapping[str, Any] | None = None
) -> RegistryConfig:
    """An experiment; its hash is the one in its tag, if any."""
    config = ExperimentConfig(payload.params, payload.text, payload.labels)
    hash_ = payload.config_hash or config.config_hash
    return RegistryConfig(config, hash_, version, payload, tuple((more or {}).items()))


def known_in(file: Registry) -> list[RegistryConfig]:
    """All entries of a registry file, experiments first, then configurations, newest first."""
    rows, annotations = file.rows(), Annotations(file.changes())
    found = [of_payload(name, annotations.over(name, row)) for name, row in rows.items()]
    return [*reversed(found), *map(_of_configuration, file.configurations())]


def _of_configuration(found: Configuration) -> RegistryConfig:
    more = {name: getattr(found, name) for name in ("source", "who", "at") if getattr(found, name)}
    config = ExperimentConfig(found.params, found.description, found.labels)
    return RegistryConfig(config, found.hash, "", None, tuple(more.items()))


def known_to(project: Project) -> list[RegistryConfig]:
    """All entries of a repository: its tags, entries only in the registry, and configurations."""
    from datetime import UTC, datetime

    tagged = [
        of_payload(
            one.name,
            one.payload,
            {"commit": one.commit, "date": datetime.fromtimestamp(one.date, UTC).isoformat()},
        )
        for one in project.experiments()
    ]
    if project.places.top is None:
        return tagged
    names = {one.version for one in tagged}
    return [*tagged, *(one for one in known_in(project.registry) if one.version not in names)]


def find(entries: Sequence[RegistryConfig], name: str) -> RegistryConfig:
    """Return the entry for a version, a run or a hash prefix (at least 4 characters); of several
    with the same configuration the first.

    Raises XexpError with the candidates for an ambiguous prefix, or similar names for an unknown
    one.
    """
    digits = name.removeprefix(_SHA).lower()
    for matches in (
        [one for one in entries if one.version == name],
        [one for one in entries if one.payload and one.payload.run == name],
        _by_start(entries, digits),
    ):
        if len({one.config_hash for one in matches}) == 1:
            return matches[0]
        if matches:
            listed = [f"{one.name}  {one.config_hash[:19]}  {_words(one)}" for one in matches[:10]]
            raise XexpError(f"'{name}' is ambiguous; it may be", "\n".join(listed))
    if re.fullmatch("[0-9a-f]{1,3}", digits):
        raise XexpError(f"'{name}' is too short for a hash prefix", "give at least 4 characters")
    raise XexpError(
        f"the registry has no '{name}'",
        suggestion(name, [one.name for one in entries], "git xexp registry list lists what it has"),
    )


def _by_start(entries: Sequence[RegistryConfig], digits: str) -> list[RegistryConfig]:
    if not re.fullmatch("[0-9a-f]{4,64}", digits):
        return []
    return [one for one in entries if one.config_hash.startswith(_SHA + digits)]


def _words(one: RegistryConfig) -> str:
    return one.config.description or (one.payload.headline if one.payload else "")


def configuration(project: Project, name: str) -> ExperimentConfig:
    """Return the configuration for a file, a version or a hash prefix."""
    if Path(name).is_file():
        return ExperimentConfig.read(name)
    return find(known_to(project), name).config


@dataclass(frozen=True)
class ParamChange:
    """A parameter that differs between two entries; None if one lacks it."""

    name: str
    before: Any
    after: Any


def differing(before: RegistryConfig, after: RegistryConfig) -> list[ParamChange]:
    """The parameters that differ."""
    one, other = flatten(before.config.params), flatten(after.config.params)
    return [
        ParamChange(name, one.get(name), other.get(name))
        for name in sorted({*one, *other})
        if not same_value(one.get(name), other.get(name))
    ]


# -- changing a registry ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ImportedConfig:
    """A configuration that was read: ``known`` are the versions that have it, ``new`` says whether
    the registry did not have it, ``edited`` whether it differs from the hash in its file."""

    config: ExperimentConfig
    source: str
    known: tuple[str, ...]
    new: bool
    edited: bool


def read_configs(entries: Sequence[RegistryConfig], files: Iterable[Path]) -> list[ImportedConfig]:
    """The configurations of files, and whether they are known. Raises XexpError for an invalid one."""
    hashes = {one.config_hash for one in entries}
    found = []
    for file in files:
        for one in documents_in(file):
            config = parse(one)
            hash_ = config.config_hash
            said = one.get("config_hash")
            versions = tuple(e.version for e in entries if e.version and e.config_hash == hash_)
            edited = isinstance(said, str) and said not in ("", hash_)
            found.append(ImportedConfig(config, file.name, versions, hash_ not in hashes, edited))
            hashes.add(hash_)
    return found


def put_configs(db: Database, found: Iterable[ImportedConfig], who: str) -> None:
    """Register those that are new."""
    for one in found:
        if one.new:
            row = Configuration(
                one.config.config_hash, flatten(one.config.params), one.config.description,
                one.config.labels, one.source, who, now(),
            )  # fmt: skip
            registry.put_configuration(db, row)


def relabelled(
    db: Database,
    entries: Iterable[RegistryConfig],
    add: Sequence[str],
    remove: Sequence[str],
    text: str | None,
    who: str,
) -> None:
    """Label entries, and describe them if ``text`` is given."""
    at = now()
    for one in entries:
        if one.version:
            signs = [("+", label) for label in add if label not in one.config.labels]
            signs += [("-", label) for label in remove if label in one.config.labels]
            signs += [("text", text)] if text is not None else []
            registry.add_changes(
                db, [AnnotationChange(one.version, at, *sign, who) for sign in signs]
            )
            continue
        labels = [label for label in (*one.config.labels, *add) if label not in remove]
        more = dict(one.more)
        row = Configuration(
            one.config_hash, flatten(one.config.params),
            one.config.description if text is None else text, tuple(dict.fromkeys(labels)),
            more.get("source", ""), more.get("who", ""), more.get("at", ""),
        )  # fmt: skip
        registry.put_configuration(db, row)


def deleted(db: Database, entries: Iterable[RegistryConfig]) -> None:
    """Delete entries: experiments with their labels and descriptions, and configurations."""
    for one in entries:
        if one.version:
            registry.delete(db, one.version)
        else:
            registry.remove_configuration(db, one.config_hash)


@contextmanager
def rewriting(file: Registry) -> Iterator[Database]:
    """The registry in a file outside a repository, locked against other writers."""
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise XexpError(f"cannot write {file.path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with file.rewrite() as db:
            yield db
    finally:
        os.close(descriptor)


def existing(path: Path) -> Registry:
    """The registry in a file. Raises NoAnswer if there is none."""
    if not path.exists():
        raise NoAnswer(f"no such registry: {path}", "git xexp registry import FILE --db makes one")
    return Registry(path)
