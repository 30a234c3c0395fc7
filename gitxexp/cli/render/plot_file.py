"""Write a plot as SVG, PNG or a self-contained HTML page, with Vega-Lite."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

from gitxexp.cli.render.page import vega
from gitxexp.cli.render.page.data import in_script
from gitxexp.cli.render.plot import thin, value_at, x_scale, y_scale
from gitxexp.common.errors import UsageError
from gitxexp.common.text import html_text, visible
from gitxexp.workflows.explore.plot import Plot, PlotAxis

#: What a file may be, by the end of its name.
KINDS = (".svg", ".png", ".html")
#: Places along x that lines have in a file, and points both ways; more cannot be told apart.
_PLACES = 1000
#: Points of a series that a line marks.
_FEW = 60

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>@title@</title>
<style>body { margin: 1rem; font: 14px/1.4 system-ui, sans-serif } #plot { width: 100% }</style>
<script>@bundle@</script>
</head>
<body>
<div id="plot" role="img" aria-label="@title@"></div>
<script>
const dark = matchMedia("(prefers-color-scheme: dark)");
const spec = @spec@;
function draw() {
  const options = {actions: {export: true, source: false, compiled: false, editor: false},
                   renderer: "svg", ast: true, theme: dark.matches ? "dark" : undefined};
  vegaEmbed("#plot", {...spec, width: "container", background: "transparent"}, options);
}
dark.addEventListener("change", draw);
draw();
</script>
</body>
</html>
"""


def kind_of(path: Path) -> str:
    """What a file of that name is to be; raises UsageError for one that cannot be written."""
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise UsageError(
            f"cannot write a plot as '{path}'", f"name it with one of {', '.join(KINDS)}"
        )
    return kind


def as_file(plot: Plot, kind: str) -> bytes:
    """The bytes of a file of one of :data:`KINDS`; raises UsageError where vl-convert is missing."""
    try:
        import vl_convert
    except ImportError:
        from gitxexp.common.missing import missing_package

        raise missing_package(
            "vl-convert-python", "writing plots to files needs it", "report"
        ) from None
    shown = spec(plot)
    if kind == ".svg":
        return str(vl_convert.vegalite_to_svg(shown)).encode()
    if kind == ".png":
        return bytes(vl_convert.vegalite_to_png(shown, scale=2))
    parts = {
        "title": html_text(plot.title),
        "bundle": vega.in_html(vega.script()()),
        "spec": in_script(shown),
    }
    return re.sub(r"@(\w+)@", lambda found: parts[found[1]], _PAGE).encode()


def spec(plot: Plot) -> dict[str, Any]:
    """The plot in Vega-Lite, its data within."""
    known = json.loads(files("gitxexp.cli.render").joinpath("plot.json").read_text("utf-8"))
    kind: str = plot.kind
    if kind == "line" and all(len(series.points) <= _FEW for series in plot.series):
        kind = "marked"
    several = any(series.name for series in plot.series)
    x, y = _axis(plot.x), _axis(plot.y)
    x["field"], y["field"] = "x", "y"
    encoding: dict[str, Any] = {"x": x, "y": y, "tooltip": _tooltips(plot, several=several)}
    if plot.kind == "histogram":
        y["stack"] = not plot.y.log
        if not plot.y.log:  # Vega's tickMinStep has no effect on a scale that is made nice
            y["axis"] = {"values": [place for place, _ in y_scale(plot).ticks(10)], "format": "~g"}
        if plot.edges:
            x["bin"] = {"binned": True}
            encoding["x2"] = {"field": "x2"}
    if several:
        title = visible(plot.by) if plot.by else "run"
        names = list(map(visible, plot.colours))
        encoding["color"] = {"field": "colour", "type": "nominal", "title": title, "sort": names}
        encoding["detail"] = {"field": "series", "type": "nominal"}
    return {
        **known["base"],
        **known[kind],
        "title": visible(plot.title),
        "data": {"values": _values(plot)},
        "encoding": encoding,
    }


def _values(plot: Plot) -> list[dict[str, Any]]:
    ends = dict(pairwise(plot.edges))
    scale = x_scale(plot)
    found = []
    for series in plot.series:
        points = thin(series.points, scale.part, _PLACES, lines=plot.kind == "line")
        for point in points:
            value = {"x": _place(plot.x, point.x), "y": point.y}
            if plot.edges:
                value["x2"] = _place(plot.x, ends[point.x])
            if point.name:
                value["name"] = visible(point.name)
            named = {"series": visible(series.name), "colour": visible(series.group or series.name)}
            found.append(value | named)
    return found


def _place(axis: PlotAxis, place: float) -> Any:
    """Vega-Lite takes times as milliseconds."""
    if axis.kind == "time":
        return place * 1000
    return visible(str(value_at(axis, place))) if axis.kind == "category" else place


def _axis(axis: PlotAxis) -> dict[str, Any]:
    name = visible(axis.name)
    if axis.kind == "category":
        names = [visible(text) for text in axis.categories]
        return {
            "type": "nominal",
            "title": name,
            "sort": names,
            "axis": {"labelAngle": -40, "labelOverlap": True},
        }
    if axis.kind == "time":
        return {"type": "temporal", "title": name}
    scale = {"type": "log"} if axis.log else {"zero": axis.whole, "nice": True}
    return {"type": "quantitative", "title": name, "scale": scale}


def _tooltips(plot: Plot, *, several: bool) -> list[dict[str, Any]]:
    kinds = {"number": "quantitative", "time": "temporal", "category": "nominal"}
    shown = [
        {"field": "x", "type": kinds[plot.x.kind], "title": visible(plot.x.name)},
        {"field": "y", "type": "quantitative", "title": visible(plot.y.name)},
    ]
    if any(point.name for series in plot.series for point in series.points[:1]):
        shown.insert(0, {"field": "name", "type": "nominal", "title": "name"})
    if several:
        shown.append({"field": "series", "type": "nominal", "title": visible(plot.by or "run")})
    return shown
