"""The command line as a newcomer meets it: help, names that are nearly right, JSON, sweep files that come with the package."""

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from hqc_ray import cli
from hqc_ray.commands import output, shipped
from hqc_ray.errors import InputError

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "torchvision", "ray", "pennylane", "qiskit", "pandas", "pydantic", "numpy", "yaml", "matplotlib")


def commands(parser, name=("hqc",)):
    """Every command by the words that call it."""
    yield " ".join(name), parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner, found in action.choices.items():
                yield from commands(found, (*name, inner))


ALL = dict(commands(cli.parser()))


def refused(capsys, *arguments):
    assert cli.main(list(arguments)) == cli.BAD_INPUT
    found = capsys.readouterr()
    (line,) = found.err.splitlines()
    assert not found.out
    return line.removeprefix("hqc: error: ")


@pytest.mark.parametrize("name", ALL)
def test_every_help_has_a_sentence_examples_and_where_to_read_on(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    text = ALL[name].format_help()
    assert ALL[name].description
    examples = text.partition("examples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples
    assert all(line.strip().startswith(("hqc ", 'eval "$(hqc ')) for line in examples)
    assert "read on: " in text
    for action in ALL[name]._actions:
        assert action.help is None or action.help in (argparse.SUPPRESS,) or "%" not in action.help


def test_the_examples_of_every_help_are_command_lines_that_exist():
    for parser in ALL.values():
        for line in parser.example.splitlines():
            words = line.partition("#")[0].partition("|")[0].partition(" > ")[0].replace("'", "").split()
            if words[0] == "hqc" and words[1] != "help":
                assert cli.parser().parse_args(words[1:]).command


def test_every_option_with_a_value_says_its_default():
    for name, parser in ALL.items():
        for action in parser._actions:
            if action.option_strings and action.nargs != 0 and action.default not in (None, [], ""):
                assert "default" in parser._get_formatter()._get_help_string(action), f"{name} {action.option_strings}"


def test_hqc_alone_a_command_of_commands_alone_and_hqc_help(capsys):
    for arguments, told in (([], "usage: hqc "), (["cluster"], "usage: hqc cluster"), (["help"], "usage: hqc ")):
        with contextlib.suppress(SystemExit):  # argparse's own, after a help
            assert cli.main(arguments) == cli.OK
        assert capsys.readouterr().out.startswith(told)
    with pytest.raises(SystemExit):
        cli.main(["help", "cluster", "doctor"])
    assert capsys.readouterr().out.startswith("usage: hqc cluster doctor")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("swep x.yaml", "hqc: unknown command 'swep'; did you mean 'sweep'? (valid: "),
        ("cluster docter", "hqc cluster: unknown command 'docter'; did you mean 'doctor'? (valid: check, doctor)"),
        ("devices --chek", "hqc devices: unknown option '--chek'; did you mean '--check'? (valid: hqc devices --help: hqc "),
        ("sweep x --sead 3", "hqc sweep: unknown option '--sead'; did you mean '--serial'? (valid: hqc sweep --help: hqc "),
        ("plan a b", "hqc plan: 'b' is one argument too many (valid: hqc plan --help: hqc plan [--json] file"),
        ("plan", "hqc plan: the following arguments are required: file (valid: hqc plan --help: hqc plan [--json] file"),
        ("completion fish", "hqc completion: unknown value 'fish' (valid: bash, zsh, tcsh)"),
        ("plan quikstart", "unknown sweep 'quikstart'; did you mean 'quickstart'? (valid: FILE.yaml, ablation, "),
        ("init quikstart", "unknown sweep 'quikstart'; did you mean 'quickstart'? (valid: FILE.yaml, ablation, "),
        ("sweep quickstart.yaml", "quickstart.yaml: cannot read the sweep file: No such file or directory (valid: hqc init"),
    ],
)  # fmt: skip
def test_what_is_nearly_right_is_told_with_the_usage_of_its_own_command(capsys, tmp_path, monkeypatch, typed, told):
    monkeypatch.chdir(tmp_path)
    assert refused(capsys, *typed.split()).startswith(told)
    assert not os.listdir(tmp_path)


def modules_after(code, **variables):
    """The heavy libraries that a fresh Python has imported after some code; what `plan` refuses is an exit."""
    script = (
        f"import sys, hqc_ray.cli as cli\n{code}\nprint([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    return json.loads(found.stderr.splitlines()[-1].replace("'", '"')), found.stdout + found.stderr


def test_help_imports_none_of_the_libraries():
    assert modules_after("cli.parser().print_help()")[0] == []


def test_what_can_be_refused_without_torch_is(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "blocks: [{data: {source: pcam, size: four}, model: {backbone: cnn1}, attack: {name: clean}}]"
    )
    (tmp_path / "b.yaml").write_text(
        'blocks: [{data: {source: pcam, path: "${NOWHERE_X}", size: 40}, model: {backbone: cnn1}, attack: {name: clean}}]'
    )
    code = f"for name in ('nowhere', 'a', 'b'): assert cli.main(['plan', {str(tmp_path)!r} + f'/{{name}}.yaml']) == 2"
    loaded, told = modules_after(code)
    assert not {"torch", "ray", "pennylane"} & set(loaded)
    assert "a.yaml, line 1: blocks[0].data.size" in told
    assert "b.yaml, line 1: blocks[0].data.path: the environment variable NOWHERE_X is not set" in told


def test_python_m_hqc_ray_is_hqc():
    found = subprocess.run(
        [sys.executable, "-m", "hqc_ray", "--version"], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert found.stdout.startswith("hqc_ray ")


def test_init_writes_a_commented_sweep_file_and_never_over_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init"]) == cli.OK
    assert "hqc sweep quickstart.yaml" in capsys.readouterr().out
    assert (tmp_path / "quickstart.yaml").read_bytes() == (ROOT / "sweeps" / "quickstart.yaml").read_bytes()
    (tmp_path / "quickstart.yaml").write_text("mine")
    assert refused(capsys, "init", "quickstart").startswith("quickstart.yaml: is there already")
    assert (tmp_path / "quickstart.yaml").read_text() == "mine"
    (tmp_path / "noise.yaml").symlink_to(tmp_path / "elsewhere")
    assert "is there already" in refused(capsys, "init", "noise")
    assert not (tmp_path / "elsewhere").exists()


def test_every_sweep_file_of_the_repository_comes_with_the_package_and_says_what_it_is():
    there = sorted((ROOT / "sweeps").glob("*.yaml"))
    assert {path.stem for path in there} == set(shipped.names())
    assert shipped.names()[0] == "quickstart"
    for path in there:
        text = path.read_text()
        assert text.startswith("# ")
        assert yaml.safe_load(text)["name"] == path.stem
        assert shipped.sweep_file(path.stem).read_text() == text


def test_a_file_that_is_there_goes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped.sweep_file("quickstart").parent == shipped.FOLDER
    (tmp_path / "quickstart").write_text("name: mine")
    assert shipped.sweep_file("quickstart") == Path("quickstart")
    assert shipped.sweep_file("some/folder") == Path("some/folder")
    with pytest.raises(InputError, match="unknown sweep 'nothing'"):
        shipped.sweep_file("nothing")


def test_json_has_no_nan_and_takes_what_commands_find(capsys):
    found = {"a": float("nan"), "b": (1, 2.5), "c": Path("x"), 3: None}
    output.print_json({**found, "d": True})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1, 2.5], "c": "x", "d": True, "3": None}


def test_data_lists_its_sources_as_a_table_and_as_json(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    assert cli.main(["data"]) == cli.OK
    assert "synthetic  images=20000, size_pixels=96, seed=0" in capsys.readouterr().out
    assert cli.main(["data", "--json"]) == cli.OK
    assert {one["source"] for one in json.loads(capsys.readouterr().out)} >= {"pcam", "synthetic"}


def test_data_as_json(tmp_path, capsys):
    assert cli.main(["data", "synthetic", "images=40", f"--sheet={tmp_path / 's.png'}", "--json"]) == cli.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["per_class"], found["sheet"]) == (40, [20, 20], str(tmp_path / "s.png"))


def test_a_plan_names_the_weights_that_a_sweep_would_download(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("HQC_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "w.yaml"
    file.write_text(yaml.safe_dump({"name": "w", "defaults": {
        "data": {"source": "synthetic", "size": 100}, "model": {"backbone": ["alexnet", "cnn1"], "head": "linear"},
        "attack": {"name": "fgsm", "epsilon": "1/255"},
    }}))  # fmt: skip
    (url,) = asked(capsys, file)["downloads"].values()
    assert url.endswith(".pth")
    assert cli.main(["plan", str(file)]) == 0
    assert f"the weights of alexnet are not here: the sweep downloads {url}" in capsys.readouterr().out
    kept = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert asked(capsys, file)["downloads"] == {}


def asked(capsys, file):
    assert cli.main(["plan", str(file), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_shells_complete_commands_options_and_files(capsys):
    for shell in ("bash", "zsh", "tcsh"):
        assert cli.main(["completion", shell]) == cli.OK
        text = capsys.readouterr().out
        assert all(word in text for word in ("circuits", "embedding", "doctor"))
    script = "COMP_WORDS=(hqc circuits --em); COMP_CWORD=2; _shtab_hqc hqc --em circuits; echo ${COMPREPLY[@]}"
    cli.main(["completion", "bash"])
    text = capsys.readouterr().out
    found = subprocess.run(["bash", "-c", f"{text}\n{script}"], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["--embedding", "--embedded"]


def test_tables_in_a_pipe_are_plain(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    output.print_table(("a", "b"), [["1", "2"]], title="t")
    assert sys.stdout.getvalue() == "t\n\na  b\n─  ─\n1  2\n"


def test_a_wheel_and_a_source_distribution_hold_the_sweep_files(tmp_path):
    pytest.importorskip("build")
    for name in ("pyproject.toml", "README.md", "hqc_ray/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "sweeps", tmp_path / "sweeps")
    os.symlink(os.readlink(ROOT / "hqc_ray" / "sweeps"), tmp_path / "hqc_ray" / "sweeps")
    command = [sys.executable, "-m", "build", "--no-isolation", "--skip-dependency-check", "."]  # the wheel from the source
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {f"hqc_ray/sweeps/{name}.yaml" for name in shipped.names()} <= set(archive.namelist())
        assert archive.read("hqc_ray/sweeps/noise.yaml") == (ROOT / "sweeps" / "noise.yaml").read_bytes()
