"""Commit and tag inside an operation, leaving the user's staged changes alone.

The commit is made by ``git commit`` on an index of our own (HEAD plus the given paths), so hooks,
signing and the reflog work as usual while the user's index stays unchanged.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from gitxexp.common.dataclass import dataclass
from gitxexp.common.errors import XexpError
from gitxexp.common.processes import begun
from gitxexp.common.text import some
from gitxexp.repository.operation import Changed, Step, UndoContext, Undoing
from gitxexp.repository.repository import Project, Running
from gitxexp.repository.unfinished import unfinished
from gitxexp.storage.git import CHANGES, IDENTITY, Git, GitError, boolean, decode, encode
from gitxexp.storage.git_write import GitWriter, import_gitpython


@dataclass(frozen=True)
class Changes:
    """What differs from HEAD, by path from the top of the work tree."""

    modified: tuple[str, ...]  #: tracked in HEAD and changed or deleted, staged or not
    staged_new: tuple[str, ...]  #: staged, and not in HEAD
    untracked: tuple[str, ...]
    unmerged: tuple[str, ...] = ()


def check_ready(project: Project) -> tuple[str | None, str]:
    """``(branch or None, HEAD's commit)``; raises XexpError if nothing can be committed."""
    git = project.at_top
    branch, commit = git.head()
    if commit is None:
        raise XexpError(
            f"branch {branch} has no commits yet: there is nothing to tag",
            "commit your code first: git add -A && git commit",
        )
    verb = unfinished(project)
    if verb is not None:
        raise XexpError(
            f"a {verb} is in progress in this work tree",
            f"finish it first: git {verb} --continue, or git {verb} --abort",
        )
    done = git.call(*IDENTITY)
    if done.returncode:
        raise XexpError(
            "git does not know who you are",
            'git config user.name "Your Name" && git config user.email you@example.com',
        )
    return branch, commit


#: What :func:`status` says instead of git's two letters.
UNTRACKED, UNMERGED = "??", "UU"


def status(project: Project) -> Iterator[tuple[str, str]]:
    """Yield the two letters of git-status(1) (index, work tree; "." if unchanged) and the path of
    each file that differs from HEAD; a rename is a deletion and an addition."""
    for field in project.at_top.fields(*CHANGES):
        kind = field[0]
        if kind == "?":
            yield UNTRACKED, field[2:]
        elif kind == "1":
            yield field[2:4], field.split(" ", 8)[8]
        elif kind == "u":
            yield UNMERGED, field.split(" ", 10)[10]


def refuse_dirty_submodules(project: Project) -> None:
    """Raise XexpError naming the submodules with uncommitted changes: a commit here takes their commits,
    and can never hold what is modified in them (git-status(1), Porcelain Format Version 2)."""
    changed = (field.split(" ", 8) for field in project.at_top.fields(*CHANGES) if field[0] == "1")
    dirty = [parts[8] for parts in changed if parts[2][0] == "S" and parts[2][2] == "M"]
    if dirty:
        raise XexpError(
            f"submodules have uncommitted changes, which no commit here can hold: {some(dirty, 3)}",
            f"commit them first: git -C {project.typed(dirty[0])} commit -a",
        )


def untracked(project: Project) -> list[str]:
    """Return the files that git neither tracks nor ignores; a folder of which it has nothing stands
    for its files, with a trailing slash."""
    return [path for states, path in status(project) if states == UNTRACKED]


def changes(project: Project) -> Changes:
    """Return what differs from HEAD, from one ``git status``, without the folders of other
    projects."""
    modified: list[str] = []
    fresh: list[str] = []
    untracked: list[str] = []
    unmerged: list[str] = []
    for states, path in status(project):
        if states == UNTRACKED:
            untracked.append(path)
        elif states == UNMERGED:
            unmerged.append(path)
        else:
            (fresh if states[0] == "A" else modified).append(path)
    own = [tuple(filter(project.config.has, paths)) for paths in (modified, fresh, untracked)]
    return Changes(own[0], own[1], own[2], tuple(unmerged))


def commit(
    project: Project,
    running: Running,
    paths: Sequence[str],
    message: str,
    *,
    version: str = "",
    verbatim: bool = False,
    everything: bool = False,
) -> str:
    """Commit HEAD plus ``paths`` (and, with ``everything``, all tracked changes of the project).

    The first line of ``message``, about ``version``, is formatted by ``[tag] commit_message``,
    unless ``verbatim``. Returns the commit's id. Other staged changes stay staged and are not
    committed.
    """
    git = project.at_top
    if everything:
        refuse_dirty_submodules(project)
    if not verbatim:
        message = worded(project.config.tag_commit_message, message, version)
    branch, old = git.head()
    ref = f"refs/heads/{branch}" if branch else "HEAD"
    imported = begun(import_gitpython)  # as long as git compresses a large registry
    env = {"GIT_INDEX_FILE": str(_own_index(project, running, paths, everything=everything))}
    imported()
    step = RefMoved(ref, old, message, str(project.top))
    seq = running.record(step)
    try:
        GitWriter(git).raw(
            "commit", "-q", "-F", "-", "--cleanup=verbatim", stdin=encode(message), env=env
        )
    except GitError as error:
        hint = "\n".join(filter(None, (error.hint, "nothing was changed")))
        hooks = _hooks(project)
        if not error.stderr.strip() and hooks:  # git itself always says why
            hint += f"\na hook refused it without a word: {' or '.join(hooks)}"
        if "commit-msg" in hooks and not verbatim:
            hint += (
                "\na hook reads the message: [tag] commit_message in .xexp/config.toml words it, such"
                ' as "chore(exp): {version} {headline}"'
            )
        raise XexpError(f"git commit refused: {error.detail}", hint) from error
    new = git.text("rev-parse", "HEAD")
    running.amend(seq, replace(step, new=new))
    _follow(project, running, new)
    return new


def _hooks(project: Project) -> list[str]:
    """The hooks of this repository that can refuse a commit."""
    folder = project.top / project.at_top.text("rev-parse", "--git-path", "hooks")
    names = ("pre-commit", "prepare-commit-msg", "commit-msg", "reference-transaction")
    return [name for name in names if os.access(folder / name, os.X_OK)]


def worded(template: str, message: str, version: str = "") -> str:
    """Return ``message`` with its first line and version formatted by ``template``.

    Without a template: ``VERSION: line``, or only the line if there is no version.
    """
    line, rest = message.partition("\n")[::2]
    if template:
        parts = template.replace("{version}", version).replace("{headline}", line).split()
        return " ".join(parts) + f"\n{rest}"
    return f"{version}: {message}" if version else message


def _own_index(
    project: Project, running: Running, paths: Sequence[str], *, everything: bool
) -> Path:
    """Return a copy of the index (its stat data saves re-reading files) reset to HEAD, plus
    ``paths``."""
    git = project.at_top
    own = running.keep / "index"
    running.keep.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # a clone without checkout has none yet
        shutil.copy2(project.places.git_dir / "index", own)
    env = {"GIT_INDEX_FILE": str(own)}
    git.raw("read-tree", "-i", "-m", "HEAD", env=env)  # -i: a file staged and changed again is fine
    stage(git, paths, env)  # before -u removes deleted ones, which then match no path
    if everything:
        modified = git.fields("diff-files", "--name-only", "-z", env=env)
        stage(git, [path for path in modified if project.config.has(path)], env)
    return own


def stage(git: Git, paths: Sequence[str], env: dict[str, str] | None = None) -> None:
    """Run ``git add`` on exactly these files, ignored or not, and outside of a sparse checkout, too."""
    if paths:
        git.raw(
            "--literal-pathspecs", "add", "-f", "-A", "--sparse",
            "--pathspec-from-file=-", "--pathspec-file-nul",
            stdin=encode("\0".join(paths)), env=env,
        )  # fmt: skip


def save_left_out(project: Project, running: Running, paths: Iterable[str]) -> None:
    """Record which of these files a sparse checkout leaves out: git forgets that as soon as the file is
    there, and takes it for deleted once it is gone again."""
    if not (project.places.git_dir / "info/sparse-checkout").exists():
        return
    entries = index_entries(project.at_top, list(dict.fromkeys(paths)))
    left_out = {path: entry for path, entry in entries.items() if (entry or "").endswith(_LEFT_OUT)}
    if left_out:
        running.record(IndexChanged(str(project.top), dict(left_out)))


def _follow(project: Project, running: Running, new: str) -> None:
    """Update the user's index to the new commit, only for the paths that it changed.

    git-reset(1) would compare the contents before and after for renames: 0.2 s with a large
    registry. It is left to do what a blob's id does not say: an entry that is not checked out, in
    conflict or assumed unchanged, and a new one of a file that is not in the work tree; and what
    update-index(1) of git 2.39 may join: a split index.
    """
    git = project.at_top
    after = _changed(git, new)
    flags, before = _entries(git, list(after))
    step = IndexChanged(str(project.top), before)
    seq = running.record(step)
    plain = (
        flag == "H" if flag else os.path.lexists(project.top / path) for path, flag in flags.items()
    )
    if all(plain) and not any(project.places.git_dir.glob("sharedindex.*")):
        _put_entries(git, after, len(new))
    else:
        spec = encode("\0".join(after))
        git.raw("--literal-pathspecs", "reset", "-q", "--pathspec-from-file=-",
                "--pathspec-file-nul", stdin=spec, ok=(0, 1))  # fmt: skip
        after = index_entries(git, list(after))
    running.amend(seq, replace(step, after=after))


def _changed(git: Git, commit: str) -> dict[str, str | None]:
    """``"mode oid"`` of each path that the commit changed, None if it deleted it."""
    fields = iter(
        git.fields("diff-tree", "-r", "--no-commit-id", "--no-renames", "-z", "--root", commit)
    )
    found: dict[str, str | None] = {}
    for meta, path in zip(fields, fields, strict=True):
        _, mode, _, oid, _ = meta.split(" ")
        found[path] = f"{mode} {oid}" if oid.strip("0") else None
    return found


def _put_entries(git: Git, entries: Mapping[str, str | None], digits: int) -> None:
    """Put entries into the user's index, or remove them; the work tree's files are compared with it
    anew. ``digits`` of an object's id: 64 with SHA-256."""
    if not entries:
        return
    nothing = f"0 {'0' * digits}"
    marked = {mark: [p for p, entry in entries.items() if entry and entry.endswith(mark)]
              for mark in (_ANNOUNCED, _LEFT_OUT)}  # fmt: skip
    announced = [path for path in marked[_ANNOUNCED] if os.path.lexists(git.cwd / path)]
    plain = {path: " ".join((entry or nothing).split(" ")[:2]) for path, entry in entries.items()}
    plain |= dict.fromkeys(announced, nothing)
    lines = (f"{entry}\t{path}\0" for path, entry in plain.items())
    git.raw("update-index", "-z", "--index-info", stdin=encode("".join(lines)))
    if announced:
        git.raw("--literal-pathspecs", "add", "-f", "-N", "--pathspec-from-file=-",
                "--pathspec-file-nul", stdin=encode("\0".join(announced)))  # fmt: skip
    if left_out := [path for path in marked[_LEFT_OUT] if not os.path.lexists(git.cwd / path)]:
        names = encode("".join(f"{path}\0" for path in left_out))
        git.raw("update-index", "--skip-worktree", "-z", "--stdin", stdin=names)
    git.call("update-index", "-q", "--refresh")


def tag(
    project: Project,
    running: Running,
    name: str,
    message: str,
    commit: str,
    date: str | None = None,
) -> str:
    """Create the annotated tag ``name`` at ``commit``, message verbatim; returns the tag's object
    id.

    ``date`` (in the format of git's environment) overrides the current time. With ``tag.gpgSign``
    the tag is signed and the signature verified to exist: git 2.39 exits 0 and leaves an unsigned
    tag when an ssh key is missing.
    """
    git = project.at_top
    ref = f"refs/tags/{name}"
    step = RefMoved(ref, None, message)
    seq = running.record(step)
    try:
        GitWriter(git).raw(
            "tag", "-a", "-F", "-", "--cleanup=verbatim", "--", name, commit,
            stdin=encode(message), env={"GIT_COMMITTER_DATE": date} if date else None,
        )  # fmt: skip
    except GitError as error:
        hint = "\n".join(filter(None, (error.hint, "nothing was changed")))
        raise XexpError(f"git tag refused: {error.detail}", hint) from error
    oid = git.text("rev-parse", ref)
    running.amend(seq, replace(step, new=oid))
    if boolean(git.setting("tag.gpgsign") or "false"):
        _check_signed(git, name, oid)
    return oid


def _check_signed(git: Git, name: str, oid: str) -> None:
    content = git.raw("cat-file", "tag", oid)
    if b"\n-----BEGIN " not in content:
        raise XexpError(
            f"git left {name} unsigned although tag.gpgSign is set",
            "check user.signingKey and gpg.format; or: git -c tag.gpgSign=false xexp tag",
        )
    done = git.call("verify-tag", name)
    if done.returncode and b"allowedSignersFile" not in done.stderr:
        raise XexpError(
            f"the signature of {name} does not verify: {done.stderr.decode(errors='replace').strip()}",
            "check user.signingKey and gpg.format",
        )


# -- undo ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RefMoved(Step):
    """A ref created (``old`` None) or moved; ``new`` is None until that is done."""

    kind: ClassVar[str] = "ref"

    ref: str
    old: str | None
    message: str  #: object id of the commit or tag that it is moved to
    worktree: str | None = None  #: the worktree whose HEAD is meant
    new: str | None = None
    deleted: bool = False  #: the operation deletes it

    @property
    def subject(self) -> str | None:
        return self.ref

    @property
    def _name(self) -> str:
        return self.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")

    def is_possible(self, at: UndoContext) -> bool:
        return self.old is None or self._git(at).ok("cat-file", "-e", self.old)

    def _git(self, at: UndoContext) -> Git:
        return Git(self.worktree or at.places.git_dir, foreign=True)

    def _current(self, git: Git) -> str | None:
        done = git.call("rev-parse", "--verify", "--quiet", self.ref)
        return done.stdout.decode().strip() or None

    def check(self, at: UndoContext) -> Changed | None:
        git = self._git(at)
        current = self._current(git)
        name = self._name
        if current != self.old and not self.is_possible(at):
            return Changed(
                f"git has removed the object of {name} (git gc)", "run the command again"
            )
        if self.deleted and current not in (None, self.old):
            return Changed(f"{name} has been recreated since", "rename it: git tag")
        if current is None or current == self.old:
            return None
        if current != self.new:
            return Changed(
                f"{name} has moved on since: later work is based on it",
                "undo the later operations first (git xexp log), or take the tag back and leave the"
                " commit: --force",
            )
        if self.old is None or self.deleted or self.ref.startswith("refs/tags/"):
            return None  # a tag replaced by the remote's names what the remote has
        if git.ok("merge-base", "--is-ancestor", current, self.old):
            return None  # a redo: nothing that was pushed leaves the branch
        return self._on_remote(git, name)

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        current = self._current(self._git(at))
        if current == self.old or (current is None and not self.deleted):
            return ()
        gone = self.old is None
        return (RefMoved(self.ref, current, "", self.worktree, self.old, deleted=gone),)

    def _on_remote(self, git: Git, name: str) -> Changed | None:
        holders = git.lines(
            "for-each-ref", "--contains", str(self.new), "--format=%(refname:short)", "refs/remotes"
        )
        if not holders:
            return None
        return Changed(
            f"the commit on {name} was pushed ({holders[0]} has it)",
            "others may have it; undo it here anyway with --force",
        )

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        git = self._git(at)
        current = self._current(git)
        if current != self.old and not self.is_possible(at):
            at.notify(f"{self._name} is not restored: git has removed its object (git gc)")
            return
        if self.deleted and current is None:
            git.raw("update-ref", "-m", "xexp: redo", self.ref, str(self.old), "")
            return
        if current is None or current == self.old or not self._is_ours(git, current):
            return
        flags = ("--no-deref",) if self.ref == "HEAD" else ()
        if self.old is None:
            git.raw("update-ref", *flags, "-d", self.ref, current)
        else:
            git.raw("update-ref", *flags, "-m", "xexp: undo", self.ref, self.old, current)

    def _is_ours(self, git: Git, current: str) -> bool:
        """Whether the ref is still where the operation put it (which may have died before recording
        it)."""
        if self.new is not None:
            return self.new == current
        head, _, message = decode(git.raw("cat-file", "-p", current)).partition("\n\n")
        parents = [line[7:] for line in head.split("\n") if line.startswith("parent ")]
        return message.startswith(self.message.rstrip("\n")) and (
            self.old is None or parents[:1] == [self.old]
        )


@dataclass(frozen=True, slots=True)
class IndexChanged(Step):
    """Entries of a worktree's index: path → "mode oid", with " -N" behind it if the file was only
    announced (``git add -N``), " -S" if a sparse checkout leaves it out, None if it has none."""

    kind: ClassVar[str] = "index"

    worktree: str
    before: dict[str, str | None]
    after: dict[str, str | None] | None = None  #: None until changed

    def check(self, at: UndoContext) -> Changed | None:
        return None  # keep what was staged since

    def inverse(self, at: UndoContext, keep: Path) -> Sequence[Step]:
        if not Path(self.worktree).is_dir():
            return ()
        git = Git(self.worktree, foreign=True)
        return (IndexChanged(self.worktree, index_entries(git, list(self.before)), self.before),)

    def undo(self, at: UndoContext, undoing: Undoing) -> None:
        """Restore the entries that the operation changed; keep what the user staged since."""
        if not Path(self.worktree).is_dir():
            return
        git = Git(self.worktree, foreign=True)
        now = index_entries(git, list(self.before))
        restored = {
            path: entry
            for path, entry in self.before.items()
            if now[path] != entry and (self.after is None or now[path] == self.after[path])
        }
        known = next(filter(None, (*now.values(), *restored.values())), "")
        _put_entries(git, restored, len(" ".join(known.split(" ")[1:2])))


def index_entries(git: Git, paths: list[str]) -> dict[str, str | None]:
    """What the index has of each path (from the top; git must stand there), as in
    :class:`IndexChanged`."""
    return _entries(git, paths)[1]


def _entries(git: Git, paths: list[str]) -> tuple[dict[str, str], dict[str, str | None]]:
    """The letter of each path in git-ls-files(1), "" if the index does not have it, and its entry as
    :func:`index_entries`."""
    letters = dict.fromkeys(paths, "")
    entries: dict[str, str | None] = dict.fromkeys(paths)
    for field in git.fields("ls-files", "-s", "-v", "-z", "--full-name"):
        meta, _, path = field.partition("\t")
        if path in entries:
            letters[path], mode, oid, stage = meta.split(" ")
            mark = _LEFT_OUT if letters[path] == "S" else ""
            entries[path] = f"{mode} {oid}{mark}" if stage == "0" else None
    for path in _announced(git, [path for path, entry in entries.items() if _is_empty(entry)]):
        entries[path] = f"{entries[path]}{_ANNOUNCED}"
    return letters, entries


#: Marks the entry of a file that ``git add -N`` announced, which has no content yet.
_ANNOUNCED = " -N"
#: Marks one that is not checked out (skip-worktree, git-update-index(1)).
_LEFT_OUT = " -S"
#: The id of an empty file, with SHA-1 and SHA-256.
_EMPTY = ("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
          "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813")  # fmt: skip


def _is_empty(entry: str | None) -> bool:
    return entry is not None and entry.endswith(_EMPTY)


def _announced(git: Git, paths: list[str]) -> list[str]:
    """Those of ``paths``, which the index has as empty files, that it has by ``git add -N``."""
    if not paths:
        return []
    new = ("diff-files", "--name-only", "--diff-filter=A", "-z")  # as git-add(1) says of -N
    return git.fields("--literal-pathspecs", *new, "--", *paths)
