"""Compute the data of a plot: the values of experiments, of runs, of the steps of runs, or of a
column's rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import UsageError, XexpError
from gitxexp.common.text import counted
from gitxexp.trackers import column_names
from gitxexp.workflows.experiments.column_roles import role_rules
from gitxexp.workflows.explore import filters, query
from gitxexp.workflows.explore.query import ListQuery
from gitxexp.workflows.explore.rows import ColumnName, ColumnNames, Row, column

if TYPE_CHECKING:
    from gitxexp.repository.repository import Project
    from gitxexp.trackers.databases import Database
    from gitxexp.trackers.run import Run

#: Default number of run curves: more cannot be distinguished.
CURVES = 10
#: Maximum number of separate groups; the rest form one more.
GROUPS = 10
#: Maximum number of experiments joined by a line; with more it becomes unreadable.
_LINE = 300
#: Maximum number of histogram bars, for numbers and for texts.
_BARS, _TEXTS = 60, 15


@dataclass(frozen=True)
class PlotRequest:
    """``x`` is ``step``, ``version``, ``date`` or the name of a parameter, metric or field; None is
    date for runs, version for experiments. ``by`` splits the points into series, one per value."""

    metric: str
    x: str | None = None
    by: str | None = None
    histogram: bool = False
    log_x: bool = False
    log_y: bool = False
    query: ListQuery = field(default_factory=ListQuery)  #: which experiments or runs


@dataclass(frozen=True)
class PlotAxis:
    """Values along ``kind`` time are seconds since 1970; along category places in ``categories``."""

    name: str
    kind: Literal["number", "time", "category"] = "number"
    log: bool = False
    categories: Sequence[str] = ()
    whole: bool = False  #: only whole numbers


class PlotPoint(NamedTuple):
    """``name`` is the experiment or run; "" for a bar and for points without one."""

    x: float
    y: float
    name: str = ""


@dataclass(frozen=True)
class Series:
    """Points in order along x; ``name`` is "" if there is only one series. Series of the same
    ``group`` share a colour; with "" each has its own."""

    name: str
    points: Sequence[PlotPoint]
    group: str = ""


@dataclass(frozen=True)
class Plot:
    """Histogram bars are placed at the lower of their ``edges`` (one more than bars), or on a
    category."""

    kind: Literal["line", "points", "histogram"]
    title: str
    x: PlotAxis
    y: PlotAxis
    by: str | None
    series: Sequence[Series]
    notes: Sequence[str] = ()  #: what is not shown, and why
    edges: Sequence[float] = ()
    total: int = 0  #: number of experiments or runs considered, or rows of a column

    @property
    def colours(self) -> dict[str, int]:
        """Colours by group or series name, with the number of series that use each."""
        return dict(Counter(series.group or series.name for series in self.series))

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not any(series.points for series in self.series)


class _PlottedValue(NamedTuple):
    """The values of one row: ``x`` is a number, or the text of a category."""

    x: Any
    y: Any
    name: str
    group: str


def plot(project: Project, request: PlotRequest) -> Plot:
    """Return the plot of ``request``.

    Raises XexpError for an unknown name, UsageError for what cannot be drawn.
    """
    if request.histogram and request.x is not None:
        raise UsageError("a histogram has no --x", "the values of the column are along x")
    steps = request.x == "step"
    if steps:
        request = replace(request, query=request.query._replace(runs=True))
    wanted = request.query
    if steps and wanted.sort is None:  # the best are chosen among runs with steps
        wanted = wanted._replace(limit=None)
    rows = query.list_experiments(project, wanted).rows
    names = ColumnNames(rows)
    name = _find(project, request, names)
    if name is None:
        return _of_column(project, request)
    if steps:
        return _steps(project, request, rows, names, name)
    if name.kind == "field" and not request.histogram:
        raise UsageError(f"'{name.name}' is no number to plot", "a histogram of it: --hist")
    if request.histogram:
        return _histogram_of_rows(request, rows, names, name)
    return _of_rows(request, rows, names, name)


def _find(project: Project, request: PlotRequest, names: ColumnNames) -> ColumnName | None:
    """Look up METRIC among the rows; None if it is a column of the results."""
    if not names.any:
        rows_of = "." in request.metric and _columns(project, request.metric)
        return None if rows_of else ColumnName("metric", request.metric)
    try:
        return names.find(request.metric)
    except XexpError:
        if request.x is None and request.by is None and _columns(project, request.metric):
            return None
        raise


# -- experiments and runs --------------------------------------------------------------------------


def _of_rows(
    request: PlotRequest, rows: Sequence[Row], names: ColumnNames, name: ColumnName
) -> Plot:
    runs = request.query.runs
    along = names.find(request.x) if request.x else ColumnName("field", _usual(runs=runs))
    values = _values(request, rows, names, (along, name))
    kept, notes = _plottable(values, request, along.name, name.name)
    axis, kept = _axis(along, kept, log=request.log_x)
    ordered = along.kind == "field" and along.name in ("version", "date")
    places = Counter((value.group, value.x) for value in kept)
    single = axis.kind == "time" or max(places.values(), default=0) < 2
    lines = ordered and not runs and single and len(kept) <= _LINE
    return Plot(
        "line" if lines else "points",
        f"{name.name} by {along.name}",
        axis,
        PlotAxis(name.name, log=request.log_y),
        request.by,
        _series(kept),
        notes,
        total=len(rows),
    )


def _usual(*, runs: bool) -> str:
    return "date" if runs else "version"


def _thing(runs: bool) -> str:
    return "run" if runs else "experiment"


def _values(
    request: PlotRequest, rows: Sequence[Row], names: ColumnNames, wanted: Sequence[ColumnName]
) -> list[_PlottedValue]:
    """Yield per row: the wanted columns (one may serve as both), the row's name and its group."""
    columns = [column(rows, name) for name in wanted]
    labels = [str(row.field("run" if request.query.runs else "version") or "") for row in rows]
    groups = _groups(rows, names.find(request.by)) if request.by else [""] * len(rows)
    cells = zip(columns[0], columns[-1], labels, groups, strict=True)
    return [_PlottedValue(*each) for each in cells]


def _groups(rows: Sequence[Row], by: ColumnName) -> list[str]:
    texts = [_category(value) for value in column(rows, by)]
    common = [text for text, _ in Counter(texts).most_common(GROUPS)]
    left = len(set(texts)) - len(common)
    return [text if text in common else f"other ({left} values)" for text in texts]


def _category(value: Any) -> str:
    if filters.missing(value):
        return "(none)"
    return ", ".join(value) if isinstance(value, tuple) else filters.as_text(value)


def _plottable(
    values: Iterable[_PlottedValue], request: PlotRequest, along: str, name: str
) -> tuple[list[_PlottedValue], list[str]]:
    """Return the points with both values and a finite y, and a note on the others."""
    kept: list[_PlottedValue] = []
    without: Counter[str] = Counter()
    thing = _thing(request.query.runs)
    for value in values:
        amount = filters.finite(value.y)
        if filters.missing(value.x):
            without[f"no {along}"] += 1
        elif value.y is None:
            without[f"no {name}"] += 1
        elif value.y == value.y and filters.number(value.y) is None:
            without[f"no number as {name}"] += 1
        elif amount is None:
            without[f"NaN or an infinity as {name}"] += 1
        elif request.log_y and amount <= 0:
            without[f"no place on a logarithmic axis: {name} is not above 0"] += 1
        elif request.log_x and not _is_above(value.x):
            without[f"no place on a logarithmic axis: {along} is not above 0"] += 1
        else:
            kept.append(value._replace(y=amount))
    have = {1: "has"}
    return kept, [
        f"{counted(n, thing)} not shown: {have.get(n, 'have')} {why}" for why, n in without.items()
    ]


def _is_above(value: Any) -> bool:
    amount = filters.finite(value)
    return amount is not None and amount > 0


def _axis(
    along: ColumnName, values: Sequence[_PlottedValue], *, log: bool = False
) -> tuple[PlotAxis, list[_PlottedValue]]:
    """Return the axis, and the values as positions on it, in order."""
    if along.kind == "field" and along.name == "date":
        placed = [value._replace(x=float(value.x)) for value in values]
        return PlotAxis(along.name, "time"), sorted(placed, key=lambda value: value.x)
    numbers = [amount for v in values if (amount := filters.finite(v.x)) is not None]
    if along.kind != "field" and len(numbers) == len(values):
        placed = [v._replace(x=x) for v, x in zip(values, numbers, strict=True)]
        return PlotAxis(along.name, log=log), sorted(placed, key=lambda value: value.x)
    if log:
        raise UsageError(f"'{along.name}' is no number: it has no logarithmic axis", "omit --log-x")
    texts = sorted({_category(value.x) for value in values}, key=_category_order(along))
    place = {text: at for at, text in enumerate(texts)}
    placed = [value._replace(x=float(place[_category(value.x)])) for value in values]
    return PlotAxis(along.name, "category", categories=texts), sorted(
        placed, key=lambda value: value.x
    )


def _category_order(along: ColumnName) -> Callable[[str], tuple[Any, ...]]:
    def order(text: str) -> tuple[Any, ...]:
        number = filters.number(text)
        if along.name == "version" and (version := query.version_order(text)) is not None:
            return (0, *version)
        return (1, number) if number is not None else (2, text)

    return order


def _series(values: Iterable[_PlottedValue]) -> list[Series]:
    found: dict[str, list[PlotPoint]] = {}
    for value in values:
        found.setdefault(value.group, []).append(PlotPoint(value.x, value.y, value.name))
    named = sorted(found, key=_category_order(ColumnName("param", "")))
    named.sort(key=lambda name: name.startswith("other ("))
    return [Series(name, found[name]) for name in named]


# -- the steps of runs -----------------------------------------------------------------------------


def _steps(
    project: Project, request: PlotRequest, rows: Sequence[Row], names: ColumnNames,
    name: ColumnName,
) -> Plot:  # fmt: skip
    """A curve for each run, the best ones where there are many."""
    if name.kind != "metric":
        raise UsageError(
            f"'{name.name}' is not a metric: it has no steps",
            "git xexp explore columns shows the metrics",
        )
    most = request.query.limit or CURVES
    having = [row for row in rows if row.logged and name.value(row) is not None]
    more = column_names.maximize(name.name, query.directions(project.config))
    if request.query.sort is None and len(having) > most:
        having.sort(key=lambda row: _rank(name.value(row), more=more))
    curved = {id(row) for row in having if row.logged and _is_series(row.logged, name.name)}
    having.sort(key=lambda row: id(row) not in curved)
    groups = dict.fromkeys((row.field("run") for row in having), "")
    if request.by:
        by = _groups(having, names.find(request.by))
        groups = {row.field("run"): group for row, group in zip(having, by, strict=True)}
    series, notes, left_out = [], [], 0
    for row in having[:most]:
        points = curve(row.logged, name.name) if row.logged else []
        kept = [point for point in points if _shown(point, request)]
        left_out += len(points) - len(kept)
        run = str(row.field("run"))
        label = f"{groups[run]}: {run}" if request.by else run
        if kept:
            named = [point._replace(name=run) for point in kept]
            series.append(Series(label, named, groups[run] if request.by else ""))
    if len(having) > most:
        which = "" if request.query.sort else f", the best by {name.name}"
        notes.append(f"{most} of {len(having)} runs are shown{which} (-n N shows more)")
    if having and not curved:
        notes.append(f"no run logged {name.name} more than once")
    if left_out:
        notes.append(f"{counted(left_out, 'value')} not shown: NaN, infinite, or not above 0")
    if request.by:
        series.sort(key=lambda each: _category_order(ColumnName("param", ""))(each.name))
    axes = PlotAxis("step", log=request.log_x), PlotAxis(name.name, log=request.log_y)
    return Plot("line", f"{name.name} by step", *axes, request.by, series, notes, total=len(rows))


def curves(runs: Sequence[Run], metric: str) -> Plot:
    """A curve of ``metric`` for each of the runs that logged it."""
    series = [Series(run.id, [p for p in curve(run, metric) if math.isfinite(p.y)]) for run in runs]
    shown = [each for each in series if each.points]
    axes = PlotAxis("step"), PlotAxis(metric)
    return Plot("line", f"{metric} by step", *axes, None, shown, total=len(runs))


def _is_series(run: Run, metric: str) -> bool:
    """Whether a run logged a metric, by any of its names, more than once."""
    return metric in run.series or column_names.alias_in(run.series, metric) is not None


def _rank(value: Any, *, more: bool) -> tuple[bool, float]:
    """Sort best first, non-numbers last."""
    amount = filters.number(value)
    return amount is None, 0.0 if amount is None else -amount if more else amount


def _shown(point: PlotPoint, request: PlotRequest) -> bool:
    finite = math.isfinite(point.x) and math.isfinite(point.y)
    return finite and (not request.log_x or point.x > 0) and (not request.log_y or point.y > 0)


def curve(run: Run, metric: str) -> list[PlotPoint]:
    """Return the values that a run logged, by step, or by position if any has no step; non-numbers
    become NaN.

    Raises XexpError if they cannot be read.
    """
    from gitxexp.trackers import runs  # late: imports database readers

    spelled = metric if metric in run.metrics else column_names.alias_in(run.metrics, metric)
    logged = runs.series(run, spelled or metric)
    counting = any(point.step is None for point in logged)
    points = [
        PlotPoint(float(at if counting or point.step is None else point.step), _amount(point.value))
        for at, point in enumerate(logged)
    ]
    return sorted(points, key=lambda point: point.x)


def _amount(value: Any) -> float:
    amount = filters.number(value)
    return math.nan if amount is None else float(amount)


# -- histograms ------------------------------------------------------------------------------------


def _histogram_of_rows(
    request: PlotRequest, rows: Sequence[Row], names: ColumnNames, name: ColumnName
) -> Plot:
    values = _values(request, rows, names, (name,))
    found = [value for value in values if value.x is not None]
    thing = _thing(request.query.runs)
    left = len(values) - len(found)
    notes = [f"{counted(left, thing)} without {name.name} not shown"] if left else []
    return _histogram(request, name, found, f"{name.name} of {counted(len(found), thing)}", notes)


def _histogram(
    request: PlotRequest,
    name: ColumnName,
    values: Sequence[_PlottedValue],
    title: str,
    notes: Sequence[str],
) -> Plot:
    """Count numbers in bars of equal width, anything else by value."""
    y = PlotAxis("count", log=request.log_y, whole=True)
    is_date = name.kind == "field" and name.name == "date"
    numbers = [v for v in values if filters.number(v.x) is not None or v.x != v.x]
    if not is_date and len(numbers) < len(values):
        values = _common(values)
        axis, placed = _axis(ColumnName("field", name.name), values, log=request.log_x)
        counts = Counter((value.group, value.x) for value in placed)
        bars = [_PlottedValue(x, float(n), "", group) for (group, x), n in counts.items()]
        bars.sort(key=lambda bar: bar.x)
        return Plot(
            "histogram", title, axis, y, request.by, _series(bars), notes, total=len(values)
        )
    amounts = [(v, filters.finite(v.x)) for v in values]
    least = 0.0 if request.log_x else -math.inf
    kept = [v._replace(x=x) for v, x in amounts if x is not None and x > least]
    if len(kept) < len(values):
        left = counted(len(values) - len(kept), "value")
        notes = [*notes, f"{left} not shown: NaN, infinite{', or not above 0' * request.log_x}"]
    axis = PlotAxis(name.name, "time" if is_date else "number", log=request.log_x)
    edges = _edges([value.x for value in kept], log=request.log_x)
    found: dict[str, list[int]] = {}
    for value in kept:
        counts_of = found.setdefault(value.group, [0] * (len(edges) - 1))
        counts_of[_bar(edges, value.x)] += 1
    bars = [
        _PlottedValue(edges[at], float(n), "", group)
        for group, each in found.items()
        for at, n in enumerate(each)
    ]
    return Plot("histogram", title, axis, y, request.by, _series(bars), notes, edges, len(values))


def _common(values: Sequence[_PlottedValue]) -> list[_PlottedValue]:
    """Count texts; those beyond the most common ones are combined."""
    texts = [_category(value.x) for value in values]
    common = {text for text, _ in Counter(texts).most_common(_TEXTS)}
    other = f"other ({len({*texts}) - len(common)} values)"
    pairs = zip(values, texts, strict=True)
    return [value._replace(x=text if text in common else other) for value, text in pairs]


def _edges(values: Sequence[float], *, log: bool) -> list[float]:
    """Return edges of bars of equal width (Freedman and Diaconis, 1981: twice the quartiles'
    distance, divided by the third root of the count); one per whole number if there are few."""
    if not values:
        return [0.0, 1.0]
    scaled = sorted(map(math.log10, values) if log else values)
    low, high = scaled[0], scaled[-1]
    if low == high:
        around = abs(low) * 0.05 or 0.5
        return [10 ** (low - 0.05), 10 ** (low + 0.05)] if log else [low - around, low + around]
    if not log and high - low < _BARS / 2 and all(value.is_integer() for value in scaled):
        return [low - 0.5 + at for at in range(int(high - low) + 2)]
    quarter = len(scaled) // 4
    width = 2 * (scaled[-1 - quarter] - scaled[quarter]) / len(scaled) ** (1 / 3)
    count = (high - low) / width if width > 0 else math.sqrt(len(scaled))
    bars = max(5, min(_BARS, math.ceil(min(count, _BARS))))
    edges = [low + (high - low) * at / bars for at in range(bars)] + [high]
    return [10**edge for edge in edges] if log else edges


def _bar(edges: Sequence[float], value: float) -> int:
    from bisect import bisect_right

    return max(0, min(bisect_right(edges, value) - 1, len(edges) - 2))


# -- the rows of a column --------------------------------------------------------------------------


class _ColumnPlace(NamedTuple):
    database: Path
    table: str
    column: str


def _columns(project: Project, name: str) -> list[_ColumnPlace]:
    """Find a column of that name in the results (``TABLE.COLUMN``, or in the only table that does)."""
    from gitxexp.trackers import runs  # late: imports database readers
    from gitxexp.workflows.experiments import stores

    if project.places.top is None:
        return []
    rules = role_rules(project.config)
    facts = [
        each
        for path in stores.databases(project.top, project.config)
        for each in runs.columns(path, project.config.results_table or None, rules)
    ]
    named = [each for each in facts if name in (each.column, f"{each.table}.{each.column}")]
    return [_ColumnPlace(each.database, each.table, each.column) for each in named]


def _of_column(project: Project, request: PlotRequest) -> Plot:
    """A histogram over the rows of a column of the results."""
    from gitxexp.common.sql import quote
    from gitxexp.trackers.databases import reading
    from gitxexp.trackers.event_rows import plain

    _refuse_choice(request)
    places = _columns(project, request.metric)
    if len({place.table for place in places}) > 1:
        tables = " or ".join(dict.fromkeys(f"{each.table}.{each.column}" for each in places))
        raise XexpError(f"'{request.metric}' is in several tables", f"it may be {tables}")
    values = []
    for place in places:
        sql = f"SELECT {quote(place.column)} FROM {quote(place.table)}"
        values += reading(place.database, partial(_first_cells, sql))
    found = [_PlottedValue(plain(v), None, "", "") for v in values if v is not None]
    left = len(values) - len(found)
    notes = [f"{counted(left, 'row')} without a value not shown"] if left else []
    title = f"{places[0].table}.{places[0].column} of {counted(len(found), 'row')}"
    name = ColumnName("param", places[0].column)
    return _histogram(request, name, found, title, notes)


def _refuse_choice(request: PlotRequest) -> None:
    """Raise UsageError for options about experiments, which would be ignored."""
    wanted = request.query
    given = {
        "--x": request.x, "--by": request.by, "--filter": wanted.filter, "--where": wanted.where,
        "--label": wanted.labels, "--sort": wanted.sort, "--limit": wanted.limit,
    }  # fmt: skip
    used = [option for option, value in given.items() if value]
    if used:
        raise UsageError(
            f"{', '.join(used)} cannot be used with '{request.metric}', a column of the results",
            "all of its rows are plotted; git xexp sql selects rows",
        )


def _first_cells(sql: str, database: Database) -> list[Any]:
    return [row[0] for row in database.rows(sql)]
