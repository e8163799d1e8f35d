"""Lines of the user's code."""

import traceback
from collections.abc import Iterable
from pathlib import Path

_OWN = str(Path(__file__).parents[1])


def innermost_line(frames: Iterable[traceback.FrameSummary]) -> str:
    """The innermost line that is neither torch's nor ours, empty where there is none."""
    for frame in reversed(list(frames)):
        if "/torch/" not in frame.filename and not frame.filename.startswith((_OWN, "<eval_with_key>")):
            return f"{frame.filename}:{frame.lineno}: {frame.line}"
    return ""
