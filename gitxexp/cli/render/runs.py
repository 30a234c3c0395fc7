"""Print a run: before it begins, and when it has ended."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import IO, Any

from gitxexp.cli import hints
from gitxexp.cli.render import checks, console
from gitxexp.common import streams
from gitxexp.common.errors import XexpError
from gitxexp.common.text import counted
from gitxexp.workflows.runs.record import RunRecord
from gitxexp.workflows.runs.run import CompletedRun, Prepared

#: Lines of the log that are shown of a run that failed.
_TAIL = 10
_TAIL_BYTES = 8192
#: Bytes of the end of a log that a pager gets; a pipe gets all of it.
_SHOWN = 50_000_000


def begin(prepared: Prepared) -> None:
    """Say what is about to run, on standard error."""
    checks.say(prepared.findings)
    command = " ".join(map(shlex.quote, prepared.words))
    told = f"{prepared.planned.version} ({prepared.planned.reason})"
    if not prepared.request.tag or prepared.patch:
        told = "no tag"
    console.remark(f"run {prepared.context.run}: {command}  [{told}]")


def show(done: CompletedRun, *, as_json: bool) -> int:
    """Print how it ended; the exit code. Raises what refused the tag."""
    record, tagged = done.record, done.tagged
    console.notes(done.notes)
    if as_json:
        facts = as_object(record) | {"log_file": str(done.log), "notes": list(done.notes)}
        if done.execution.code:
            facts["log_tail"] = tail(done.log)
        if tagged is not None:
            facts |= {"tag": tagged.tag, "commit": tagged.commit, "reason": tagged.reason,
                      "headline": tagged.payload.headline}  # fmt: skip
        console.print_json(facts)
    elif done.execution.code:
        _failed(done)
    elif tagged is not None:
        from gitxexp.cli.render import tags  # late: with all that a tag needs

        tags.show(tagged, as_json=False)
    elif done.problem is None:
        console.done(f"run {record.id} {_ended(record)}")
    if done.problem is not None:
        raise _refused(record, done.problem)
    return done.execution.code


def _refused(record: RunRecord, problem: XexpError) -> XexpError:
    """What refused the tag, with the run's name: it is recorded, and can be tagged later."""
    hint = f"{problem.hint}\n" if problem.hint else ""
    later = f"run {record.id} is recorded; tag it later: git xexp tag --run {record.id}"
    lines = "\n".join([f"not tagged: {problem.lines[0]}", *problem.lines[1:]])
    return XexpError(lines, hint + later, problem.exit_code)


def _failed(done: CompletedRun) -> None:
    """The end of the log where it was not just shown, and what became of the run."""
    if console.quiet():
        console.say(*tail(done.log))
    words = {"timeout": "timed out", "stopped": "was stopped"}
    how = words.get(done.record.status, "failed")
    console.say(
        f"run {done.record.id} {how}: exit code {done.execution.code} after"
        f" {duration(done.execution.seconds)}"
    )
    hints.hint(f"its log: git xexp explore log {done.record.id}")


def _ended(record: RunRecord) -> str:
    seconds = record.seconds
    rows = sum(found.rows for found in record.tables)
    said = [f"done after {duration(seconds)}" if seconds is not None else "done"]
    if rows:
        said.append(counted(rows, "row"))
    if record.metrics:
        said.append(
            " ".join(f"{n}={console.rounded(v)}" for n, v in list(record.metrics.items())[:4])
        )
    return ", ".join(said)


def duration(seconds: float) -> str:
    """A length of time for people: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def show_log(log: Path, limit: int | None) -> None:
    """Print a log (its last ``limit`` lines): as it is into a pipe; on a terminal without what steers
    one but colours, each line as it looked in the end."""
    if not console.is_terminal():
        _copy(log, limit)
        return
    with log.open("rb") as file:
        start = max(0, file.seek(0, 2) - _SHOWN)
        file.seek(max(start, _start_of_last(file, limit)) if limit else start)
        text = file.read().decode("utf-8", "replace").removesuffix("\n")
    if start and not limit:
        console.say(f"the first {start / 1e6:.0f} MB are omitted; the whole log is in {log}")
    lines = [line.removesuffix("\r").rpartition("\r")[2] for line in text.split("\n")]
    console.page_text("\n".join(lines[-limit:] if limit else lines))


def _copy(log: Path, limit: int | None) -> None:
    with log.open("rb") as file:
        if limit:
            file.seek(_start_of_last(file, limit))
        while block := file.read(1 << 20):
            streams.write_bytes(block)
    streams.flush()


def _start_of_last(file: IO[bytes], lines: int) -> int:
    """Where the last so many lines begin."""
    at = end = file.seek(0, 2)
    while at > 0:
        size = min(1 << 16, at)
        at -= size
        file.seek(at)
        block = file.read(size)
        place = len(block) - 1 if at + size == end and block.endswith(b"\n") else len(block)
        while (place := block.rfind(b"\n", 0, place)) >= 0:
            lines -= 1
            if not lines:
                return at + place + 1
    return 0


def tail(log: Path, most: int = _TAIL) -> list[str]:
    """The last lines of a log."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rpartition("\r")[2] for line in text.splitlines()[-most:]]


def as_object(record: RunRecord) -> dict[str, Any]:
    """A record as what JSON can hold."""
    row = record.as_row()
    row["seconds"] = record.seconds
    row["exit_code"] = row.pop("code")
    return row
