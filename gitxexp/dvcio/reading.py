"""How far DVC is, told by what this process has read: DVC's own ``add`` reports to nobody.

Linux counts it (proc(5), ``/proc/PID/io``: rchar). Where nobody does, nothing is reported.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitxexp.dvcio.objects import Progress
from gitxexp.ticking import every

_EVERY = 0.2
_TIMES = 2  #: DVC reads to hash, then to copy


@contextmanager
def counted(paths: Iterable[Path], progress: Progress | None) -> Iterator[None]:
    """Report bytes for the time of a ``with`` that takes ``paths`` into the cache."""
    before = _read() if progress else None
    if progress is None or before is None:
        yield
        return
    report, start, total = progress, before, _TIMES * sum(map(_size, paths))

    def look() -> None:
        now = _read()
        if now is not None:
            report(min(now - start, total), total, "B")

    with every(_EVERY, look):
        yield


def _read() -> int | None:
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/io").read_text("ascii").splitlines():
            if line.startswith("rchar: "):
                return int(line[7:])
    return None


def _size(path: Path) -> int:
    with suppress(OSError):
        if not path.is_dir():
            return path.stat().st_size
        return sum(
            entry.stat().st_size
            for folder, _, names in os.walk(path)
            for entry in (Path(folder) / name for name in names)
        )
    return 0
