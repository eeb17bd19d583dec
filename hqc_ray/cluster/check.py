"""`hqc cluster check`: finds what a launch would only fail on later, before anything is started and without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from hqc_ray.cluster import kuberay, machine, nodes, schema, shares, start, versions
from hqc_ray.cluster.finding import Finding, mapping
from hqc_ray.errors import InputError

CHECKS: tuple[Callable[[dict[str, Any]], Iterator[Finding]], ...] = (
    schema.access, schema.counts, schema.gpus, nodes.regions, nodes.node_configs, start.start, versions.versions,
    machine.mounts, machine.key, machine.tools, nodes.cloud,
)  # fmt: skip


def check(file: str | Path, results: str = "results", workers_per_gpu: int = 0) -> list[Finding]:
    """Everything that is wrong with a cluster file, or with this machine as the one that starts it; errors first.

    Args:
        file: for `ray up`, or of KubeRay (RayCluster, RayJob).
        results: the folder that a sweep's results would go to.
        workers_per_gpu: as the sweep will be told; 0: it uses no GPU.

    Raises:
        InputError: the file cannot be read, or is no YAML.
    """
    documents = read(file)
    if any("kind" in document for document in documents):
        found = [f for document in documents for f in (*kuberay.check(document), *shares.pods(document, workers_per_gpu))]
    else:
        found = [*_launch(documents[0]), *shares.launch(documents[0], workers_per_gpu), *machine.results(results)]
    return sorted((finding.at(str(file)) for finding in dict.fromkeys(found)), key=lambda finding: finding.warning)


def read(file: str | Path) -> list[dict[str, Any]]:
    """The documents of a YAML file, each a mapping.

    Raises:
        InputError: no such file, no YAML, or something else than mappings.
    """
    try:
        documents = [d for d in yaml.safe_load_all(Path(file).read_text(encoding="utf-8")) if d is not None]
    except OSError as problem:
        raise InputError(f"cannot be read: {problem.strerror}", where=str(file), valid="a cluster file") from problem
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise InputError(f"no YAML: {problem}", where=str(file)) from problem
    if not documents or not all(isinstance(document, dict) for document in documents):
        raise InputError("holds no cluster", where=str(file), valid="a mapping, such as cluster.yaml of this project")
    return documents


def _launch(config: dict[str, Any]) -> Iterator[Finding]:
    found = list(schema.shape(config))
    if isinstance(config.get("provider"), dict):
        found += chain.from_iterable(one(config) for one in CHECKS)
        if all(finding.warning for finding in found):  # else Ray would only repeat what is said better above
            found += schema.prepared(config)
    yield from found


def summary(file: str | Path) -> Iterator[str]:
    """What the file asks for, in a few lines: the nodes, the versions, what is sent to each node."""
    for config in read(file):
        if "kind" in config:
            yield f"{config['kind']} {mapping(config, 'metadata').get('name', '')}"
            continue
        provider = mapping(config, "provider")
        hosts = provider.get("worker_ips")
        workers = len(hosts) if isinstance(hosts, list) else config.get("max_workers", "?")
        yield f"{config.get('cluster_name')}: {provider.get('type')}, a head and up to {workers} workers"
        for kind, found in versions.kinds(config).items():
            yield f"{kind}: Ray {found.ray or 'unknown'}, Python {found.python or 'unknown'}"
        sizes = [machine.total(p) for m in mapping(config, "file_mounts").values() if (p := Path(str(m)).expanduser()).exists()]
        yield f"file mounts: {len(sizes)}, {sum(sizes) / 2**20:.1f} MB to every node"
