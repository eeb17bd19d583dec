"""Which Ray and which Python a cluster file installs, and whether they are those of this machine, to the patch."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqc_ray.cluster.finding import Finding, mapping, strings

_PYTHON = re.compile(r"(?:--python[= ]|uv python install |pyenv install (?:-\S+ )*|\bpython=+)(\d+\.\d+(?:\.\d+)?)\b")
_RAY = re.compile(r"\bray(?:\[[^\]]*\])?==(\d+\.\d+\.\d+)")
IMAGE = re.compile(r"(?<![\w.-])ray(?:-ml)?:(\d+\.\d+\.\d+)(?:-py(\d)(\d+))?")
_CONSTRAINTS = re.compile(r"(?:-c|--constraints?|-r|--requirements?|pip sync)[= ](\S+)")


@dataclass(frozen=True)
class Installed:
    """What one kind of node gets; None where the file does not say."""

    ray: str | None
    python: str | None


def installed(commands: list[str], config: dict[str, Any]) -> Installed:
    """Read the versions off the commands, the constraint files that they name, and the container's image."""
    text = "\n".join(commands)
    mounts = {str(remote): str(local) for remote, local in mapping(config, "file_mounts").items()}
    for name in _CONSTRAINTS.findall(text):
        for remote, local in mounts.items():
            if Path(remote).name == Path(name).name and (path := Path(local).expanduser()).is_file():
                text += "\n" + path.read_text(encoding="utf-8", errors="replace")
    ray, python = _RAY.search(text), _PYTHON.search(text)
    docker = mapping(config, "docker")
    image = IMAGE.search(" ".join(str(docker.get(key, "")) for key in ("image", "head_image", "worker_image")))
    return Installed(
        ray=ray[1] if ray else image[1] if image else None,
        python=python[1] if python else f"{image[2]}.{image[3]}" if image and image[2] else None,
    )


def kinds(config: dict[str, Any]) -> dict[str, Installed]:
    """What the head gets, and the workers of each type."""
    common = strings(config, "setup_commands")
    found = {"the head": installed(common + strings(config, "head_setup_commands"), config)}
    workers = common + strings(config, "worker_setup_commands")
    for name, node in mapping(config, "available_node_types").items():
        if name != config.get("head_node_type") and isinstance(node, dict):
            own = strings(node, "worker_setup_commands")  # in place of both lists above
            found[f"node type {name}"] = installed(own or workers, config)
    if len(found) == 1:
        found["the workers"] = installed(workers, config)
    return found


def versions(config: dict[str, Any]) -> Iterator[Finding]:
    """Ray refuses to connect two patch versions of Python, or two versions of itself."""
    import ray

    found = kinds(config)
    for what, here in (("ray", ray.__version__), ("python", platform.python_version())):
        nodes = {kind: getattr(versions, what) for kind, versions in found.items()}
        known = {version for version in nodes.values() if version}
        if not known:
            valid = f"{what}=={here}" if what == "ray" else f"a setup command that names Python {here}"
            yield Finding("setup_commands", f"they do not say which {what.title()} the nodes get", valid, warning=True)
            continue
        if len(set(nodes.values())) > 1:
            said = ", ".join(f"{kind} {version or 'an unknown one'}" for kind, version in nodes.items())
            yield Finding("setup_commands", f"not one {what.title()} for all: {said}", "the same, to the patch, on every node")
        for version in sorted(known):
            if version.count(".") < 2:
                yield Finding("setup_commands", f"Python {version} without its patch", f"such as {here}", warning=True)
            elif version != here:
                yield _differs(what, version, here)


def _differs(what: str, version: str, here: str) -> Finding:
    if what == "ray":  # the head would read a file that another Ray has filled in
        return Finding("setup_commands", f"the nodes get Ray {version}, and this machine has {here}", f"Ray {here} on both")
    what = f"the nodes get Python {version}, and this machine has {here}: a driver here could not join"
    return Finding("setup_commands", what, f"a driver on the head (`hqc submit`), or Python {version} here", warning=True)
