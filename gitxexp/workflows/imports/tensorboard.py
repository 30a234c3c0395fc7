"""Scalars of TensorBoard's event files, read without TensorBoard.

A file is a sequence of records (length, its checksum, data, its checksum, as TensorFlow's TFRecord), each a
protocol buffer of the message ``Event`` (``tensorboard/compat/proto/event.proto``). Of these, values of
``Summary`` that are one number are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.workflows.imports.source import LoggedValue, Progress, Sink, SourceRun

_LARGEST = 64_000_000  #: bytes of one record: images are larger than any scalar, and skipped


@dataclass(frozen=True)
class EventFiles:
    """The runs below a log folder: each folder that has event files is one."""

    path: Path
    name: str

    def each(self, sink: Sink, progress: Progress | None = None) -> None:
        """Every run, named by its folder."""
        if not self.path.is_dir():
            raise XexpError(f"no such folder: {self.path}", "check the path")
        folders: dict[Path, list[Path]] = {}
        for file in sorted(self.path.rglob("*tfevents*")):
            if file.is_file():
                folders.setdefault(file.parent, []).append(file)
        if not folders:
            raise XexpError(f"{self.path} has no event files of TensorBoard", "name the log folder")
        for number, (folder, files) in enumerate(folders.items()):
            place = Path(self.path.resolve().name) / folder.relative_to(self.path)
            sink(_run(files, place.as_posix()))
            if progress is not None:
                progress(number + 1, len(folders), "runs")


def _run(files: list[Path], name: str) -> SourceRun:
    by_metric: dict[str, list[LoggedValue]] = {}
    times: list[float] = []
    for file in files:
        for tag, step, time, value in scalars(file):
            by_metric.setdefault(tag, []).append((tag, step, time, value))
            times.append(time)
    for points in by_metric.values():
        points.sort(key=lambda point: (point[1] or 0, point[2] or 0))
    return SourceRun(
        origin="tensorboard",
        id=name,
        started=_iso(min(times)) if times else None,
        ended=_iso(max(times)) if times else None,
        metrics={tag: points[-1][3] for tag, points in by_metric.items()},
        points=[point for points in by_metric.values() for point in points],
    )


def _iso(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(" ")
    except (ValueError, OverflowError, OSError):
        return None


def scalars(file: Path) -> Iterator[tuple[str, int, float, float]]:
    """Tag, step, time and value of each scalar; a file that is cut short ends there."""
    for record in _records(file):
        time, step, values = 0.0, 0, []
        for field, value in _fields(record):
            if field == 1 and isinstance(value, bytes) and len(value) == 8:
                (time,) = struct.unpack("<d", value)
            elif field == 2 and isinstance(value, int):
                step = value - (1 << 64) if value >> 63 else value
            elif field == 5 and isinstance(value, bytes):
                values += [v for number, v in _fields(value) if number == 1]
        for each in values:
            found = _scalar(each) if isinstance(each, bytes) else None
            if found is not None:
                yield found[0], step, time, found[1]


def _records(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while len(head := stream.read(12)) == 12:
            (length,) = struct.unpack("<Q", head[:8])
            if length > _LARGEST:
                stream.seek(length + 4, 1)
                continue
            data = stream.read(length)
            if len(data) < length or len(stream.read(4)) < 4:
                return
            yield data


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message (protobuf.dev/programming-guides/encoding); ends where it is damaged."""
    at = 0
    try:
        while at < len(data):
            key, at = _varint(data, at)
            kind = key & 7
            if kind == 0:
                value, at = _varint(data, at)
                yield key >> 3, value
                continue
            if kind == 2:
                size, at = _varint(data, at)
            else:
                size = {1: 8, 5: 4}[kind]
            if at + size > len(data):
                return
            yield key >> 3, data[at : at + size]
            at += size
    except (IndexError, KeyError):
        return


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128 or shift > 63:
            return value, at


def _scalar(data: bytes) -> tuple[str, float] | None:
    """Tag and number of a ``Summary.Value``: ``simple_value``, or a tensor of one number."""
    tag, number = "", None
    for field, value in _fields(data):
        if field == 1 and isinstance(value, bytes):
            tag = value.decode("utf-8", "replace")
        elif field == 2 and isinstance(value, bytes) and len(value) == 4:
            (number,) = struct.unpack("<f", value)
        elif field == 8 and isinstance(value, bytes):
            number = _tensor(value)
    return None if number is None or not tag else (tag, float(number))


#: ``DataType`` of ``tensorflow/core/framework/types.proto`` → its form and its field in ``TensorProto``.
_TYPES = {1: ("<f", 5), 2: ("<d", 6), 3: ("<i", 7), 9: ("<q", 10)}


def _tensor(data: bytes) -> float | None:
    fields: dict[int, Any] = {}
    for field, value in _fields(data):
        if field == 2 and isinstance(value, bytes) and any(n == 2 for n, _ in _fields(value)):
            return None  # it has a dimension: no scalar
        fields[field] = value
    form, own = _TYPES.get(fields.get(1, 0), ("", 0))
    if not form:
        return None
    raw = fields.get(4, fields.get(own))
    if isinstance(raw, int):
        return float(raw)
    size = struct.calcsize(form)
    if not isinstance(raw, bytes) or len(raw) != size:
        return None
    return float(struct.unpack(form, raw)[0])
