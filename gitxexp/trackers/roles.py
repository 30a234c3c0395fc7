"""Classify the columns of a table: parameter, metric, context, output or key.

The first of these that applies to a column decides:

1. ``[roles]`` of the configuration, and the parameters and metrics that it names elsewhere.
2. The tracker's own structure: ids, times and versions are keys, xetrack's own columns are
   context, an unpacked dataclass (``params_…``, ``config_…``) is parameters.
3. The name (:func:`gitxexp.trackers.column_names.role_of`), if the values allow it: a metric has
   numbers, a parameter has one value in the whole run.
4. The values: a varying fractional number is a metric, long text is output. Short text that every row
   of a run repeats is a parameter, and so is such a number if other numbers are in some rows only.
5. The neighbouring columns (:func:`of_table`): an undecided number among parameters is a
   parameter, text among results is not.
6. Otherwise it is context: shown, but not part of the configuration.

A column counts as a setting only if that is certain, because an identical rerun must have the same
configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import date
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, NamedTuple

from gitxexp.common.dataclass import dataclass
from gitxexp.trackers import column_names, vocabulary
from gitxexp.trackers.column_names import Role
from gitxexp.trackers.times import is_instant

#: A text with more characters or words is not the value of a setting.
LONG_TEXT = 120
LONG_WORDS = 12
#: The limit for a column named as a parameter, such as a prompt template.
LONGEST_PARAM = 1000


class RoleDecision(NamedTuple):
    """The role of a column and why."""

    role: Role
    why: str
    sure: bool = True  #: if not, the neighbouring columns may decide
    guess: bool = False  #: says nothing about the neighbouring columns


@dataclass(frozen=True)
class RoleRules:
    """The configuration's rules: globs of column names (or ``TABLE.COLUMN``) by role.

    ``globs`` comes from ``[roles]``; ``params`` and ``metrics`` are names that the configuration uses as
    such elsewhere.
    """

    globs: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    params: frozenset[str] = frozenset()
    metrics: frozenset[str] = frozenset()

    def decide(self, table: str, column: str) -> RoleDecision | None:
        """Return the role that the configuration gives a column, or None."""
        for role, patterns in self.globs.items():
            for pattern in patterns:
                if fnmatchcase(column, pattern) or fnmatchcase(f"{table}.{column}", pattern):
                    return RoleDecision(role, f"[roles] {role} = {pattern}")
        if column in self.params:
            return RoleDecision(Role.PARAM, "[params] in the configuration")
        if column in self.metrics:
            return RoleDecision(Role.METRIC, "[metrics] in the configuration")
        return None


NO_RULES = RoleRules()


class ColumnValues(NamedTuple):
    """The values of a column in the rows of one run."""

    rows: int  #: of the run
    filled: int  #: rows with a value
    value: Any = None  #: the last one
    constant: bool = True
    numeric: bool = True  #: every value is a number
    fractions: bool = False  #: any of them is not an integer
    number: float | int | None = None  #: the last one that is a number
    #: this number is in all rows, others in some only: trackers attach parameters that way
    attached: bool = False
    beside: frozenset[str] = frozenset()  #: the columns of the table, in lower case
    flags: bool = False  #: every value is 0 or 1


def decide(
    table: str, column: str, values: ColumnValues, rules: RoleRules = NO_RULES
) -> RoleDecision:
    """Return the role of a column that the tracker's own structure does not determine."""
    return (
        rules.decide(table, column)
        or _beside_its_prediction(column, values)
        or _by_name(column, values)
        or _by_values(column, values)
        or RoleDecision(Role.CONTEXT, "nothing says what it is", sure=False, guess=True)
    )


def of_table(table: str, columns: Mapping[str, ColumnValues], own: Mapping[str, RoleDecision],
             rules: RoleRules = NO_RULES) -> dict[str, RoleDecision]:  # fmt: skip
    """The role of every column of a table, in the table's order; ``own`` are those decided already.

    People log what they set together and what they measured together, so an undecided number takes
    the role of the columns on both sides.
    """
    decisions = {
        name: own.get(name) or decide(table, name, v, rules) for name, v in columns.items()
    }
    names = list(decisions)
    by_row = any(each.role in _RESULTS and not each.guess and not columns[name].constant
                 for name, each in decisions.items())  # fmt: skip
    head = _head(decisions, columns, by_row)
    for at, name in enumerate(names):
        if decisions[name].sure:
            continue
        inputs = [n for n in names[:at] if not columns[n].constant] if at < head else []
        before = _nearest(decisions, (n for n in reversed(names[:at]) if n not in inputs))
        between = _Between(before, _nearest(decisions, names[at + 1 :]), at < head, by_row)
        decisions[name] = (
            _by_place(name, decisions[name], columns[name], between) or decisions[name]
        )
    return decisions


_RESULTS = (Role.METRIC, Role.OUTPUT)


class _Between(NamedTuple):
    """The nearest certain roles before and after a column, or None."""

    before: Role | None
    after: Role | None
    in_head: bool  #: before the first column that was measured
    by_row: bool  #: results of the table differ within a run


def _by_place(
    name: str, decided: RoleDecision, values: ColumnValues, at: _Between
) -> RoleDecision | None:
    whole = values.constant and values.filled == values.rows
    if not values.numeric or values.number is None:
        among = at.in_head or Role.PARAM in (at.before, at.after) or at.before is None
        if decided.role is Role.PARAM and not among:
            return RoleDecision(Role.CONTEXT, "text, with results")
        return None
    if decided.role is Role.PARAM:
        if at.before is at.after is Role.METRIC and values.fractions:
            return RoleDecision(Role.METRIC, "a number among metrics")
        return None
    if not values.constant:
        if decided.guess and at.after is Role.OUTPUT and at.before in (Role.OUTPUT, None):
            return RoleDecision(Role.OUTPUT, "a number among inputs and outputs")
        if values.fractions and at.before is Role.METRIC:
            return RoleDecision(Role.METRIC, "numbers that vary, with metrics")
        return None
    if not whole or (decided.role is Role.METRIC and not decided.guess and not at.by_row):
        return None
    counted = column_names.is_count(name)
    if values.flags and not counted and decided.role is Role.CONTEXT and not at.in_head:
        results = at.before in _RESULTS and at.after in (*_RESULTS, None)
        return RoleDecision(Role.OUTPUT, "0 or 1, with results") if results or at.by_row else None
    if at.before not in (Role.PARAM, None) or (decided.role is Role.CONTEXT and values.fractions):
        return None
    if counted and values.number > _FEW and column_names.counts_data(name):
        return None
    last = at.in_head and values.rows > 1 and at.before is not None and not counted
    last &= decided.guess and not values.flags and (at.by_row or not values.fractions)
    if at.after is Role.PARAM or last:
        return RoleDecision(Role.PARAM, "a number among parameters")
    return None


#: Up to this number a count is a setting (crops of an image); a larger one describes the data.
_FEW = 100


def _head(
    found: Mapping[str, RoleDecision], columns: Mapping[str, ColumnValues], by_row: bool
) -> int:
    """Return the number of columns before the first result; descriptions of a row may come first."""
    set_up = False
    for at, (name, (role, _, _, guess)) in enumerate(found.items()):
        set_up |= role is Role.PARAM
        varies = role is not Role.KEY and not columns[name].constant
        measured = role is Role.METRIC and not guess and (varies or not by_row)
        if measured or (set_up and (varies or (role is Role.OUTPUT and not guess))):
            return at
    return len(found)


def _nearest(found: Mapping[str, RoleDecision], names: Iterable[str]) -> Role | None:
    """Return the first known role, ignoring keys."""
    for name in names:
        role, _, _, guess = found[name]
        if role is not Role.KEY and not guess:
            return role
    return None


def kept(params: Mapping[str, Any], roles: Mapping[str, Role]) -> dict[str, Any]:
    """Return those parameters of a tag that are parameters by today's rules: by ``roles`` of
    today's run, else by their names (a version before this one took commits, hosts and counts for
    parameters)."""
    return {name: value for name, value in params.items() if _is_param(name, roles)}


def _is_param(name: str, roles: Mapping[str, Role]) -> bool:
    if name in roles:
        return roles[name] is Role.PARAM
    if "." in name:  # from a parameter file
        return True
    named = column_names.role_of(name)
    return named is None or named.role is Role.PARAM


_PREDICTED = ("predicted_{}", "pred_{}", "{}_pred", "{}_predicted", "{}_prediction", "forecast_{}",
              "predicted{}", "{}_forecast", "{}_hat")  # fmt: skip


@lru_cache(maxsize=4096)
def _predictions_of(column: str) -> tuple[str, frozenset[str], tuple[str, ...]]:
    """Return the name without its ground-truth marker, the matching prediction's name ("" and none
    without a marker), and the name of the prediction of ``column``."""
    name = column.lower()
    stem = re.sub(r"_(?:true|gt|actual)$", "", name)
    pair = frozenset((f"{stem}_pred", f"{stem}_predicted") if stem != name else ())
    return stem, pair, tuple(form.format(name) for form in _PREDICTED)


def _beside_its_prediction(column: str, values: ColumnValues) -> RoleDecision | None:
    """Whether a column is ground truth: ``sales`` is, if there is also a ``predicted_sales``."""
    stem, pair, forms = _predictions_of(column)
    if not pair.isdisjoint(values.beside):
        return RoleDecision(Role.OUTPUT, f"next to {stem}_pred")
    if (values.constant and values.rows > 1) or values.beside.isdisjoint(forms):
        return None
    return RoleDecision(
        Role.OUTPUT, f"next to {next(each for each in forms if each in values.beside)}"
    )


# -- by name -------------------------------------------------------------------------------------

#: Metrics that are settings if their value is text: ``loss = "hinge"``.
_CHOICES = frozenset(("loss", "metric", "objective", "score", "reward", "distance", "divergence",
                      "similarity", "likelihood", "precision"))  # fmt: skip


def _by_name(column: str, values: ColumnValues) -> RoleDecision | None:
    named = column_names.role_of(column)
    if named is None:
        return None
    decision = _named(column, named, values)
    if decision and not named.sure:
        varies = named.role is Role.CONTEXT and not values.constant
        if varies or (decision.role is not named.role and values.constant):
            return decision
        return decision._replace(sure=False, guess=decision.role is Role.CONTEXT)
    return decision


def _named(column: str, named: column_names.Named, values: ColumnValues) -> RoleDecision | None:
    if named.role is Role.OUTPUT and _is_status(values.value):
        return RoleDecision(Role.CONTEXT, f"{named.why}, the status of a run")
    if not values.filled:
        role = Role.CONTEXT if column.lower() == "error" else named.role
        return RoleDecision(role, f"{named.why}; no value in the run")
    if named.role is Role.METRIC:
        return _metric(column, named.why, values)
    if named.role is Role.PARAM:
        if _is_of_returns(column, values):
            return _metric(column, f"{named.why}, next to returns", values)
        return _param(column, named.why, values)
    last = column_names.words(column)[-1:]
    text = values.value if isinstance(values.value, str) else ""
    if named.role is Role.KEY and text.startswith("["):  # retrieved_ids
        return RoleDecision(Role.OUTPUT, f"{named.why}, but a list")
    if not values.constant and _is_long(text) and last not in _REMARKS:
        return RoleDecision(Role.OUTPUT, f"{named.why}, but long text that differs within the run")
    first = column_names.words(column)[:1]
    measured = values.fractions and not vocabulary.METRICS.isdisjoint(first)
    if named.role is Role.OUTPUT and measured and column_names.is_plural(last[0]):
        return RoleDecision(Role.METRIC, f"{named.why}, but {first[0]} as a number")
    if named.role is Role.OUTPUT and values.rows > 1 and _is_number_of(column, values):
        return RoleDecision(Role.CONTEXT, f"counts {last[0]}")
    listed = not values.numeric and text[:1] in ("[", "{")
    if named.role is Role.CONTEXT and listed and column_names.is_plural(last[0]):
        return (
            RoleDecision(Role.OUTPUT, f"{named.why}, but a list") if not values.constant else None
        )
    if column.lower() in ("class_balance", "link") and _is_choice(values) and not _is_place(text):
        return RoleDecision(Role.PARAM, f"{named.why}, but the name of a kind")
    if last == ["features"] and values.value in (0, 1):
        return RoleDecision(Role.PARAM, f"{named.why}, as a switch")
    if last == ["key"] and values.constant and values.rows > 1:  # batch_key: donor
        return RoleDecision(Role.CONTEXT, f"{named.why}, but one in the whole run")
    if last == ["fingerprint"] and _is_choice(values) and not re.search(r"\d{3}", values.value):
        return RoleDecision(Role.PARAM, f"{named.why}, but the name of a kind")
    if values.fractions and last == ["index"]:  # rand_index
        return RoleDecision(Role.METRIC, f"{named.why}, but a number with a fraction")
    if _is_choice(values) and first != ["top"] and last in (["features"], ["cols"], ["columns"]):
        return RoleDecision(Role.PARAM, f"{named.why}, as text: their names")
    return RoleDecision(named.role, named.why)


_REMARKS = (
    ["description"],
    ["note"],
    ["notes"],
    ["comment"],
    ["comments"],
    ["remark"],
    ["remarks"],
)

#: Terms of finance that elsewhere are settings, and the columns that mark such a table.
_IN_FINANCE = frozenset(("alpha", "beta"))
_FINANCE = re.compile(r"sharpe|sortino|drawdown|cagr|annual_return|\bpnl")


def _is_of_returns(column: str, values: ColumnValues) -> bool:
    """Whether ``alpha`` and ``beta`` (``beta_to_spx``) are those of a portfolio."""
    first = column_names.words(column)[:1]
    return bool(_IN_FINANCE.intersection(first)) and any(map(_FINANCE.search, values.beside))


def _metric(column: str, why: str, values: ColumnValues) -> RoleDecision:
    if values.number is not None:
        switch = values.flags and values.constant and not values.fractions
        return RoleDecision(Role.METRIC, why, sure=not switch, guess=switch)
    if column.lower() in _CHOICES and _is_choice(values):
        return RoleDecision(Role.PARAM, f"{why}, as text: the name of one")
    if _is_long(values.value):
        return RoleDecision(Role.OUTPUT, f"{why}, but long text")
    if not values.constant and not values.numeric and values.value[:1] in ("[", "{"):
        return RoleDecision(Role.OUTPUT, f"{why}, but lists that differ within the run")
    if vocabulary.METRICS.isdisjoint(column_names.words(column)[-1:]):  # duration_predictor
        return _by_values(column, values) or RoleDecision(Role.CONTEXT, "nothing says what it is")
    return RoleDecision(Role.CONTEXT, f"{why}, but holds no number")


#: Settings that are chosen by name and are never fractional numbers.
_CHOSEN = [
    [word]
    for word in ("selection", "strategy", "method", "type", "mode", "name", "fn", "function", "scheme",
                 "protocol", "model", "metric", "scorer", "backend", "engine", "policy", "template",
                 "calibration")
]  # fmt: skip


def _param(column: str, why: str, values: ColumnValues) -> RoleDecision:
    last = column_names.words(column)[-1:]
    if values.fractions and last in _CHOSEN:
        return RoleDecision(Role.METRIC, f"{why}, but a number with a fraction")
    took = values.fractions and last in (["days"], ["hours"])
    trained = column_names.words(column)[:-1] in (["train"], ["training"])
    if took and (trained or (values.number or 0) % 1 != 0):
        return RoleDecision(Role.CONTEXT, f"{why}, but no whole number: how long it took")
    if not values.constant:
        if _is_long(values.value):
            return RoleDecision(Role.OUTPUT, f"{why}, but long text that differs within the run")
        if last in (["ms"], ["sec"], ["secs"], ["us"]) and values.numeric:
            return RoleDecision(Role.METRIC, f"{why}, but a time that differs within the run")
        if last == ["prob"]:
            return RoleDecision(Role.OUTPUT, f"{why}, but differs within the run")
        return RoleDecision(Role.CONTEXT, f"{why}, but differs within the run")
    text = values.value if isinstance(values.value, str) else ""
    if len(text) > LONGEST_PARAM:
        return RoleDecision(Role.OUTPUT, f"{why}, but very long text")
    if _is_place(text):
        return RoleDecision(Role.CONTEXT, f"{why}, but a place on one machine")
    if is_instant(values.value):
        return RoleDecision(Role.CONTEXT, f"{why}, but a point in time")
    return RoleDecision(Role.PARAM, why)


# -- by values -----------------------------------------------------------------------------------

_HEX = re.compile(
    r"(?=.*\d)(?:[0-9a-f]{7,64}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
)
_DATE = re.compile(r"\d{4}[-/]\d\d[-/]\d\d")
_FILE = re.compile(
    r"\.(?:csv|tsv|jsonl?|ya?ml|toml|parquet|npy|npz|pkl|joblib|h5|pth?|ckpt|onnx|safetensors|bin|png"
    r"|jpe?g|wav|flac|mp[34]|txt|log|html|pdf|db|sqlite|py|ipynb|sh|gz|zip)$",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.\w+")
#: Names of the end of a run in schedulers and trackers (Optuna, Ray, MLflow, W&B, Slurm).
_STATUSES = frozenset(("complete", "completed", "finished", "running", "failed", "fail", "crashed", "killed",
                       "pruned", "terminated", "error", "success", "succeeded", "pending", "preempted",
                       "cancelled", "canceled", "aborted", "scheduled", "waiting"))  # fmt: skip
_VERSION = re.compile(r"v?\d+\.\d+(?:\.\d+)+\S*")


def _by_values(column: str, values: ColumnValues) -> RoleDecision | None:
    if not values.filled:
        return None
    if values.numeric:
        words = column_names.words(column)
        if words and column_names.is_plural(words[-1]) and not values.fractions:
            return RoleDecision(Role.CONTEXT, f"counts {words[-1]}", sure=False, guess=True)
        return _number(column, values)
    value = values.value
    if isinstance(value, bool):
        return _repeated(values, "true or false")
    if _is_status(value):
        return RoleDecision(Role.CONTEXT, "the status of a run")
    if isinstance(value, date) or is_instant(value) or _DATE.fullmatch(str(value)):
        return RoleDecision(Role.CONTEXT, "a point in time")
    if isinstance(value, list | tuple | dict):
        return _repeated(values, "a list")
    if not isinstance(value, str):
        return _repeated(values, "a value")
    if _is_long(value):
        return RoleDecision(Role.OUTPUT, "long text")
    if _VERSION.fullmatch(value) or _is_place(value) or (_HEX.fullmatch(value) and values.constant):
        return RoleDecision(Role.CONTEXT, "a hash, a version or a place")
    if not values.constant:
        if column_names.words(column)[-1:] == ["id"]:
            return RoleDecision(Role.KEY, "ids that differ within the run")
        return RoleDecision(Role.OUTPUT, "text that differs within the run")
    if _FILE.search(value) or _EMAIL.fullmatch(value):
        return RoleDecision(Role.CONTEXT, "a file or an address")
    if column_names.words(column)[:1] in (["best"], ["final"]):
        return RoleDecision(Role.CONTEXT, "what was best")
    if len(value.split()) > 3 and "," not in value:
        return RoleDecision(Role.CONTEXT, "a remark of several words")
    return _repeated(values, "short text")


def _repeated(values: ColumnValues, what: str) -> RoleDecision | None:
    if values.constant and values.filled == values.rows:
        return RoleDecision(Role.PARAM, f"{what}, the same in every row", what != "short text")
    return None


def _number(column: str, values: ColumnValues) -> RoleDecision | None:
    if not values.constant:
        if values.fractions:
            return RoleDecision(Role.METRIC, "numbers that vary", sure=False, guess=True)
        if values.flags:
            return RoleDecision(Role.OUTPUT, "0 or 1, row by row")
        return None
    if values.filled < values.rows:
        return RoleDecision(Role.METRIC, "a number in some rows only")
    if _is_of_returns(column, values):
        return RoleDecision(Role.METRIC, "next to returns")
    hinted = not values.fractions and column_names.hints_at_setting(column)
    if values.attached or hinted:
        return RoleDecision(Role.PARAM, "a number that every row repeats")
    if column_names.is_made_of_settings(column):
        return RoleDecision(Role.PARAM, "a number of words of settings", sure=False)
    if values.fractions:
        return RoleDecision(Role.METRIC, "a number with a fraction", sure=False, guess=True)
    return None


def _is_number_of(column: str, values: ColumnValues) -> bool:
    """Whether a column repeats a count of the run in every row."""
    plural = column_names.is_plural((column_names.words(column) or [""])[-1])
    first = (column_names.words(column) or [""])[0]
    given = first not in vocabulary.OUTPUT_BEGINNINGS
    return given and plural and values.constant and values.numeric and not values.fractions


def _is_choice(values: ColumnValues) -> bool:
    value = values.value
    return values.constant and isinstance(value, str) and not _is_long(value)


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and (
        len(value) > LONG_TEXT or len(value.split()) > LONG_WORDS or "\n" in value.strip()
    )


def _is_status(value: Any) -> bool:
    return isinstance(value, str) and value.lower() in _STATUSES


def _is_place(text: str) -> bool:
    return text.startswith(("/", "~/", "file:", "\\\\")) or "://" in text or text[1:3] == ":\\"
