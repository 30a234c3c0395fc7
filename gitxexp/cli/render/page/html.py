"""The report as one HTML file with data, style and scripts, which opens offline and sends no request.

A policy in its head (Content Security Policy, w3.org/TR/CSP3) lets run only the scripts that are in it, by
their hashes, and no request leave the page. Vega draws without ``eval`` for that (its interpreter). Names and
values are data, in a JSON block and put in place as text; what stands in the HTML itself is escaped.
"""

from __future__ import annotations

import json
import re
import time
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from gitxexp._version import __version__
from gitxexp.cli.render.page.data import as_json, in_script
from gitxexp.cli.render.page.vega import in_html
from gitxexp.cli.render.report import Sentence, Strong, summary
from gitxexp.common.text import html_text

if TYPE_CHECKING:
    from gitxexp.workflows.report.page import Page

#: By which a file is known to be a report, which the next one may replace.
GENERATOR = '<meta name="generator" content="git-xexp '
_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src {styles}; img-src data: blob:; base-uri 'none';"
    " form-action 'none'"
)


def as_html(page: Page, drawing: Callable[[], str]) -> str:
    """The whole file. ``drawing`` waits for the script that draws
    (:func:`gitxexp.cli.render.page.vega.script`)."""
    style, script = _file("page.css"), _file("page.js")
    charts = {
        entry.name.removesuffix(".json"): json.loads(entry.read_text("utf-8"))
        for entry in files(__package__).joinpath("charts").iterdir()
        if entry.name.endswith(".json")
    }
    parts = {
        "generator": f'{GENERATOR}{__version__}">',
        "title": html_text(page.report.title),
        "date": time.strftime("%Y-%m-%d %H:%M", time.localtime()),
        "style": style,
        "summary": "".join(map(_sentence, summary(page.report))),
        "charts": in_script(charts),
        "data": as_json(page),
        "script": script,
    }
    vega = in_html(drawing())
    scripts = f"{_hash(script)} {_hash(vega)}"
    parts |= {"vega": vega, "policy": _POLICY.format(scripts=scripts, styles=_hash(style))}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _file("page.html"))


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _sentence(parts: Sentence) -> str:
    marked = (f"<b>{html_text(p)}</b>" if isinstance(p, Strong) else html_text(p) for p in parts)
    return f"<li>{''.join(marked)}</li>"
