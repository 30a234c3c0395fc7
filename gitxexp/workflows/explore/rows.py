"""Experiments and runs as rows with named values, for listing, filtering and sorting.

A name refers to, in this order: a fixed field (:data:`FIELDS`), a metric, a parameter.
``metrics.x`` and ``params.x`` select one. A plain name also matches the only dotted name that ends
in it (``lr`` for ``train.lr``), and case is ignored if nothing matches exactly.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from gitxexp.common.errors import XexpError
from gitxexp.common.text import show_date
from gitxexp.repository import version as versions
from gitxexp.repository.tags import Experiment
from gitxexp.repository.version import NamedVersion
from gitxexp.trackers.column_names import alias_in, canonical, has_aliases
from gitxexp.workflows.explore import filters
from gitxexp.workflows.explore.filters import Predicate

if TYPE_CHECKING:
    from gitxexp.trackers.run import Run

#: Field → description. A field takes precedence over a parameter of the same name.
FIELDS: dict[str, str] = {
    "version": "the experiment's version",
    "date": "when it was tagged (a run: when it wrote last)",
    "label": "its labels",
    "data": "the data hash, six digits",
    "text": "the prose of its description",
    "headline": "the whole description",
    "run": "the tracker's run",
    "commit": "the commit that the tag names",
    "config_hash": "the hash of its parameters",
    "tagger": "who tagged it",
    "parent": "the experiment before it",
    "reason": "why the version is at its level",
    "rows": "rows of the run (with --runs)",
    "results": "the results database",
    "record": "the id of its record (with --runs)",
    "status": "how the run ended: done, failed, stopped, timeout, killed; or running",
    "took": "how long the run took, in seconds",
    "command": "what was run",
    "sweep": "the sweep that the run is of",
}
_SYNONYMS = {"labels": "label", "experiment": "version", "author": "tagger"}
_DATE = r"(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:[T ](\d\d?)(?::(\d\d)(?::(\d\d))?)?)?)?)?"


#: The attribute of each field of an experiment.
_READ = {
    name: attrgetter(f"experiment.{path}")
    for name, path in {
        "version": "name",
        "date": "date",
        "label": "payload.labels",
        "data": "payload.data",
        "text": "payload.text",
        "headline": "payload.headline",
        "run": "payload.run",
        "commit": "commit",
        "config_hash": "payload.config_hash",
        "tagger": "tagger",
        "parent": "payload.parent",
        "reason": "payload.reason",
        "results": "payload.results",
    }.items()
}
#: Fields that an experiment always has; for the others an empty text means a missing value.
_ALWAYS = frozenset(("version", "date", "label", "headline", "commit"))


class Row:
    """An experiment, or (with ``fields``, its values of :data:`FIELDS`) a run."""

    __slots__ = ("_fields", "experiment", "logged", "metrics", "params")

    def __init__(
        self,
        params: Mapping[str, Any],
        metrics: Mapping[str, Any],
        experiment: Experiment | None,
        fields: Mapping[str, Any] | None = None,
        logged: Run | None = None,
    ) -> None:
        self.logged = logged  #: the tracker's run, if it is in the results
        self.params = params
        self.metrics = metrics
        self.experiment = experiment
        self._fields = fields

    @property
    def is_run(self) -> bool:
        """Whether the row is a run of a results database."""
        return self._fields is not None

    def field(self, name: str) -> Any:
        """The value of a field, or None."""
        if self._fields is not None:
            return self._fields.get(name)
        read = _READ.get(name)
        if read is None or self.experiment is None:
            return None
        return read(self) if name in _ALWAYS else read(self) or None

    def fields(self) -> dict[str, Any]:
        """Every field that this kind of row has."""
        return {name: self.field(name) for name in (self._fields or _READ)}


def of_experiment(experiment: Experiment) -> Row:
    """The row of an experiment."""
    payload = experiment.payload
    return Row(payload.params, payload.metrics, experiment)


class ColumnName(NamedTuple):
    """A name that was looked up: its kind (field, metric, param), and its full spelling."""

    kind: str
    name: str

    def value(self, row: Row) -> Any:
        """The row's value, or None."""
        if self.kind == "field":
            return row.field(self.name)
        values = row.metrics if self.kind == "metric" else row.params
        value = values.get(self.name)
        return value if value is not None else _by_tail(values, self.name)


def column(rows: Sequence[Row], name: ColumnName) -> list[Any]:
    """The value of ``name`` in every row."""
    if name.kind == "field":
        return [row.field(name.name) for row in rows]
    tables = [row.metrics if name.kind == "metric" else row.params for row in rows]
    values = [table.get(name.name) for table in tables]
    if None not in values:
        return values
    return [_by_tail(t, name.name) if v is None else v for v, t in zip(values, tables, strict=True)]


def _by_tail(values: Mapping[str, Any], name: str) -> Any:
    """Return the value of the only dotted name that ends in ``name``, or of an alias."""
    longer = [known for known in values if known.endswith(f".{name}")]
    if longer:
        return values[longer[0]] if len(longer) == 1 else None
    other = alias_in(values, name)
    return None if other is None else values[other]


class ColumnNames:
    """The names that a set of rows knows."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.metrics = _distinct([row.metrics for row in rows])
        self.params = _distinct([row.params for row in rows])
        self.any = bool(rows)

    def find(self, name: str) -> ColumnName:
        """Look up ``name``; raises XexpError with similar names if it is unknown."""
        spelled = _SYNONYMS.get(name, name)
        if spelled in FIELDS:
            return ColumnName("field", spelled)
        for kind, known in (("metric", self.metrics), ("param", self.params)):
            plain = name.removeprefix(f"{kind}s.")
            full = _known(plain, known) if plain != name or not _prefixed(name) else None
            if full is not None:
                return ColumnName(kind, full)
        folded = spelled.lower()
        if folded in FIELDS:
            return ColumnName("field", folded)
        if not self.any:
            return ColumnName("param", name)
        raise self._unknown(name)

    def _unknown(self, name: str) -> XexpError:
        from difflib import get_close_matches  # only for an error

        known = [*FIELDS, *self.metrics, *self.params]
        lowered = {item.lower(): item for item in known}
        close = [lowered[c] for c in get_close_matches(name.lower(), lowered, 3, 0.5)]
        close += [item for item in known if "." in item and name.lower() in item.lower()][:3]
        if close:
            hint = f"did you mean {' or '.join(dict.fromkeys(close))}?"
        else:
            own = [*self.metrics, *self.params][:12]
            hint = f"known are: {', '.join([*own, *FIELDS])}"
        return XexpError(f"no parameter, metric or field is named '{name}'", hint)


def _distinct(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names in the tables; of aliases only the first, unless a table has two of them."""
    names = list(dict.fromkeys(chain.from_iterable(tables)))
    spelled: dict[str, list[str]] = {}
    for name in filter(has_aliases, names):
        spelled.setdefault(canonical(name), []).append(name)
    other = {
        name
        for found in spelled.values()
        if len(found) > 1 and all(sum(name in table for name in found) < 2 for table in tables)
        for name in found[1:]
    }
    return [name for name in names if name not in other]


def _prefixed(name: str) -> bool:
    return name.startswith(("metrics.", "params."))


def _known(name: str, known: Sequence[str]) -> str | None:
    """The spelling in ``known``: exact, the end of dotted names, or in another case."""
    if name in known:
        return name
    tails = [item for item in known if item.endswith(f".{name}")]
    if len(tails) > 1:
        raise XexpError(f"'{name}' is ambiguous", f"it may be {' or '.join(tails[:5])}")
    if tails:
        return tails[0]
    folded = name.lower()
    found = next((item for item in known if item.lower() == folded), None)
    return found or alias_in(known, name)


# -- filtering -------------------------------------------------------------------------------------


def comparer(names: ColumnNames) -> filters.Comparer:
    """How a filter compares the values of rows that know ``names``."""

    def compare(name: str, op: str, text: str) -> Predicate:
        column = names.find(name)
        special = {"version": _version_test, "date": _date_test, "label": _label_test}
        make = special.get(column.name) if column.kind == "field" else None
        test = make(op, text) if make else filters.compare_values(op, text)
        return lambda row: test(column.value(row))

    return compare


def select(
    rows: Iterable[Row], text: str, names: ColumnNames
) -> tuple[list[Row], list[ColumnName]]:
    """The rows that the filter ``text`` matches, and the names that it asks for."""
    parsed = filters.parse(text, comparer(names))
    return [row for row in rows if parsed.matches(row)], [names.find(name) for name in parsed.names]


Test = Callable[[Any], bool]


def _version_test(op: str, text: str) -> Test:
    if op in ("~", "!~", "=", "!="):
        plain = filters.compare_values(op, text)
        return lambda value: value is not None and plain(str(value))
    wanted = versions.parse(text)
    if wanted is None:
        raise ValueError(f"'{text}' is not a version (like e0.3.0)")

    def test(value: Any) -> bool:
        version = versions.parse(value) if isinstance(value, str) else None
        return (
            isinstance(version, type(wanted))
            and _comparable(version, wanted)
            and filters.ORDER[op](version, wanted)
        )

    return test


def _comparable(one: Any, other: Any) -> bool:
    """Versions of different named experiments have no order."""
    return not isinstance(one, NamedVersion) or one.name == other.name


def _date_test(op: str, text: str) -> Test:
    if op in ("~", "!~"):
        plain = filters.compare_values(op, text)
        return lambda value: value is not None and plain(show_date(value))
    start, end = date_span(text)
    tests: dict[str, Test] = {
        "=": lambda value: start <= value < end,
        "!=": lambda value: not start <= value < end,
        "<": lambda value: value < start,
        "<=": lambda value: value < end,
        ">": lambda value: value >= end,
        ">=": lambda value: value >= start,
    }
    return lambda value: value is not None and tests[op](value)


def _label_test(op: str, text: str) -> Test:
    """Labels are a set, never missing: ``!=`` and ``!~`` require that no label matches."""
    if op in ("!=", "!~"):
        inner = filters.compare_values(op[1:] or "=", text)
        return lambda value: not any(inner(label) for label in value or ())
    inner = filters.compare_values(op, text)
    return lambda value: any(inner(label) for label in value or ())


def date_span(text: str) -> tuple[float, float]:
    """Return the first second of a local date and the one after its last: a year, month, day,
    minute, second.

    Raises ValueError if it is not a date.
    """
    match = re.fullmatch(_DATE, text.strip(), re.ASCII)
    if match is None:
        raise ValueError(f"'{text}' is not a date (like 2026-03-01, or '2026-03-01 12:30')")
    given = [int(part) for part in match.groups() if part is not None]
    fields = [*given, *(0, 1, 1, 0, 0, 0)[len(given) :]]
    limits = ((1970, 9999), (1, 12), (1, 31), (0, 23), (0, 59), (0, 60))
    if any(not low <= part <= high for part, (low, high) in zip(fields, limits, strict=True)):
        raise ValueError(f"'{text}' is not a date")
    after = list(fields)
    after[len(given) - 1] += 1
    return _local(fields), _local(after)


def _local(fields: Sequence[int]) -> float:
    """mktime normalises: the 32nd of January is the first of February."""
    year, month, day, hour, minute, second = fields
    return time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
