"""``.xexp/config.toml`` (tracked) and ``git config xexp.*`` (overrides it) as one frozen value.

The file comes with a clone, git's configuration is the user's own. So settings that run something,
send something elsewhere or lead out of the repository are honoured only in git's configuration
(:data:`OWN`, :data:`PATHS`); in the file they are refused here, with a message that says how to
allow them.

A repository may hold several projects. A project in a folder has its own file there, whose ``[tag]
prefix`` starts its versions; it inherits all settings of the file at the top except those that name
files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gitxexp.common.errors import UsageError, XexpError, suggestion
from gitxexp.storage import paths
from gitxexp.storage.git import Git

if TYPE_CHECKING:
    from gitxexp.storage.dvc.pipeline import Pipelines

#: Relative to the top of a work tree.
FOLDER = ".xexp"
FILE = ".xexp/config.toml"
REGISTRY = ".xexp/registry.db"


class ModelSlot(NamedTuple):
    """``[models.NAME]``: one production model and its candidates; "" means the default."""

    name: str
    production: str = ""  #: the production model's file
    candidates: str = ""  #: the folder for candidate models
    extension: str = ""  #: extension of candidate files, with the dot


class DeclaredHere:
    """The pipelines of the work tree at ``top``, imported and read on first use; only those of one
    project if its ``place`` is given."""

    def __init__(self, top: Path, place: ProjectFolder | None = None) -> None:
        self.top, self.place = top, place

    @cached_property
    def read(self) -> Pipelines:
        """What they declare."""
        from gitxexp.storage.dvc.pipeline import Pipelines  # late: a listing does not need it

        return Pipelines(self.top, self.place.has if self.place else None)


class ProjectFolder:
    """The ``folder`` of a project in the repository at ``top``, "" for the top itself, and what
    belongs to the project: everything outside the folders of other projects. Code and data at the
    top belong to all.
    """

    def __init__(self, top: Path, folder: str) -> None:
        self.top, self.folder = top, folder
        self._nearest: dict[str, str] = {"": ""}  #: of each folder, the project that contains it

    def other_of(self, pattern: str) -> str:
        """The folder of the other project that has a file, or all that a glob matches; "" for none.
        Only the folders above are looked at: no process is needed, and git need not track them."""
        return self._other(re.split(r"[*?\[]", pattern, maxsplit=1)[0])

    def has(self, path: str) -> bool:
        """Whether a file, by its path from the top, or a folder, with a slash at its end, belongs to
        the project."""
        return not self._other(path)

    def _other(self, path: str) -> str:
        nearest = self._project_of(path.rpartition("/")[0].strip("/"))
        return "" if f"{self.folder}/".startswith(f"{nearest}/") else nearest

    def _project_of(self, folder: str) -> str:
        if folder not in self._nearest:
            own = has_prefix(self.top, folder)
            self._nearest[folder] = folder if own else self._project_of(posixpath.dirname(folder))
        return self._nearest[folder]


def folders(top: Path) -> list[str]:
    """The folders, from the top, of projects that git tracks and that have a prefix."""
    found = Git(top).projects(FILE)
    return [folder for folder in found if folder and has_prefix(top, folder)]


def folder_of(top: Path, below: str) -> str:
    """Return the folder of the project that contains ``below`` (relative to the top); "" for the
    top's."""
    return next((each for each in _upward(below) if has_prefix(top, each)), "")


def unused(top: Path, below: str) -> str | None:
    """Return a warning if the folder ``below`` has its own settings, which are ignored."""
    for folder in _upward(below):
        if has_prefix(top, folder):
            return None
        if (top / folder / FILE).is_file():
            return (
                f'{folder}/{FILE} is not used: a project in a folder needs [tag] prefix = "NAME/"'
            )
    return None


def _upward(below: str) -> Iterator[str]:
    folder = below.strip("/")
    while folder:
        yield folder
        folder = posixpath.dirname(folder)


def has_prefix(top: Path, folder: str) -> bool:
    """Whether the file in a folder sets a version prefix; cheap if it does not."""
    path = top / folder / FILE
    try:
        if not re.search(rb"^\s*prefix\b", path.read_bytes(), re.MULTILINE):
            return False
        table = _document(top, folder).get("tag")
    except (OSError, XexpError):
        return False
    prefix = table.get("prefix") if isinstance(table, dict) else None
    return isinstance(prefix, str) and bool(_PREFIX.fullmatch(prefix))


class Config(NamedTuple):
    """Every setting. A field ``results_databases`` is ``[results] databases`` in the file and
    ``xexp.results.databases`` in git's configuration (a list there: one value each, or commas)."""

    results_databases: tuple[str, ...] = ()  #: the tracker's databases; globs allowed
    results_table: str = ""  #: the table of runs; "" to detect it
    #: write version, git_commit and dvc_hash into the run's rows; None: if the tracker allows it
    results_stamp: bool | None = None
    params_files: tuple[str, ...] = ("params.yaml",)
    params_key: tuple[str, ...] = ()  #: which parameters a description names, in order
    params_model: str = "model"  #: the parameter that names the architecture
    params_ignore: tuple[str, ...] = ()  #: names or globs that are not part of a configuration
    metrics_files: tuple[str, ...] = ("metrics.json",)
    metrics_primary: str = ""  #: the metric that ranks experiments
    metrics_key: tuple[str, ...] = ()  #: which metrics a description names, in order
    metrics_maximize: tuple[str, ...] = ()
    metrics_minimize: tuple[str, ...] = ()
    #: outputs that are data; () means all but models, results, metrics
    data_paths: tuple[str, ...] = ()
    #: globs of columns (or TABLE.COLUMN) by role
    roles_param: tuple[str, ...] = ()
    roles_metric: tuple[str, ...] = ()
    roles_context: tuple[str, ...] = ()
    roles_output: tuple[str, ...] = ()
    roles_key: tuple[str, ...] = ()
    models_paths: tuple[str, ...] = ()  #: files or globs that are models
    models_production: str = ""  #: for the default slot, like the next two
    models_candidates: str = ""
    models_extension: str = ""
    models_slots: tuple[ModelSlot, ...] = ()  #: ``[models.NAME]``
    tag_push: bool = False  #: push after every tag
    tag_remote: str = ""  #: the git remote to push to
    tag_prefix: str = ""  #: version prefix of a project in a folder: ``ranker/``
    tag_commit_message: str = ""  #: of commits, with {version} and {headline}
    worktree_path: str = "../exp-{name}"  #: relative to the main worktree
    worktree_branch: str = "exp/{name}"
    worktree_link: str = "auto"  #: auto, reflink, hardlink, symlink or copy
    worktree_writable: tuple[str, ...] = ()  #: globs of outputs that the user will write to
    run_command: str = ""  #: the default command of ``git xexp run``, in shell words
    merge_strategy: str = ""  #: for results: merge, rebase or keep; "" is merge
    merge_key: tuple[str, ...] = ()  #: key columns of results tables that have no key
    merge_data_strategy: str = ""  #: the same for data
    merge_data_key: tuple[str, ...] = ()
    check_ignore: tuple[str, ...] = ()  #: ``RULE: why`` or ``RULE@GLOB: why``
    check_bounds: tuple[str, ...] = ()  #: ``samples=50``, ``tolerance=1e-6``, ``METRIC=0..10``
    #: Not settings: ignored parts of the file with the reason, one sentence each; settings that
    #: only the user may set.
    refused: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()
    pipelines: DeclaredHere | None = None  #: what DVC's pipelines declare their files as
    place: ProjectFolder | None = None  #: the project's location and content

    @property
    def folder(self) -> str:
        """The folder of the project from the top of the repository; "" for the top itself."""
        return self.place.folder if self.place else ""

    def has(self, path: str) -> bool:
        """Whether a file, by its path from the top, belongs to the project."""
        return self.place is None or self.place.has(path)


#: Settings that send something elsewhere or run something, so only the user may set them.
OWN = {
    "tag_push": "to push after every tag",
    "tag_remote": "to push to it",
}

#: Fields of :class:`Config` that no key of the file sets directly.
NO_SETTINGS = ("models_slots", "refused", "own", "pipelines", "place")

#: Settings that name files of the work tree.
PATHS = ("results_databases", "params_files", "metrics_files", "data_paths", "models_paths",
         "models_production", "models_candidates")  # fmt: skip


#: Settings that a project in a folder does not inherit.
_NOT_SHARED = (*PATHS, "models_slots", "tag_prefix")


def load(top: Path | None, git_values: Mapping[str, list[str]], folder: str = "") -> Config:
    """Return the configuration of the work tree at ``top``, or of the project in ``folder``,
    overridden by ``git config xexp.*``.

    Raises XexpError naming the file and the key if a value has the wrong type.
    """
    config = Config()
    if top is not None:
        place = ProjectFolder(top, folder)
        found = _from_file(top, "")
        if folder:
            shared = {key: value for key, value in found.items() if key not in _NOT_SHARED}
            own = _from_file(top, folder)
            both = {"refused": (*found.get("refused", ()), *own.get("refused", ()))}
            usual = {key: _placed(folder, Config._field_defaults[key]) for key in PATHS}
            found = usual | shared | own | both
        found = _without_others(place, found)
        config = config._replace(**found, pipelines=DeclaredHere(top, place), place=place)
    if not git_values:
        return config
    own = _from_git(git_values)
    config = config._replace(**own, own=frozenset(own))
    return config._replace(models_slots=_git_slots(config.models_slots, git_values))


def is_set_up(top: Path) -> bool:
    """Whether the project in ``top`` has been initialised."""
    return (top / FILE).is_file()


def _from_file(top: Path, folder: str) -> dict[str, Any]:
    return _from_document(_document(top, folder), folder)


def _document(top: Path, folder: str) -> dict[str, Any]:
    """The TOML of the file in a folder; empty if there is none."""
    name = posixpath.join(folder, FILE)
    path = top / name
    paths.refuse_link(path)
    if not path.exists():
        return {}
    import tomllib  # 2 ms, only needed if the file exists

    try:
        return tomllib.loads(paths.read(top, name).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise XexpError(f"{name} is not valid TOML: {error}", f"fix {path}") from error
    except OSError as error:
        raise XexpError(f"cannot read {name}: {error.strerror}") from error
    except ValueError as error:  # an integer with more digits than Python parses
        raise XexpError(f"{name} is not valid TOML: {error}", f"fix {path}") from error


def _placed(folder: str, value: Any) -> Any:
    """Convert one or several paths relative to a folder into paths from the top."""
    if isinstance(value, tuple):
        return tuple(_placed(folder, each) for each in value)
    if not folder or not value or value.startswith(("/", "~")):
        return value
    return posixpath.normpath(posixpath.join(folder, value))


def _without_others(place: ProjectFolder, found: dict[str, Any]) -> dict[str, Any]:
    """Leave out the files that have become those of a project in a folder since they were named."""
    kept, refused = dict(found), []
    for name in PATHS:
        value = found.get(name, ())
        many = isinstance(value, tuple)
        others = {
            item: other for item in (value if many else (value,)) if (other := place.other_of(item))
        }
        for item, other in others.items():
            where = f"[{name.replace('_', '] ', 1)} in {posixpath.join(place.folder, FILE)}"
            refused.append(
                f"{where}: '{_short(item)}' is not used, it is of the project in {_short(other)}"
            )
        if others:
            kept[name] = tuple(v for v in value if v not in others) if many else ""
    return kept | {"refused": (*found.get("refused", ()), *map(_printable, refused))}


def _from_document(document: Mapping[str, Any], folder: str = "") -> dict[str, Any]:
    kinds, file = _kinds(), posixpath.join(folder, FILE)
    values: dict[str, Any] = {}
    refused: list[str] = []
    for section, table in document.items():
        if not isinstance(table, dict):
            refused.append(_unknown(section, file=file))
            continue
        for key, value in table.items():
            name = f"{section}_{key}"
            if section == "check" and isinstance(value, dict):
                value = _listed(key, value)
            if section == "models" and isinstance(value, dict):
                slot = _slot(key, value, folder, refused)
                values["models_slots"] = (*values.get("models_slots", ()), *slot)
            elif name not in kinds:
                refused.append(_unknown(key, section, file=file))
            else:
                where = f"[{section}] {key} in {file}"
                value = _one_of(name, _checked(kinds[name], value, where), where)
                value = _placed(folder, value) if name in PATHS else value
                values |= _allowed(name, value, where, refused)
    return values | {"refused": tuple(map(_printable, refused))}


def _listed(key: str, table: Mapping[str, Any]) -> list[str]:
    """Convert ``[check.ignore]`` and ``[check.bounds]`` tables to the lists that they stand for."""
    if key == "ignore":
        return [f"{name}: {value}" for name, value in table.items()]
    spelled = {
        name: "..".join(map(str, value)) if isinstance(value, list) else value
        for name, value in table.items()
    }
    return [f"{name}={value}" for name, value in spelled.items()]


def _unknown(key: str, section: str = "", *, file: str) -> str:
    known = [
        f"[{first}] {rest}" for first, _, rest in (name.partition("_") for name in _kinds()) if rest
    ]
    name = f"[{section}] {key}" if section else key
    like = suggestion(name, known)
    return f"there is no setting '{_short(name)}' ({file})" + (f"; {like}" if like else "")


def _allowed(name: str, value: Any, where: str, refused: list[str]) -> dict[str, Any]:
    """Return the values that the tracked file may set; the rest is ``refused``."""
    key = _git_key(name)
    if name in OWN and value not in (False, ""):
        text = "true" if value is True else _quoted(value)
        refused.append(f"{where} is not used: {OWN[name]}, run: git config {key} {text}")
        return {}
    if name == "tag_prefix" and value and not _PREFIX.fullmatch(value):
        refused.append(f"{where}: '{_short(value)}' is not used, a prefix is like 'ranker/'")
        return {}
    if name == "worktree_path" and value and not _beside(value):
        refused.append(
            f"{where}: '{_short(value)}' is not used, it leads away from the folder of the "
            f"repository; to allow it, run: git config {key} {_quoted(value)}"
        )
        return {}
    if name == "models_extension" and _outside(f"model.{value}"):
        refused.append(f"{where}: '{_short(value)}' is not used, it is not an extension")
        return {}
    if name in PATHS:
        many = isinstance(value, tuple)
        outside = {
            item: wrong for item in (value if many else (value,)) if (wrong := _outside(item))
        }
        for item, wrong in outside.items():
            refused.append(
                f"{where}: '{_short(item)}' is not used, it {wrong}; to allow it, run: "
                f"git config {'--add ' if many else ''}{key} {_quoted(item)}"
            )
        if outside:
            return {name: tuple(v for v in value if v not in outside)} if many else {}
    return {name: value}


def _outside(path: str) -> str | None:
    """Return why a path in the tracked file cannot be used; None for an ordinary one or a glob."""
    return paths.problem(posixpath.normpath(path)) if path else None


def _beside(pattern: str) -> bool:
    """Whether a pattern for worktree paths stays in the parent folder of the main worktree."""
    if pattern.startswith("~"):
        return False
    below = posixpath.normpath(pattern.replace("{name}", "name"))
    return below not in (".", "..") and not _outside(below.removeprefix("../"))


def _git_key(name: str) -> str:
    """Return the name of a setting in git's configuration."""
    return "xexp." + name.replace("_", ".", 1).replace("_", "-")


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _quoted(text: str) -> str:
    """Quote ``text`` as one shell word, on one line."""
    import shlex  # for a message only

    return shlex.quote(_printable(text))


#: How data gets into a worktree; ``auto`` is the first of the others that works.
LINKS = ("auto", "reflink", "hardlink", "symlink", "copy")
#: The merge strategies and their aliases.
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


def is_prefix(text: str) -> bool:
    """Whether a project's versions can begin with it."""
    return bool(_PREFIX.fullmatch(text))


def check_prefix(prefix: str) -> None:
    """Raise UsageError for an invalid prefix."""
    if not is_prefix(prefix):
        raise UsageError(f"'{prefix}' is not a prefix of versions", "name one like ranker/")


#: The names in ``[tag] commit_message``.
MESSAGE_NAMES = ("version", "headline")


def _one_of(name: str, value: Any, where: str) -> Any:
    if name == "tag_commit_message":
        unknown = {*re.findall(r"\{\w*\}", value)} - {f"{{{known}}}" for known in MESSAGE_NAMES}
        for each in sorted(unknown):
            known = " and ".join(f"{{{one}}}" for one in MESSAGE_NAMES)
            raise XexpError(f"{where}: '{each}' is not a name that it knows", f"use {known}")
    words = _WORDS.get(name)
    if not words:
        return value
    word = value.strip().lower()
    if word and word not in words and not any(word in others for others in words.values()):
        raise XexpError(f"{where}: '{value}' is not one of them", f"use {', '.join(words)}")
    return word or Config._field_defaults[name]


#: Names followed by slashes, without characters that git reads as a pattern.
_PREFIX = re.compile(r"(?:\w(?:[\w-]|\.(?=[\w-]))*/)+")

_SLOT_KEYS = ("production", "candidates", "extension")


def _slot(name: str, table: Mapping[str, Any], folder: str, refused: list[str]) -> list[ModelSlot]:
    """Return the slot; None if its name, files or folder cannot be used."""
    known: dict[str, str] = {}
    file = posixpath.join(folder, FILE)
    for key, value in table.items():
        where = f"[models.{name}] {key} in {file}"
        if key not in _SLOT_KEYS:
            refused.append(_unknown(key, f"models.{name}", file=file))
            continue
        text = _checked(str, value, where)
        known[key] = text if key == "extension" else _placed(folder, text)
    named = {f"models/{name}": "name", f"model.{known.get('extension', 'bin')}": "extension"}
    for path, key in (named | {known.get(k, ""): k for k in ("production", "candidates")}).items():
        if problem := _outside(path):
            refused.append(f"[models.{name}] in {file} is not used: its {key} {problem}")
            return []
    return [ModelSlot(name, **known)]


def _git_slots(
    slots: tuple[ModelSlot, ...], values: Mapping[str, list[str]]
) -> tuple[ModelSlot, ...]:
    """Return the slots, overridden by ``xexp.models.NAME.KEY`` in git's configuration."""
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
        if name not in kinds:
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
    prefix = found.get("tag_prefix", "")
    if prefix:
        check_prefix(prefix)
    return found


def _kinds() -> dict[str, type]:
    """tuple (a list of strings), bool or str for each field, as its default is (None: bool)."""
    return {
        name: bool if default is None else type(default)
        for name, default in Config._field_defaults.items()
        if name not in NO_SETTINGS
    }


def _checked(kind: type, value: Any, where: str) -> Any:
    if kind is tuple:
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return tuple(items)
        raise XexpError(f"{where}: expected a list of strings", f"fix {FILE}")
    if not isinstance(value, kind):
        expected = "true or false" if kind is bool else "a string"
        raise XexpError(f"{where}: expected {expected}", f"fix {FILE}")
    return value


def _git_bool(key: str, value: str) -> bool:
    """git-config(1), "boolean": true, yes, on, 1, and a key without a value are true."""
    lowered = value.lower()
    if lowered in ("true", "yes", "on", "1"):
        return True
    if lowered in ("false", "no", "off", "0", ""):
        return False
    raise XexpError(f"git config {key}: '{value}' is not a boolean", f"git config {key} true")
