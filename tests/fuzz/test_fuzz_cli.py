"""Whatever is typed behind `hqc`: a help, or one line and exit code 2; nothing is written."""

import contextlib
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hqc_ray import cli
from hqc_ray.commands import shipped
from tests.fuzz.promise import refused

WORDS = (
    "init", "plan", "list", "data", "cluster", "completion", "attacks", "noise", "--json", "--serial", "--", "-x", "--no", "=",
    "", "--sheet", "help", "é", "\x00", "a" * 400, "..", "--workers=2", "quickstart.yam",
)  # fmt: skip
BAD = {
    "list circuits": "hqc list: unknown value 'circuits' (valid: attacks, backbones, heads)",
    "list atacks": "did you mean 'attacks'?",
    "init a/b": "unknown sweep 'a/b'",
    "init ../quickstart": "unknown sweep '../quickstart'; did you mean 'quickstart'?",
    "init quickstart.yaml": "unknown sweep 'quickstart.yaml'; did you mean 'quickstart'?",
    "init --jsn": "hqc init: unknown option '--jsn'",
    "completion": "hqc completion: the following arguments are required: shell",
    "data synthetic --sheeet=x": "hqc data: unknown option '--sheeet'; did you mean '--sheet'?",
    "report": "hqc report: the following arguments are required: folder",
    "report nowhere --json": "nowhere: no such folder",
    "plan noise --json --json=1": "hqc plan: argument --json: ignored explicit argument '1'",
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_typed_wrongly_is_told_in_one_line(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert BAD[words] in refused(tmp_path, *words.split())


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from(WORDS), max_size=4))
def test_any_words_are_parsed_or_refused_in_one_line(words):
    error, output, said, code = io.StringIO(), io.StringIO(), "", 0
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(output):
        try:
            cli.parser().parse_args(words)
        except cli.InputError as problem:
            said = str(problem)
        except SystemExit as end:
            code = end.code
    assert len(said) < 1000
    assert "\n" not in said
    assert not code
    assert output.getvalue().startswith(("usage: ", "hqc_ray ")) or not output.getvalue()
    assert not error.getvalue()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(given_name=st.text(max_size=300))
def test_any_name_of_a_sweep_is_a_path_or_refused(given_name):
    with contextlib.suppress(cli.InputError):
        shipped.sweep_file(given_name)
