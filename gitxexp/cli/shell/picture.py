"""The picture of a terminal on the first screen of the README: its own examples, drawn as SVG.

A test runs these examples and compares what they print, so that the picture shows real output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

#: The examples that are drawn, by how their commands begin.
SHOWN = ("git xexp run ", "git xexp explore list --filter")
_WIDEST = 104
_CHAR, _LINE, _MARGIN, _BAR = 7.9, 19, 18, 34
_STYLE = (
    "text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#c9d1d9;"
    "white-space:pre}.prompt{fill:#3fb950}.command{fill:#fff;font-weight:600}.best{fill:#3fb950}"
)


def picture(readme: str) -> str:
    """The SVG of the examples of :data:`SHOWN` in a README; raises ValueError where one is missing."""
    lines = [line for name in SHOWN for line in (*_example(readme, name), "")][:-1]
    width = round(_WIDEST * _CHAR + 2 * _MARGIN)
    height = _BAR + len(lines) * _LINE + _MARGIN
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="git xexp">',
            f"<style>{_STYLE}</style>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
            *(
                f'<circle cx="{_MARGIN + 20 * n}" cy="17" r="6" fill="{colour}"/>'
                for n, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
            ),
            *(
                f'<text x="{_MARGIN}" y="{_BAR + (n + 1) * _LINE - 5}">{_drawn(line)}</text>'
                for n, line in enumerate(lines)
                if line
            ),
            "</svg>\n",
        ]
    )


def _example(readme: str, name: str) -> Iterator[str]:
    """The command that begins so, and its output."""
    found = re.search(rf"^\$ {re.escape(name)}.*\n(?:(?!\$ |```).*\n)*", readme, re.MULTILINE)
    if found is None:
        raise ValueError(f"the README has no example of {name}")
    for line in found[0].splitlines():
        yield line if len(line) <= _WIDEST else f"{line[: _WIDEST - 1]}…"


def _drawn(line: str) -> str:
    text = escape(line, quote=False)
    if text.startswith("$ "):
        return f'<tspan class="prompt">$</tspan><tspan class="command">{text[1:]}</tspan>'
    return re.sub(r"(\d[\d.]*\*)", r'<tspan class="best">\1</tspan>', text)
