"""SQLite to SQLite: merge, rebase and three-way merge of files, by SQLite itself."""

from gitxexp.merge.sqlite.engine import merge_files
from gitxexp.merge.sqlite.engine3 import merge3_files
from gitxexp.merge.sqlite.files import is_sqlite

__all__ = ["is_sqlite", "merge3_files", "merge_files"]
