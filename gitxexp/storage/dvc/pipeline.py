"""What pipelines declare: parameters, metrics, plots, models, and the outputs of their stages.

Formats: dvc.org/doc/user-guide/project-structure/dvcyaml-files. ``dvc.yaml`` has templates
(``foreach``, ``matrix``, ``${…}``); ``dvc.lock`` holds the resolved paths, which are used if it
exists. Only a stage's ``wdir`` is not in the lock and is resolved here, by the rules of
dvc/parsing.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.common.notes import note
from gitxexp.storage import paths
from gitxexp.storage.dvc import plain_yaml
from gitxexp.storage.git import DVC_FILES, Git
from gitxexp.storage.paths import Refused, shown

#: ``read(paths)`` returns the content of those paths that exist.
Reader = Callable[[Iterable[str]], Mapping[str, bytes]]

_TEMPLATE = re.compile(r"\$\{\s*([^{}]+?)\s*\}")
_STEP = re.compile(r"[^.\[\]]+")
_MOST_STAGES = 10_000  #: combinations of one matrix


class Declared(NamedTuple):
    """Paths relative to the top of the work tree."""

    params: tuple[tuple[str, tuple[str, ...]], ...] = ()  #: file → keys; () means the whole file
    metrics: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    models: frozenset[str] = frozenset()
    produced: frozenset[str] = frozenset()  #: outputs of stages, whatever they are
    locks: tuple[str, ...] = ()  #: the ``dvc.lock`` files


class Pipelines:
    """The pipelines of the work tree at ``top``, read on first use; if ``own`` is given, only those
    whose file paths it accepts."""

    def __init__(self, top: Path, own: Callable[[str], bool] | None = None) -> None:
        self.top, self._own = top, own

    @cached_property
    def declared(self) -> Declared:
        """What all of them declare. An unreadable one is skipped with a note."""
        return _declared(self.top, self._own)

    def is_measure(self, path: str) -> bool:
        """Return whether a file is, or is inside, a declared metric or plot."""
        return _covers(self._measures, path)

    def is_model(self, path: str) -> bool:
        """Return whether a file is declared a model."""
        return path in self.declared.models

    def is_produced(self, path: str) -> bool:
        """Return whether a file is, or is inside, the output of a stage."""
        return _covers(self.declared.produced, path)

    def is_params(self, path: str) -> bool:
        """Return whether a file is declared as a parameter file at the top level of a ``dvc.yaml``."""
        return any(name == path for name, _ in self.declared.params)

    @cached_property
    def _measures(self) -> frozenset[str]:
        return frozenset((*self.declared.metrics, *self.declared.plots))


def _covers(known: frozenset[str], path: str) -> bool:
    while path:
        if path in known:
            return True
        path = posixpath.dirname(path)
    return False


class _Collected(NamedTuple):
    params: dict[str, tuple[str, ...]]
    metrics: dict[str, None]
    plots: dict[str, None]
    models: set[str]
    produced: set[str]


def _declared(top: Path, own: Callable[[str], bool] | None) -> Declared:
    names = [
        name
        for name in Git(top).fields(*DVC_FILES)
        if posixpath.basename(name) in ("dvc.yaml", "dvc.lock") and (own is None or own(name))
    ]

    def read(names: Iterable[str]) -> dict[str, bytes]:
        texts = {}
        for name in names:
            with suppress(OSError, Refused):
                texts[name] = paths.read(top, name)
        return texts

    collected = _Collected({}, {}, {}, set(), set())
    for folder in sorted({posixpath.dirname(name) for name in names}):
        try:
            _collect(folder, read, collected)
        except XexpError as error:
            note(f"{error.message}; that pipeline is left out")
    return Declared(
        tuple(collected.params.items()),
        tuple(collected.metrics),
        tuple(collected.plots),
        frozenset(collected.models),
        frozenset(collected.produced),
        tuple(name for name in names if posixpath.basename(name) == "dvc.lock"),
    )


def _collect(folder: str, read: Reader, found: _Collected) -> None:
    pipeline, lock = posixpath.join(folder, "dvc.yaml"), posixpath.join(folder, "dvc.lock")
    texts = read([pipeline, lock])
    definition = mapping(pipeline, texts.get(pipeline, b""))
    place = _Place(folder, pipeline)
    for path, keys in _params(definition.get("params")):
        place.put(found.params, path, keys)
    for entry in _list(definition.get("metrics")):
        place.put(found.metrics, next(iter(_named(entry)), ("", {}))[0], None)
    for path in _plots(definition.get("plots")):
        place.put(found.plots, path, None)
    artifacts = definition.get("artifacts")
    for artifact in artifacts.values() if isinstance(artifacts, dict) else ():
        if isinstance(artifact, dict) and str(artifact.get("type", "")).lower() == "model":
            found.models.update(place.path(artifact.get("path")))
    locked = mapping(lock, texts.get(lock, b""))
    stages = locked.get("stages", {}) if "schema" in locked else locked
    bodies = definition.get("stages")
    ran = (
        {k: v for k, v in stages.items() if isinstance(k, str)} if isinstance(stages, dict) else {}
    )
    waiting = [k for k in bodies if isinstance(k, str)] if isinstance(bodies, dict) else []
    for stage in dict.fromkeys((*ran, *waiting)):
        body = stage_body(definition, stage) if waiting else None
        if body is None:
            continue
        wdir = fill(body.get("wdir"), stage, folder, definition, read)
        if wdir is not None and not isinstance(wdir, str):
            continue
        _stage(_Place(join(folder, wdir), pipeline), body, ran.get(stage), found)


def _stage(place: _Place, body: Mapping[str, Any], ran: Any, found: _Collected) -> None:
    """What one stage wrote (``ran``: its lock entry) or, without a lock entry, is going to write."""
    flags = list(output_flags(body))
    if isinstance(ran, dict):
        entries = [entry for entry in _list(ran.get("outs")) if isinstance(entry, dict)]
        outs = [str(entry["path"]) for entry in entries if entry.get("path")]
    else:
        outs = [f.texts[0] for f in flags if len(f.texts) == 1]
    for name in outs:
        match = next((f for f in flags if f.fits(name)), None)
        for path in place.path(name):
            found.produced.add(path)
            if match is None:
                continue
            if match.kind == "metrics":
                found.metrics.setdefault(path)
            elif match.kind == "plots":
                found.plots.setdefault(path)
            if str(match.flags.get("type", "")).lower() == "model":
                found.models.add(path)


class _Place(NamedTuple):
    """The folder that paths are relative to, and the file that names them."""

    folder: str
    pipeline: str

    def path(self, name: Any) -> Iterator[str]:
        """Return the path from the top; None, with a note, if it leaves the work tree."""
        if not isinstance(name, str) or not name or "${" in self.folder + name:
            return
        try:
            yield paths.tracked(name if "://" in name else join(self.folder, name), self.pipeline)
        except Refused as error:
            note(f"{error.message}; it is left out")

    def put(self, into: dict[str, Any], name: Any, value: Any) -> None:
        """Add a path to the declarations."""
        for path in self.path(name):
            into.setdefault(path, value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _named(entry: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return ``path`` or ``path: {flags}`` as a pair."""
    if isinstance(entry, dict):
        for name, flags in entry.items():
            yield str(name), flags if isinstance(flags, dict) else {}
    elif isinstance(entry, str):
        yield entry, {}


def _params(entries: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    for entry in _list(entries):
        if isinstance(entry, str):
            yield entry, ()
        elif isinstance(entry, dict):
            for name, keys in entry.items():
                yield str(name), tuple(str(key) for key in _list(keys))


def _plots(entries: Any) -> Iterator[str]:
    """Return plot files: an entry's own name, or those named by its ``x`` and ``y``."""
    listed = [{k: v} for k, v in entries.items()] if isinstance(entries, dict) else _list(entries)
    for entry in listed:
        for name, flags in _named(entry):
            files = [
                f for axis in ("x", "y") if isinstance(flags.get(axis), dict) for f in flags[axis]
            ]
            yield from map(str, files or [name])


class OutputFlags(NamedTuple):
    """One declared output of a stage: its path as the literal texts between templates."""

    kind: str  #: outs, metrics or plots
    texts: list[str]
    flags: dict[str, Any]

    def fits(self, path: str) -> bool:
        """Return whether a path contains these texts in order, with something between any two."""
        if len(self.texts) == 1:
            return path == self.texts[0]
        first, *middle, last = self.texts
        end = len(path) - len(last)
        if not (path.startswith(first) and path.endswith(last) and len(first) < end):
            return False
        at = len(first)
        for text in middle:
            at = path.find(text, at + 1, end - 1)
            if at < 0:
                return False
            at += len(text)
        return at < end


def output_flags(body: Mapping[str, Any]) -> Iterator[OutputFlags]:
    """Return the outputs that a stage's definition declares."""
    for kind in ("outs", "metrics", "plots"):
        for entry in _list(body.get(kind)):
            for name, flags in _named(entry):
                yield OutputFlags(kind, re.split(r"\$\{[^}]*\}", name), flags)


def stage_body(definition: Mapping[str, Any] | None, stage: str) -> dict[str, Any] | None:
    """Return a stage's definition, including ``foreach`` and ``matrix`` groups; None if it is gone."""
    if definition is None:
        return {}
    group = _group(definition, stage)
    inner = group.get("do", group) if group is not None else None
    return inner if isinstance(inner, dict) else None


def _group(definition: Mapping[str, Any], stage: str) -> dict[str, Any] | None:
    stages = definition.get("stages")
    if not isinstance(stages, dict):
        return None
    group = stages.get(stage) or stages.get(stage.partition("@")[0])
    return group if isinstance(group, dict) else None


def fill(
    template: Any, stage: str, folder: str, definition: Mapping[str, Any] | None, read: Reader
) -> Any:
    """Resolve the templates in a text; unknown ones stay as they are."""
    if not isinstance(template, str) or "${" not in template:
        return template
    definition = definition or {}
    values = _values(definition, folder, read)
    group = _group(definition, stage) or {}
    values |= _item(group, stage.partition("@")[2], values)
    return _TEMPLATE.sub(lambda m: _text(_look_up(m.group(1), values), m.group(0)), template)


def _text(value: Any, otherwise: str) -> str:
    return otherwise if value is None or isinstance(value, dict | list) else str(value)


def _values(definition: Mapping[str, Any], folder: str, read: Reader) -> dict[str, Any]:
    """Return what templates may refer to: params.yaml, then the files and values of ``vars``."""
    params = posixpath.join(folder, "params.yaml")
    values = mapping(params, read([params]).get(params, b""))
    for entry in _list(definition.get("vars")):
        if isinstance(entry, dict):
            values.update(entry)
        elif isinstance(entry, str):
            name, _, keys = entry.partition(":")
            path = join(folder, name)
            if paths.problem(path) is None and name.endswith((".yaml", ".yml", ".json")):
                more = mapping(path, read([path]).get(path, b""))
                wanted = [key.strip() for key in keys.split(",") if key.strip()]
                values.update({k: v for k, v in more.items() if not wanted or k in wanted})
    return values


def _look_up(name: str, values: Mapping[str, Any]) -> Any:
    value: Any = values
    for step in _STEP.findall(name):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _resolved(value: Any, values: Mapping[str, Any]) -> Any:
    whole = _TEMPLATE.fullmatch(value) if isinstance(value, str) else None
    return _look_up(whole.group(1), values) if whole else value


def _item(group: Mapping[str, Any], key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``item`` and ``key`` of one stage in a group (``ForeachDefinition`` and
    ``MatrixDefinition`` of dvc/parsing/__init__.py)."""
    if "foreach" in group:
        data = _resolved(group["foreach"], values)
        if isinstance(data, dict):
            named = {_key(name): value for name, value in data.items()}
            return {"item": named.get(key), "key": key}
        if isinstance(data, list) and any(isinstance(value, dict | list) for value in data):
            return {"item": data[int(key)] if key.isdigit() and int(key) < len(data) else None}
        return {"item": key}
    matrix = group.get("matrix")
    if isinstance(matrix, dict):
        lists = {name: _list(_resolved(value, values)) for name, value in matrix.items()}
        pairs = itertools.product(*(enumerate(entries) for entries in lists.values()))
        for combination in itertools.islice(pairs, _MOST_STAGES):
            if _matrix_key(list(lists), combination) == key:
                chosen = (value for _, value in combination)
                return {"item": dict(zip(lists, chosen, strict=True)), "key": key}
    return {"item": key, "key": key}


def _matrix_key(names: Sequence[Any], combination: Sequence[tuple[int, Any]]) -> str:
    return "-".join(
        f"{name}{at}" if isinstance(value, dict | list) else _key(value)
        for name, (at, value) in zip(names, combination, strict=True)
    )


def _key(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def mapping(path: str, text: bytes) -> dict[str, Any]:
    """Return the value of a DVC file; raises XexpError naming the file if it is invalid."""
    try:
        value = plain_yaml.load(text.decode("utf-8"), path)
    except UnicodeDecodeError as error:
        raise XexpError(
            f"{path} is not UTF-8 text", f"restore it: git checkout -- {path}"
        ) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise XexpError(f"{shown(path)} is not a DVC file", f"restore it: git checkout -- {path}")
    return value


#: Sections of a ``dvc.yaml`` that say what is shown of a run; DVCLive writes them as it ends (its
#: ``make_dvcyaml``).
_SHOWN = frozenset(("artifacts", "metrics", "params", "plots"))


def runs_alike(git: Git, path: str, old: str, new: str | None = None) -> bool:
    """Return whether ``path`` is a ``dvc.yaml`` that runs the same stages in commit ``old`` and in
    ``new`` (None: in the work tree, at whose top ``git`` stands)."""
    if posixpath.basename(path) != "dvc.yaml":
        return False
    try:
        texts = (git.blob(old, path), git.blob(new, path) if new else paths.read(git.cwd, path))
        before, after = (mapping(path, text) for text in texts if text is not None)
    except (OSError, ValueError, XexpError):  # invalid, or in one of them alone
        return False
    return all(before.get(key) == after.get(key) for key in {*before, *after} - _SHOWN)


def join(folder: str, path: Any) -> str:
    """Return a path relative to the top; "" is the top itself."""
    joined = posixpath.normpath(posixpath.join(folder, str(path))) if path else folder
    return "" if joined == "." else joined
