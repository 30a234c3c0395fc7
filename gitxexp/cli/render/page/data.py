"""The data of a page as JSON that is safe inside HTML, whatever names it contains."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gitxexp._version import __version__
from gitxexp.cli.render.checks import summary as checks_summary
from gitxexp.common.text import visible
from gitxexp.repository import tag_message
from gitxexp.workflows.explore.rows import ColumnName, ColumnNames, Row, column

if TYPE_CHECKING:
    from gitxexp.workflows.checks.report import CheckReport
    from gitxexp.workflows.report.curves import Curve
    from gitxexp.workflows.report.page import Page
    from gitxexp.workflows.report.report import Report

_EXPERIMENT_FIELDS = ("version", "date", "label", "data", "text", "run", "commit", "config_hash", "tagger",
                      "reason")  # fmt: skip
_RUN_FIELDS = ("rows", "results", "status", "took", "command", "sweep")
#: The longest text that is kept whole, and the greatest integer that JavaScript keeps (ECMA-262, 21.1.2.6).
_LONGEST, _SAFE = 2000, 2**53 - 1
#: What ends the script that JSON stands in, or a line of it, and "&" for good measure (ECMA-404 allows
#: each as an escape).
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def as_json(page: Page) -> str:
    """All that the page's script reads, as JSON without any markup in it."""
    return in_script(_object(page))


def in_script(value: Any) -> str:
    """JSON that may stand in a script of a page: nothing in it ends the script or begins markup."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPES)


def _object(page: Page) -> dict[str, Any]:
    report = page.report
    return {
        "format": 1,
        "tool": __version__,
        "made": int(time.time()),
        "title": _text(report.title),
        "metric": report.metric and _text(report.metric),
        "best": report.best and _text(report.best.experiment.name),
        "count": len(page.rows),
        "experiments": page.experiments,
        "leftOut": page.left_out,
        "columns": list(_columns(page)),
        "shown": [_column_id(shown.name) for shown in report.experiments.columns],
        "maximize": {_text(name): more for name, more in page.metrics.items()},
        "parents": [_text(name) for name in page.parents],
        "intervals": {
            _text(name): [[i.value, i.low, i.high, i.n] if i else 0 for i in cells]
            for name, cells in page.intervals.items()
        },
        "spread": _spread(report),
        "importance": {
            _text(name): [
                [_text(i.name), i.correlation, i.share, i.runs, bool(i.beyond_chance)] for i in rows
            ]
            for name, rows in page.importance.items()
        },
        "curves": [_curve(curve) for curve in page.curves],
        "code": [
            {"path": _text(file.path), "versions": file.versions, "at": _runs_of(file.at)}
            for file in page.code
        ],
        **_artifacts(page),
        "checks": _checks(page.checks) if page.checks else None,
        "problem": _text(page.problem),
        "notes": [_text(note) for note in page.notes],
    }


def _text(value: str) -> str:
    if value.isascii() and value.isprintable() and len(value) <= _LONGEST:
        return value
    kept = value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"
    return visible(kept.encode("utf-8", "replace").decode())


def _number(value: float) -> float:
    return float(f"{value:.6g}")


def _cell(value: Any) -> Any:
    """A value as JSON holds it: what is missing is null, what it cannot hold exactly a text."""
    kind = type(value)
    if kind is float:
        return value if value - value == 0 else str(value)
    if kind is int:
        return value if -_SAFE <= value <= _SAFE else str(value)
    if value is None or kind is bool:
        return value
    if kind is tuple:
        return [_text(str(item)) for item in value]
    return _text(tag_message.show(value))


def _columns(page: Page) -> Iterable[dict[str, Any]]:
    names = ColumnNames(page.rows)
    shorter = _shorter(page.rows, names.params)
    wanted = [ColumnName("field", name) for name in (*_EXPERIMENT_FIELDS, *_RUN_FIELDS)]
    wanted += [ColumnName("metric", name) for name in page.metrics if name in names.metrics]
    wanted += [ColumnName("param", name) for name in names.params if name not in shorter]
    for name in wanted:
        values = [_cell(value) for value in _values(page.rows, name, shorter)]
        if name.kind != "field" or any(value not in (None, []) for value in values):
            yield {"kind": name.kind, "name": _text(name.name), **_packed(values)}


def _shorter(rows: Sequence[Row], params: Sequence[str]) -> dict[str, str]:
    """Plain names that stand for one dotted name: a tag may have ``train.lr`` where its run has ``lr``."""
    found = {}
    for name in params:
        longer = [other for other in params if other.endswith(f".{name}")]
        if len(longer) == 1 and not any(name in r.params and longer[0] in r.params for r in rows):
            found[name] = longer[0]
    return found


def _values(rows: Sequence[Row], name: ColumnName, shorter: Mapping[str, str]) -> list[Any]:
    values = column(rows, name)
    for plain, dotted in shorter.items() if name.kind == "param" else ():
        if dotted == name.name:
            own = column(rows, ColumnName("param", plain))
            values = [b if a is None else a for a, b in zip(values, own, strict=True)]
    return values


def _column_id(name: ColumnName) -> str:
    return f"{name.kind}:{_text(name.name)}"


def _packed(values: list[Any]) -> dict[str, Any]:
    """The values, or the distinct ones and the place of each among them where that is shorter."""
    keys = [(type(v), tuple(v) if type(v) is list else v) for v in values]
    distinct = dict.fromkeys(keys)
    if 2 * len(distinct) > len(values):
        return {"values": values}
    place = {key: at for at, key in enumerate(distinct)}
    known = dict(zip(keys, values, strict=True))
    return {"of": [known[key] for key in distinct], "at": _runs_of([place[key] for key in keys])}


def _runs_of(numbers: Sequence[int]) -> list[int]:
    """Each number that differs from the one before, and how often it comes."""
    packed: list[int] = []
    for number in numbers:
        if packed and packed[-2] == number:
            packed[-1] += 1
        else:
            packed += [number, 1]
    return packed


def _spread(found: Report) -> list[Any] | None:
    """The metric, and the difference of two runs below which it is noise."""
    if found.metric is None or found.spread is None or not found.spread.is_sure:
        return None
    return [_text(found.metric), _number(found.spread.least)]


def _curve(curve: Curve) -> dict[str, Any]:
    points = [part for step, value in curve.points for part in (_number(step), _number(value))]
    return {
        "run": _text(curve.run),
        "metric": _text(curve.metric),
        "points": points,
        "total": curve.total,
    }


def _artifacts(page: Page) -> dict[str, Any]:
    """``places`` has each content of each path, ``artifacts`` its number in each experiment by path."""
    place = {(one.path, one.hash): at for at, one in enumerate(page.places)}
    found: dict[str, list[int]] = {}
    for at, contents in enumerate(page.artifacts):
        for path, content in contents.items():
            found.setdefault(path, [-1] * page.experiments)[at] = place.get((path, content), -1)
    return {
        "places": [
            [_text(one.path), one.role, _text(one.hash), one.size, one.files, one.cached.value,
             one.remote.value, one.proved]
            for one in page.places
        ],
        "artifacts": {_text(path): _runs_of(numbers) for path, numbers in sorted(found.items())},
    }  # fmt: skip


def _checks(found: CheckReport) -> dict[str, Any]:
    return {
        "summary": _text(checks_summary(found)),
        "findings": [
            {
                "rule": one.rule,
                "level": str(one.level),
                "place": _text(one.place),
                "message": _text(one.message),
                "hint": _text(one.hint),
                "count": one.count,
                "rows": [
                    [[_text(str(n)), _cell(v)] for n, v in row.items()] for row in one.rows[:5]
                ],
            }
            for one in found.findings
        ],
        "ignored": [
            [one.finding.rule, _text(one.finding.message), _text(one.reason)]
            for one in found.ignored
        ],
        "skipped": [[one.rule, _text(one.reason)] for one in found.skipped],
    }
