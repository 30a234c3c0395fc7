"""``-S NAME=VALUE``: set parameters in the parameter files, which stay unchanged otherwise.

A value is read as YAML 1.2 (``0.1``, ``true``, ``null``, ``[1, 2]``); invalid YAML is text. A name
is matched in full, or as the only dotted name that ends in it; ``FILE:NAME`` selects the file.
Comments, order and layout stay: in a YAML file only the value's text is replaced.

An unknown name is refused, because it is usually a spelling mistake; a leading ``+`` adds it, as in
Hydra and ``dvc exp run``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError, suggestion
from gitxexp.common.files import atomic_write
from gitxexp.repository.config import Config
from gitxexp.repository.config_hash import flatten, same_value
from gitxexp.storage.dvc import plain_yaml
from gitxexp.storage.dvc.places import readable
from gitxexp.trackers.column_names import canonical
from gitxexp.trackers.files import read_params

_SUFFIXES = (".yaml", ".yml", ".json", ".toml")


@dataclass(frozen=True)
class ParameterFile:
    """A parameter file with what is set in it: ``path`` relative to the top, full dotted names."""

    path: str
    values: Mapping[str, Any]
    text: str  #: the file's new content
    changed: bool  #: whether that differs from the current content


def read_value(text: str) -> Any:
    """Parse a command-line value as YAML."""
    try:
        value = plain_yaml.load(f"value: {text}\n")["value"]
    except (XexpError, KeyError, TypeError):
        return text
    is_null = text.strip().lower() in ("", "null", "~")
    return text if value is None and not is_null else value


def plan(top: Path, config: Config, values: Mapping[str, Any]) -> list[ParameterFile]:
    """Return the parameter files of the work tree at ``top`` with ``values`` set; writes nothing.

    Raises XexpError for a name that no file has, or several have, and for a file that cannot be
    changed.
    """
    if not values:
        return []
    known = _known(top, config)
    wanted: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        file, full = _find(name, known)
        wanted.setdefault(file, {})[full] = value
    return [_planned(top, file, found) for file, found in wanted.items()]


def unknown(top: Path, config: Config, names: Iterable[str]) -> list[str]:
    """Those of the names that no parameter file has."""
    names = list(names)
    known = _known(top, config) if names else {}
    return [name for name in names if not _places(name, known) and not name.startswith("+")]


def write(top: Path, files: Iterable[ParameterFile], *, durable: bool = True) -> list[str]:
    """Write what :func:`plan` planned, each file atomically; return the changed paths. ``durable``:
    sync to disk."""
    changed = [file for file in files if file.changed]
    for file in changed:
        with atomic_write(top / file.path, durable=durable) as temporary:
            temporary.write_text(file.text, "utf-8", newline="")
    return [file.path for file in changed]


# -- which file ----------------------------------------------------------------------------------


def _known(top: Path, config: Config) -> dict[str, dict[str, Any]]:
    """The names and values of each existing parameter file in a writable format."""
    declared = config.pipelines.read.declared.params if config.pipelines else ()
    files = dict.fromkeys((*config.params_files, *(name for name, _ in declared)))
    files = {
        name: None for name in files if "dvclive" not in name.split("/")
    }  # it writes them itself
    known: dict[str, dict[str, Any]] = {}
    for name in files:
        path = readable(top, name)
        if path is not None and path.is_file() and path.suffix.lower() in _SUFFIXES:
            known[name] = flatten(read_params(path))
    return known


def _places(name: str, known: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return every (file, full name) that matches a name: exactly, else by its last parts."""
    file, _, own = name.rpartition(":")
    among = {file: known[file]} if file in known else {} if file else known
    exact = [
        (path, own)
        for path, values in among.items()
        if own in values
        or any(each.startswith(f"{own}.") for each in values)
        or _is_item(own, values)
    ]
    return exact or [
        (path, each)
        for path, values in among.items()
        for each in values
        if each.endswith(f".{own}")
    ]


def _is_item(name: str, values: Mapping[str, Any]) -> bool:
    """Whether a name is that of an item of a list: ``layers.0``."""
    whole, _, number = name.rpartition(".")
    items = values.get(whole)
    return isinstance(items, list) and number.isdigit() and int(number) < len(items)


def _find(name: str, known: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    found = _places(name.removeprefix("+"), known)
    if len(found) == 1:
        return found[0]
    if found:
        choices = " or ".join(f"{file}:{full}" for file, full in found[:4])
        raise UsageError(f"parameter '{name}' is ambiguous", f"it may be {choices}")
    file, _, own = name.removeprefix("+").rpartition(":")
    if name.startswith("+") and (file in known or (not file and known)):
        return file or next(iter(known)), own
    if not known:
        raise XexpError(
            f"cannot set {name}: there is no parameter file",
            "make one (params.yaml), or name it: [params] files in .xexp/config.toml",
        )
    names = [each for values in known.values() for each in values]
    add = f"to add it: -S +{name.removeprefix('+')}=..."
    alias = next(
        (each for each in names if canonical(each.rpartition(".")[2]) == canonical(own)), ""
    )
    hint = f"did you mean {alias}?" if alias else suggestion(own, names)
    raise UsageError(
        f"no parameter is named '{name}' in {', '.join(known)}", f"{hint}\n{add}" if hint else add
    )


# -- new content -----------------------------------------------------------------------------------


def _planned(top: Path, file: str, values: Mapping[str, Any]) -> ParameterFile:
    path = top / file
    before = flatten(read_params(path))
    new = {
        name: value
        for name, value in values.items()
        if name not in before or type(before[name]) is not type(value) or before[name] != value
    }
    text = path.read_bytes().decode("utf-8")
    if not new:
        return ParameterFile(file, values, text, changed=False)
    ways = {".json": _json, ".toml": _toml}
    changed = ways.get(path.suffix.lower(), _yaml)(text, new, file)
    return ParameterFile(file, values, changed, changed=changed != text)


def _json(text: str, values: Mapping[str, Any], file: str) -> str:
    document = json.loads(text.removeprefix("\ufeff") or "{}")
    for name, value in values.items():
        _set(document, name.split("."), _plain(value), file)
    indent = re.search(r"\n([ \t]+)\S", text)
    made = json.dumps(document, indent=indent[1] if indent else None, ensure_ascii=False)
    return made + ("\n" if text.endswith("\n") else "")


def _toml(text: str, values: Mapping[str, Any], file: str) -> str:
    import tomlkit  # as DVC itself changes TOML; late: 15 ms

    document = tomlkit.parse(text)
    for name, value in values.items():
        if value is None:
            raise UsageError(
                f"TOML has no null: {file} cannot hold {name}",
                "leave the parameter out of the file",
            )
        _set(document, name.split("."), value, file)
    return tomlkit.dumps(document)


def _set(document: Any, keys: Sequence[str], value: Any, file: str) -> None:
    """Set a value by its keys, creating mappings as needed; a number indexes a list."""
    *way, last = keys
    for key in way:
        inner = _item(document, key)
        if inner is None:
            document[key] = {}
            inner = document[key]
        document = inner
    if isinstance(document, list):
        if not (last.isdigit() and int(last) < len(document)):
            raise UsageError(
                f"{'.'.join(keys)}: {file} has a list there, and no item {last}",
                "add it to the file first",
            )
        document[int(last)] = value
    elif hasattr(document, "keys"):
        document[_spelled(document, last)] = value
    else:
        raise UsageError(
            f"cannot set {'.'.join(keys)} in {file}: {'.'.join(way)} is a value",
            "name the parameter as the file has it",
        )


def _item(document: Any, key: str) -> Any:
    if isinstance(document, list):
        return document[int(key)] if key.isdigit() and int(key) < len(document) else None
    if hasattr(document, "keys"):
        return document.get(_spelled(document, key))
    return None


def _spelled(document: Any, key: str) -> Any:
    """Return the actual key: YAML keys may be numbers."""
    return next((known for known in document if str(known) == key), key)


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


# -- YAML ------------------------------------------------------------------------------------------


def _yaml(text: str, values: Mapping[str, Any], file: str) -> str:
    """Replace the values in the text, leaving the rest unchanged; if a value has no place yet,
    return the document as written by ruamel.yaml, with its comments."""
    changed = text
    left: dict[str, Any] = {}
    for name, value in values.items():
        keys = name.split(".")
        replaced = _replaced(changed, keys, value) or _appended(changed, keys, value)
        if replaced is None:
            left[name] = value
        else:
            changed = replaced
    return _round_trip(changed, left, file) if left else changed


def _replaced(text: str, keys: Sequence[str], value: Any) -> str | None:
    """The text with one value replaced; None if it is not a simple scalar."""
    from ruamel.yaml import YAML  # late: 60 ms
    from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

    node: Node | None = YAML().compose(text)
    after = 0
    for key in keys:
        if isinstance(node, MappingNode):
            pairs = [(k, v) for k, v in node.value if k.value == key]
        elif isinstance(node, SequenceNode) and key.isdigit() and int(key) < len(node.value):
            pairs = [(node, node.value[int(key)])]
        else:
            return None
        if len(pairs) != 1:
            return None
        name, node = pairs[0]
        after = max(after, name.end_mark.index if name.value == key else 0)
        if node.anchor or node.tag.startswith("!") or node.start_mark.index < after:
            return None  # it is an anchor or alias
    if node is None:
        return None
    block = node.style in ("|", ">") if isinstance(node, ScalarNode) else not node.flow_style
    if block:
        return None
    start, end = node.start_mark.index, node.end_mark.index
    if start == end:  # an empty value, whose position is that of the next token
        start = end = text.index(":", after) + 1
        return _checked(f"{text[:start]} {spelled(value)}{text[start:]}", keys, value)
    return _checked(text[:start] + spelled(value) + text[end:], keys, value)


def _appended(text: str, keys: Sequence[str], value: Any) -> str | None:
    """Append a new name to the text; None if its first part exists already."""
    document = plain_yaml.load(text)
    if not isinstance(document, dict | None) or keys[0] in map(str, document or ()):
        return None
    lines = [f"{'  ' * depth}{spelled(key)}:" for depth, key in enumerate(keys)]
    begin = text if not text or text.endswith("\n") else f"{text}\n"
    return _checked(begin + "\n".join(lines) + f" {spelled(value)}\n", keys, value)


def _checked(made: str, keys: Sequence[str], value: Any) -> str | None:
    """Return the changed text if it parses to the intended values."""
    try:
        found = plain_yaml.load(made)
    except XexpError:
        return None
    for key in keys:
        found = _item(found, key)
    return made if same_value({"": found}, {"": value}) else None


def _round_trip(text: str, values: Mapping[str, Any], file: str) -> str:
    from io import StringIO

    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10_000
    step = re.search(r":[ \t]*(?:#.*)?\n( +)[^\s#-]", text)
    dash = re.search(r"^( *)[^\s#-][^\n]*:[ \t]*\n\1( +)- ", text, re.MULTILINE)
    offset = len(dash[2]) if dash else 0
    yaml.indent(mapping=len(step[1]) if step else 2, sequence=offset + 2, offset=offset)
    document = yaml.load(text)
    for name, value in values.items():
        _set(document, name.split("."), value, file)
    out = StringIO()
    yaml.dump(document, out)
    return out.getvalue()


#: Text that both YAML 1.1 (PyYAML) and 1.2 read as text, without quotes.
_SAFE = re.compile(r"[A-Za-z_][\w./-]*(?: [\w./-]+)*\Z", re.ASCII)
_WORDS = re.compile(r"(?:y|n|yes|no|on|off|true|false|null)\Z", re.IGNORECASE)


def spelled(value: Any) -> str:
    """A value in YAML, on one line, so that 1.1 and 1.2 agree."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{spelled(k)}: {spelled(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(spelled, value)) + "]"
    if not isinstance(value, str):
        return str(_plain(value))
    if _SAFE.match(value) and not _WORDS.match(value):
        return value
    if value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(char: str) -> str:
    """A character between double quotes (yaml.org/spec/1.2.2, 5.7)."""
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def _float(value: float) -> str:
    """YAML 1.1 parses ``1e-05`` as text; a point and a sign make it a number."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": ".nan", "inf": ".inf", "-inf": "-.inf"}[repr(value)]
    mantissa, e, exponent = repr(value).partition("e")
    if not e:
        return mantissa
    sign = "" if exponent[0] in "+-" else "+"
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{sign}{exponent}"
