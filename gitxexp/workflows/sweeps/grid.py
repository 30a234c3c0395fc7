"""The configurations of a sweep: lists and ranges of values that are multiplied, paired, or read
from a file.

``lr=0.1,0.01`` and ``hidden=range(8,65,8)`` are those of Hydra and of ``dvc exp run --queue``
(dvc.org/doc/command-reference/exp/run, "Create a grid search"); ``log(1e-4,1e-1,5)`` are values with
equal ratios.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from math import prod
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError
from gitxexp.repository.config_hash import canonical, flatten
from gitxexp.storage.dvc import plain_yaml
from gitxexp.trackers.files import read_params, read_rows

#: The configurations of one sweep, and the values of one range.
MOST = 100_000

Configuration = dict[str, Any]

_CALL = re.compile(r"(range|log|choice)\((.*)\)", re.S)
_OPENING, _CLOSING = "([{", ")]}"


@dataclass(frozen=True)
class SearchInterval:
    """A numeric interval for a sampler. ``step`` None: any number between them."""

    low: float
    high: float
    step: float | None = None
    log: bool = False


@dataclass(frozen=True)
class Axis:
    """A parameter and the values that it takes. ``interval`` is what a sampler may choose from
    instead; without it, one of the values. No values: only a sampler can choose."""

    name: str
    values: tuple[Any, ...]
    interval: SearchInterval | None = None


@dataclass(frozen=True)
class Grid:
    """The product of its ``factors``, each a sequence of parts of a configuration. ``axes`` are the
    choices of a sampler."""

    factors: tuple[tuple[Mapping[str, Any], ...], ...]
    axes: tuple[Axis, ...] = field(default=())

    @property
    def size(self) -> int:
        """The number of configurations, which may be huge."""
        return prod(len(factor) for factor in self.factors)

    def __getitem__(self, number: int) -> Configuration:
        """Configuration ``number``; the last factor changes fastest."""
        parts: list[Mapping[str, Any]] = []
        for factor in reversed(self.factors):
            number, at = divmod(number, len(factor))
            parts.append(factor[at])
        found: Configuration = {}
        for part in reversed(parts):
            found |= part
        return found

    @property
    def names(self) -> list[str]:
        """The parameters that any configuration sets, in the order in which they were given."""
        parts = (part for factor in self.factors for part in factor)
        return list(dict.fromkeys(name for part in parts for name in part))

    def configurations(self, sample: int | None = None, seed: int = 0) -> list[Configuration]:
        """Yield every configuration once, or ``sample`` random ones (reproducible by seed).

        Raises UsageError if there are too many.
        """
        total = self.size
        numbers: Iterable[int] = range(total)
        if sample is not None and sample < total:
            numbers = sorted(_sampled(total, sample, seed))
        elif total > MOST:
            raise UsageError(
                f"the grid has {total} configurations, more than {MOST}", "choose some: --sample N"
            )
        return distinct(self[number] for number in numbers)


def _sampled(total: int, count: int, seed: int) -> set[int]:
    """``count`` different numbers below ``total``, which may exceed the limit of ``range``."""
    chance = random.Random(seed)
    if total <= 10 * count:
        return set(chance.sample(range(total), count))
    found: set[int] = set()
    while len(found) < count:
        found.add(chance.randrange(total))
    return found


def distinct(configurations: Iterable[Configuration]) -> list[Configuration]:
    """Yield the configurations without duplicates of earlier ones."""
    found: dict[str, Configuration] = {}
    for each in configurations:
        found.setdefault(canonical(each), each)
    return list(found.values())


def multiplied(axes: Sequence[Axis], *, zipped: bool = False) -> Grid:
    """Return the product of the axes, or with ``zipped`` their values in pairs; a single value
    pairs with all.

    Raises UsageError if they cannot be paired, or a parameter is given twice.
    """
    names = [axis.name for axis in axes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"{twice} is given twice", f"list its values: -S {twice}=A,B")
    for axis in axes:
        for other in names:
            if other.startswith(f"{axis.name}."):
                raise UsageError(f"{axis.name} and {other} cannot both be set", "leave one out")
    if not zipped:
        factors = tuple(tuple({a.name: v} for v in a.values) for a in axes)
        return Grid(factors, tuple(axes))
    counts = {axis.name: len(axis.values) for axis in axes if len(axis.values) != 1}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise UsageError(
            f"--zip pairs values, and there are not as many of each: {said}",
            "give each parameter as many values",
        )
    length = max((len(axis.values) for axis in axes), default=0)
    pairs = tuple(
        {a.name: a.values[at if len(a.values) > 1 else 0] for a in axes} for at in range(length)
    )
    return Grid((pairs,), ())


def joined(grids: Iterable[Grid]) -> Grid:
    """The product of grids."""
    every = list(grids)
    return Grid(
        tuple(factor for grid in every for factor in grid.factors),
        tuple(axis for grid in every for axis in grid.axes),
    )


# -- the command line -------------------------------------------------------------------------------


def parse(text: str) -> Axis:
    """The axis that ``NAME=VALUES`` describes; raises UsageError."""
    name, equals, spelled = text.partition("=")
    name = name.strip()
    if not equals or not name or any(not part for part in name.split(".")):
        raise UsageError(f"'{text}' is not NAME=VALUE,…", "like: -S lr=0.1,0.01")
    return axis_of(name, spelled)


def axis_of(name: str, spelled: str) -> Axis:
    """The axis of a parameter whose values are written as on the command line."""
    values: list[Any] = []
    interval: SearchInterval | None = None
    words = split(spelled)
    for word in words:
        call = _CALL.fullmatch(word.strip())
        if call is None:
            values.append(typed(word))
            continue
        found, interval = _called(name, call[1], split(call[2]))
        values += found
        if len(values) > MOST:
            raise UsageError(f"{name} has more than {MOST} values", "give a larger step")
    return Axis(name, _once(values), interval if len(words) == 1 else None)


def split(text: str) -> list[str]:
    """Split ``text`` at commas outside quotes and brackets; raises UsageError for an unclosed one."""
    words, depth, quote, word = [], 0, "", ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'" and not word.strip():
            quote = char
        elif char in _OPENING:
            depth += 1
        elif char in _CLOSING:
            depth -= 1
        if char == "," and not depth and not quote:
            words.append(word)
            word = ""
        else:
            word += char
    if depth or quote:
        raise UsageError(
            f"'{text}': a bracket or quote is left open",
            "close it, or quote the whole word for the shell",
        )
    return [*words, word]


def typed(text: str) -> Any:
    """Parse ``text`` as YAML 1.2: a number, boolean, list, mapping or text."""
    stripped = text.strip()
    if not stripped:
        return ""
    try:
        return plain_yaml.load(stripped, f"'{stripped}'")
    except XexpError:
        return stripped


def _once(values: Iterable[Any]) -> tuple[Any, ...]:
    """Each value once; 1 and 1.0 are equal."""
    return tuple({canonical({"": value}): value for value in reversed(list(values))}.values())[::-1]


def _called(
    name: str, function: str, words: Sequence[str]
) -> tuple[list[Any], SearchInterval | None]:
    if function == "choice":
        return [typed(word) for word in words], None
    try:
        numbers = [Decimal(word.strip()) for word in words]
    except InvalidOperation:
        numbers = []
    said = f"{name}={function}({','.join(words)})"
    if not all(number.is_finite() for number in numbers):
        numbers = []
    if function == "range":
        return _range(said, numbers)
    return _log(said, numbers)


def _range(said: str, numbers: Sequence[Decimal]) -> tuple[list[Any], SearchInterval | None]:
    """Include the first number but not the last, as in Python."""
    if len(numbers) not in (2, 3) or (len(numbers) == 3 and not numbers[2]):
        raise UsageError(f"'{said}' is not a range", "like: range(8,65,8): 8, 16, … 64")
    start, stop, step = (*numbers, Decimal(1))[:3]
    ratio = (stop - start) / step
    count = max(0, int(ratio.to_integral_value(ROUND_CEILING))) if ratio < 2 * MOST else 2 * MOST
    if count > MOST:
        raise UsageError(f"'{said}' has more than {MOST} values", "give a larger step")
    if not count:
        raise UsageError(f"'{said}' has no values", "like: range(8,65,8): 8, 16, … 64")
    whole = all(number == int(number) for number in (start, step))
    values = [start + at * step for at in range(count)]
    plain = [int(value) if whole else float(value) for value in values]
    low, high = min(plain), max(plain)
    return plain, SearchInterval(low, high, float(abs(step)))


def _log(said: str, numbers: Sequence[Decimal]) -> tuple[list[Any], SearchInterval | None]:
    """Numbers with equal ratios, including the first and the last."""
    hint = "like: log(1e-4,1e-1,4): 0.0001, 0.001, 0.01, 0.1"
    if len(numbers) not in (2, 3) or not all(number > 0 for number in numbers[:2]):
        raise UsageError(f"'{said}' is not a scale", hint)
    low, high = float(numbers[0]), float(numbers[1])
    interval = SearchInterval(min(low, high), max(low, high), None, log=True)
    if len(numbers) == 2:
        return [], interval
    count = numbers[2]
    if count != int(count) or not 1 <= count <= MOST or (count == 1 and low != high):
        raise UsageError(f"'{said}' is not a scale", hint)
    steps = max(int(count) - 1, 1)
    values = [low * (high / low) ** (at / steps) for at in range(int(count))]
    return [float(f"{value:.12g}") for value in values], interval


# -- files ----------------------------------------------------------------------------------------


def read(path: Path) -> Grid:
    """The grid of a TOML, YAML, JSON, CSV or TSV file.

    Names with a list (or ``range(…)``, ``log(…)``) multiply; a CSV's rows, or mappings in a list
    (YAML: the document, TOML: ``[[runs]]``), are complete configurations. Raises XexpError.
    """
    if path.suffix.lower() in (".csv", ".tsv"):
        return _listed(path, read_rows(path))
    document = _document(path)
    if isinstance(document, list):
        return _listed(path, document)
    rows = document.get("runs")
    if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        rest = {name: value for name, value in document.items() if name != "runs"}
        return joined([_listed(path, rows), of_mapping(rest, str(path))])
    return of_mapping(document, str(path))


def _document(path: Path) -> Any:
    if path.suffix.lower() in (".yaml", ".yml"):
        try:
            text = path.read_text("utf-8-sig")
        except FileNotFoundError:
            raise XexpError(f"no such file: {path}", "check the path") from None
        except UnicodeDecodeError as error:
            raise XexpError(f"cannot read {path}: {error}", "save it as UTF-8") from error
        except OSError as error:
            raise XexpError(f"cannot read {path}: {error.strerror}") from error
        if text.lstrip().startswith("-"):
            return plain_yaml.load(text, str(path))
    return read_params(path)


def _listed(path: Path, rows: Sequence[Any]) -> Grid:
    if not rows or not all(isinstance(row, Mapping) and row for row in rows):
        raise XexpError(f"{path} has no configurations", "name values in each: lr: 0.1")
    return Grid((tuple(flatten(row) for row in rows),))


def of_mapping(section: Mapping[str, Any], where: str) -> Grid:
    """The grid of names with lists of values, nested names joined by dots; raises XexpError."""
    axes = []
    for name, value in flatten(section).items():
        if isinstance(value, list | tuple):
            if not value:
                raise XexpError(f"{where}: {name} has no values", "give at least one")
            axes.append(Axis(name, _once(value)))
        elif isinstance(value, str) and _CALL.fullmatch(value.strip()):
            axes.append(axis_of(name, value))
        else:
            axes.append(Axis(name, (value,)))
    return multiplied(axes)


def lines(configuration: Mapping[str, Any]) -> Iterator[str]:
    """``name=value`` of each parameter, as people write it."""
    from gitxexp.repository.tag_message import show

    return (f"{name}={show(value)}" for name, value in configuration.items())
