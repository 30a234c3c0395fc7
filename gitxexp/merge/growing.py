"""How far a merge is, told by how large its result has become: one statement may take a minute."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitxexp.merge.plan import Progress
from gitxexp.ticking import every

_EVERY = 0.2


@contextmanager
def watched(
    folder: Path, inputs: Iterable[Path], progress: Progress | None
) -> Iterator[Progress | None]:
    """Report the bytes of this process's new file in ``folder`` for the time of a ``with``.

    The sum of ``inputs`` is about what it will have. Yields a progress for the engine, which is
    heard as long as there is no such file.
    """
    if progress is None:
        yield None
        return
    total = sum(path.stat().st_size for path in inputs if path.is_file())
    report, seen = progress, False

    def look() -> None:
        nonlocal seen
        size = _size(folder)
        if size:
            seen = True
            report(min(size, total), total, "B")

    def engines(count: int, of: int, unit: str) -> None:
        if not seen:
            report(count, of, unit)

    with every(_EVERY, look):
        yield engines


def _size(folder: Path) -> int:
    """Bytes of the files that this process is making here (``.NAME.xexp-PID-….tmp``)."""
    mark, size = f".xexp-{os.getpid()}-", 0
    with suppress(OSError):
        for entry in os.scandir(folder):
            if mark in entry.name and entry.name.endswith(".tmp"):
                with suppress(OSError):
                    size += entry.stat().st_size
    return size
