"""The console script. What must be quick is answered, or begun, before click is imported."""

from __future__ import annotations

import os
import sys

from gitxexp.common import interrupts

#: What is said where it cannot run.
WINDOWS = """\
fatal: git-xexp does not run on Windows itself
hint: use it in the Windows Subsystem for Linux: https://learn.microsoft.com/windows/wsl
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: list[str] | None = None) -> int:
    """Run ``git xexp ARGV``, by default that of a process which ends then; returns the exit code."""
    if sys.platform == "win32":  # no fork, no flock, no folder descriptors
        sys.stderr.write(WINDOWS)
        return 128
    interrupts.end()
    from gitxexp.common import streams
    from gitxexp.common.errors import XexpError

    streams.stand()
    try:
        code = _main(sys.argv[1:], ends=True) if argv is None else _main(argv, ends=False)
        streams.flush()
    except (streams.ClosedPipe, BrokenPipeError):
        streams.drop()
        return streams.CLOSED_PIPE
    except XexpError as error:
        streams.tell(f"fatal: {error.message}")
        return error.exit_code
    except KeyboardInterrupt:  # another one, while the first was told
        return interrupts.CODE
    finally:
        interrupts.end()
    return code


def _main(args: list[str], *, ends: bool) -> int:
    if args in (["--version"], ["version"]):
        from gitxexp._version import __version__
        from gitxexp.common import streams

        streams.write(f"git-xexp version {__version__}\n")
        return 0
    if args[:1] == ["merge-driver"]:
        from gitxexp.workflows.merge.driver.main import merge_driver

        interrupts.interrupt()
        return merge_driver(args[1:])
    if args[:1] == ["textconv"]:
        from gitxexp.workflows.merge.driver.main import textconv

        return textconv(args[1:])
    if not ends:  # what is kept from collection for good keeps files open
        return _run(args)
    import gc

    gc.set_threshold(50_000)  # imports make no garbage, and looking for it took a tenth of a start
    try:
        return _run(args)
    finally:
        # As it ends, Python looks for garbage in all that there is: another tenth. DuckDB's binding
        # needs that, and lists what is left on standard error otherwise.
        if "_duckdb" not in sys.modules and "duckdb" not in sys.modules:
            gc.freeze()


def _run(args: Sequence[str]) -> int:
    wanted = _wanted(args)
    if wanted is None:
        from gitxexp.cli.main import run

        interrupts.interrupt()
        return run(args)
    from gitxexp.repository import prefetch
    from gitxexp.storage import git

    with git.begun(git.Git("."), getattr(prefetch, wanted)):
        if wanted.startswith("STATUS"):
            from gitxexp.cli.status import run
        else:
            from gitxexp.cli.main import run

        interrupts.interrupt()
        return run(args)


def _wanted(args: Sequence[str]) -> str | None:
    """Which of git's answers (a name in :mod:`gitxexp.repository.prefetch`) the command line will
    ask for, as far as can be told."""
    if args in ([], ["--json"], ["status"], ["status", "--json"]):
        # :mod:`gitxexp.cli.status` shows it; below the top, DVC is seen later.
        return "STATUS_DVC" if os.path.isdir(".dvc") else "STATUS"  # noqa: PTH112
    if "-h" in args or "--help" in args:
        return None
    verb, default = args[0], len(args) == 1 or args[1].startswith("-")
    if verb == "explore" and (default or args[1] in ("list", "show", "diff", "plot")):
        return "FIRST"
    if verb in ("list", "show", "info", "compare", "plot"):
        return "FIRST"
    if verb == "tag" and "--suggest" in args:  # a tag itself lists what there is under its lock
        return "FIRST"
    if verb == "sql":
        return "QUERY"
    if verb == "run":  # below the top most of it is asked in another folder
        return "RUN_BEFORE" if os.path.exists(".git") else "QUERY"  # noqa: PTH110
    if verb == "candidates" and (default or args[1] == "list"):
        return "MODELS"
    return None
