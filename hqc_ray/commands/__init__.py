"""Commands of `hqc` that would make `cli` too long, and the console that all of them print to."""

from __future__ import annotations

import sys

from rich.console import Console


def console(width: int = 140) -> Console:
    """Standard output; `width` characters wide, enough for a table, when it is a file or a pipe."""
    return Console() if sys.stdout.isatty() else Console(width=width)
