"""Checks on a database file before SQLite opens it, and the conversion of its errors.

Format: sqlite.org/fileformat2.html section 1.3 (the database header).
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError, is_full
from gitxexp.common.sqlite import connect

MAGIC = b"SQLite format 3\x00"
SMALL = 8 << 20  #: up to this many bytes may be read through SQLite instead of from the file
MINIMUM = (3, 37, 0)  #: STRICT
#: A helper process. It exits 3 with the system's error number and file on standard error.
_HELPER = """
import os, sys
try:
    {}
except OSError as error:
    print(error.errno or 5, error.filename or "", file=sys.stderr)
    sys.exit(3)
"""
#: It imports nothing that Python has not loaded: that would take three times as long as to start it.
_HEADERS = _HELPER.format('''
    for path in os.fsdecode(sys.stdin.buffer.read()).split("\\0"):
        with open(path, "rb", 0) as file:
            print(file.read(100).hex(), os.fstat(file.fileno()).st_size)
'''.strip())  # fmt: skip
_READ = _HELPER.format('''
    sys.path.append(sys.argv[1])
    from gitxexp.tables.sqlite.raw_pages import main
    main()
'''.strip())  # fmt: skip


@dataclass(frozen=True)
class Header:
    """The fields of a database header that decide how the file is read."""

    page_size: int
    wal: bool
    pages: int
    auto_vacuum: bool
    encoding: int  #: 1 UTF-8, 2 UTF-16le, 3 UTF-16be
    reserved: int


def is_sqlite(path: Path) -> bool:
    """Whether SQLite itself accepts the file as a database (without touching its locks)."""
    try:
        if Path(path).stat().st_size < 100:
            return False
        con = connect(Path(path), "ro", immutable=True)
    except (OSError, sqlite3.Error):
        return False
    try:
        con.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        return "not a database" not in str(error)
    finally:
        con.close()
    return True


def child(task: object, more: Callable[[], object] = lambda: None) -> str:
    """Return what :mod:`gitxexp.tables.sqlite.raw_pages` prints in a process of its own. It begins with
    ``task``; what ``more`` returns comes after.

    Raises OSError with the system's message if it cannot read.
    """
    with _started(_READ, str(Path(__file__).parents[3])) as process:
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # it says why
                process.stdin.write(json.dumps(task).encode() + b"\n")
                process.stdin.flush()
            return _answer(process, json.dumps(more()).encode())
        except BaseException:
            process.kill()
            raise


def _started(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _answer(process: subprocess.Popen[bytes], sent: bytes) -> str:
    answer, said = process.communicate(sent)
    if process.returncode == 3:
        number, _, name = os.fsdecode(said).strip().partition(" ")
        raise OSError(int(number), os.strerror(int(number)), name)
    if process.returncode:
        raise OSError(errno.EIO, "a helper process failed")
    return answer.decode()


def read_headers(paths: Sequence[Path]) -> list[Header]:
    """The checked headers of databases.

    Raises XexpError if a file is missing, empty, no database, newer than this format, or shorter
    than it says.
    """
    for path in paths:
        with clear_errors(path):
            if path.is_dir():
                raise XexpError(f"{path} is a folder, not a database", "name the file in it")
            if path.stat().st_size == 0:
                raise XexpError(f"{path} is empty (zero bytes)", "was it written completely?")
    found = {p: h for p in paths if (h := _small_header(p))}
    rest = [p for p in paths if p not in found]
    if rest:
        with clear_errors("the input"), _started(_HEADERS) as process:
            lines = _answer(process, b"\0".join(map(os.fsencode, rest))).splitlines()
        for path, line in zip(rest, lines, strict=True):
            text, _, size = line.rpartition(" ")
            found[path] = _parse(path, bytes.fromhex(text), int(size))
    return [found[p] for p in paths]


def _small_header(path: Path) -> Header | None:
    """Read the header of a small valid file through SQLite, without starting a process."""
    size = path.stat().st_size
    if size > SMALL:
        return None
    try:
        with closing(connect(path, "ro", immutable=True)) as con:
            raw = con.serialize()[:100]
        return _parse(path, raw, size)
    except (sqlite3.Error, XexpError):
        return None  # read the bytes instead, to report what is wrong


def _parse(path: Path, raw: bytes, size: int) -> Header:
    if raw[: len(MAGIC)] != MAGIC or len(raw) < 100:
        raise XexpError(
            f"{path} is not a SQLite database, or it is encrypted",
            "check it with its own program: an encrypted one has to be decrypted first",
        )
    page = struct.unpack(">H", raw[16:18])[0]
    page = 65536 if page == 1 else page
    if raw[18] > 2 or raw[19] > 2:
        raise XexpError(
            f"{path} has a newer file format than this SQLite reads",
            "use a Python with a newer SQLite",
        )
    if page < 512 or page & (page - 1):
        raise XexpError(
            f"{path} is corrupt: a page size of {page}", "restore it, for example with dvc checkout"
        )
    counter, pages = struct.unpack(">I", raw[24:28])[0], struct.unpack(">I", raw[28:32])[0]
    valid = struct.unpack(">I", raw[92:96])[0]
    wal = raw[18] == 2
    if not wal and counter == valid and pages and size < pages * page:
        raise XexpError(
            f"{path} is truncated: {size:,} bytes of {pages * page:,}", "restore it from a backup"
        )
    encoding = struct.unpack(">I", raw[56:60])[0] or 1
    auto = struct.unpack(">I", raw[52:56])[0] != 0
    return Header(page, wal, pages, auto, encoding, raw[20])


@contextmanager
def clear_errors(path: Path | str, reading: bool = False) -> Iterator[None]:
    """Convert SQLite and system errors to one sentence about ``path``.

    ``reading``: the file is only read, so an error about a full disk concerns another file and is left to
    the caller.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if is_full(error):
            if reading:
                raise
            raise XexpError(
                f"cannot write {path}: no space is left, or a limit is reached ({_words(error)})",
                "make room, or write elsewhere with -o",
            ) from error
        if isinstance(error, FileNotFoundError):
            raise XexpError(f"{error.filename or path} does not exist", "check the path") from error
        if isinstance(error, OSError):
            raise XexpError(f"{path}: {_words(error)}") from error
        raise _database_error(path, error) from error


def _words(error: OSError | sqlite3.Error) -> str:
    return getattr(error, "strerror", None) or str(error)


def _database_error(path: Path | str, error: sqlite3.Error) -> XexpError:
    text = str(error)
    if "locked" in text or "busy" in text:
        return XexpError(
            f"{path} is locked by a writer", "wait until the other program is done, then try again"
        )
    if "unsupported file format" in text:
        return XexpError(
            f"{path} has a newer file format than this SQLite reads",
            "use a Python with a newer SQLite",
        )
    if "not a database" in text:
        return XexpError(
            f"{path} is not a SQLite database, or it is encrypted",
            "check it with its own program: an encrypted one has to be decrypted first",
        )
    if "malformed" in text or "corrupt" in text:
        return XexpError(f"{path} is corrupt: {text}", "try `sqlite3 FILE .recover` on a copy")
    if "readonly" in text or "unable to open" in text:
        return XexpError(f"{path} cannot be opened: {text}", "check the folder's permissions")
    if "collation" in text or "no such function" in text or "no such module" in text:
        return XexpError(
            f"{path} needs an extension that is not here: {text}",
            "name the other tables: --table TABLE",
        )
    return XexpError(f"{path}: {text}")


def check_version() -> None:
    """Raise XexpError if the SQLite library is older than what this engine needs."""
    if sqlite3.sqlite_version_info < MINIMUM:
        need = ".".join(map(str, MINIMUM))
        raise XexpError(
            f"SQLite {need} or later is needed, this is {sqlite3.sqlite_version}",
            "use a Python with a newer SQLite",
        )
