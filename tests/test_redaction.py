"""Private values, credentials in URLs and home folders do not survive in a text; everything else does."""

import sys
import time

import pytest

from hqc_ray import cli, redaction
from hqc_ray.redaction import clean, has_credentials, holds_private_value, texts

PLANTED = "planted-value-1"  # of private variables


@pytest.fixture(autouse=True)
def home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setattr(redaction, "_named", set())


@pytest.mark.parametrize(
    "variable",
    ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "QISKIT_IBM_TOKEN", "DB_PASSWORD", "api_key", "MY_KEY", "KEY", "KEY_2",
     "GOOGLE_CREDENTIALS", "APP_PASSPHRASE", "client_secret"],
)  # fmt: skip
def test_the_value_of_a_private_variable_becomes_its_name(monkeypatch, variable):
    monkeypatch.setenv(variable, PLANTED)
    assert clean(f"KeyError: '{PLANTED}' in x{PLANTED}y") == f"KeyError: '${{{variable}}}' in x${{{variable}}}y"
    assert holds_private_value(f"x{PLANTED}")


@pytest.mark.parametrize("variable", ["HQC_DATA", "PATH", "MONKEY", "KEYBOARD", "LANG"])
def test_other_variables_are_left(monkeypatch, variable):
    monkeypatch.setenv(variable, PLANTED)
    assert clean(f"no {PLANTED}", kept=True) == f"no {PLANTED}"
    assert not holds_private_value(PLANTED)


def test_a_value_that_is_a_part_of_another_or_has_several_lines(monkeypatch):
    monkeypatch.setenv("A_TOKEN", "planted")
    monkeypatch.setenv("B_TOKEN", "planted-longer")
    monkeypatch.setenv("C_KEY", "line one\nline two")
    assert clean("planted-longer planted") == "${B_TOKEN} ${A_TOKEN}"
    assert clean(f"{'line one' + chr(10) + 'line two'!r}") == "'${C_KEY}'"


def test_an_option_refers_to_the_variable_whose_value_it_is(monkeypatch):
    monkeypatch.setenv("A_TOKEN", PLANTED)
    assert redaction.refer(f"user:{PLANTED}") == "user:${A_TOKEN}"
    assert (redaction.refer(5), redaction.refer("/home/ada")) == (5, "/home/ada")


def test_a_short_value_is_not_looked_for(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "false")
    assert clean("status: false") == "status: false"


def test_a_variable_that_a_sweep_file_names_is_private_too_and_a_folder_stays_in_a_message(monkeypatch):
    monkeypatch.setenv("INNOCENT", PLANTED)
    monkeypatch.setenv("HQC_DATA", "/data/pcam")
    redaction.name(["INNOCENT", "HQC_DATA"])
    assert clean(f"{PLANTED}: no file /data/pcam/x.h5") == "${INNOCENT}: no file /data/pcam/x.h5"
    assert clean(f"{PLANTED}: no file /data/pcam/x.h5", kept=True) == "${INNOCENT}: no file ${HQC_DATA}/x.h5"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ('File "/home/ada/my/x.py", line 1', 'File "~/my/x.py", line 1'),
        ("in /home/ada.", "in ~."),
        ("file:///home/ada/x", "file://~/x"),
        (
            "/home/adams/x /home/ada-b/x /home/ada.bak/x /mnt/home/ada/x",
            "/home/adams/x /home/ada-b/x /home/ada.bak/x /mnt/home/ada/x",
        ),
        ("s3://AKIA:hunter2/x+y@bucket/p and https://u@host", "s3://***@bucket/p and https://***@host"),
        ("http://127.0.0.1:8265/jobs a@b.c", "http://127.0.0.1:8265/jobs a@b.c"),
    ],
)
def test_homes_and_users_of_urls(text, cleaned):
    assert clean(text) == cleaned


def test_a_home_that_is_the_root_or_unset_spoils_no_path(monkeypatch):
    monkeypatch.setenv("HOME", "/")
    assert clean("/usr/x") == "/usr/x"
    monkeypatch.delenv("HOME")
    assert clean("/usr/x") == "/usr/x"


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("s3://KEY:SECRET@bucket/x", True),
        ("s3://KEY:SEC/RET@bucket/x", True),
        ("see https://user@host/x", True),
        ("https://b.s3.amazonaws.com/x?X-Amz-Credential=a&X-Amz-Signature=b", True),
        ("https://acc.blob.core.windows.net/c?sv=1&sig=abc", True),
        ("https://host/x#access_token=abc", True),
        ("postgres://h/db?password=x", True),
        ("s3://bucket/prefix", False),
        ("https://host:8265/a@b?page=2&keyword=x", False),
        ("package.module:name", False),
        ("me@example.org", False),
    ],
)
def test_credentials_of_a_url(text, has):
    assert has_credentials(text) is has


def test_every_text_of_a_document_has_its_place_and_what_explodes_is_looked_at_once():
    assert sorted(texts({"a": [{"b": "x"}, "y"], 5: "z"})) == [
        ("", "a"),
        ("5", "z"),
        ("a[0]", "b"),
        ("a[0].b", "x"),
        ("a[1]", "y"),
    ]
    lol = ["ha"]
    for _ in range(60):
        lol = [lol] * 9
    start = time.monotonic()
    assert len(list(texts({"a": lol}))) == 2
    assert time.monotonic() - start < 1


def test_a_traceback_that_nobody_expected_is_cleaned(monkeypatch, capsys):
    monkeypatch.setenv("MY_TOKEN", PLANTED)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert cli.main(["plan", f"/home/ada/{PLANTED}.yaml"]) == cli.BAD_INPUT
    assert "~/${MY_TOKEN}.yaml: cannot read" in capsys.readouterr().err
    try:
        raise ZeroDivisionError(f"/home/ada/{PLANTED}")
    except ZeroDivisionError as problem:
        sys.excepthook(type(problem), problem, problem.__traceback__)
    assert "ZeroDivisionError: ~/${MY_TOKEN}" in capsys.readouterr().err
