"""The Python and the packages that a command runs with: queried from its interpreter while it runs."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gitxexp.common.dataclass import dataclass

#: The query to an interpreter: its version, and the folders of its packages
#: (packaging.python.org/specifications/recording-installed-packages).
_QUESTION = (
    "import sys,os\n"
    "print('\\n'.join(['xexp','%d.%d.%d'%sys.version_info[:3],*filter(os.path.isdir,sys.path)]))"
)
_SECONDS = 20.0


@dataclass(frozen=True)
class Software:
    """The version of Python, and ``name==version`` of each package, sorted; empty if the command
    has no Python to query."""

    python: str = ""
    packages: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """``sha256:…`` of the list, "" of none."""
        text = "\n".join(self.packages)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" if text else ""


class SoftwareQuery:
    """Run :func:`software` on a command that is already running."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self._found = Software()
        self._thread = threading.Thread(target=self._ask, args=(command, env, cwd), daemon=True)
        self._thread.start()

    def _ask(self, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self._found = software(command, env, cwd)

    def answer(self) -> Software:
        """The result."""
        self._thread.join(_SECONDS)
        return self._found


def software(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> Software:
    """Query the Python of a command: the command itself or its script's interpreter, else the
    ``python`` on its PATH."""
    python = interpreter(command, env, cwd)
    if python is None:
        return Software()
    try:
        done = subprocess.run(
            [python, "-c", _QUESTION], cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL,
            capture_output=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return Software()
    lines = done.stdout.decode("utf-8", "surrogateescape").splitlines()
    if "xexp" not in lines:
        return Software()
    version, *folders = lines[lines.index("xexp") + 1 :]
    return Software(version, tuple(sorted(_packages(folders))))


def interpreter(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> str | None:
    """The Python that runs a command, as far as known; None if there is none."""
    path = env.get("PATH")
    first = next((word for word in command if "=" not in word and word != "env"), "")
    program = shutil.which(first, path=path)
    if program is None and (cwd / first).is_file():
        program = str(cwd / first)
    if program is not None:
        if Path(program).name.startswith("python"):
            return program
        with suppress(OSError), Path(program).open("rb") as file:
            head = file.readline(256)
            words = head[2:].decode("utf-8", "replace").split() if head.startswith(b"#!") else []
            named = words[1:2] if words and Path(words[0]).name == "env" else words[:1]
            if named and Path(named[0]).name.startswith("python"):
                return shutil.which(named[0], path=path)
    return shutil.which("python", path=path) or shutil.which("python3", path=path)


def _packages(folders: Sequence[str]) -> set[str]:
    found: dict[str, str] = {}
    for folder in folders:
        with suppress(OSError):
            for entry in Path(folder).iterdir():
                name, dash, version = entry.name.rpartition(".")[0].partition("-")
                if entry.suffix in (".dist-info", ".egg-info") and dash:
                    found.setdefault(name.lower().replace("_", "-"), version.partition("-py")[0])
    return {f"{name}=={version}" for name, version in found.items()}
