"""The DuckDB engine: merges of parquet, DuckDB and mixed files, by ``UNION ALL BY NAME``.

Pure functions on files: no git, no DVC, nothing printed. ``duckdb`` is imported when work starts.
"""

from gitxexp.merge.duck.engine import merge_files
from gitxexp.merge.duck.merge3 import merge3_files

__all__ = ["merge3_files", "merge_files"]
