"""Read parameter and metrics files: YAML, JSON, TOML, and tables of metrics."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, time
from functools import lru_cache
from pathlib import Path
from typing import Any

from gitxexp.common import limits
from gitxexp.common.errors import XexpError
from gitxexp.common.files import read_file
from gitxexp.storage.dvc import plain_yaml
from gitxexp.storage.dvc.places import readable
from gitxexp.storage.paths import problem


def file_of(store: Path, name: str) -> Path | None:
    """Return the file ``name`` in a tracker's folder; None if there is none, or, with a note, if a
    link leads out of the folder: it may have come with a clone."""
    file = None if problem(name) else readable(store, name)
    return file if file is not None and file.is_file() else None


def read_params(path: Path) -> dict[str, Any]:
    """The nested parameters of a ``.yaml``/``.yml``, ``.json`` or ``.toml`` file.

    An empty file has none. Raises XexpError if there is no such file, or it does not parse,
    or is not a mapping.
    """
    return _mapping(path, _parse(path, _PARSERS))


def read_metrics(path: Path) -> dict[str, Any]:
    """The nested metrics of a YAML, JSON or TOML file, the last row of a ``.csv``/``.tsv`` one, or the
    last value of each name in the lines of a ``.jsonl``/``.ndjson`` one.

    Cells that read as numbers become numbers, empty cells are left out. Raises like
    :func:`read_params`.
    """
    tables = {".csv": _csv, ".tsv": _tsv, ".jsonl": _json_lines, ".ndjson": _json_lines}
    return _mapping(path, _parse(path, {**_PARSERS, **tables}))


def _parse(path: Path, parsers: dict[str, Callable[[str], Any]]) -> Any:
    parser = parsers.get(".yaml" if path.name == "dvc.lock" else path.suffix.lower())
    if parser is None:
        known = ", ".join(parsers)
        raise XexpError(f"cannot read {path}: unknown format {path.suffix or '(none)'}", known)
    try:
        return parser(read_file(path).decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise XexpError(f"no such file: {path}", "write it, or fetch it: dvc pull") from error
    except OSError as error:
        raise XexpError(f"cannot read {path}: {error.strerror}") from error
    except RecursionError as error:
        raise XexpError(f"cannot read {path}: nested too deeply", "make it flatter") from error
    except ValueError as error:  # JSON, TOML, csv and UTF-8 errors all derive from it
        raise XexpError(
            f"cannot read {path}: {error}", "correct the file, then try again"
        ) from error


def _mapping(path: Path, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise XexpError(f"{path} holds a {kind}, not names and values", "expected: name: value")
    try:
        plain: dict[str, Any] = _plain(value)
    except ValueError as error:
        raise XexpError(
            f"cannot read {path}: {error}", "correct the file, then try again"
        ) from error
    return plain


def _plain(value: Any) -> Any:
    """Convert to the types of JSON: dates to ISO text, keys to text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) >= 10**limits.MOST_DIGITS:
        raise ValueError(f"it has a number of more than {limits.MOST_DIGITS} digits")
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value.isoformat() if isinstance(value, date | datetime | time) else str(value)


def _yaml(text: str) -> Any:
    return _parsed(text) if len(text) < _SMALL else _parsed.__wrapped__(text)


#: Maximum length of a text that is cached with its value: a sweep reads the same file for each run.
_SMALL = 20_000


@lru_cache(16)
def _parsed(text: str) -> Any:
    try:
        plain_yaml.check(text, "it")
    except XexpError as error:
        raise ValueError(error.message) from error
    with suppress(plain_yaml.Odd):
        return plain_yaml.load_plain(text)
    # Imported late (60 ms). YAML 1.2, as DVC itself reads params: "on" is text, 1e-4 a number.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _json(text: str) -> Any:
    if wrong := limits.problem(text):
        raise ValueError(f"it {wrong}")
    return json.loads(text) if text.strip() else None


def _json_lines(text: str) -> dict[str, Any]:
    """Read the last value of each name: training and evaluation write different names in turn."""
    found: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        row = _json(line)
        if row is not None and not isinstance(row, dict):
            raise ValueError(f"line {number} is not an object of names and values")
        found |= {name: value for name, value in (row or {}).items() if value is not None}
    return found


def _toml(text: str) -> Any:
    if wrong := limits.problem(text):
        raise ValueError(f"it {wrong}")
    return tomllib.loads(text)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``.csv``/``.tsv`` file, cells as in :func:`read_metrics`. Raises like it."""
    rows: list[dict[str, Any]] = _parse(path, {".csv": _rows, ".tsv": lambda t: _rows(t, "\t")})
    return rows


def _rows(text: str, delimiter: str = ",") -> list[dict[str, Any]]:
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    return [
        {name: limits.number(cell) for name, cell in row.items() if name and cell} for row in rows
    ]


def _csv(text: str, delimiter: str = ",") -> dict[str, Any]:
    rows = _rows(text, delimiter)
    return rows[-1] if rows else {}


def _tsv(text: str) -> dict[str, Any]:
    return _csv(text, "\t")


_PARSERS: dict[str, Callable[[str], Any]] = {
    ".yaml": _yaml,
    ".yml": _yaml,
    ".json": _json,
    ".toml": _toml,
}
