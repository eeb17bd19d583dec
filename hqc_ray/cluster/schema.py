"""The shape of a `ray up` file: what Ray's schema requires, and what the schema omits but Ray later fails on or ignores."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray.autoscaler
from ray.autoscaler._private import util
from ray.autoscaler._private.providers import _NODE_PROVIDERS

from hqc_ray.cluster.fields import violations
from hqc_ray.cluster.finding import WHOLE, Finding, mapping, provider, unknown_key

Config = dict[str, Any]

EVERYWHERE = {
    "type", "use_internal_ips", "use_external_head_ip", "disable_node_updaters", "disable_launch_config_check",
    "foreground_node_launch", "worker_liveness_check", "worker_rpc_drain",
}  # fmt: skip
PROVIDER_KEYS = {  # Ray's schema takes any key here, so a misspelt one does nothing
    "aws": {"region", "availability_zone", "cache_stopped_nodes", "key_pair", "security_group", "cloudwatch", "aws_credentials"},
    "gcp": {"region", "availability_zone", "project_id", "cache_stopped_nodes", "gcp_credentials"},
    "local": {"head_ip", "worker_ips", "external_head_ip", "coordinator_address"},
}
REQUIRED = {"aws": ("region",), "gcp": ("region", "availability_zone", "project_id"), "local": ()}
EXAMPLE = "my-project"  # of cluster/gcp.yaml


def shape(config: Config) -> Iterator[Finding]:
    """What is missing, unknown, or of another type than Ray's schema says; all such places, while Ray stops at the first."""
    for key, what in (("cluster_name", "a name"), ("provider", "at least a type"), ("auth", "at least ssh_user")):
        if not config.get(key):
            yield Finding(key, "missing", what)
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    schema.pop("required")  # said above, and in our words
    for finding in violations(schema, config):
        if finding.where != "min_workers" and not finding.where.endswith("resources.GPU"):  # `counts` and `gpus` know better
            yield finding


def prepared(config: Config) -> Iterator[Finding]:
    """What Ray itself says when it fills in its defaults and validates the result, as `ray up` does first of all."""
    try:
        with _quiet():
            util.validate_config(util.prepare_config(config))
    except Exception as problem:  # Ray raises many types here: ValueError, KeyError, AssertionError, click's exceptions
        yield Finding("", f"Ray refuses it: {' '.join(str(problem).split()) or type(problem).__name__}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Ray's comments on defaults, in its log and on stdout; they are no errors."""
    logger = logging.getLogger("ray.autoscaler._private.util")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
    logger.setLevel(level)


def access(config: Config) -> Iterator[Finding]:
    """Keys of the provider and of `auth` that Ray's schema does not ask for."""
    section, kind = config["provider"], provider(config)
    if kind not in PROVIDER_KEYS:
        there = kind in _NODE_PROVIDERS
        what = f"{section.get('type')!r} is not checked here" if there else f"Ray has no provider {section.get('type')!r}"
        yield Finding("provider.type", what, ", ".join(PROVIDER_KEYS), warning=there)
        return
    known = EVERYWHERE | PROVIDER_KEYS[kind]
    yield from (unknown_key("provider", str(key), known) for key in section if key not in known)
    yield from (Finding(f"provider.{key}", "missing", "where nodes are to run") for key in REQUIRED[kind] if not section.get(key))
    if kind == "gcp" and section.get("project_id") == EXAMPLE:  # a warning: somebody may own it
        yield Finding("provider.project_id", f"{EXAMPLE!r} is an example", "the id of your own project", warning=True)
    if isinstance(config.get("auth"), dict) and not config["auth"].get("ssh_user"):
        yield Finding("auth.ssh_user", "missing", "the user that `ray up` logs in as")
    if kind == "local" and "coordinator_address" not in section:
        yield from _hosts(section)


def _hosts(section: Config) -> Iterator[Finding]:
    head, workers = section.get("head_ip"), section.get("worker_ips")
    if not head:
        yield Finding("provider.head_ip", "missing", "the address of the head")
    if not isinstance(workers, list):
        yield Finding("provider.worker_ips", "missing", "a list of addresses; [] for a head alone")
        return
    for ip in sorted({str(ip) for ip in workers if workers.count(ip) > 1}):
        yield Finding("provider.worker_ips", f"{ip} is listed twice", "each host once")
    if head in workers:
        yield Finding("provider.worker_ips", f"{head} is the head as well", "other hosts than head_ip")


def counts(config: Config) -> Iterator[Finding]:
    """Numbers of workers: below 0, the least above the most, more than there are hosts, a key that Ray drops."""
    hosts = mapping(config, "provider").get("worker_ips")
    groups = {f"available_node_types.{name}.": node for name, node in _types(config).items()}
    if provider(config) == "local":
        groups = (
            {"": {"min_workers": len(hosts), "max_workers": len(hosts)} | config} if isinstance(hosts, list) else {"": config}
        )
    elif "min_workers" in config:
        yield Finding("min_workers", "Ray ignores it here", "min_workers of a node type", warning=True)
    for where, group in groups.items():
        low, high = group.get("min_workers", 0), group.get("max_workers", config.get("max_workers", 2))  # as Ray fills them in
        if not isinstance(low, int) or not isinstance(high, int):
            continue  # reported by the schema's check
        if min(low, high) < 0:
            yield Finding(f"{where}{'min' if low < 0 else 'max'}_workers", f"{min(low, high)}", "a number from 0")
        elif where == "" and isinstance(hosts, list) and low > len(hosts):
            yield Finding("min_workers", f"{low}, and worker_ips has {len(hosts)}", "at most the number of worker_ips")
        elif low > high:
            yield Finding(f"{where}min_workers", f"{low}, and max_workers is {high}", "at most max_workers")
        elif where == "" and isinstance(hosts, list) and high < len(hosts):
            yield Finding("max_workers", f"{high} of the {len(hosts)} worker_ips would be used", "their number", warning=True)


def gpus(config: Config) -> Iterator[Finding]:
    """The number of GPUs of a node is a whole one."""
    for name, node in _types(config).items():
        amount = mapping(node, "resources").get("GPU", 0)
        if not isinstance(amount, int) or amount < 0:
            yield Finding(f"available_node_types.{name}.resources.GPU", f"{amount!r}", WHOLE)


def _types(config: Config) -> Config:
    return {name: node for name, node in mapping(config, "available_node_types").items() if isinstance(node, dict)}
