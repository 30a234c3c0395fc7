"""Run a command in its own process group, log its output, and terminate the whole group.

If standard input and output are a terminal, the command gets its own terminal (pty(7)) and session,
so that progress bars, colours and a debugger work as usual; its output goes to the user's terminal
and to the log, byte for byte. Otherwise its output goes to pipes.

Ctrl-C, SIGTERM and SIGHUP reach the whole group: the first asks it to end, the second kills it.
Processes left in the group when the command ends are terminated as well. After a timeout or a stop,
so is every process that inherited the command's ``XEXP_RUN``.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import pty
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError

#: Seconds between checks of the clock and of ``stop``.
_TICK = 0.1
#: Grace period in seconds for a group that was asked to end.
_GRACE = 5.0
#: Grace period in seconds for remaining processes of an ended command.
_REMNANTS = 1.0
_BLOCK = 1 << 16

#: How a command ended: by itself, by Ctrl-C or a signal to us, because of ``stop``, or by timeout.
Why = Literal["exit", "interrupted", "stopped", "timeout"]


@dataclass(frozen=True)
class Execution:
    """A command that has ended. ``code`` is as in a shell: its exit code, or 128 plus the signal
    number. ``started`` and ``ended`` are seconds since 1970.

    ``log_hash`` is "sha256:…" of the ``log_size`` bytes that it printed; ``log_error`` says why not
    all are in the file, "" if they are.
    """

    code: int
    started: float
    ended: float
    why: Why
    log_hash: str
    log_size: int
    log_error: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.started


def execute(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    timeout: float | None = None,
    stop: Callable[[], bool] | None = None,
    echo: bool = True,
    out: int = 1,
    started: Callable[[int], None] | None = None,
    tied: bool = False,
) -> Execution:
    """Run ``command`` (no shell) in ``cwd`` with exactly the environment ``env`` to its end.

    Its output goes to the new file ``log`` and, if ``echo`` is true, unchanged to our own standard
    output (descriptor ``out``) and standard error; then it also shares our standard input and
    receives Ctrl-C. Otherwise it has no input, and any thread may call this; ``stop``, polled ten
    times a second, ends it. After ``timeout`` seconds it is terminated. ``started`` is called with
    the process group. ``tied``: kill it when this process dies, if the system can (prctl(2),
    PR_SET_PDEATHSIG).

    Raises XexpError if the command cannot be started: it is missing, or not executable.
    """
    if tied and command:
        _require_program(command, cwd, env)
        command = (*_tie(), *command)
    with _Log(log) as kept:
        work = _RunningCommand(kept, env.get("XEXP_RUN", ""), stop, timeout)
        if not echo:
            return work.run(command, cwd, env, None, out, started)
        sys.stdout.flush()
        sys.stderr.flush()
        with _signals(work):
            terminal = _Terminal() if _has_terminal(out) else None
            return work.run(command, cwd, env, terminal, out, started, echo=True)


#: Python code that requests a signal on the parent's death, then executes the command.
_TIED = """
import ctypes, os, sys
try:
    ctypes.CDLL(None).prctl(1, 9)
except AttributeError:
    pass
os.execvp(sys.argv[1], sys.argv[1:])
"""


@functools.cache
def _tie() -> tuple[str, ...]:
    """Return prefix words for a command to be killed with us: setpriv(1) of util-linux 2.33 or
    later, 1 ms, else Python, 20 ms."""
    program = shutil.which("setpriv")
    if program:
        words = (program, "--pdeathsig", "KILL")
        if not subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
            return words
    return (sys.executable, "-I", "-S", "-c", _TIED)


def _require_program(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
    """Raise XexpError if there is no such program."""
    name = command[0]
    there = (cwd / name).is_file() if "/" in name else shutil.which(name, path=env.get("PATH"))
    if not there:
        where = "" if "/" in name else " on PATH"
        raise XexpError(f"there is no command '{name}'{where}", how_to_start(name, cwd))


def how_to_start(name: str, cwd: Path) -> str | None:
    """Return a hint on how to run a script in the folder that was named like a program."""
    if not (cwd / name).is_file():
        return None
    return f"run it with its interpreter: {'python' if name.endswith('.py') else 'sh'} {name}"


class _Log:
    """Writes a command's output to a file; a full disk ends the log but not the command."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digest = hashlib.sha256()
        self.size = 0
        self.error = ""

    def __enter__(self) -> _Log:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("wb", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        if self.error:
            return
        try:
            view = memoryview(data)
            while view:
                done = self._file.write(view)
                self.digest.update(view[:done])
                self.size += done
                view = view[done:]
        except OSError as error:
            self.error = error.strerror or str(error)


@dataclass
class _RunningCommand:
    """One running command."""

    log: _Log
    run_id: str
    stop: Callable[[], bool] | None
    timeout: float | None
    group: int = 0
    why: Why = "exit"
    asked: int = 0  #: how often it was asked to end
    asked_at: float = 0.0
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def run(
        self,
        command: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        terminal: _Terminal | None,
        out: int,
        started: Callable[[int], None] | None,
        *,
        echo: bool = False,
    ) -> Execution:
        began = time.time()
        clock = time.monotonic()
        process = _start(command, cwd, env, terminal, has_input=echo)
        self.group = process.pid
        try:
            if started is not None:
                started(process.pid)
            with terminal.relayed(self) if terminal else contextlib.nullcontext():
                self._watch(process, terminal, out, echo=echo)
                code = self._relay(process, clock)
        finally:
            if process.poll() is None:  # something failed on our side
                self.send(signal.SIGKILL)
                process.wait()
            self.end_group()
            self.selector.close()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
            if terminal is not None:
                terminal.close()
        ended = time.time()
        digest = f"sha256:{self.log.digest.hexdigest()}"
        code = code if code >= 0 else 128 - code
        return Execution(code, began, ended, self.why, digest, self.log.size, self.log.error)

    def interrupt(self, number: int = signal.SIGINT, *, heard: bool = False) -> None:
        """Ask the group to end; the second time, kill it. ``heard``: it already received the
        signal."""
        self.asked += 1
        if self.why == "exit":
            self.why = "interrupted"
        if self.asked > 1:
            self.send(signal.SIGKILL)
        elif not heard:
            self.send(number)

    def send(self, number: int) -> None:
        """Send a signal to the group, if it still exists."""
        if self.group:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.group, number)

    def _watch(
        self, process: subprocess.Popen[bytes], terminal: _Terminal | None, out: int, *, echo: bool
    ) -> None:
        if terminal is not None:
            self.selector.register(terminal.ours, selectors.EVENT_READ, (out,))
            return
        for stream, to in ((process.stdout, out), (process.stderr, 2)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self.selector.register(stream.fileno(), selectors.EVENT_READ, (to,) if echo else ())

    def _relay(self, process: subprocess.Popen[bytes], clock: float) -> int:
        """Forward the output until the command ends; return its exit code."""
        wake = _wake_at_end(process)
        if wake is not None:
            self.selector.register(wake, selectors.EVENT_READ, None)
        try:
            while process.poll() is None:
                self._pass_on(_TICK)
                self._look(clock)
            last = time.monotonic() + _REMNANTS
            while self._pass_on(0) and time.monotonic() < last:
                pass  # its last output; others in its group may never stop printing
        finally:
            if wake is not None:
                os.close(wake)
        return process.returncode

    def _look(self, clock: float) -> None:
        """End the command on timeout or if ``stop`` says so."""
        now = time.monotonic()
        if not self.asked and self.timeout is not None and now - clock > self.timeout:
            self.why = "timeout"
            self._ask_to_end(now)
        elif not self.asked and self.stop is not None and self.stop():
            self.why = "stopped"
            self._ask_to_end(now)
        elif self.why in ("timeout", "stopped") and now - self.asked_at > _GRACE:
            self.send(signal.SIGKILL)

    def _ask_to_end(self, now: float) -> None:
        self.asked, self.asked_at = 1, now
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # a stopped process would not receive it

    def _pass_on(self, seconds: float) -> bool:
        """Read available output once; return whether there was any."""
        any_data = False
        for key, _ in self.selector.select(seconds):
            if key.data is None:  # the command has ended
                self.selector.unregister(key.fd)
                continue
            if callable(key.data):
                key.data()
                continue
            try:
                data = os.read(key.fd, _BLOCK)
            except BlockingIOError:
                continue
            except OSError:  # EIO: the other side of a terminal is closed
                data = b""
            if not data:
                self.selector.unregister(key.fd)
                continue
            any_data = True
            self.log.write(data)
            for to in key.data:
                _write_all(to, data)
        return any_data

    def end_group(self) -> None:
        """Terminate the rest of the group; after a stop, every process that the command started."""
        if not _gone(self.group):
            self.send(signal.SIGTERM if self.asked < 2 else signal.SIGKILL)
            self.send(signal.SIGCONT)
            deadline = time.monotonic() + _REMNANTS
            while not _gone(self.group) and time.monotonic() < deadline:
                time.sleep(0.01)
            self.send(signal.SIGKILL)
        left = processes_of(self.run_id) if self.why != "exit" else []
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _gone(group: int) -> bool:
    """Whether a process group is gone. In a container whose init does not reap orphans, zombies
    (proc(5), state Z) stay forever and count as gone."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    states = [state for state, its_group in _states() if its_group == group]
    return bool(states) and all(state in "ZX" for state in states)


def _states() -> Iterator[tuple[str, int]]:
    """State and process group of every process; empty if the system has no proc(5)."""
    with contextlib.suppress(OSError):
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    fields = Path(entry.path, "stat").read_text("utf-8", "replace")
                    state, _, group = fields.rpartition(")")[2].split()[:3]
                    yield state, int(group)


def processes_of(run_id: str) -> list[int]:
    """The processes of this user that inherited ``XEXP_RUN=run_id`` (proc(5)); empty if the system
    has no proc(5)."""
    if not run_id:
        return []
    wanted = b"\0XEXP_RUN=" + os.fsencode(run_id) + b"\0"
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                if wanted in b"\0" + Path(entry.path, "environ").read_bytes() + b"\0":
                    found.append(int(entry.name))
    return found


def _start(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    terminal: _Terminal | None,
    *,
    has_input: bool,
) -> subprocess.Popen[bytes]:
    """Return the started command. Raises XexpError if it cannot be started."""
    if not command:
        raise XexpError(
            "there is no command to run", "name it after --: git xexp run -- python train.py"
        )
    pipe = subprocess.PIPE
    # reading from a terminal that is not its own would stop it (SIGTTIN)
    given = None if has_input and not _is_terminal(0) else subprocess.DEVNULL
    try:
        if terminal is not None:
            side = terminal.theirs
            # in its own session, which gets the new terminal: tty_ioctl(4)
            return subprocess.Popen(
                command, cwd=cwd, env=env, stdin=side, stdout=side, stderr=side,
                start_new_session=True, preexec_fn=_take_terminal,
            )  # fmt: skip
        return subprocess.Popen(
            command, cwd=cwd, env=env, stdin=given, stdout=pipe, stderr=pipe, process_group=0,
        )  # fmt: skip
    except FileNotFoundError as error:
        if not cwd.is_dir():
            raise XexpError(f"no such folder: {cwd}", "check the path") from error
        where = "" if "/" in command[0] else " on PATH"
        raise XexpError(
            f"there is no command '{command[0]}'{where}",
            f"for a line of a shell: sh -c '{' '.join(command)}'"
            if " " in command[0]
            else how_to_start(command[0], cwd),
        ) from error
    except OSError as error:
        hint = how_to_start(command[0], cwd) if error.errno in (8, 13) else None
        raise XexpError(f"cannot run {command[0]}: {error.strerror}", hint) from error
    except ValueError as error:  # a NUL in a word
        raise XexpError(f"cannot run {command[0]!r}: {error}", "leave out the null byte") from error


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _wake_at_end(process: subprocess.Popen[bytes]) -> int | None:
    """Return a descriptor that becomes ready when the process ends, to avoid polling."""
    try:
        return os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or an old one
        return None


def _write_all(to: int, data: bytes) -> None:
    """Write all ``data``; if the reader is gone it is discarded, and the command continues."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(to, view) :]
        except BlockingIOError:
            selector = selectors.DefaultSelector()
            selector.register(to, selectors.EVENT_WRITE)
            selector.select(1)
            selector.close()
        except OSError:
            return


@contextlib.contextmanager
def _signals(work: _RunningCommand) -> Iterator[None]:
    """Forward signals that would end us to the command. Only possible in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def passed_on(number: int, _frame: Any) -> None:
        work.interrupt(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as in nohup(1)
            signal.signal(number, passed_on)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


# -- the pseudo-terminal -------------------------------------------------------------------------


def _has_terminal(out: int) -> bool:
    """Whether the user's terminal is ours to read from and write to."""
    try:
        if not (os.isatty(0) and os.isatty(out) and os.isatty(2)):
            return False
        return os.tcgetpgrp(0) == os.getpgrp()  # else in the background
    except OSError:
        return False


class _Terminal:
    """A terminal for the command, set up like the user's: keys go in, output comes out.

    Output is not processed (OPOST off), so that the log is exact; the user's own terminal has OPOST
    on and shows lines as usual.
    """

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self._before = termios.tcgetattr(0)
        mode = termios.tcgetattr(0)
        self._interrupt, self._suspend = mode[6][termios.VINTR], mode[6][termios.VSUSP]
        mode[1] &= ~termios.OPOST
        termios.tcsetattr(self.theirs, termios.TCSANOW, mode)
        self._resize()
        os.set_blocking(self.ours, False)

    @contextlib.contextmanager
    def relayed(self, work: _RunningCommand) -> Iterator[None]:
        """Send keys to the command during a ``with`` block."""
        os.close(self.theirs)
        self.theirs = -1
        resized = signal.signal(signal.SIGWINCH, lambda *_: self._resize())
        self._raw()
        work.selector.register(0, selectors.EVENT_READ, lambda: self._keys(work))
        try:
            yield
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)
            signal.signal(signal.SIGWINCH, resized or signal.SIG_DFL)

    def close(self) -> None:
        for side in (self.ours, self.theirs):
            if side >= 0:
                os.close(side)

    def _raw(self) -> None:
        tty.setraw(0, termios.TCSANOW)
        mode = termios.tcgetattr(0)
        mode[1] |= self._before[1] & termios.OPOST
        termios.tcsetattr(0, termios.TCSANOW, mode)

    def _resize(self) -> None:
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(0, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
            fcntl.ioctl(self.ours, termios.TIOCSWINSZ, size)

    def _keys(self, work: _RunningCommand) -> None:
        """Forward keys. The first Ctrl-C is forwarded, the second kills the command."""
        try:
            keys = os.read(0, _BLOCK)
        except OSError:
            keys = b""
        if not keys:
            work.selector.unregister(0)
            return
        if not termios.tcgetattr(self.ours)[3] & termios.ISIG:  # the command reads keys itself
            _write_all(self.ours, keys)
            return
        for at in range(len(keys)):
            key = keys[at : at + 1]
            if key == self._interrupt:
                _write_all(self.ours, key)  # to whichever group has that terminal
                work.interrupt(heard=True)
            elif key == self._suspend:
                self._stop(work)
            else:
                _write_all(self.ours, key)

    def _stop(self, work: _RunningCommand) -> None:
        """Ctrl-Z: stop the command and ourselves until the shell resumes us."""
        work.send(signal.SIGTSTP)
        termios.tcsetattr(0, termios.TCSADRAIN, self._before)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._raw()
        work.send(signal.SIGCONT)
