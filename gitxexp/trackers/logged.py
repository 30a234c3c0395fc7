"""The rows of a run in a results database at one moment, to find out later which rows are new."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gitxexp.common.dataclass import dataclass
from gitxexp.trackers.run import Window


@dataclass(frozen=True, slots=True)
class Logged:
    """The rows of a run in one table. ``each``: a hash of every row in the order in which they were
    written, valid in this process; None if there are too many. ``ends``: in that case, where they
    begin and end. ``whole``: the tracker can only read all of them."""

    rows: int
    each: tuple[int, ...] | None = None
    ends: tuple[Any, Any] = (None, None)
    whole: bool = False

    def since(self, before: Logged | None) -> Window | None:
        """Return the rows written since ``before``, or None.

        If earlier rows changed, these are all rows: the run was logged again.
        """
        if before is None:
            return Window(0, self.rows)
        if self == before:
            return None
        if self.each is not None and before.each is not None:
            if not Counter(self.each) - Counter(before.each):
                return None  # some were deleted
            appended = self.each[: before.rows] == before.each
        else:
            if self.ends[1] == before.ends[1] and self.rows <= before.rows:
                return None
            appended = self.rows > before.rows and self.ends[0] == before.ends[0]
        return Window(before.rows, self.rows - before.rows) if appended else Window(0, self.rows)
