"""Real interactive shells behind a pseudo-terminal, asked what a TAB does."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

import pexpect

ROOT = Path(__file__).resolve().parents[2]
COMPLETIONS = ROOT / "completions"
GIT_BASH = Path("/usr/share/bash-completion/completions/git")

#: git's own zsh wrapper (contrib/completion), where a distribution ships it. Debian does not, and
#: its licence keeps a copy out of here: then one that behaves alike takes its place.
WRAPPERS = (
    Path(os.environ.get("XEXP_ZSH_WRAPPER", "/nowhere")),
    Path("/usr/share/doc/git/contrib/completion/git-completion.zsh"),
    Path("/usr/share/git-core/contrib/completion/git-completion.zsh"),
    Path("/usr/share/git/completion/git-completion.zsh"),
    ROOT / "tests/cli/wrapper.zsh",
)

#: A key that prints the line being edited and empties it.
DUMP = "\x1d"
_MARK = re.compile(r"<<<(.*?)>>>", re.DOTALL)
_CODES = re.compile(
    r"\x1b(\[[0-9;?>=]*[ -/]*[@-~]|\][^\x07]*\x07|[()][A-Z0-9]|[=>78M])|[\x0e\x0f\x07]"
)

BASH = """
PS1='' HISTFILE=/dev/null
set -o emacs
bind 'set bell-style none'
bind 'set show-all-if-ambiguous on'
bind 'set page-completions off'
bind 'set completion-query-items 0'
bind 'set enable-bracketed-paste off'
source {git}
source {here}/git-xexp.bash
bind -x '"\\C-]": printf "<<<%s>>>" "$READLINE_LINE" >/dev/tty; READLINE_LINE='
"""

ZSH = """
PS1='' LISTMAX=100000 HISTFILE=/dev/null
unsetopt BEEP ALWAYS_LAST_PROMPT
fpath=({fpath} $fpath)
autoload -Uz compinit && compinit -u -d {dump}
dump() {{ print -rn -- "<<<$BUFFER>>>" >/dev/tty; BUFFER= }}
zle -N dump
bindkey -e
bindkey '^]' dump
{extra}
"""

FISH = """
function fish_prompt; end
function fish_right_prompt; end
function fish_greeting; end
set -g fish_autosuggestion_enabled 0
function dump
    printf '<<<%s>>>' (commandline | string collect) >/dev/tty
    commandline -r ''
end
bind \\x1d dump
"""


class Shell:
    """One shell, driven key by key. Use it as a context manager."""

    def __init__(
        self,
        name: str,
        folder: Path,
        scratch: Path,
        *,
        wrapper: bool = False,
        sourced: bool = False,
    ) -> None:
        self.name = name
        self.scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)
        how = {"wrapper": wrapper, "sourced": sourced} if name == "zsh" else {}
        arguments = getattr(self, f"_{name}")(**how)
        self.child = pexpect.spawn(
            arguments[0],
            arguments[1:],
            cwd=str(folder),
            env=self.environment(),
            dimensions=(200, 160),
            encoding="utf-8",
            codec_errors="replace",
            timeout=20,
        )
        self.child.delaybeforesend = None
        self.first()

    def environment(self) -> dict[str, str]:
        """The sealed one, with a Python on PATH that must not run."""
        traps = self.scratch / "bin"
        traps.mkdir(exist_ok=True)
        for name in ("python", "python3", "git-xexp", "python3.11"):
            trap = traps / name
            trap.write_text(f"#!/bin/sh\necho {name} >>'{self.scratch}/python-ran'\nexit 1\n")
            trap.chmod(0o755)
        zdot = self.scratch / "zdot"
        extra = {
            "PATH": f"{traps}:{os.environ['PATH']}",
            "TERM": "xterm",
            "ZDOTDIR": str(zdot),
            "XDG_CONFIG_HOME": str(self.scratch / "config"),
            "XDG_DATA_HOME": str(self.scratch / "data"),
        }
        return {**os.environ, **extra}

    def _bash(self) -> list[str]:
        file = self.scratch / "bashrc"
        file.write_text(BASH.format(git=GIT_BASH, here=COMPLETIONS))
        return ["bash", "--noprofile", "--rcfile", str(file), "-i"]

    def _zsh(self, wrapper: bool, sourced: bool) -> list[str]:
        folder = self.scratch / "functions"
        folder.mkdir()
        for name in () if sourced else ("_git-xexp", "_git_xexp"):
            shutil.copy(COMPLETIONS / name, folder)
        if wrapper:
            shutil.copy(next(path for path in WRAPPERS if path.is_file()), folder / "_git")
        zdot = self.scratch / "zdot"
        zdot.mkdir()
        # To look through all functions takes zsh half a second: those of each kind do it once.
        kind = f"{'wrapper' if wrapper else 'plain'}-{'sourced' if sourced else 'linked'}"
        dump = Path(tempfile.gettempdir()) / f"zcompdump-{kind}"
        extra = f"source {COMPLETIONS}/_git-xexp" if sourced else ""
        (zdot / ".zshrc").write_text(ZSH.format(fpath=folder, dump=dump, extra=extra))
        return ["zsh", "-d", "-i"]

    def _fish(self) -> list[str]:
        config = self.scratch / "config/fish"
        for part, source in (
            ("completions", "git-xexp.fish"),
            ("conf.d", "conf.d/git-xexp.fish"),
        ):
            (config / part).mkdir(parents=True)
            shutil.copy(COMPLETIONS / source, config / part)
        (config / "config.fish").write_text(FISH)
        # Without it fish itself starts a Python, once, to read man pages.
        (self.scratch / "data/fish/generated_completions").mkdir(parents=True)
        return ["fish", "--private", "-i"]

    def first(self) -> None:
        """Wait until the shell answers its keys."""
        for _ in range(40):
            self.child.send(DUMP)
            try:
                self.child.expect(_MARK, timeout=0.5)
            except pexpect.TIMEOUT:
                continue
            break
        while True:
            try:
                self.child.expect(_MARK, timeout=0.1)
            except pexpect.TIMEOUT:
                return

    def tab(self, line: str, tabs: int = 1) -> tuple[str, str]:
        """``(line, shown)`` after typing ``line`` and TAB: what became of it, and what was listed."""
        self.child.send(line + "\t" * tabs + DUMP)
        self.child.expect(_MARK)
        shown = _CODES.sub("", self.child.before)
        return self.child.match[1], shown

    def completed(self, line: str) -> str:
        """The line after one TAB."""
        return self.tab(line)[0]

    def listed(self, line: str) -> list[str]:
        """The words that were listed, in order, without those of the line itself."""
        shown = self.tab(line, 1)[1]
        return shown.replace("\r", "").split()

    def run(self, command: str) -> None:
        """Run a command (a change of folder)."""
        self.child.send(command + "\r" + DUMP)
        self.child.expect(_MARK)

    @property
    def python_ran(self) -> bool:
        """Whether anything started a Python, or git-xexp itself."""
        return (self.scratch / "python-ran").exists()

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.child.close(force=True)
