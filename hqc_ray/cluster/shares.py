"""`--workers-per-gpu` against a cluster file: whether a node has a GPU at all, and a CPU for every worker that shares one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hqc_ray.cluster.finding import Finding, mapping, provider

_GPU_FAMILIES = re.compile(r"(g|gr|p)\d")  # of EC2, whose instance types say what they have by their name
_XLARGE = re.compile(r"[^.]+\.(\d*)xlarge")  # has 4 vCPUs in every family with GPUs, 2xlarge twice as many, and so on


@dataclass(frozen=True)
class Kind:
    """One kind of node, as far as the file says what it has.

    Args:
        where: its place in the file.
        cpus: what Ray gives out; None: unknown.
        gpus: the same; None: at least one.
        starts: whether the file lets it start at all.
    """

    where: str
    cpus: int | None
    gpus: int | None
    starts: bool


def launch(config: dict[str, Any], workers_per_gpu: int) -> Iterator[Finding]:
    """The node types of a `ray up` file; nothing where no worker is to have a GPU."""
    if not workers_per_gpu:
        return
    if provider(config) not in ("aws", "gcp"):
        what = "GPUs are counted when Ray starts on a host, so those for --workers-per-gpu are not checked"
        yield Finding("provider.type", what, "`hqc cluster doctor`, which lists them once it runs", warning=True)
        return
    types = {name: node for name, node in mapping(config, "available_node_types").items() if isinstance(node, dict)}
    kinds = [_node_type(str(name), node, config) for name, node in types.items()]
    yield from _shares("available_node_types", kinds, workers_per_gpu)


def pods(document: dict[str, Any], workers_per_gpu: int) -> Iterator[Finding]:
    """The same for the groups of a KubeRay document; it has none if the cluster is defined elsewhere."""
    spec = mapping(document, "spec")
    place, spec = ("spec.rayClusterSpec", mapping(spec, "rayClusterSpec")) if "rayClusterSpec" in spec else ("spec", spec)
    if not workers_per_gpu or "headGroupSpec" not in spec:
        return
    workers = spec.get("workerGroupSpecs")
    groups = {"headGroupSpec": spec["headGroupSpec"]}
    groups |= {f"workerGroupSpecs.{i}": group for i, group in enumerate(workers if isinstance(workers, list) else [])}
    kinds = [_group(f"{place}.{name}", group) for name, group in groups.items() if isinstance(group, dict)]
    yield from _shares(place, kinds, workers_per_gpu)


def _shares(place: str, kinds: list[Kind], workers: int) -> Iterator[Finding]:
    """A worker takes an exact n-th of a GPU and one CPU: with too few CPUs, a part of each GPU would stay idle."""
    having = [kind for kind in kinds if kind.gpus != 0]
    if not any(kind.starts for kind in having):
        valid = f"{', '.join(kind.where for kind in having) or 'one with GPUs'}, with more than 0 workers"
        yield Finding(place, "--workers-per-gpu is given, and no kind of node that may start has a GPU", valid)
    for kind in having:
        least = kind.gpus or 1
        if kind.cpus is not None and kind.cpus < least * workers:
            what = f"{kind.cpus} CPUs, and {workers} workers to each of {kind.gpus or 'its'} GPUs take {least * workers}"
            fewer = kind.cpus // least
            yield Finding(kind.where, what, f"--workers-per-gpu {fewer} or less" if fewer else "more CPUs")
        elif kind.cpus is None or kind.gpus is None:
            what = f"how many CPUs and GPUs it has is not in the file; {workers} workers to a GPU may be more than its CPUs"
            yield Finding(kind.where, what, "numbers of both, to have it checked", warning=True)


def _node_type(name: str, node: dict[str, Any], config: dict[str, Any]) -> Kind:
    said = mapping(node, "resources")
    size = mapping(node, "node_config").get("InstanceType") if provider(config) == "aws" else None
    family, xlarge = _GPU_FAMILIES.match(str(size)), _XLARGE.fullmatch(str(size))
    cpus = said.get("CPU", 4 * int(xlarge[1] or 1) if xlarge else None)
    gpus = said.get("GPU", None if family else 0)
    starts = name == str(config.get("head_node_type")) or 0 not in (node.get("max_workers"), config.get("max_workers"))
    return Kind(f"available_node_types.{name}", _count(cpus), _count(gpus), starts)


def _group(place: str, group: dict[str, Any]) -> Kind:
    """As KubeRay tells `ray start`: the options of the group, or its resources, or the limits of the first container."""
    options, said = mapping(group, "rayStartParams"), mapping(group, "resources")
    containers = mapping(mapping(group, "template"), "spec").get("containers")
    first = containers[0] if isinstance(containers, list) and containers and isinstance(containers[0], dict) else {}
    limits = mapping(mapping(first, "resources"), "limits")
    limit = next((amount for name, amount in limits.items() if str(name).endswith("/gpu")), 0)
    cpus = options.get("num-cpus", said.get("CPU", limits.get("cpu")))
    gpus = options.get("num-gpus", said.get("GPU", limit))
    return Kind(place, _count(cpus), _count(gpus), starts=group.get("maxReplicas") != 0)


def _count(amount: Any) -> int | None:
    return int(amount) if str(amount).isdecimal() else None
