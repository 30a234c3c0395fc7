"""A standalone configuration: parameters with a description and labels, in a file or from Python.

A written file reads back to the same hash. Files are JSON (RFC 8259, with Python's ``NaN`` and
``Infinity``) or TOML 1.0, with one configuration or many; nested parameters stay nested. Two forms
are read::

    {"config_hash": "sha256:…", "description": "…", "labels": […], "params": {…}}
    {"feature_names": […], "hyperparameters": {…}, "description": "…", "tags": […]}

In the second, plain form, everything but ``description``, ``tags`` and ``labels`` is a parameter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gitxexp.common.errors import XexpError
from gitxexp.repository.config_hash import config_hash, flatten
from gitxexp.trackers.files import read_params

Form = Literal["json", "toml"]

#: Keys of what :func:`document` writes; a document with other keys next to ``params`` is in plain
#: form.
KEYS = frozenset(
    ("config_hash", "version", "description", "labels", "params", "metrics", "context", "artifacts",
     "run", "run_commit", "commit", "date", "headline", "data", "code", "parent", "reason", "results",
     "table", "source", "who", "at", "tags")
)  # fmt: skip
#: The key of multiple configurations in one TOML document.
MANY = "experiments"


@dataclass(frozen=True)
class ExperimentConfig:
    """Parameters (nested, or by dotted name), a description and labels.

    Two configurations are the same if their ``config_hash`` is.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(dict.fromkeys(map(str, self.labels))))

    @property
    def config_hash(self) -> str:
        """``sha256:…`` of the parameters: the hash that a tag with these parameters has."""
        return config_hash(self.params)

    @classmethod
    def read(cls, path: Path | str) -> ExperimentConfig:
        """Read the configuration in a JSON, TOML or YAML file. Raises XexpError if it holds none or
        several."""
        found = read_file(Path(path))
        if len(found) != 1:
            raise XexpError(f"{path} holds {len(found)} configurations", "one is expected here")
        return found[0]

    def write(self, path: Path | str) -> None:
        """Write it to a ``.json`` or ``.toml`` file atomically."""
        write_file(Path(path), [document(self)])


def document(found: ExperimentConfig, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a configuration as stored in a file, with ``more`` fields."""
    return {
        **(more or {}),
        "config_hash": found.config_hash,
        "description": found.description,
        "labels": list(found.labels),
        "params": nested(found.params),
    }


def parse(value: Mapping[str, Any]) -> ExperimentConfig:
    """Parse a configuration from a document of either form."""
    params = value.get("params")
    if isinstance(params, Mapping) and value.keys() <= KEYS:
        labels = (*_labels(value.get("labels")), *_labels(value.get("tags")))
        return ExperimentConfig(params, _text(value), labels)
    rest = dict(value)
    given = (*_labels(rest.pop("tags", None)), *_labels(rest.pop("labels", None)))
    description = _text(rest)
    rest.pop("description", None)
    rest.pop("config_hash", None)
    return ExperimentConfig(rest, description, given)


def _text(value: Mapping[str, Any]) -> str:
    found = value.get("description")
    return found if isinstance(found, str) else ""


def _labels(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def nested(params: Mapping[str, Any]) -> dict[str, Any]:
    """Nest parameters by their dotted names; a name that would be below a value stays dotted."""
    tree: dict[str, Any] = {}
    for name, value in sorted(flatten(params).items()):
        *folders, last = name.split(".")
        place = tree
        for folder in folders:
            inner = place.setdefault(folder, _Folder())
            if not isinstance(inner, _Folder):
                break
            place = inner
        else:
            if last not in place:
                place[last] = value
                continue
        tree[name] = value
    return tree


class _Folder(dict[str, Any]):
    """A mapping created from dotted names, as opposed to a parameter's value."""


# -- files ---------------------------------------------------------------------------------------


def form_of(path: Path) -> Form:
    """Return the format for a file name. Raises XexpError for an unknown extension."""
    suffix = path.suffix.lower()
    if suffix in (".json", ".toml"):
        return "json" if suffix == ".json" else "toml"
    raise XexpError(f"{path}: a configuration is written as .json or .toml", "name it so")


def dumped(documents: Sequence[Mapping[str, Any]], form: Form) -> str:
    """Serialise documents: a single one, or several as a list. Raises XexpError for values that
    TOML lacks."""
    one = documents[0] if len(documents) == 1 else None
    if form == "json":
        content: Any = list(documents) if one is None else one
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    import tomli_w  # 4 ms, only needed for this format

    try:
        return tomli_w.dumps({MANY: list(documents)} if one is None else dict(one))
    except TypeError as error:
        raise XexpError(f"TOML cannot hold it: {error}", "export it as JSON") from error


def write_file(path: Path, documents: Sequence[Mapping[str, Any]]) -> None:
    """Write documents to the file atomically."""
    from gitxexp.common.files import atomic_write

    text = dumped(documents, form_of(path))
    try:
        with atomic_write(path) as temporary:
            temporary.write_text(text, "utf-8")
    except OSError as error:
        raise XexpError(f"cannot write {path}: {error.strerror}") from error


def read_file(path: Path) -> list[ExperimentConfig]:
    """The configurations in a JSON, TOML or YAML file. Raises XexpError for an invalid one."""
    return [parse(one) for one in documents_in(path)]


def documents_in(path: Path) -> list[Mapping[str, Any]]:
    """The documents of a file: an object, or a list of them."""
    if path.suffix.lower() == ".json":
        found = read_json(path)
    else:
        found = read_params(path)
        many = found.get(MANY) if set(found) == {MANY} else None
        found = many if isinstance(many, list) else found
    documents: Iterable[Any] = found if isinstance(found, list) else [found]
    if not all(isinstance(one, Mapping) for one in documents):
        raise XexpError(f"{path} holds no configuration", 'expected: {"params": {...}}')
    return list(documents)


def read_json(path: Path) -> Any:
    """The content of a JSON file, which unlike a parameter file may be a list. Raises XexpError."""
    from gitxexp.common import limits
    from gitxexp.common.files import read_file as content_of

    try:
        text = content_of(path).decode("utf-8-sig")
        if wrong := limits.problem(text):
            raise ValueError(f"it {wrong}")
        return json.loads(text)
    except FileNotFoundError as error:
        raise XexpError(f"no such file: {path}", "check the path") from error
    except OSError as error:
        raise XexpError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise XexpError(
            f"cannot read {path}: {error}", "correct the file, then try again"
        ) from error
