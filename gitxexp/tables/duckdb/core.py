"""DuckDB's extension module, without the Python code around it.

``duckdb`` re-exports the extension module ``_duckdb`` (see ``duckdb/__init__.py``) and also imports
importlib.metadata, expressions and more. That takes three times as long, and nothing of it is used here.
"""

from __future__ import annotations

from typing import Any


def core() -> Any:
    """Return the module with ``connect`` and the exceptions; it is imported on the first call."""
    try:
        import _duckdb
    except ImportError:  # a release with the module in another place
        import duckdb

        return duckdb
    return _duckdb
