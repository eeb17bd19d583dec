"""Attacks for the lab's sweeps: one that takes time without computing, and those that make trouble."""

import os
import time
from collections.abc import Iterator

from hqc_ray.attacks import FGSM, trial


def planned(view):
    """Whether this is the tiny run of the plan, which these attacks are to pass."""
    return isinstance(view.module()._model, trial.Tiny)


class Slow(FGSM):
    """FGSM after a wait, long enough for a fault to hit it. `LAB_PACE` (default 1) multiplies the wait.

    Args:
        seconds: a batch waits this long.
    """

    seconds: float = 1.0

    def search(self, *args) -> Iterator:
        time.sleep(self.seconds * float(os.environ.get("LAB_PACE", "1")))
        return super().search(*args)


class Poisoned(FGSM):
    """Always fails."""

    def search(self, *args) -> Iterator:
        if planned(args[0]):
            return super().search(*args)
        raise ZeroDivisionError("poison")


class Hungry(FGSM):
    """Takes memory until its process is killed for it."""

    def search(self, *args) -> Iterator:
        if planned(args[0]):
            return super().search(*args)
        hoard = []
        while True:
            hoard.append(bytearray(os.urandom(1 << 20) * 32))
            time.sleep(0.02)
