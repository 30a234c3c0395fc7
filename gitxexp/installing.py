"""``setup``: man pages and completion where man and the shells look, for any installer.

An installer leaves them below its own prefix (``share/...``). They are linked into the user's own
folders, so that an upgrade is followed; what was made is noted, so that it can be taken back.
"""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gitxexp.errors import XexpError

#: Where hatchling puts them below the prefix (pyproject.toml, shared-data), and in a checkout.
_COMPLETIONS = {
    "share/bash-completion/completions/git-xexp": "completions/git-xexp.bash",
    "share/zsh/site-functions/_git-xexp": "completions/_git-xexp",
    "share/zsh/site-functions/_git_xexp": "completions/_git_xexp",
    "share/fish/vendor_completions.d/git-xexp.fish": "completions/git-xexp.fish",
    "share/fish/vendor_conf.d/git-xexp.fish": "completions/conf.d/git-xexp.fish",
}


@dataclass(frozen=True)
class Link:
    """``target`` (the user's) is to lead to ``source`` (the installer's)."""

    topic: str  #: manual pages, bash, zsh or fish
    source: Path
    target: Path

    @property
    def works(self) -> bool:
        """Whether the target has the source's content already, linked or not."""
        try:
            return (
                self.target.samefile(self.source)
                or self.target.read_bytes() == self.source.read_bytes()
            )
        except OSError:  # nothing is there, or a folder, or what may not be read
            return False


def data_home() -> Path:
    """``$XDG_DATA_HOME``, as the XDG base directory specification has it."""
    return absolute("XDG_DATA_HOME") or home() / ".local/share"


def _config_home() -> Path:
    return absolute("XDG_CONFIG_HOME") or home() / ".config"


def absolute(name: str) -> Path | None:
    """The folder that the variable names; the specification has a relative one ignored."""
    path = Path(os.environ.get(name, ""))
    return path if path.is_absolute() else None


def home() -> Path:
    """The user's own folder; raises XexpError where HOME is empty."""
    found = Path.home()
    if not found.is_absolute() or os.environ.get("HOME") == "":
        raise XexpError("HOME names no folder", "set it: export HOME=/home/...")
    return found


def man_home() -> Path:
    """man looks beside each ``bin`` on PATH: for ``~/.local/bin`` here, whatever XDG says."""
    return home() / ".local/share/man"


def page_files() -> list[Path]:
    """The man pages of this installation; raises XexpError where it has none."""
    pages = sorted((_checkout() / "man").glob("git-xexp*.[17]"))
    if pages:  # newer than what an editable install put below its prefix
        return pages
    for prefix in _prefixes():
        pages = sorted((prefix / "share/man").glob("man[17]/git-xexp*.[17]"))
        if pages:
            return pages
    raise XexpError(
        "this installation has no manual pages",
        "install git-xexp from its wheel: pip, pipx or uv",
    )


def _prefixes() -> list[Path]:
    """Where this Python's installers put data: its own prefix, then the user's."""
    user = sysconfig.get_path("data", sysconfig.get_preferred_scheme("user"))
    found = [Path(sysconfig.get_path("data")), Path(user)]
    here = Path(__file__)
    return sorted(found, key=lambda prefix: not here.is_relative_to(prefix))


def _checkout() -> Path:
    return Path(__file__).resolve().parent.parent


def _completion(name: str) -> Path:
    found = [_checkout() / _COMPLETIONS[name], *(prefix / name for prefix in _prefixes())]
    return next((path for path in found if path.is_file()), found[-1])


def links() -> list[Link]:
    """Everything that ``setup`` puts in place."""
    found = [
        Link("manual pages", page, man_home() / f"man{page.suffix[1:]}" / page.name)
        for page in page_files()
    ]
    data, fish = data_home(), _config_home() / "fish"
    targets = {
        "bash": data / "bash-completion/completions/git-xexp",
        "zsh": data / "zsh/site-functions/_git-xexp",
        "zsh ": data / "zsh/site-functions/_git_xexp",
        "fish": fish / "completions/git-xexp.fish",
        "fish ": fish / "conf.d/git-xexp.fish",
    }
    for name, (topic, target) in zip(_COMPLETIONS, targets.items(), strict=True):
        found.append(Link(topic.strip(), _completion(name), target))
    return found


def tilde(path: Path) -> str:
    """The path with ``~`` for the user's own folder."""
    start = str(home())
    return f"~{str(path)[len(start) :]}" if path.is_relative_to(start) else str(path)


def typed(path: Path) -> str:
    """The path as a shell reads it: ``~`` stays what it is, a space does not part it."""
    return re.sub(r"[^\w@%+=:,./~-]", r"\\\g<0>", tilde(path))


def _note() -> Path:
    return data_home() / "git-xexp/setup"


#: What setup made: a folder, or a link with what it led to ("" in the note of an older version).
Made = dict[Path, str]


def _noted() -> Made:
    try:
        lines = _note().read_text("utf-8").splitlines()
    except OSError:
        return {}
    return {Path(path): source for path, _, source in (line.partition("\t") for line in lines)}


def _keep(made: Made) -> None:
    text = "".join(f"{path}\t{source}".rstrip() + "\n" for path, source in made.items())
    _note().write_text(text, "utf-8")


def _is_ours(path: Path, made: Made) -> bool:
    """Whether the link is the one that setup made, and not one that took its place."""
    if path not in made or not path.is_symlink():
        return False
    leads = str(path.readlink())
    return leads == made[path] or (not made[path] and "git-xexp" in Path(leads).name)


def install() -> Iterator[tuple[str, Path, str]]:
    """Link what is not in place; yields ``(topic, target, what)`` for each, ``what`` being linked,
    there, kept (a file of the user's own is in the way) or the reason why it cannot be made.

    Raises XexpError, before anything is linked, where what was made cannot be noted.
    """
    wanted, made = links(), _noted()
    try:
        _make_folders(_note().parent, made)
        _note().touch()
    except OSError as error:
        raise XexpError(
            f"cannot write {_note()}: {error.strerror}",
            "setup notes there what it makes; make the folder writable, or set XDG_DATA_HOME",
        ) from error
    try:
        _drop_stale(made, {link.target for link in wanted})
        for link in wanted:
            yield link.topic, link.target, _place(link, made)
    finally:
        if any(path.is_symlink() for path in made):
            _keep(made)
        else:
            _take_back(made)


def _place(link: Link, made: Made) -> str:
    if link.works:
        return "there"
    try:
        if _is_ours(link.target, made) or (link.target.is_symlink() and not link.target.exists()):
            link.target.unlink()
        elif link.target.exists():
            return "kept"
        _make_folders(link.target.parent, made)
        link.target.symlink_to(link.source)
    except OSError as error:
        return error.strerror or "failed"
    made[link.target] = str(link.source)
    return "linked"


def _drop_stale(made: Made, wanted: set[Path]) -> None:
    """Links of an older version that lead nowhere now, to what this one does not have."""
    for path in [path for path in made if path not in wanted]:
        if _is_ours(path, made) and not path.exists():
            path.unlink()
            del made[path]


def _make_folders(folder: Path, made: Made) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir()
        made[path] = ""


def uninstall() -> Iterator[Path]:
    """Take every link back that ``install`` made, and its folders where they are empty now."""
    made = _noted()
    for path in reversed(made):
        if _is_ours(path, made):
            path.unlink()
            yield path
    _take_back(made)


def _take_back(made: Made) -> None:
    """The note, and the folders that are empty without what was in them."""
    _note().unlink(missing_ok=True)
    for path in sorted((p for p in made if not p.is_symlink()), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
