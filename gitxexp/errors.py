"""The one family of errors that a user may see.

Every error says what happened and, in ``hint``, how to go on. Exit codes follow git's habit
(git-scm.com/docs/git#_git_commands, usage.c): 129 for wrong usage, 128 for a fatal error,
1 for a plain "no".
"""

from __future__ import annotations

FATAL = 128
USAGE = 129
NO = 1


class XexpError(Exception):
    """Something a user can understand and act on.

    ``message`` is one sentence without a prefix; ``hint`` is the next step, possibly several lines.
    """

    exit_code: int = FATAL

    def __init__(self, message: str, hint: str | None = None, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message


class UsageError(XexpError):
    """The command line itself is wrong."""

    exit_code = USAGE


class NoAnswer(XexpError):
    """The command was understood and the answer is no (a refusal, a conflict, a difference)."""

    exit_code = NO
