"""Work in a process of its own, so that what it imports and allocates ends with it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from hqc_ray.errors import HqcError
from hqc_ray.redaction import clean

T = TypeVar("T")


def call(function: Callable[[], T]) -> T:
    """Call `function` in a forked child, and return its result or raise its HqcError.

    A sweep's driver checks its file with torch and torchvision, 800 MB, and never needs them again. If they are
    imported already (a user's own loop, serial runs), a child would gain nothing, and the function is called here.

    Raises:
        HqcError: what the function raised; or that the child died.
    """
    if "torch" in sys.modules:
        return function()
    fork = multiprocessing.get_context("fork")  # before Ray starts its threads; a closure need not be pickled
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_child, args=(function, sender))
    child.start()
    sender.close()
    try:
        ok, found = receiver.recv()
    except EOFError:
        child.join()
        raise HqcError(f"the process that checks the sweep ended with exit code {child.exitcode}") from None
    finally:
        receiver.close()
    child.join()
    if not ok:
        raise found
    return found


def _child(function: Callable[[], Any], sender: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        sender.send((True, function()))
    except HqcError as problem:
        sender.send((False, problem))
    except KeyboardInterrupt:
        sys.exit(1)
    except BaseException:
        print(clean(traceback.format_exc()), end="", file=sys.stderr)
        raise


def _end_with_parent() -> None:
    """A driver that is killed must not leave a child behind, which would still hold the lock of its results folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
