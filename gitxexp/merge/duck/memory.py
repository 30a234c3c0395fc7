"""How much memory DuckDB may use where the user gave no bound."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

#: Bytes below which DuckDB cannot even read the wider parquet files.
LEAST = 64_000_000

#: Without ``--memory``: a share of what is free, and never less or more than these bytes. Above
#: 1 GB DuckDB writes parquet no faster.
SHARE, FLOOR, CEILING = 4, 500_000_000, 2_000_000_000

_MEMINFO = Path("/proc/meminfo")
#: The bounds of a container (cgroup v2, v1), as it sees them itself.
_BOUNDS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def granted(asked: int) -> int:
    """Bytes for DuckDB: what was asked for, or for 0 a share of the machine's free memory."""
    if asked:
        return max(asked, LEAST)
    return min(max(_free() // SHARE, FLOOR), CEILING)


def _free() -> int:
    """Bytes that a new process could use; 0 where the system does not tell."""
    found = [_available()]
    for path in _BOUNDS:
        with contextlib.suppress(OSError, ValueError):
            found.append(int(path.read_text("utf-8")))
    return min(found)


def _available() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _MEMINFO.read_text("utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0
