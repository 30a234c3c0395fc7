"""``.xexp/config.toml`` (tracked) and ``git config xexp.*`` (overrides it) as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.storage.paths import refuse_link

#: Relative to the top of a work tree.
FOLDER = ".xexp"
FILE = ".xexp/config.toml"
REGISTRY = ".xexp/registry.db"


class ModelSlot(NamedTuple):
    """``[models.NAME]``: one production model and its candidates; "" means the default."""

    name: str
    production: str = ""  #: the file that is the current best
    candidates: str = ""  #: the folder of the others
    extension: str = ""  #: of candidate files, with the dot


class Config(NamedTuple):
    """Every setting. A field ``results_databases`` is ``[results] databases`` in the file and
    ``xexp.results.databases`` in git's configuration (a list there: one value each, or commas)."""

    results_databases: tuple[str, ...] = ()  #: the tracker's databases; globs allowed
    results_table: str = ""  #: the table of runs; "" finds it
    #: write version, git_commit and dvc_hash into the run's rows; None: where the tracker allows it
    results_stamp: bool | None = None
    params_files: tuple[str, ...] = ("params.yaml",)
    params_key: tuple[str, ...] = ()  #: which parameters a description names, in order
    params_model: str = "model"  #: the parameter that is the architecture
    params_ignore: tuple[str, ...] = ()  #: names or globs that are not part of a configuration
    metrics_files: tuple[str, ...] = ("metrics.json",)
    metrics_primary: str = ""  #: the metric that ranks experiments
    metrics_key: tuple[str, ...] = ()  #: which metrics a description names, in order
    metrics_maximize: tuple[str, ...] = ()
    metrics_minimize: tuple[str, ...] = ()
    #: outputs that are data; () means all but models, results, metrics
    data_paths: tuple[str, ...] = ()
    #: globs of columns (or TABLE.COLUMN) by what they are to an experiment
    roles_param: tuple[str, ...] = ()
    roles_metric: tuple[str, ...] = ()
    roles_context: tuple[str, ...] = ()
    roles_output: tuple[str, ...] = ()
    roles_key: tuple[str, ...] = ()
    models_paths: tuple[str, ...] = ()  #: files or globs that are models
    models_production: str = ""  #: of the one slot that needs no name, as the two below
    models_candidates: str = ""
    models_extension: str = ""
    models_slots: tuple[ModelSlot, ...] = ()  #: ``[models.NAME]``
    tag_push: bool = False  #: push after every tag
    tag_remote: str = ""  #: the git remote to push to
    worktree_path: str = "../exp-{name}"  #: relative to the main worktree
    worktree_branch: str = "exp/{name}"
    worktree_link: str = "auto"  #: auto, reflink, hardlink, symlink or copy
    worktree_writable: tuple[str, ...] = ()  #: globs of outputs that the user will write to
    merge_strategy: str = ""  #: for results: merge, rebase or keep; "" is merge
    merge_key: tuple[str, ...] = ()  #: key columns of results tables that have no key
    merge_data_strategy: str = ""  #: the same for data
    merge_data_key: tuple[str, ...] = ()


def load(top: Path | None, git_values: Mapping[str, list[str]]) -> Config:
    """The configuration of the work tree at ``top`` with ``git config xexp.*`` laid over it.

    Raises XexpError naming the file and the key when a value is of the wrong kind.
    """
    config = Config()
    if top is not None:
        config = config._replace(**_from_file(top / FILE))
    if not git_values:
        return config
    config = config._replace(**_from_git(git_values))
    return config._replace(models_slots=_git_slots(config.models_slots, git_values))


def is_set_up(top: Path) -> bool:
    """Whether the project in ``top`` has been initialised."""
    return (top / FILE).is_file()


def _from_file(path: Path) -> dict[str, Any]:
    refuse_link(path)
    if not path.exists():
        return {}
    import tomllib  # 2 ms, which a repository without the file need not wait for

    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise XexpError(f"{FILE} is not valid TOML: {error}", f"mend {path}") from error
    except OSError as error:
        raise XexpError(f"cannot read {FILE}: {error.strerror}") from error
    kinds = _kinds()
    found: dict[str, Any] = {}
    for section, table in document.items():
        for key, value in table.items() if isinstance(table, dict) else ():
            name = f"{section}_{key}"
            if section == "models" and isinstance(value, dict):
                found["models_slots"] = (*found.get("models_slots", ()), _slot(key, value))
            elif name in kinds and name != "models_slots":
                where = f"[{section}] {key} in {FILE}"
                found[name] = _one_of(name, _checked(kinds[name], value, where), where)
    return found


#: How data gets into a worktree; ``auto`` is the first of the others that works.
LINKS = ("auto", "reflink", "hardlink", "symlink", "copy")
#: The strategies of a merge, and what else they are called.
STRATEGIES = {
    "merge": ("accumulate", "append", "union"),
    "rebase": ("replace", "upsert", "overwrite"),
    "keep": ("skip", "none", "ours"),
}
#: Fields that take one of a few words, each with its other names; "" is the default.
_WORDS: dict[str, Mapping[str, tuple[str, ...]]] = {
    "worktree_link": dict.fromkeys(LINKS, ()),
    "merge_strategy": STRATEGIES,
    "merge_data_strategy": STRATEGIES,
}


def _one_of(name: str, value: Any, where: str) -> Any:
    words = _WORDS.get(name)
    if not words:
        return value
    word = value.strip().lower()
    if word and word not in words and not any(word in others for others in words.values()):
        raise XexpError(f"{where}: '{value}' is not one of them", f"use {', '.join(words)}")
    return word or Config._field_defaults[name]


_SLOT_KEYS = ("production", "candidates", "extension")


def _slot(name: str, table: Mapping[str, Any]) -> ModelSlot:
    where = f"[models.{name}]"
    known = {
        key: _checked(str, table[key], f"{where} {key} in {FILE}")
        for key in _SLOT_KEYS
        if key in table
    }
    return ModelSlot(name, **known)


def _git_slots(
    slots: tuple[ModelSlot, ...], values: Mapping[str, list[str]]
) -> tuple[ModelSlot, ...]:
    """The slots with ``xexp.models.NAME.KEY`` of git's configuration laid over them."""
    found = {slot.name: slot for slot in slots}
    for key, given in values.items():
        name, _, last = key.removeprefix("xexp.").rpartition(".")
        slot = name.removeprefix("models.")
        if last in _SLOT_KEYS and slot != name:
            found[slot] = found.get(slot, ModelSlot(slot))._replace(**{last: given[-1]})
    return tuple(found.values())


def _from_git(values: Mapping[str, list[str]]) -> dict[str, Any]:
    kinds = _kinds()
    names = {name.replace("_", ""): name for name in Config._fields}
    found: dict[str, Any] = {}
    for key, given in values.items():
        name = names.get(key.removeprefix("xexp.").replace(".", "").replace("-", "").lower())
        if name is None or name == "models_slots":
            continue
        kind = kinds[name]
        if kind is tuple:
            found[name] = tuple(
                part.strip() for v in given for part in v.split(",") if part.strip()
            )
        elif kind is bool:
            found[name] = _git_bool(key, given[-1])
        else:
            found[name] = _one_of(name, given[-1], f"git config {key}")
    return found


def _kinds() -> dict[str, type]:
    """tuple (a list of strings), bool or str for each field, as its default is (None: bool)."""
    return {
        name: bool if default is None else type(default)
        for name, default in Config._field_defaults.items()
    }


def _checked(kind: type, value: Any, where: str) -> Any:
    if kind is tuple:
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return tuple(items)
        raise XexpError(f"{where}: expected a list of strings", f"mend {FILE}")
    if not isinstance(value, kind):
        expected = "true or false" if kind is bool else "a string"
        raise XexpError(f"{where}: expected {expected}", f"mend {FILE}")
    return value


def _git_bool(key: str, value: str) -> bool:
    """git-config(1), "boolean": true, yes, on, 1, and a key without a value are true."""
    lowered = value.lower()
    if lowered in ("true", "yes", "on", "1"):
        return True
    if lowered in ("false", "no", "off", "0", ""):
        return False
    raise XexpError(f"git config {key}: '{value}' is not a boolean", f"git config {key} true")
