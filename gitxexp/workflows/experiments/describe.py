"""Describe and number an experiment: artifact roles, data hash, headline, level.

Pure functions of the collected data; nothing here reads a file.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from gitxexp.common.files import DATABASES
from gitxexp.repository import tag_message
from gitxexp.repository.config import Config
from gitxexp.repository.config_hash import same_value
from gitxexp.repository.tag_message import Payload
from gitxexp.repository.version import Level
from gitxexp.trackers import column_names

_MODEL_SUFFIXES = frozenset(
    (".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".onnx", ".safetensors", ".h5", ".keras",
     ".ckpt", ".gguf", ".tflite", ".model", ".cbm", ".ubj", ".pb", ".mlmodel")
)  # fmt: skip
_MODEL_FOLDERS = frozenset(("models", "model", "checkpoints", "weights"))
_DATA_FOLDERS = frozenset(("data", "dataset", "datasets"))

#: How many parameters and metrics a headline names when nothing is configured.
_MOST_PARAMS = 4
_MOST_METRICS = 2
#: How many more parameters it names because they changed.
_MOST_CHANGED = 4


#: What stages write as DVC metrics and plots (``dvclive/metrics.json``, ``eval/plots/roc.json``):
#: it differs in every run, so as data it would make every version a major one.
_MEASURES = frozenset(
    ("metrics", "metric", "scores", "score", "plots", "plot", "dvclive", "eval", "evaluation",
     "report", "reports", "roc", "confusion", "summary", "stats")
)  # fmt: skip
_MEASURE_SUFFIXES = frozenset(
    (".json", ".yaml", ".yml", ".toml", ".jsonl", ".csv", ".tsv", ".png", ".svg", ".jpg", ".html", ".md",
     ".txt", "")
)  # fmt: skip


class OutputRole(StrEnum):
    """What a DVC output is to an experiment."""

    DATA = "data"
    MODEL = "model"
    RESULTS = "results"


def role(path: str, config: Config) -> OutputRole:
    """The role of the output at ``path``: by configuration, else by what DVC's pipelines declare,
    else by its folder and suffix. Stage outputs are not source data."""
    if _matches(path, config.results_databases):
        return OutputRole.RESULTS
    if config.data_paths and _matches(path, config.data_paths):
        return OutputRole.DATA
    if _matches(path, config.models_paths):
        return OutputRole.MODEL
    pure = PurePosixPath(path.removeprefix(f"{config.folder}/") if config.folder else path)
    declared = _declared(path, pure, config)
    if declared is not None:
        return declared
    if pure.parts[0] in _DATA_FOLDERS:
        return OutputRole.DATA
    if pure.suffix.lower() in DATABASES or pure.parts[0] == "results":
        return OutputRole.RESULTS
    if _matches(path, config.metrics_files) or _is_measure(pure):
        return OutputRole.RESULTS
    if pure.suffix.lower() in _MODEL_SUFFIXES or _MODEL_FOLDERS & set(pure.parts):
        return OutputRole.MODEL
    return OutputRole.RESULTS if config.data_paths else OutputRole.DATA


def _declared(path: str, pure: PurePosixPath, config: Config) -> OutputRole | None:
    """The role that a pipeline gives the file; None if no pipeline produces or names it."""
    if config.pipelines is None:
        return None
    pipelines = config.pipelines.read
    if pipelines.is_model(path):
        return OutputRole.MODEL
    if pipelines.is_measure(path):
        return OutputRole.RESULTS
    if not pipelines.is_produced(path):
        return None
    named = pure.suffix.lower() in _MODEL_SUFFIXES and pure.parts[0] not in _DATA_FOLDERS
    return OutputRole.MODEL if named or _MODEL_FOLDERS & set(pure.parts) else OutputRole.RESULTS


def _is_measure(path: PurePosixPath) -> bool:
    named = any(
        not _MEASURES.isdisjoint(column_names.words(part)) for part in path.with_suffix("").parts
    )
    return named and path.suffix.lower() in _MEASURE_SUFFIXES


def data_outputs(artifacts: Mapping[str, str], config: Config) -> dict[str, str]:
    """The artifacts that are data."""
    return {path: oid for path, oid in artifacts.items() if role(path, config) is OutputRole.DATA}


def data_hash(data: Mapping[str, str]) -> str:
    """Six hex digits for the data, or ``none``.

    One output: the first six of its own md5, so that it can be checked by eye. Several: the first
    six of the SHA-256 of the sorted lines ``md5:… path``.
    """
    if not data:
        return "none"
    if len(data) == 1:
        digits = next(iter(data.values())).partition(":")[2][:6]
        if re.fullmatch("[0-9a-f]{6}", digits):
            return digits
    import hashlib  # late: 3 ms, and a listing computes no hash

    lines = "".join(f"{oid} {path}\n" for path, oid in sorted(data.items()))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()[:6]


def headline(
    params: Mapping[str, Any],
    metrics: Mapping[str, Any],
    data: str,
    text: str,
    config: Config,
    changed: Iterable[str] = (),
) -> str:
    """``model=… | lr=… | f1=… | data=3a2f1b | text``; ``changed`` names are always included."""
    shown: dict[str, str] = {}
    for name in _key_params(params, config, changed):
        short, value = column_names.bare(name), tag_message.show(params[name])
        shown[short if shown.get(short, value) == value else name] = value
    for name in key_metrics(metrics, config):
        shown[name] = _rounded(metrics[name])
    shown["data"] = data
    return tag_message.headline(shown, text)


def prose(line: str) -> str:
    """The part of a headline that is not ``name=value``."""
    parts = [part.strip() for part in line.split("|")]
    return tag_message.SEPARATOR.join(
        part for part in parts if part and "=" not in part.split(" ")[0]
    )


def key_metrics(metrics: Mapping[str, Any], config: Config) -> list[str]:
    """The metrics to name first: the configured ones, else the primary and one more."""
    if config.metrics_key:
        return [name for name in config.metrics_key if name in metrics]
    primary = primary_metric(metrics, config)
    rest = [name for name in column_names.key_metrics_order(metrics) if name != primary]
    return [*([primary] if primary else []), *rest][:_MOST_METRICS]


def primary_metric(metrics: Iterable[str], config: Config) -> str | None:
    """The ranking metric: the configured one, else the best known by name, else the first."""
    names = list(metrics)
    if config.metrics_primary:
        return config.metrics_primary if config.metrics_primary in names else None
    return next(iter(column_names.key_metrics_order(names)), None)


def maximize(config: Config, metric: str) -> bool:
    """Whether more of ``metric`` is better: by configuration, else by its name."""
    overrides = dict.fromkeys(config.metrics_maximize, True) | dict.fromkeys(
        config.metrics_minimize, False
    )
    return column_names.maximize(metric, overrides)


def _key_params(
    params: Mapping[str, Any], config: Config, changed: Iterable[str] = ()
) -> list[str]:
    """The parameters to name: the configured ones, else the best known, and what changed."""
    new = column_names.key_params_order(name for name in changed if name in params)
    if config.params_key:
        wanted = [find_param(params, name) for name in config.params_key]
        return list(dict.fromkeys([*(name for name in wanted if name), *new[:_MOST_CHANGED]]))
    model = find_model(params, config)
    known = [
        name for name in column_names.key_params_order(params) if column_names.is_key_param(name)
    ]
    first = list(dict.fromkeys([*([model] if model else []), *known]))[:_MOST_PARAMS]
    return list(dict.fromkeys([*first, *new[:_MOST_CHANGED]]))


def find_param(params: Mapping[str, Any], name: str) -> str | None:
    """The full name of the parameter ``name``: itself, the only dotted one that ends in it, or
    another name for it (``learning_rate`` for ``lr``)."""
    if name in params:
        return name
    longer = [known for known in params if known.endswith(f".{name}")]
    if longer:
        return longer[0] if len(longer) == 1 else None
    return column_names.alias_in(params, name)


#: Alternative names of the architecture parameter, other than ``model``.
_MODELS = ("model_name", "model_type", "architecture", "arch")


def find_model(params: Mapping[str, Any], config: Config) -> str | None:
    """The full name of the architecture parameter."""
    found = find_param(params, config.params_model)
    if found or config.params_model != Config().params_model:
        return found
    for name in (config.params_model, *_MODELS):
        for known in params:
            if column_names.bare(known) == name:
                return known
    return None


def _rounded(value: Any) -> str:
    if isinstance(value, float) and value == value and 1e-3 <= abs(value) < 1e6:
        return f"{value:.4f}"
    return f"{value:.4g}" if isinstance(value, float) else tag_message.show(value)


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


# -- the level -------------------------------------------------------------------------------------


class LevelChoice(NamedTuple):
    """A level and its reason: ``data/train.parquet changed since e0.3.1``."""

    level: Level
    reason: str


def choose_level(
    before: Payload, now: Payload, since: str, config: Config, code: Iterable[str]
) -> LevelChoice:
    """Return the level implied by the changes since ``before``; ``code`` names the code files that
    changed."""
    data = _different(data_outputs(before.artifacts, config), data_outputs(now.artifacts, config))
    if data:
        return LevelChoice(Level.MAJOR, f"{_some(data)} changed since {since}")
    params = changed_params(before, now)
    model = find_model(now.params, config) or config.params_model
    if model in params:
        return LevelChoice(Level.MAJOR, f"{model} changed since {since}")
    if params:
        return LevelChoice(Level.MINOR, f"{_some(params)} changed since {since}")
    files = list(code)
    if files:
        return LevelChoice(Level.MINOR, f"{_some(files)} changed since {since}")
    return LevelChoice(Level.PATCH, f"nothing changed since {since}")


def same_param(one: Any, other: Any) -> bool:
    """Whether two values of a parameter are equal; SQLite has no booleans and stores 0 or 1."""
    if isinstance(one, bool) != isinstance(other, bool) and isinstance(one, int | float):
        return bool(one == other)
    return same_value(one, other)


def changed_params(before: Payload, now: Payload) -> list[str]:
    """Names of the parameters that differ. Of a handwritten tag only the parameters that it names
    are compared."""
    names = before.params if before.handwritten else {**before.params, **now.params}
    found = []
    for name in names:
        full = find_param(now.params, name) or name
        old = name if name in before.params else find_param(before.params, name) or name
        if not same_param(before.params.get(old), now.params.get(full)):
            found.append(full)
    return sorted(set(found))


def _different(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return sorted(p for p in before.keys() | now.keys() if before.get(p) != now.get(p))


def _some(names: list[str]) -> str:
    if len(names) <= 2:
        return " and ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2} more"
