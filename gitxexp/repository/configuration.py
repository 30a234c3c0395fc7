"""A configuration by itself: parameters with a description and labels, in a file or from Python.

What is written is read back to the same hash. Files are JSON (RFC 8259, and ``NaN`` and ``Infinity`` as
Python's) or TOML 1.0, one configuration or many; nested parameters are nested there. Two forms are
read::

    {"config_hash": "sha256:…", "description": "…", "labels": […], "params": {…}}
    {"feature_names": […], "hyperparameters": {…}, "description": "…", "tags": […]}

In the second, a plain one, everything but ``description``, ``tags`` and ``labels`` is a parameter.
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

#: Keys of what :func:`document` writes; one with others beside ``params`` is a plain form.
KEYS = frozenset(
    ("config_hash", "version", "description", "labels", "params", "metrics", "context", "artifacts",
     "run", "run_commit", "commit", "date", "headline", "data", "code", "parent", "reason", "results",
     "table", "source", "who", "at", "tags")
)  # fmt: skip
#: Of many configurations in one TOML document.
MANY = "experiments"


@dataclass(frozen=True)
class ExperimentConfig:
    """Parameters (nested, or by dotted name), a description and labels.

    Two are the same configuration where their ``config_hash`` is the same.
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
        """The configuration in a JSON, TOML or YAML file. Raises XexpError where it holds none, or
        several."""
        found = read_file(Path(path))
        if len(found) != 1:
            raise XexpError(f"{path} holds {len(found)} configurations", "one is wanted here")
        return found[0]

    def write(self, path: Path | str) -> None:
        """Write it to a ``.json`` or ``.toml`` file, in one step."""
        write_file(Path(path), [document(self)])


def document(found: ExperimentConfig, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A configuration as a file holds it, with ``more`` that is known of it."""
    return {
        **(more or {}),
        "config_hash": found.config_hash,
        "description": found.description,
        "labels": list(found.labels),
        "params": nested(found.params),
    }


def parse(value: Mapping[str, Any]) -> ExperimentConfig:
    """The configuration that a document of either form holds."""
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
    """Parameters with dotted names nested; a name that would be under a value stays dotted."""
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
    """A mapping that dotted names made, and no value of a parameter."""


# -- files ---------------------------------------------------------------------------------------


def form_of(path: Path) -> Form:
    """The form that a file's name asks for. Raises XexpError for another."""
    suffix = path.suffix.lower()
    if suffix in (".json", ".toml"):
        return "json" if suffix == ".json" else "toml"
    raise XexpError(f"{path}: a configuration is written as .json or .toml", "name it so")


def dumped(documents: Sequence[Mapping[str, Any]], form: Form) -> str:
    """Documents as text: one by itself, several as a list. Raises XexpError for what TOML lacks."""
    one = documents[0] if len(documents) == 1 else None
    if form == "json":
        content: Any = list(documents) if one is None else one
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    import tomli_w  # 4 ms that only this form needs

    try:
        return tomli_w.dumps({MANY: list(documents)} if one is None else dict(one))
    except TypeError as error:
        raise XexpError(f"TOML cannot hold it: {error}", "export it as JSON") from error


def write_file(path: Path, documents: Sequence[Mapping[str, Any]]) -> None:
    """Write documents into the file, in one step."""
    from gitxexp.common.files import atomic_write

    text = dumped(documents, form_of(path))
    try:
        with atomic_write(path) as temporary:
            temporary.write_text(text, "utf-8")
    except OSError as error:
        raise XexpError(f"cannot write {path}: {error.strerror}") from error


def read_file(path: Path) -> list[ExperimentConfig]:
    """The configurations in a JSON, TOML or YAML file. Raises XexpError for what is none."""
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
        raise XexpError(f"no such file: {path}") from error
    except OSError as error:
        raise XexpError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise XexpError(
            f"cannot read {path}: {error}", "correct the file, then try again"
        ) from error
