"""What is installed with hqc_ray and what is not, and that a stranger may use it: extras, constraints, licence, citation."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import hqc_ray

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "pyproject.toml").read_text()
PROJECT = tomllib.loads(TEXT)["project"]
EXTRAS = {extra: [Requirement(one) for one in lines] for extra, lines in PROJECT["optional-dependencies"].items()}
TOOLS = {"dev", "test", "docs"}  # extras of those who change hqc_ray
OPTIONAL = {"foolbox", "art", "torchattacks", "botocore", "tensorboard", "mlflow", "wandb"}  # modules that only extras bring

NAMED = {  # modules that do not carry their distribution's name, whether it is installed or not
    "PIL": "pillow",
    "yaml": "pyyaml",
    "art": "adversarial-robustness-toolbox",
    "mlflow": "mlflow-skinny",
    "botocore": "boto3",
}

UNPINNED = {"hqc_ray", "adversarial-robustness-toolbox", "iqm-client"}  # the last wants another qiskit and pydantic


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


CORE = {normal(wanted.name): wanted for wanted in map(Requirement, PROJECT["dependencies"])}
PINNED = {}
for line in (ROOT / "constraints.txt").read_text().splitlines():
    name, _, version = line.partition("==")
    PINNED[normal(name)] = version


def imported():
    """Every module that hqc_ray imports from another distribution -> the files that do."""
    found = {}
    for path in (ROOT / "hqc_ray").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(path.name)
    return {name: files for name, files in found.items() if name not in {"hqc_ray", *sys.stdlib_module_names}}


def distributions(module):
    return {NAMED[module]} if module in NAMED else {normal(one) for one in packages_distributions().get(module, [module])}


def test_every_import_is_declared():
    extras = {normal(one.name) for extra, lines in EXTRAS.items() if extra not in TOOLS for one in lines}
    undeclared = {module: files for module, files in imported().items() if not distributions(module) & {*CORE, *extras}}
    assert not undeclared
    assert {module for module in imported() if not distributions(module) & {*CORE}} <= OPTIONAL


def test_what_no_module_imports_by_name_has_its_reason_in_its_line():
    known = set().union(*map(distributions, imported()))
    silent = [name for name in CORE if name not in known]
    assert {"pennylane-lightning", "pennylane-qiskit"} <= set(silent)
    for name in silent:
        (line,) = (line for line in TEXT.splitlines() if line.strip().startswith(f'"{CORE[name].name}'))
        assert "  # " in line, f"{name}: neither imported nor explained"


def test_every_module_is_imported_where_no_extra_is_installed():
    code = f"""
import importlib, pkgutil, sys
for name in {sorted(OPTIONAL)!r}:
    sys.modules[name] = None  # what `import name` then raises is an ImportError
import hqc_ray
for found in pkgutil.walk_packages(hqc_ray.__path__, "hqc_ray."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
print("all")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.endswith("all\n"), done.stderr


def test_only_ray_has_an_upper_bound_and_it_says_why():
    capped = [name for name, wanted in CORE.items() if any(one.operator in ("<", "<=", "==", "~=") for one in wanted.specifier)]
    assert capped == ["ray"]
    lines = TEXT.splitlines()
    reason = lines[next(n for n, line in enumerate(lines) if line.strip().startswith('"ray[')) - 1]
    for path in re.findall(r"[\w/]+\.py", reason):
        assert re.search(r"ray\.[\w.]*_(private|internal)", (ROOT / "hqc_ray" / path).read_text()), (
            f"{path} has no private name of Ray"
        )


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_the_constraints_hold_what_is_asked_for(extra):
    for wanted in EXTRAS.get(extra, CORE.values()):
        if wanted.name not in UNPINNED:
            assert normal(wanted.name) in PINNED, f"{wanted.name} is not in constraints.txt"
            assert wanted.specifier.contains(PINNED[normal(wanted.name)])


def test_the_constraints_are_names_and_versions_alone():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[\w.-]+==[\w.]+", line), line


def test_the_classifiers_name_the_pythons_that_may_install_it():
    told = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert told == {"3.11", "3.12", "3.13", "3.14"}
    assert PROJECT["requires-python"] == ">=3.11"
    assert not [line for line in PROJECT["classifiers"] if line.startswith("License ::")]  # the expression says it


def test_the_licence_is_the_one_that_metadata_and_citation_name():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["license"] == "Apache-2.0" == citation()["license"]


def citation():
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_citation_is_of_this_version():
    found = citation()
    assert {"cff-version", "message", "title", "authors"} <= set(found)  # what the format requires
    assert found["version"] == hqc_ray.__version__
    assert found["references"][0]["url"] == PROJECT["urls"]["Reference study"]
