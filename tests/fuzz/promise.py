"""The promise about bad input, as one function: exit code 2, one line, no traceback, nothing written, little time and memory."""

from __future__ import annotations

import contextlib
import hashlib
import io
import resource
import time
from importlib import import_module
from pathlib import Path

from hqc_ray import cli

for _library in ("pennylane", "qiskit_aer", "hqc_ray.sweep.graph.resolve", "hqc_ray.report"):
    import_module(_library)  # what is timed is the refusal

SECONDS = 3  # of CPU time, the libraries imported
GIB = 2**30
PROGRESS = ("loading ", "reading ")  # what may stand before the error: progress on long work


def refused(folder, *arguments):
    """The one line that `hqc ARGUMENTS` prints before it exits with 2; nothing below `folder` has changed.

    Where a sweep file has several mistakes, each is a line of its own, and what is given back are these lines.

    The command runs in this process, which is to have imported what it needs before: `hqc` alone takes a second to start.
    """
    files, memory, clock = _files(folder), _peak(), time.process_time()
    error, output = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(output):
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as end:  # argparse
            code = end.code
    seconds, grown = time.process_time() - clock, _peak() - memory
    lines = [line for line in error.getvalue().splitlines() if not line.startswith(PROGRESS)]
    said = f"hqc {' '.join(map(str, arguments))}: {error.getvalue()}"
    assert code == cli.BAD_INPUT, said
    assert "Traceback" not in said + output.getvalue()
    assert 1 <= len(lines) == len(set(lines)), said
    assert all(line.startswith("hqc: error: ") and len(line) < 1000 for line in lines), said
    assert _files(folder) == files, "something was written"
    assert seconds < SECONDS, said
    assert grown < GIB, said
    return "\n".join(lines)


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _files(folder):
    """Each file below a folder with its content's digest; Python's own caches of a user's modules do not count."""
    found = [p for p in Path(folder).rglob("*") if "__pycache__" not in p.parts]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() and not p.is_symlink() else "" for p in found}
