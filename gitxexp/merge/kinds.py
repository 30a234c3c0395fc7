"""Which engine a file belongs to, told by its first bytes and, for a new file, by its name.

Sources: sqlite.org/fileformat2.html section 1.3 (16-byte header string), the Parquet format
specification ("PAR1", "PARE" for an encrypted footer), and DuckDB's main header ("DUCK" after an
8-byte checksum).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gitxexp.errors import XexpError, suggestion

Kind = Literal["sqlite", "duckdb", "parquet"]

#: What a file of this suffix holds.
SUFFIXES: dict[str, Kind] = {
    ".db": "sqlite",
    ".db3": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".duckdb": "duckdb",
    ".ddb": "duckdb",
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
}


def kind_of(path: Path) -> Kind:
    """The kind of an existing file, by magic bytes; its name does not matter.

    Raises :class:`XexpError` for a missing, empty, unreadable or unknown file.
    """
    head = _head(path)
    if head.startswith(b"SQLite format 3\x00"):
        return "sqlite"
    if head[8:12] == b"DUCK":
        return "duckdb"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PARE"):
        raise XexpError(f"{path} is an encrypted parquet file", hint="decrypt it first")
    if not head:
        raise XexpError(
            f"{path} is empty (0 bytes)", hint="restore it, for example with dvc checkout"
        )
    raise XexpError(
        f"{path} is not a SQLite, DuckDB or parquet file",
        hint="an encrypted or damaged file looks like this too; check it with its own program",
    )


def kind_by_name(path: Path) -> Kind:
    """The kind that a file of this name would have; raises :class:`XexpError` for others."""
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(SUFFIXES)
        raise XexpError(
            f"cannot tell from its name what kind of file {path} should be",
            hint=f"use one of {known}",
        )
    return kind


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(16)
    except FileNotFoundError:
        names = [p.name for p in path.parent.glob("*")]
        hint = suggestion(path.name, names, f"there is no such file in {path.parent.absolute()}")
        raise XexpError(f"{path} does not exist", hint) from None
    except IsADirectoryError:
        raise XexpError(f"{path} is a folder, not a file") from None
    except OSError as error:
        raise XexpError(f"cannot read {path}: {error.strerror}") from None
