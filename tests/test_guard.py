"""Whatever a user's own code does: one line with its file and line."""

import importlib

import pytest

from hqc_ray.entries import lookup
from hqc_ray.errors import CircuitError, DeviceError, InputError
from hqc_ray.guard import LENGTH, guarded, said, wrong

MODULE = """
import signal, sys
from hqc_ray.errors import AttackError

def lines(): raise ValueError("one\\n  two\\x1b[31m\\u2028three")

def long(): raise RuntimeError("x" * 5000)

def deep(): deep()

def ends(): sys.exit(3)

class Mute(Exception):
    def __str__(self): sys.exit(1)

def mute(): raise Mute

def ours(): raise AttackError("two of them", where="epsilon", valid="one")

def stops(): signal.default_int_handler(signal.SIGINT, None)

def library(): sorted([1, "a"])

def says_stop(): raise KeyboardInterrupt
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "guarded_code.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delitem(importlib.sys.modules, "guarded_code", raising=False)
    importlib.invalidate_caches()
    return importlib.import_module("guarded_code")


def run(function):
    with guarded("circuit", f"guarded_code:{function.__name__}", CircuitError):
        function()


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("lines", "ValueError: one two [31m three", 5),
        ("ends", "SystemExit: 3", 11),
        ("mute", "Mute", 16),
        ("library", "TypeError: '<' not supported between instances of 'str' and 'int'", 22),
    ],
)
def test_an_exception_is_one_line_that_names_the_place(mine, name, text, line):
    with pytest.raises(CircuitError) as caught:
        run(getattr(mine, name))
    assert str(caught.value) == f"cannot run circuit 'guarded_code:{name}': {text} (~/guarded_code.py, line {line})"


@pytest.mark.parametrize("name", ["long", "deep"])
def test_a_long_text_and_an_endless_recursion_are_short(mine, name):
    with pytest.raises(CircuitError, match=r"\(~/guarded_code.py, line \d+\)") as caught:
        run(getattr(mine, name))
    assert len(str(caught.value)) < LENGTH + 120


def test_an_error_of_ours_keeps_its_class_and_gets_the_place(mine):
    with pytest.raises(InputError) as caught:
        run(mine.ours)
    assert type(caught.value).__name__ == "AttackError"
    assert str(caught.value) == "epsilon: circuit 'guarded_code:ours': two of them (~/guarded_code.py, line 18) (valid: one)"


def test_an_error_of_ours_that_no_users_code_raised_is_left_alone():
    with pytest.raises(DeviceError) as caught, guarded("device", "aer", CircuitError):
        lookup("device", {}, "nothing", DeviceError)
    assert str(caught.value) == "unknown device 'nothing' (valid: package.module:name)"


def test_an_interrupt_passes(mine):
    with pytest.raises(KeyboardInterrupt):
        run(mine.stops)
    with pytest.raises(CircuitError, match=r"KeyboardInterrupt \(~/guarded_code.py, line \d+\)"):
        run(mine.says_stop)


def test_a_module_that_cannot_be_read_is_named(tmp_path, mine):
    (tmp_path / "unreadable_code.py").write_text("\ndef (\n")
    with pytest.raises(CircuitError, match=r"SyntaxError: .* \(~/unreadable_code.py, line 2\) \(valid: package") as caught:
        lookup("circuit", {}, "unreadable_code:f", CircuitError)
    assert str(caught.value).count("unreadable_code.py") == 1


def test_what_is_wrong_is_said_with_the_place_of_its_definition(mine):
    assert (
        str(wrong("device", "m:D", "run gives None", DeviceError, by=mine.ours))
        == "device 'm:D': run gives None (~/guarded_code.py, line 18)"
    )
    assert str(wrong("device", "m:D", "run gives None", DeviceError, by=len)) == "device 'm:D': run gives None"


def test_said_takes_no_more_than_one_line():
    assert said(ValueError("")) == "ValueError"
    assert said(KeyError("a\nb")) == r"KeyError: 'a\nb'"
