"""``git-xexp`` and ``dvc`` as processes that need not import DVC first.

Documents show dozens of commands, and a new interpreter takes a second to import DVC: one server
has imported everything, and forks for each command. A command is a process of its own with its own
arguments, environment, folder and streams; what it does not have is its caller's terminal and
process group, so tests of Ctrl-C, of start-up and of broken installations do without this.
"""

from __future__ import annotations

import array
import marshal
import os
import socket
import subprocess
import sys
from pathlib import Path

#: What each command becomes, and what the server imports before the first one.
COMMANDS = {"git-xexp": "gitxexp.entry", "dvc": "dvc.cli"}
IMPORTED = ("gitxexp.entry", "gitxexp.cli.main", "gitxexp.api", "dvc.cli", "dvc.repo", "dvc.dvcfile",
            "dvc.stage", "dvc.repo.add", "dvc.repo.push", "dvc.repo.checkout", "dvc.repo.status",
            "dvc_data.index", "git", "sqlite_utils", "duckdb", "ruamel.yaml")  # fmt: skip

#: What it needs of ``os``, ``json`` and ``socket`` without their imports, which take longer than Python.
CLIENT = """#!{python} -IS
import sys
from _socket import AF_UNIX, SCM_RIGHTS, SOL_SOCKET, socket
from array import array
from marshal import dumps
from posix import environ, getcwd, umask
server = socket(AF_UNIX)
server.connect({address!r})
mask = umask(0)
umask(mask)
told = dumps(({module!r}, sys.argv, getcwd(), environ, mask))
told = len(told).to_bytes(8, "big") + told
server.sendmsg([told[:1]], [(SOL_SOCKET, SCM_RIGHTS, array("i", [0, 1, 2]))])
server.sendall(told[1:])
answer = server.recv(16)
sys.exit(int(answer) if answer else "the command died")
"""


def start(
    folder: Path, commands: dict[str, str] = COMMANDS, imported: tuple[str, ...] = IMPORTED
) -> subprocess.Popen[bytes]:
    """A server, and in ``folder`` the commands that ask it; it ends when its input is closed."""
    folder.mkdir()
    address = str(folder / "s")
    server = subprocess.Popen(
        [sys.executable, __file__, address, *imported],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    for name, module in commands.items():
        command = folder / name
        command.write_text(CLIENT.format(python=sys.executable, address=address, module=module))
        command.chmod(0o755)
    return server


def serve(address: str, imported: list[str]) -> None:
    """Fork for each command that asks, until standard input ends."""
    import gc
    import importlib
    import select
    import signal

    for module in imported:
        importlib.import_module(module)
    gc.freeze()  # or each copy looks for garbage in all of it, and copies the memory by that
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(32)
    os.write(1, b"ready\n")
    while True:
        ready, _, _ = select.select([listening, 0], [], [])
        if 0 in ready:
            return
        asked, _ = listening.accept()
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            answer(asked)
        asked.close()


def answer(asked: socket.socket) -> None:
    """Become the command that ``asked`` sent, and tell it the exit code."""
    import atexit
    import importlib

    streams = array.array("i", [0, 0, 0])
    first, rights, _, _ = asked.recvmsg(1, socket.CMSG_SPACE(streams.itemsize * 3))
    streams = array.array("i", rights[0][2])
    with asked.makefile("rb") as rest:
        size = int.from_bytes(first + rest.read(7), "big")
        module, argv, cwd, environment, mask = marshal.loads(rest.read(size))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environb.clear()
    os.environb.update(environment)
    os.umask(mask)
    os.chdir(cwd)
    sys.argv = argv
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    try:
        code = importlib.import_module(module).main()
    except SystemExit as done:
        code = done.code
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    asked.sendall(str(int(code or 0)).encode())
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])
