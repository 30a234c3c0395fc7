"""DuckDB's extension module, without the Python code around it.

``duckdb`` re-exports the extension module ``_duckdb`` (see ``duckdb/__init__.py``) and also imports
importlib.metadata, expressions and more. That takes three times as long, and nothing of it is used here.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from typing import Any


def core() -> Any:
    """Return the module with ``connect`` and the exceptions; it is imported on the first call."""
    try:
        import _duckdb
    except ImportError:  # a release with the module in another place
        import duckdb

        return duckdb
    return _duckdb


def core_with_arrow() -> Any:
    """Like :func:`core`, with what its connections need to read Arrow streams. Only for a process in
    which nothing imports ``duckdb`` later."""
    module = core()
    spec = None if "duckdb" in sys.modules else find_spec("duckdb")
    if spec is None or not hasattr(module, "_set_arrow_sources"):
        return import_module("duckdb")
    sys.modules["duckdb"] = module_from_spec(
        spec
    )  # not executed: a submodule only needs its folder
    try:
        module._set_arrow_sources(import_module("duckdb._sources"))
    except Exception:  # these are names of one release
        for name in [name for name in sys.modules if name.partition(".")[0] == "duckdb"]:
            del sys.modules[name]
        return import_module("duckdb")
    return module
