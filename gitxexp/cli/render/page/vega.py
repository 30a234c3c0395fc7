"""Vega, Vega-Lite and vega-embed as one script, bundled from vl-convert-python.

Making the script takes seconds of the JavaScript engine in that package and gives the same each time, so
that it is kept in the user's cache (``$XDG_CACHE_HOME/git-xexp``, XDG base directory specification).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from gitxexp.cli.shell.install import absolute
from gitxexp.common.files import atomic_write
from gitxexp.common.missing import missing_package
from gitxexp.common.processes import begun

_PACKAGE = "vl-convert-python"
_SNIPPET = "window.vegaEmbed = vegaEmbed;"
#: What would end a script, or begin a comment in it, within HTML (html.spec.whatwg.org, 4.12.1.3).
_IN_SCRIPT = re.compile(r"<(?=!--|/?script)", re.IGNORECASE)


def script() -> Callable[[], str]:
    """Begin to make the script, which defines ``vegaEmbed``; calling the result returns it. The
    engine works without Python's lock, so that experiments are read meanwhile.

    Raises UsageError where the package is not installed.
    """
    try:
        version = metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError as error:
        raise _missing() from error
    kept = _folder() / f"vega-embed-{version}.js"
    with suppress(OSError, UnicodeDecodeError):
        known = kept.read_text("utf-8")
        return lambda: known
    try:
        import vl_convert  # 85 MB, which only the first page of a version needs
    except ImportError as error:
        raise _missing() from error
    return begun(lambda: _made(vl_convert.javascript_bundle, kept))


def _made(bundle: Callable[[str], str], kept: Path) -> str:
    made = str(bundle(_SNIPPET))
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(kept, durable=False) as temporary:
            temporary.write_text(made, "utf-8")
    return made


def in_html(script: str) -> str:
    """The script as it may stand in a page."""
    return _IN_SCRIPT.sub(r"\\x3c", script)


def _missing() -> Exception:
    return missing_package(
        _PACKAGE,
        "the charts need it; git xexp report --md does not",
        "report",
    )


def _folder() -> Path:
    return (absolute("XDG_CACHE_HOME") or Path.home() / ".cache") / "git-xexp"
