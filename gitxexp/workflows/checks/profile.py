"""A table of results, aggregated by run in the database itself, as input to the rules.

One statement computes counts, extremes and sums of every column per run; no row is fetched into
Python. If the parameters of an evaluation vary within a run, the rows of each configuration form a
separate group. Rules query single rows to show afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, NamedTuple

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError, suggestion
from gitxexp.common.sql import quote
from gitxexp.common.values import is_number
from gitxexp.trackers import column_names, roles
from gitxexp.trackers.column_names import Role
from gitxexp.trackers.databases import Database
from gitxexp.trackers.event_rows import XETRACK_COLUMNS, plain, structure
from gitxexp.trackers.roles import ColumnValues, RoleDecision, RoleRules
from gitxexp.trackers.tables import RunTable
from gitxexp.workflows.checks.layout import (
    ERRORS,
    ID_COLUMNS,
    NO_ERRORS,
    PREDICTIONS,
    SPLITS,
    TRUTHS,
)
from gitxexp.workflows.checks.ranges import Aggregates, Ranges, ranges
from gitxexp.workflows.checks.rule import Finding, Fix, Severity, found

#: Rows shown per finding.
MOST = 20
#: From this many rows on, a table's inputs are sorted once for all rules.
LARGE = 200_000
#: Columns that number intended repetitions of an input.
REPETITIONS = ("epoch", "step", "fold", "cv_fold", "repeat", "repetition", "replicate", "attempt", "turn",
               "trial", "iteration", "round", "rollout", "sample_idx", "sample_index")  # fmt: skip
#: Columns with whose values the data is split anew.
_SPLIT_BY = frozenset(("fold", "cv_fold", "repeat", "repetition", "replicate", "seed", "random_seed",
                       "random_state", "split_seed"))  # fmt: skip
#: Parameters that say what was evaluated rather than how, or chance: their values are not compared.
_STRATA = frozenset(("seed", "random_seed", "random_state", "fold", "split", "task", "dataset", "language",
                     "lang", "criterion", "metric", "category", "domain", "subject", "topic", "difficulty",
                     "rank", "benchmark", "subset", "group"))  # fmt: skip
#: Maximum number of runs that are read one by one if their rows are contiguous.
_RANGES = 1_000
#: Limits of one sort: places (bits in several integers), and patterns of them.
_BITS, _PLACES, _PATTERNS = 60, 600, 5_000
#: Aggregates of one statement: SQLite returns at most 2,000 columns.
_ITEMS = 1_500
#: Maximum number of columns for one condition on all: SQLite's are at most 1,000 levels deep.
_COLUMNS = 400
#: Maximum number of runs that are compared one by one.
_FEW = 16
#: Maximum number of runs that are distinguished; with more, the table counts as one.
RUNS = 50_000
#: Maximum number of configurations distinguished within runs.
CONFIGURATIONS = 1_000

#: Types of DuckDB (duckdb.org/docs/sql/data_types), and parts of SQLite's (sqlite.org/datatype3.html).
_DUCKDB_NUMBERS = frozenset((
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
    "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN",
))  # fmt: skip
_NUMBERS = ("INT", "REAL", "DOUB", "FLOA", "NUM", "DEC", "BOOL", "HUGE")


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """Summary of a column in a group: rows with a value, extremes, and sum."""

    filled: int = 0
    least: Any = None
    most: Any = None
    total: float | None = None

    @property
    def constant(self) -> bool:
        """Whether all values are equal."""
        return self.filled > 0 and type(self.least) is type(self.most) and self.least == self.most

    @property
    def mean(self) -> float | None:
        """The mean of numbers."""
        return None if self.total is None or not self.filled else self.total / self.filled


@dataclass(frozen=True)
class RunGroup:
    """The rows of one run that have one configuration.

    ``matches`` counts the rows with prediction and truth, and those where they are equal;
    ``misses`` are the sums of absolute and squared differences, if both are numbers. ``ends`` are
    the first and last rowid, if the table has rowids.
    """

    run: str
    rows: int
    cells: Mapping[str, ColumnSummary]
    matches: tuple[int, int] = (0, 0)
    misses: tuple[float, float] | None = None
    varying: Mapping[str, Any] = field(default_factory=dict)  #: by column, where a run has several
    ends: tuple[int, int] | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What distinguishes it from the other groups of the table."""
        return (self.run, *self.varying.values())

    def value(self, column: str | None) -> Any:
        """The only value of a column; None if it has none or several."""
        name = column or ""
        if name in self.varying:
            return self.varying[name]
        cells = self.cells.get(name)
        return cells.least if cells is not None and cells.constant else None


class Repetition(NamedTuple):
    """This many ``inputs`` are in ``rows`` rows each, in ``groups`` groups."""

    rows: int
    groups: int
    inputs: int


class Pattern(NamedTuple):
    """This many ``inputs`` are in ``rows`` rows each, in the same runs and parts of the data.

    ``places`` are the indices of the examined runs, with the part of the data.
    """

    rows: int
    places: frozenset[tuple[int, str | None]]
    inputs: int
    some: tuple[Any, ...]  #: one or two of the inputs

    def runs(self, wanted: Iterable[int]) -> int:
        """How many of the runs have the inputs."""
        return len({run for run, _ in self.places}.intersection(wanted))


class TableProfile:
    """One table of an open database. ``shown`` is the file as findings name it."""

    def __init__(
        self,
        database: Database,
        table: RunTable,
        shown: str,
        rules: RoleRules,
        id_column: str | None,
    ) -> None:
        self.database, self.table, self.shown, self.rules = database, table, shown, rules
        self._asked_id = id_column
        self.details: Sequence[str] = ()  #: parameters with a value of their own in most rows
        self.chosen: Sequence[RunGroup] = self.groups
        self.beside: Sequence[TableProfile] = ()  #: the other tables of the file

    # -- columns -----------------------------------------------------------------------------------

    @cached_property
    def run_column(self) -> str | None:
        """The column that distinguishes runs: their id, else the version in the rows."""
        return self.table.run_column or next(iter(self.table.version_columns), None)

    @cached_property
    def id_column(self) -> str | None:
        """The column that names the inputs of an evaluation."""
        if self._asked_id:
            return self.table.first_of((self._asked_id.lower(),))
        named = self.table.first_of(ID_COLUMNS)
        if named is None and not self.table.time_column and self.table.run_column is None:
            return self.table.first_of(("id",))  # of a table of data
        return named

    @cached_property
    def split_column(self) -> str | None:
        """The column with the split of an input."""
        return self.table.first_of(SPLITS)

    @cached_property
    def error_column(self) -> str | None:
        """The column that holds the error of a row that failed; a fraction is one of a regression."""
        name = self.table.first_of(ERRORS)
        declared = self.table.types.get(name or "", "").upper()
        return None if declared.startswith(("REAL", "DOUB", "FLOA", "DEC", "NUM")) else name

    @property
    def failure(self) -> str:
        """An SQL expression: the error of a row, NULL where that says that there is none."""
        column = quote(self.error_column or "")
        text = f"CAST({column} AS VARCHAR)"
        none = ", ".join(f"'{word}'" for word in NO_ERRORS)
        empty = f"{column if self.database.kind == 'sqlite' else text} = ''"
        return f"CASE WHEN {empty} OR lower({text}) IN ({none}) THEN NULL ELSE {text} END"

    @cached_property
    def cache_column(self) -> str | None:
        """xetrack's column: the run that computed a cached row, "" if the row's own run did."""
        return self.table.first_of(("cache",))

    @cached_property
    def prediction_columns(self) -> tuple[str, str] | None:
        """Prediction and truth, where the table has both."""
        pair = self.table.first_of(PREDICTIONS), self.table.first_of(TRUTHS)
        return (pair[0], pair[1]) if pair[0] and pair[1] else None

    @cached_property
    def repetitions(self) -> list[str]:
        """The columns that tell intended rows of an input apart: their number, or a detail such as a box."""
        return [
            n
            for n in dict.fromkeys((*self.all_of(REPETITIONS), *self.details))
            if n != self.id_column
        ]

    @cached_property
    def split_by(self) -> list[str]:
        """The columns with whose values the data is split anew: an input that is trained on in one fold is
        held out in another."""
        names = {name: column_names.bare(name).lower() for name in self.table.columns}
        return [name for name, bare in names.items() if bare in _SPLIT_BY]

    def stratum(self, group: RunGroup) -> tuple[Any, ...]:
        """What a group evaluated, such as its task, and its seed: others are not compared with it."""
        config = sorted(self.config(group).items())
        return tuple(v for name, v in config if column_names.bare(name).lower() in _STRATA)

    def of_role(self, role: Role) -> list[str]:
        """The columns of that role."""
        return [name for name in self.table.columns if self.roles[name].role is role]

    @cached_property
    def params(self) -> frozenset[str]:
        """The columns that are parameters by role, or by name in some rows."""
        names = {n for n in self.table.columns if _is_param(n, self.table, self.rules)}
        return frozenset({*names, *self.of_role(Role.PARAM)})

    def is_number(self, column: str) -> bool:
        """Whether a column has a numeric declared type."""
        declared = self.table.types.get(column, "").upper()
        if self.database.kind == "duckdb":  # also INTERVAL, STRUCT(n INTEGER), ENUM('INT')
            return declared.partition("(")[0] in _DUCKDB_NUMBERS
        return any(word in declared for word in _NUMBERS)

    # -- the statement -----------------------------------------------------------------------------

    @cached_property
    def groups(self) -> Sequence[RunGroup]:
        """The runs of the table, oldest first; for an evaluation, the configurations in each."""
        groups = self._read(())
        varying = self._varying(groups) if self.id_column else ()
        if varying:
            parts = self._read(varying)
            rows = sum(group.rows for group in groups)
            each = (
                rows / len(parts) if len(parts) > _FEW else rows
            )  # a box or an answer of every row
            if len(parts) <= CONFIGURATIONS and each >= 2:
                groups = parts
            else:
                self.details = varying
        return sorted(groups, key=self._begin)

    def _begin(self, group: RunGroup) -> tuple[str, str]:
        time = group.cells.get(self.table.time_column or "", ColumnSummary())
        return str(time.least or ""), group.run

    def _read(self, varying: Sequence[str]) -> list[RunGroup]:
        by = [quote(name) for name in (self.run_column, *varying) if name]
        groups = self._grouped(by, varying)
        if len(groups) > RUNS:
            return self._grouped([], ())
        return groups

    def _grouped(self, by: Sequence[str], varying: Sequence[str]) -> list[RunGroup]:
        wanted = {name: self._aggregates(name) for name in self.table.columns}
        items = [item for each in wanted.values() for item in each.items]
        found = []
        for row in self._in_ranges(by, wanted) or self._sorted(by, items):
            key = row[: len(by)]
            rows, first, last, both, equal, off, square = row[len(by) :][:7]
            if not rows:
                continue
            own = zip(varying, map(plain, key[-len(varying) :]), strict=True) if varying else ()
            run = key[0] if self.run_column and by else None
            found.append(RunGroup(
                "" if run is None else str(run),
                rows,
                dict(_cells(wanted, row[len(by) + 7 :])),
                (int(both or 0), int(equal or 0)),
                None if off is None else (float(off), float(square)),
                dict(own),
                None if first is None else (first, last),
            ))  # fmt: skip
        return found

    def _sorted(self, by: Sequence[str], items: Sequence[str]) -> Iterable[Sequence[Any]]:
        """Yield the values of a row per group; of a table with very many columns in several scans."""
        ends = ["min(rowid)", "max(rowid)"] if self.table.has_rowid else ["NULL", "NULL"]
        grouping = (
            f" GROUP BY {', '.join(by)} ORDER BY {', '.join(by)} LIMIT {RUNS + 1}" if by else ""
        )
        first = [*by, "count(*)", *ends, *self._matching()]
        most = _ITEMS if self.database.kind == "sqlite" else len(items)
        parts = [items[at : at + most] for at in range(0, len(items), most)]
        scans = [
            self.database.rows(
                f"SELECT {', '.join([*(() if at else first), *part])} FROM {self.from_table}{grouping}"
            )
            for at, part in enumerate(parts)
        ]
        if len(scans) == 1:
            return scans[0]
        return (list(chain.from_iterable(rows)) for rows in zip(*scans, strict=True))

    def _in_ranges(
        self, by: Sequence[str], wanted: Mapping[str, Aggregates]
    ) -> list[list[Any]] | None:
        """The same of a large table whose runs are contiguous, without a sort; else None."""
        if self.database.kind != "sqlite" or not self.table.has_rowid or len(by) != 1:
            return None
        ends = (f"(SELECT {end}(rowid) FROM {self.from_table})" for end in ("min", "max"))
        first, last = next(iter(self.database.rows(f"SELECT {', '.join(ends)}")))
        if self.run_column is None or first is None or last - first < LARGE:
            return None
        if len(wanted) > _COLUMNS or self._is_mixed((first + last) // 2):
            return None
        known = ranges(self.database, self.from_table, by[0], _RANGES)
        if known is None:
            return None
        return Ranges(self.database, self.from_table, by[0], known, self._matching(), wanted).rows()

    def _is_mixed(self, rowid: int) -> bool:
        """Whether rows around ``rowid`` alternate between runs, as when these run concurrently."""
        sql = f"SELECT {quote(self.run_column or '')} FROM {self.from_table} WHERE rowid BETWEEN ? AND ?"
        runs = [run for (run,) in self.database.rows(sql, [rowid, rowid + 100])]
        turns = sum(1 for one, other in pairwise(runs) if one != other)
        return turns > len(set(runs))

    def _aggregates(self, name: str) -> Aggregates:
        column = quote(name)
        if name == self.error_column:
            return Aggregates(self.failure)
        if name == self.cache_column:
            text = column if self.database.kind == "sqlite" else f"CAST({column} AS VARCHAR)"
            return Aggregates(f"nullif({text}, '')")
        if not self._has_extremes(name):
            return Aggregates(column)
        if not self.is_number(name) or _is_param(name, self.table, self.rules):
            return Aggregates(column, extremes=True)
        if self.database.kind == "sqlite":
            return Aggregates(column, extremes=True, total=f"total({column})")
        return Aggregates(column, extremes=True, total=f"sum(CAST({column} AS DOUBLE))")

    def _has_extremes(self, name: str) -> bool:
        declared = self.table.types.get(name, "").upper()
        if any(word in declared for word in ("BLOB", "STRUCT", "MAP", "[", "UNION", "JSON")):
            return False
        if name in (self.id_column, self.table.run_column) or (
            self.table.is_xetrack and name in _LONG
        ):
            return False
        named = column_names.role_of(name)
        return self.is_number(name) or named is None or named.role is not Role.OUTPUT

    def _matching(self) -> list[str]:
        if self.prediction_columns is None:
            return ["NULL"] * 4
        one, other = map(quote, self.prediction_columns)
        numbers = all(map(self.is_number, self.prediction_columns))
        texts = (one, other)
        if self.database.kind == "duckdb" and not numbers:
            texts = (f"CAST({one} AS VARCHAR)", f"CAST({other} AS VARCHAR)")
        same = f"{texts[0]} = {texts[1]}"
        both, equal = f"count({same})", f"sum(CAST({same} AS INTEGER))"
        if self.database.kind == "sqlite":
            equal = f"sum({same})"
        if not numbers:
            return [both, equal, "NULL", "NULL"]
        difference = f"CAST({one} AS DOUBLE) - CAST({other} AS DOUBLE)"
        return [both, equal, f"sum(abs({difference}))", f"sum(({difference}) * ({difference}))"]

    def _varying(self, groups: Iterable[RunGroup]) -> tuple[str, ...]:
        """Parameters by their names that have several values within a run."""
        groups = list(groups)
        return tuple(
            name
            for name in self.table.columns
            if name != self.split_column
            and _is_param(name, self.table, self.rules)
            and any(not cells.constant for g in groups if (cells := g.cells[name]).filled)
        )

    # -- roles -------------------------------------------------------------------------------------

    @cached_property
    def roles(self) -> dict[str, RoleDecision]:
        """What each column is to an experiment, and why."""
        varying = {name for group in self.groups for name in group.varying}
        beside = frozenset(name.lower() for name in self.table.columns)
        rows = sum(group.rows for group in self.groups)
        facts = {name: self._facts(name, rows) for name in self.table.columns}
        sparse = any(0 < f.filled < rows and f.number is not None for f in facts.values())
        own: dict[str, RoleDecision] = {}
        for name, fact in facts.items():
            attached = sparse and fact.filled == rows and fact.constant
            facts[name] = fact._replace(attached=attached, beside=beside)
            if known := self.rules.decide(self.table.name, name) or structure(self.table, name):
                own[name] = known
            elif name in varying:
                own[name] = RoleDecision(Role.PARAM, "a parameter of each row")
        return roles.of_table(self.table.name, facts, own, self.rules)

    def _facts(self, name: str, rows: int) -> ColumnValues:
        every = [group.cells[name] for group in self.groups]
        filled = [cells for cells in every if cells.filled]
        last = filled[-1] if filled else ColumnSummary()
        numeric = bool(filled) and all(is_number(c.least) and is_number(c.most) for c in filled)
        fractions = any(isinstance(v, float) for c in filled for v in (c.least, c.most))
        flags = numeric and all(c.least in (0, 1) and c.most in (0, 1) for c in filled)
        return ColumnValues(
            rows, sum(cells.filled for cells in every), plain(last.most),
            all(cells.constant for cells in filled), numeric, fractions,
            last.most if is_number(last.most) else None, flags=flags,
        )  # fmt: skip

    def config(self, group: RunGroup) -> dict[str, Any]:
        """The parameters of a group by name, those that are NULL left out; also those that another
        table has for its run."""
        return {**self._from_beside.get(group.run, {}), **self._own_config(group)}

    def is_configured(self, group: RunGroup) -> bool:
        """Whether any parameter is known of a group; the part of the data is none."""
        return bool(self.config(group).keys() - {self.split_column})

    def _own_config(self, group: RunGroup) -> dict[str, Any]:
        return {
            name: plain(value)
            for name in self.of_role(Role.PARAM)
            if (value := group.value(name)) is not None
        }

    @cached_property
    def _from_beside(self) -> dict[str, dict[str, Any]]:
        """By run, the parameters that only other tables have, where they have them for all runs: a table of
        predictions often names its run only."""
        runs = {group.run for group in self.groups}
        found: dict[str, dict[str, Any]] = {run: {} for run in runs}
        if self.varying_names or "" in runs or not 1 < len(runs) <= _RANGES:
            return found
        known = {column_names.canonical(name) for name in self.of_role(Role.PARAM)}
        for other in self.beside:
            configs = {group.run: other._own_config(group) for group in other.groups}
            if other.varying_names or not runs <= configs.keys():
                continue
            for name in set[str].intersection(*(set(configs[run]) for run in runs)):
                if column_names.canonical(name) not in known:
                    for run in runs:
                        found[run].setdefault(name, configs[run][name])
        return found

    def by_config(self) -> dict[str, list[RunGroup]]:
        """The examined groups, by configuration."""
        found: dict[str, list[RunGroup]] = {}
        for group in self.chosen:
            found.setdefault(repr(sorted(self.config(group).items())), []).append(group)
        return found

    def label(self, group: RunGroup) -> str:
        """A display name for a group: its configuration in short, else its run."""
        varied = self._varied
        config = {name: value for name, value in self.config(group).items() if name in varied}
        named = ", ".join(f"{column_names.bare(n)}={v}" for n, v in list(config.items())[:3])
        return named or group.run or self.table.name

    @cached_property
    def _varied(self) -> frozenset[str]:
        """The parameters that differ between groups."""
        configs = [self.config(group) for group in self.groups]
        names = {name for config in configs for name in config}
        return frozenset(n for n in names if len({repr(c[n]) for c in configs if n in c}) > 1)

    # -- rows --------------------------------------------------------------------------------------

    @property
    def from_table(self) -> str:
        """The table as an item of FROM."""
        return quote(self.table.name)

    @property
    def varying_names(self) -> list[str]:
        """The parameters that have several values within a run."""
        return list(self.groups[0].varying) if self.groups else []

    def all_of(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The table's own spelling of those of ``names`` that it has."""
        return self.table.all_of(names)

    def _key(self) -> str:
        """An SQL expression that distinguishes groups."""
        names = [quote(name) for name in (self.run_column, *self.varying_names) if name]
        if len(names) < 2:
            return names[0] if names else "1"
        unit = "char(31)" if self.database.kind == "sqlite" else "chr(31)"
        return f" || {unit} || ".join(f"coalesce(CAST({name} AS VARCHAR), '')" for name in names)

    @property
    def _same(self) -> str:
        """Equality of values that may be NULL."""
        return "IS" if self.database.kind == "sqlite" else "IS NOT DISTINCT FROM"

    @cached_property
    def spread(self) -> Sequence[Repetition]:
        """How often each input occurs, counted in one sort; nothing without a column of inputs."""
        if self.id_column is None:
            return ()
        if self.patterns is not None:
            every = range(len(self.chosen))
            return [Repetition(one.rows, one.runs(every), one.inputs) for one in self.patterns]
        key = quote(self.id_column)
        where, params = self.where(self.chosen)
        sql = (
            "SELECT c, r, count(*) FROM (SELECT count(*) AS c,"
            f" count(DISTINCT {self._key()}) AS r FROM {self.from_table}"
            f" WHERE {key} IS NOT NULL AND {where} GROUP BY {key}) AS s GROUP BY 1, 2"
        )
        return [Repetition(*row) for row in self.database.rows(sql, params)]

    @cached_property
    def patterns(self) -> Sequence[Pattern] | None:
        """The number of inputs per combination of runs and splits, by one sort of a large table
        that may contain misplaced inputs; None if the rules count themselves."""
        runs = [group.run for group in self.chosen]
        several = self.split_column or any(len(each) > 1 for each in self.by_config().values())
        if sum(group.rows for group in self.chosen) < LARGE or not several or "" in runs:
            return None
        if self.id_column is None or self.run_column is None or self.varying_names:
            return None
        if self.repetitions or len(runs) > _PLACES or (self.split_column and self.split_by):
            return None
        parts = self._parts()
        if len(runs) * len(parts) > _PLACES:
            return None
        return self._patterns(runs, parts)

    def _parts(self) -> list[str | None]:
        if self.split_column is None:
            return [None]
        name = quote(self.split_column)
        sql = f"SELECT DISTINCT CAST({name} AS VARCHAR) FROM {self.from_table} LIMIT {_PLACES + 1}"
        return [part for (part,) in self.database.rows(sql) if part is not None] + [None]

    def _patterns(self, runs: Sequence[str], parts: Sequence[str | None]) -> list[Pattern] | None:
        where, params = self.where(self.chosen)
        key, run = quote(self.require_id()), quote(self.run_column or "")
        numbers = {name: at for at, name in enumerate(runs)}
        place = f"{self._number_of(run, numbers)} * {len(parts)}"
        if len(parts) > 1:
            cases = " ".join(f"WHEN ? THEN {at}" for at in range(len(parts) - 1))
            split = quote(self.split_column or "")
            place += f" + CASE CAST({split} AS VARCHAR) {cases} ELSE {len(parts) - 1} END"
        places = [(at, part) for at in range(len(runs)) for part in parts]
        masks = [f"m{at}" for at in range((len(places) - 1) // _BITS + 1)]
        either = ", ".join(f"{self._either(at, len(masks))} AS {m}" for at, m in enumerate(masks))
        named = ", ".join(masks)
        whole = (
            "LIMIT -1" if self.database.kind == "sqlite" else ""
        )  # the place of a row is computed once
        sql = (
            f"SELECT c, count(*), min(k), max(k), {named} FROM (SELECT k, count(*) AS c, {either} FROM"
            f" (SELECT {key} AS k, {place} AS p FROM {self.from_table}"
            f" WHERE {key} IS NOT NULL AND {where} {whole}) AS r GROUP BY k) AS s"
            f" GROUP BY c, {named} LIMIT {_PATTERNS + 1}"
        )
        known = [] if self._is_stored(numbers) else runs
        rows = list(self.database.rows(sql, [*known, *parts[:-1], *params]))
        if len(rows) > _PATTERNS:
            return None
        found = []
        for count, inputs, least, most, *bits in rows:
            mask = sum((each or 0) << at * _BITS for at, each in enumerate(bits))
            there = frozenset(place for at, place in enumerate(places) if mask >> at & 1)
            found.append(Pattern(count, there, inputs, tuple(dict.fromkeys((least, most)))))
        return found

    def _is_stored(self, numbers: Mapping[str, int]) -> bool:
        """Whether to store run numbers in a table, which is faster than comparing with each of many
        runs."""
        return self.database.kind == "sqlite" and len(numbers) > _FEW

    def _number_of(self, run: str, numbers: Mapping[str, int]) -> str:
        """An SQL expression for the number of a row's run; its parameters are the runs, unless they are
        stored."""
        if not self._is_stored(numbers):
            cases = " ".join(f"WHEN ? THEN {at}" for at in numbers.values())
            return f"(CASE CAST({run} AS VARCHAR) {cases} END)"
        raw = self.database.raw
        raw.execute(
            "CREATE TEMP TABLE IF NOT EXISTS xexp_runs (run TEXT PRIMARY KEY, n) WITHOUT ROWID"
        )
        raw.execute("DELETE FROM temp.xexp_runs")
        raw.executemany("INSERT INTO temp.xexp_runs VALUES (?, ?)", list(numbers.items()))
        return f"(SELECT n FROM temp.xexp_runs WHERE run = CAST({run} AS TEXT))"

    def _either(self, at: int, count: int) -> str:
        """An aggregate for the places ``p`` of rows that the integer number ``at`` holds, as its bits."""
        shift = "p" if count == 1 else f"p - {at * _BITS}"
        one = "1" if self.database.kind == "sqlite" else "CAST(1 AS BIGINT)"
        bit = f"{one} << ({shift})"
        if count > 1:
            bit = f"CASE WHEN p BETWEEN {at * _BITS} AND {at * _BITS + _BITS - 1} THEN {bit} END"
        return f"sum(DISTINCT {bit})" if self.database.kind == "sqlite" else f"bit_or({bit})"

    def examples(self, *several: Sequence[Pattern]) -> str:
        """An item of FROM with the columns that tell where inputs are, of all rows of a few inputs of
        each of ``several`` lists of patterns; read in one scan."""
        some = [each for one in several for each in [i for p in one for i in p.some][:MOST]]
        names = [n for n in (self.run_column, self.id_column, self.split_column) if n]
        self.database.raw.execute("DROP TABLE IF EXISTS temp.xexp_examples")
        self.database.raw.execute(
            f"CREATE TEMP TABLE xexp_examples AS SELECT {', '.join(map(quote, names))}"
            f" FROM {self.from_table} WHERE {quote(self.require_id())} IN ({', '.join('?' * len(some))})",
            some,
        )
        return "temp.xexp_examples"

    @cached_property
    def repeated(self) -> dict[str, int]:
        """The number of inputs in several runs of one configuration, by configuration as in
        :meth:`by_config`, without zeros. Uses one statement for all."""
        again = {
            text: groups
            for text, groups in self.by_config().items()
            if len({group.run for group in groups}) > 1
        }
        if not again or self.id_column is None or self.run_column is None:
            return {}
        if all(one.groups < 2 for one in self.spread):
            return {}
        if self.patterns is not None:
            counts = {
                text: sum(one.inputs for one in self.shared_by(groups))
                for text, groups in again.items()
            }
            return {text: count for text, count in counts.items() if count}
        where, params = self.where([group for groups in again.values() for group in groups])
        key, run = quote(self.id_column), quote(self.run_column)
        names = sorted(name for name in self._varied if name in self.table.columns)
        known: dict[tuple[Any, ...], str] = {
            tuple(plain(groups[0].value(name)) for name in names): text
            for text, groups in again.items()
        }
        by = [quote(name) for name in names]
        if not self.varying_names and len(self.groups) <= _RANGES:  # a run has one configuration
            texts = list(again)
            known = {(at,): text for at, text in enumerate(texts)}
            numbers = {group.run: at for at, text in enumerate(texts) for group in again[text]}
            by = [self._number_of(run, numbers)]
            params = [*([] if self._is_stored(numbers) else numbers), *params]
        items = [f"{each} AS g{at}" for at, each in enumerate(by)]
        groups_by = [f"g{at}" for at in range(len(by))]
        sql = (
            f"SELECT {', '.join([*groups_by, 'count(*)'])} FROM (SELECT {', '.join([*groups_by, 'k'])}"
            f" FROM (SELECT {', '.join([*items, f'{key} AS k', f'{run} AS run'])} FROM {self.from_table}"
            f" WHERE {key} IS NOT NULL AND {where}) AS r"
            f" GROUP BY {', '.join([*groups_by, 'k'])} HAVING min(run) <> max(run)) AS s"
        ) + (f" GROUP BY {', '.join(groups_by)}" if groups_by else "")
        found = {}
        for *values, count in self.database.rows(sql, params):
            text = known.get(tuple(map(plain, values)))
            if text is not None and count:
                found[text] = int(count)
        return found

    def inputs_by_config(self) -> dict[str, int]:
        """The number of inputs of each configuration, in one or several runs."""
        configs = self.by_config()
        if self.patterns is not None:
            runs = {text: {group.run for group in groups} for text, groups in configs.items()}
            return {
                text: sum(
                    one.inputs
                    for one in self.patterns
                    if one.runs([at for at, g in enumerate(self.chosen) if g.run in names])
                )
                for text, names in runs.items()
            }
        inputs = f"count(DISTINCT {quote(self.require_id())})"
        each = self.by_group(inputs)
        found = {
            text: max(each.get(group.key, 0) for group in groups)
            for text, groups in configs.items()
        }
        parted = {text: groups for text, groups in configs.items() if len(groups) > 1}
        if len(parted) <= MOST or sum(group.rows for group in self.chosen) < LARGE:
            for text, groups in parted.items():
                where, params = self.where(groups, always=True)
                for name, value in groups[0].varying.items():
                    where += f" AND {quote(name)} {self._same} ?"
                    params.append(value)
                sql = f"SELECT {inputs} FROM {self.from_table} WHERE {where}"
                found[text] = int(self.value(sql, params))
        return found

    def shared_by(self, groups: Sequence[RunGroup]) -> list[Pattern]:
        """The patterns of inputs that several of the runs of ``groups`` have."""
        names = {group.run for group in groups}
        runs = [at for at, group in enumerate(self.chosen) if group.run in names]
        return [one for one in self.patterns or () if one.runs(runs) > 1]

    def overlap(self, groups: Sequence[RunGroup], source: str) -> list[dict[str, Any]]:
        """The first inputs that are in several runs of groups of one configuration, in the rows of
        ``source``, an item of FROM."""
        key, run = quote(self.require_id()), quote(self.run_column or "")
        where, params = self.where(groups, always=True)
        for name, value in groups[0].varying.items():
            where += f" AND {quote(name)} {self._same} ?"
            params.append(value)
        return self.ask(
            f"SELECT {key} AS input, count(DISTINCT {run}) AS runs, count(*) AS times"
            f" FROM {source} WHERE {key} IS NOT NULL AND {where} GROUP BY {key}"
            f" HAVING min({run}) <> max({run}) LIMIT {MOST}",
            params,
        )

    def by_group(self, expression: str, condition: str = "1 = 1") -> dict[tuple[Any, ...], Any]:
        """The value of an aggregate for each examined group, by :attr:`Group.key`."""
        by = [quote(name) for name in (self.run_column, *self.varying_names) if name]
        where, params = self.where(self.chosen)
        sql = f"SELECT {', '.join([*by, expression])} FROM {self.from_table}"
        sql += f" WHERE {condition} AND {where}" + (f" GROUP BY {', '.join(by)}" if by else "")
        found = {}
        for row in self.database.rows(sql, params):
            run = "" if not self.run_column or row[0] is None else str(row[0])
            found[(run, *map(plain, row[1:-1] if self.run_column else row[:-1]))] = row[-1]
        return found

    def where(self, groups: Sequence[RunGroup], *, always: bool = False) -> tuple[str, list[Any]]:
        """A condition for the rows of groups, by their runs; "1 = 1" for all, unless ``always``."""
        runs = {group.run for group in groups}
        every = len(groups) == len(self.groups) and not always
        if self.run_column is None or every or len(runs) > 30_000:
            return "1 = 1", []
        column = quote(self.run_column)
        if self.database.kind == "duckdb":
            column = f"CAST({column} AS VARCHAR)"
        return f"{column} IN ({', '.join('?' * len(runs))})", sorted(runs)

    def ask(self, sql: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """The rows of a statement by the names of its columns."""
        cursor = self.database.raw.execute(sql, list(params))
        names = [item[0] for item in cursor.description]
        return [dict(zip(names, map(plain, row), strict=True)) for row in cursor.fetchall()]

    def counted(self, sql: str, params: Sequence[Any] = ()) -> tuple[int, list[dict[str, Any]]]:
        """The number of rows of a statement, and the first of them, in one query."""
        rows = self.ask(
            f"SELECT *, count(*) OVER () AS total FROM ({sql}) AS s LIMIT {MOST}", params
        )
        total = int(rows[0]["total"]) if rows else 0
        return total, [{n: v for n, v in row.items() if n != "total"} for row in rows]

    def value(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """The first column of the first row."""
        return next(iter(self.database.rows(sql, params)))[0]

    def found(
        self,
        message: str,
        *,
        subject: str,
        level: Severity | None = None,
        count: int = 1,
        rows: Iterable[Mapping[str, Any]] = (),
        hint: str = "",
        fix: Fix | None = None,
        listed: int | None = None,
    ) -> Finding:
        """A finding in this table."""
        return found(
            message, level=level, path=self.shown, table=self.table.name, subject=subject, count=count,
            rows=rows, hint=hint, fix=fix, listed=listed,
        )  # fmt: skip

    def require_id(self) -> str:
        """The column of inputs; raises XexpError if the requested one does not exist."""
        if self.id_column is None:
            names = list(self.table.columns)
            raise XexpError(
                f"no column {self._asked_id} in {self.table.name} of {self.shown}",
                suggestion(self._asked_id or "", names, f"columns there: {', '.join(names)}"),
            )
        return self.id_column


#: xetrack's own columns that hold texts of any length.
_LONG = XETRACK_COLUMNS & {"args", "kwargs", "function_result", "error"}


def _cells(
    wanted: Mapping[str, Aggregates], values: Sequence[Any]
) -> Iterable[tuple[str, ColumnSummary]]:
    rest = iter(values)
    for name, each in wanted.items():
        filled = int(next(rest))
        least, most = (plain(next(rest)), plain(next(rest))) if each.extremes else (None, None)
        total = next(rest) if each.total else None
        yield name, ColumnSummary(filled, least, most, None if total is None else float(total))


def _is_param(name: str, table: RunTable, rules: RoleRules) -> bool:
    own = rules.decide(table.name, name) or structure(table, name)
    if own is not None:
        return own.role is Role.PARAM
    return column_names.is_param_name(name)
