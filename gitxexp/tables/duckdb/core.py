"""DuckDB's extension module, without the Python code around it.

``duckdb`` re-exports the extension module ``_duckdb`` (``duckdb/__init__.py`` says so), and imports for it
importlib.metadata, expressions and more: three times as long as the module, of which nothing here is used.
"""

from __future__ import annotations

from typing import Any


def core() -> Any:
    """The module with ``connect`` and the exceptions, imported when first asked for."""
    try:
        import _duckdb
    except ImportError:  # a release that has the module elsewhere
        import duckdb

        return duckdb
    return _duckdb
