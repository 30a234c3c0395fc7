"""Draw a plot on a terminal, with plotille's braille dots and our own axes and legend; and as JSON."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from gitxexp.cli.render import console
from gitxexp.common.dataclass import dataclass
from gitxexp.common.text import show_date, visible
from gitxexp.workflows.explore.plot import Plot, PlotAxis, PlotPoint

#: Colours of series, told apart by most eyes; then they begin again.
STYLES = ("cyan", "yellow", "magenta", "green", "red", "blue")
#: What a series is drawn with where colours do not tell them apart.
_MARKS = "ox+*#@%&=$"
#: The lines of the axes where there are only letters.
_PLAIN = str.maketrans("┤│└─┬●…", "||+-+*.")
#: Lines of the canvas in a pipe; the least on a terminal of few lines.
_LINES, _LEAST = 20, 5
#: Points of all series that are drawn as marks; more are dots.
_FEW = 150


@dataclass(frozen=True)
class Look:
    """``width`` and ``height`` in characters, for everything but legend and title. ``paint`` gives a
    text in a style; None: no colour. ``dots``: braille characters can be shown."""

    width: int
    height: int
    paint: Callable[[str, str], str] | None
    dots: bool = True


def as_lines(plot: Plot, look: Look) -> list[str]:
    """Title, canvas with its axes, and legend.

    Raises UsageError where plotille is not installed.
    """
    y = y_scale(plot)
    ticks = y.ticks(max(2, look.height // 3))
    margin = max((console.width(label) for _, label in ticks), default=0)
    room = max(10, look.width - margin - 3)
    x = x_scale(plot)
    cells = _cells(plot, x, y, (room, look.height), look)
    marks = {y.row(place, look.height): label for place, label in ticks}
    lines = [visible(plot.title), f"{visible(plot.y.name)} (log)" if plot.y.log else ""]
    for at, row in enumerate(cells):
        label = marks.get(at, "")
        pad = " " * (margin - console.width(label))
        lines.append(f"{pad}{label} {'┤' if at in marks else '│'}{row}".rstrip())
    lines += _below(x, room, margin)
    lines += _legend(plot, look)
    return lines if look.dots else [line.translate(_PLAIN) for line in lines]


def as_object(plot: Plot) -> dict[str, Any]:
    """The data of a plot; places on an axis of times or categories as what they stand for."""
    return {
        "kind": plot.kind,
        "title": plot.title,
        "x": _axis_object(plot.x),
        "y": _axis_object(plot.y),
        "by": plot.by,
        "series": [
            {"name": series.name, "points": [_point(plot, point) for point in series.points]}
            for series in plot.series
        ],
        "notes": list(plot.notes),
    }


def _axis_object(axis: PlotAxis) -> dict[str, Any]:
    return {"name": axis.name, "kind": axis.kind, "log": axis.log}


def _point(plot: Plot, point: PlotPoint) -> dict[str, Any]:
    ends = dict(pairwise(plot.edges))
    end = value_at(plot.x, ends[point.x]) if plot.edges else None
    return {"x": value_at(plot.x, point.x), "x2": end, "y": point.y, "name": point.name}


def value_at(axis: PlotAxis, place: float) -> Any:
    """What stands at a place of an axis: a number, a date as text, a category."""
    if axis.kind == "category":
        return axis.categories[int(place)]
    return show_date(place) if axis.kind == "time" else place


# -- scales ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """An axis from ``low`` to ``high``; both are logarithms on a logarithmic one."""

    axis: PlotAxis
    low: float
    high: float

    @classmethod
    def of(cls, axis: PlotAxis, values: Iterable[float]) -> Scale:
        """The scale that the values just fit on; a lone value is in the middle."""
        if axis.kind == "category":
            return cls(axis, -0.5, len(axis.categories) - 0.5)
        found = [math.log10(value) if axis.log else value for value in values]
        low, high = min(found, default=0.0), max(found, default=1.0)
        if low == high:
            around = abs(low) * 0.1 or 0.5
            low, high = low - around, high + around
        if not math.isfinite(high - low):  # the whole range of numbers
            low, high = low / 2, high / 2
        return cls(axis, low, high)

    def part(self, value: float) -> float:
        """Where between 0 and 1 a value is."""
        found = math.log10(value) if self.axis.log else value
        return (found - self.low) / (self.high - self.low)

    def row(self, value: float, height: int) -> int:
        """The line from the top."""
        return height - 1 - min(height - 1, max(0, round(self.part(value) * (height * 4 - 1)) // 4))

    def place(self, value: float, width: int) -> int:
        """The character from the left."""
        return min(width - 1, max(0, round(self.part(value) * (width * 2 - 1)) // 2))

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Round values on the scale, with their labels: about ``most``."""
        if self.axis.kind == "category":
            return [(float(at), visible(text)) for at, text in enumerate(self.axis.categories)]
        if self.axis.kind == "time":
            return _time_ticks(self.low, self.high, most)
        if self.axis.log and self.high - self.low >= 1:
            return _log_ticks(self.low, self.high, most)
        low, high = (10**self.low, 10**self.high) if self.axis.log else (self.low, self.high)
        return _round_ticks(low, high, most, 1 if self.axis.whole else 0)


def _round_ticks(low: float, high: float, most: int, least: float) -> list[tuple[float, str]]:
    """Multiples of 1, 2 or 5 times a power of ten, at ``least`` so far apart, with as many digits as
    tell them apart."""
    rough = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 1e-300 else rough
    if not power:
        return [(low, f"{low:g}")]
    steps = (power * factor for factor in (1, 2, 5, 10.0001))
    step = max(least, next(each for each in steps if each >= rough))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if last - first > 4 * most:  # they are too close for their size: 1e16 and the next number
        return [(low, f"{low:.17g}")]
    values = [at * step for at in range(first, last + 1)]
    return list(zip(values, labels(values, step), strict=True))


def labels(values: Sequence[float], step: float) -> list[str]:
    """The shortest texts that tell values a step apart."""
    largest = max(map(abs, values), default=0.0)
    if largest and (largest >= 1e6 or largest < 1e-3):
        digits = max(0, math.ceil(math.log10(largest / step) - 1e-9)) if step else 0
        return [_short(f"{value:.{min(digits, 15)}e}") if value else "0" for value in values]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step else 0
    return [f"{value:.{min(decimals, 15)}f}" for value in values]


def _short(text: str) -> str:
    """``1.50e-05`` as ``1.5e-5``."""
    digits, _, power = text.partition("e")
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return f"{digits}e{int(power)}"


def _log_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    every = max(1, math.ceil(len(powers) / max(1, most)))
    factors = (1, 2, 5) if len(powers) * 3 <= most + 1 else (1,)
    values = [
        factor * 10.0**power
        for power in (range(powers.start - 1, powers.stop) if len(factors) > 1 else powers[::every])
        for factor in factors
    ]
    shown = [v for v in values if low - 1e-9 <= math.log10(v) <= high + 1e-9]
    return [(v, f"{v:g}" if 1e-4 < v < 1e6 else _short(f"{v:.0e}")) for v in shown]


#: Seconds between ticks, and how they are written.
_TIMES = (
    *((seconds, "%H:%M:%S") for seconds in (1, 2, 5, 10, 15, 30)),
    *((60 * minutes, "%H:%M") for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360)),
    *((3600 * hours, "%m-%d %H:%M") for hours in (12,)),
    *((86400 * days, "%m-%d") for days in (1, 2, 7, 14)),
    *((86400 * days, "%Y-%m-%d") for days in (30, 60, 91, 182)),
    *((31557600 * years, "%Y") for years in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
)


def _time_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Round local times."""
    rough = (high - low) / max(1, most)
    step, form = next((each for each in _TIMES if each[0] >= rough), _TIMES[-1])
    if form in ("%H:%M", "%H:%M:%S") and _day(low) != _day(high):
        form = "%m-%d %H:%M"
    elif form == "%m-%d" and time.localtime(low)[0] != time.localtime(high)[0]:
        form = "%Y-%m-%d"
    if step >= 30 * 86400:
        return _calendar_ticks(low, high, round(step / 2629800), form)
    away = time.localtime(low).tm_gmtoff
    first = math.ceil((low + away) / step) * step - away
    values: list[float] = [first + step * at for at in range(int((high - first) // step) + 1)]
    found = [(float(value), time.strftime(form, time.localtime(value))) for value in values]
    return found or [(low, time.strftime("%Y-%m-%d %H:%M", time.localtime(low)))]


def _calendar_ticks(low: float, high: float, months: int, form: str) -> list[tuple[float, str]]:
    """The first days of every so many months since year 0."""
    first, last = (12 * each[0] + each[1] - 1 for each in map(time.localtime, (low, high)))
    found = []
    for month in range(-(-first // months) * months, last + 1, months):
        if month >= 12:
            at = time.mktime((month // 12, month % 12 + 1, 1, 0, 0, 0, 0, 0, -1))
            if low <= at <= high:
                found.append((at, time.strftime(form, time.localtime(at))))
    return found


def _day(seconds: float) -> tuple[int, int]:
    return time.localtime(seconds)[0], time.localtime(seconds)[7]


def x_scale(plot: Plot) -> Scale:
    """The scale that the whole plot fits on."""
    if plot.edges:
        return Scale.of(plot.x, (plot.edges[0], plot.edges[-1]))
    return Scale.of(plot.x, (p.x for series in plot.series for p in series.points))


def y_scale(plot: Plot) -> Scale:
    """As :func:`x_scale`, along y; bars that stand on each other are one."""
    return Scale.of(plot.y, _ys(plot))


def _ys(plot: Plot) -> list[float]:
    if plot.kind != "histogram":
        return [point.y for series in plot.series for point in series.points]
    totals: Counter[float] = Counter()
    for series in plot.series:
        totals.update({point.x: point.y for point in series.points})
    found = list(totals.values())
    return [0.5, *(y for y in found if y > 0)] if plot.y.log else [0, *found]  # one is seen


def _below(x: Scale, room: int, margin: int) -> list[str]:
    """The axis along x, its labels as far as they fit, and its name."""
    most = max(2, room // 12)
    ticks = x.ticks(most)
    line, text, end = ["─"] * room, [" "] * (room + margin + 3), -1
    every = 1
    if x.axis.kind == "category" and ticks:
        longest = max(console.width(label) for _, label in ticks)
        every = max(1, math.ceil((min(longest, 20) + 2) * len(ticks) / room))
    for place, label in ticks[::every]:
        at = x.place(place, room)
        label = console.clip(label, max(8, room // 3))
        start = max(0, min(margin + 2 + at - console.width(label) // 2, room + margin + 2))
        start = min(start, room + margin + 2 - console.width(label))
        if start <= end:
            continue
        line[at] = "┬"
        text[start : start + console.width(label)] = [label, *[""] * (console.width(label) - 1)]
        end = start + console.width(label)
    name = visible(x.axis.name) + (" (log)" if x.axis.log else "")
    return [
        f"{' ' * margin} └{''.join(line)}",
        "".join(text).rstrip(),
        f"{' ' * max(0, margin + 2 + (room - console.width(name)) // 2)}{name}",
    ]


# -- the canvas ------------------------------------------------------------------------------------


def _cells(plot: Plot, x: Scale, y: Scale, size: tuple[int, int], look: Look) -> list[str]:
    """The lines of the canvas, each series in its colour, or as its mark."""
    room, height = size
    alone = len(plot.series) < 2
    few = plot.kind != "histogram" and sum(len(s.points) for s in plot.series) <= _FEW
    letters = not look.dots or (look.paint is None and not alone)
    rows: list[list[str]] = [[" "] * room for _ in range(height)]
    colours = list(plot.colours)
    for number, series in enumerate(plot.series):
        colour = colours.index(series.group or series.name)
        style, mark = STYLES[colour % len(STYLES)], _MARKS[colour % len(_MARKS)]
        dotted = _drawn(plot, number, x, y, size)
        for at, line in enumerate(dotted):
            for place, dot in enumerate(line):
                if dot in ("\u2800", " "):
                    continue
                shown = mark if letters else dot
                rows[at][place] = look.paint(shown, style) if look.paint else shown
        if few:
            for point in series.points:
                at, place = y.row(point.y, height), x.place(point.x, room)
                shown = mark if letters else "●"
                rows[at][place] = look.paint(shown, style) if look.paint else shown
    return ["".join(row) for row in rows]


def _drawn(plot: Plot, number: int, x: Scale, y: Scale, size: tuple[int, int]) -> list[str]:
    """A series alone on a canvas of its own."""
    canvas, series = _canvas(size), plot.series[number]
    wide, high = (size[0] * 2 - 1) / (size[0] * 2), (size[1] * 4 - 1) / (size[1] * 4)
    if plot.kind == "histogram":
        _bars(plot, number, x, y, canvas, (wide, high))
    else:
        points = thin(series.points, x.part, size[0] * 2, lines=plot.kind == "line")
        places = [(x.part(point.x) * wide, y.part(point.y) * high) for point in points]
        if plot.kind == "points" or len(places) == 1:
            for place in places:
                canvas.point(*place)
        for one, other in pairwise(places) if plot.kind == "line" else ():
            canvas.line(*one, *other)
    text: str = canvas.plot(linesep="\n")
    return text.split("\n")


def _canvas(size: tuple[int, int]) -> Any:
    try:
        from plotille import Canvas
    except ImportError:
        from gitxexp.common.missing import missing_package

        raise missing_package(
            "plotille",
            "plots in the terminal need it; -o FILE and --json do not",
            "plot",
        ) from None
    return Canvas(*size)


def _bars(
    plot: Plot, number: int, x: Scale, y: Scale, canvas: Any, full: tuple[float, float]
) -> None:
    """The bars of a series, on those of the series before it."""
    below: Counter[float] = Counter()
    for series in plot.series[:number]:
        below.update({point.x: point.y for point in series.points})
    ends = dict(pairwise(plot.edges))
    across = 1 / (canvas.width * 2)
    for point in plot.series[number].points:
        if point.y <= 0:
            continue
        left = x.part(point.x if plot.edges else point.x - 0.35) * full[0]
        right = x.part(ends[point.x] if plot.edges else point.x + 0.35) * full[0]
        under = below[point.x]
        low = max(0.0, y.part(under) * full[1]) if under > 0 else 0.0
        high = y.part(under + point.y) * full[1]
        for at in range(max(1, round((right - left) / across))):
            canvas.line(left + at * across, low, left + at * across, high)


def thin(
    points: Sequence[PlotPoint], place: Callable[[float], float], most: int, *, lines: bool
) -> Sequence[PlotPoint]:
    """So many points as can be told apart, where ``place`` is from 0 to 1: a line keeps the first,
    lowest, highest and last of each of ``most`` places; of points one stays in each of ``most`` times
    ``most``."""
    if len(points) <= 4 * most:
        return points
    if not lines:
        low, high = min(p.y for p in points), max(p.y for p in points)
        across = (high - low) or 1.0
        seen = {
            (int(place(p.x) * most), int((p.y / across - low / across) * most)): p for p in points
        }
        return list(seen.values())
    kept: dict[int, list[PlotPoint]] = {}
    for point in points:
        four = kept.setdefault(int(place(point.x) * most), [point] * 4)
        if point.y < four[1].y:
            four[1] = point
        elif point.y > four[2].y:
            four[2] = point
        four[3] = point
    return [
        point
        for four in kept.values()
        for point in dict.fromkeys(sorted(four, key=lambda each: each.x))
    ]


def _legend(plot: Plot, look: Look) -> list[str]:
    if not any(series.name for series in plot.series):
        return []
    letters = not look.dots or (look.paint is None and len(plot.series) > 1)
    entries = []
    for number, (named, count) in enumerate(plot.colours.items()):
        mark = _MARKS[number % len(_MARKS)] if letters else "●"
        style = STYLES[number % len(STYLES)]
        text = f"{visible(named)} ({count})" if count > 1 else visible(named)
        name = console.clip(text, max(8, look.width - 4))
        entries.append((look.paint(mark, style) if look.paint else mark, name))
    lines, used = [""], 0
    for mark, name in entries:
        size = 4 + console.width(name)
        if used and used + size > look.width:
            lines.append("")
            used = 0
        lines[-1] += f"{'  ' if used else ''}{mark} {name}"
        used += size
    head = [f"{visible(plot.by)}:"] if plot.by else []
    return ["", *head, *lines]


def look() -> Look:
    """That of the terminal, of 80 columns where there is none."""
    import shutil
    import sys

    size = shutil.get_terminal_size((80, 24))
    height = min(_LINES, size.lines - 9) if console.is_terminal() else _LINES - 4
    encoding = (sys.stdout.encoding or "utf-8").lower().replace("-", "")
    paint = console.paint if console.colour() else None
    return Look(max(20, size.columns - 1), max(_LEAST, height), paint, encoding == "utf8")
