"""Node types against the cloud's own model of a launch, without asking the cloud: botocore's for EC2, Compute Engine's fields."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hqc_ray.cluster.fields import schema, violations
from hqc_ray.cluster.finding import Finding, mapping, nearest, provider

CLIENTS = {"aws": ("boto3", "boto3"), "gcp": ("googleapiclient", "google-api-python-client")}  # module, package
CREDENTIALS = {  # one of these environment variables, or one of these files
    "aws": (("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"), ("~/.aws/credentials", "~/.aws/config")),
    "gcp": (("GOOGLE_APPLICATION_CREDENTIALS",), ("~/.config/gcloud/application_default_credentials.json",)),
}

# Compute Engine v1, revision 20261106: the fields of an instance that a client sets (https://cloud.google.com/compute/docs/reference)
_COMPUTE = {
    "Instance": """
        advancedMachineFeatures:object canIpForward:boolean confidentialInstanceConfig:object deletionProtection:boolean
        description disks:[Disk] displayDevice:object guestAccelerators:[Accelerator] hostname keyRevocationActionType
        labels:object machineType metadata:Metadata minCpuPlatform name networkInterfaces:[Interface]
        networkPerformanceConfig:object params:object privateIpv6GoogleAccess reservationAffinity:object
        resourcePolicies:[string] scheduling:Scheduling serviceAccounts:[Account] shieldedInstanceConfig:object
        sourceInstanceTemplate sourceMachineImage tags:Tags""",
    "Disk": """
        architecture autoDelete:boolean boot:boolean deviceName diskEncryptionKey:object diskSizeGb:number forceAttach:boolean
        guestOsFeatures:[object] initializeParams:New interface licenses:[string] mode source type=PERSISTENT|SCRATCH""",
    "New": """
        architecture description diskName diskSizeGb:number diskType enableConfidentialCompute:boolean labels:object
        licenses:[string] onUpdateAction provisionedIops:number provisionedThroughput:number replicaZones:[string]
        resourceManagerTags:object resourcePolicies:[string] sourceImage sourceImageEncryptionKey:object sourceSnapshot
        storagePool""",
    "Scheduling": """
        automaticRestart:boolean availabilityDomain:integer instanceTerminationAction=DELETE|STOP
        localSsdRecoveryTimeout:object maxRunDuration:object minNodeCpus:integer nodeAffinities:[object]
        onHostMaintenance=MIGRATE|TERMINATE onInstanceStopAction:object preemptible:boolean
        provisioningModel=SPOT|STANDARD|FLEX_START|RESERVATION_BOUND terminationTime""",
    "Accelerator": "acceleratorCount:integer acceleratorType",
    "Interface": """
        accessConfigs:[object] aliasIpRanges:[object] ipv6AccessConfigs:[object] network networkAttachment networkIP nicType
        queueCount:integer stackType subnetwork""",
    "Account": "email scopes:[string]",
    "Metadata": "items:[object]",
    "Tags": "items:[string]",
}


def cloud(config: dict[str, Any]) -> Iterator[Finding]:
    """Whether Ray's client library of the cloud and credentials exist; they are looked for, never read."""
    kind = provider(config)
    if kind not in CLIENTS:
        return
    module, package = CLIENTS[kind]
    if importlib.util.find_spec(module) is None:
        yield Finding("this machine", f"Ray reaches {kind} with {package}, which is not installed", f"pip install {package}")
    variables, files = CREDENTIALS[kind]
    if not any(map(os.environ.get, variables)) and not any(Path(file).expanduser().exists() for file in files):
        yield Finding("this machine", f"no credentials for {kind}", ", ".join((*variables, *files)), warning=True)


def regions(config: dict[str, Any]) -> Iterator[Finding]:
    """The region of EC2 and its zones: a misspelt one gives an endpoint that does not exist."""
    region, zones = (mapping(config, "provider").get(key) for key in ("region", "availability_zone"))
    if provider(config) != "aws" or not isinstance(region, str):
        return
    known = _ec2_regions() if importlib.util.find_spec("botocore") else ()
    if region and known and region not in known:
        yield Finding("provider.region", f"{region!r} is no region of EC2{nearest(region, known)}", "such as us-west-2")
        return
    for zone in zones.split(",") if isinstance(zones, str) else ():
        if not zone.strip().startswith(region):
            what = f"{zone.strip()!r} is no zone of {region}"
            yield Finding("provider.availability_zone", what, f"such as {region}a,{region}b")


def node_configs(config: dict[str, Any]) -> Iterator[Finding]:
    """Each node type's `node_config`, as the cloud's launch call would judge its fields and types."""
    kind, types = provider(config), mapping(config, "available_node_types")
    judge = {"aws": _ec2, "gcp": _compute}.get(kind)
    if judge is None:
        return
    for name, node in types.items():
        if isinstance(node, dict) and isinstance(node.get("node_config"), dict):
            place = f"available_node_types.{name}.node_config"
            yield from judge(place, node["node_config"], config, name == config.get("head_node_type"))


def _ec2(place: str, node: dict[str, Any], config: dict[str, Any], head: bool) -> Iterator[Finding]:
    if importlib.util.find_spec("botocore") is None:
        return  # reported by `cloud`
    from botocore.validate import ParamValidator

    request = {key: value for key, value in node.items() if key != "SubnetIds"}  # Ray's own: it picks one of them
    report = ParamValidator().validate(request | {"MinCount": 1, "MaxCount": 1}, _run_instances())
    yield from (Finding(place, line) for line in report.generate_report().splitlines())
    size, sizes = node.get("InstanceType"), _run_instances().members["InstanceType"].enum
    if isinstance(size, str) and size not in sizes:  # a warning: EC2 may have newer ones than botocore
        what = f"{size!r} is none that botocore knows{nearest(size, sizes)}"
        yield Finding(f"{place}.InstanceType", what, "such as m7i.large", warning=True)
    image = str(node.get("ImageId", "latest_dlami"))
    if image.lower() == "latest_dlami":
        yield Finding(f"{place}.ImageId", "missing: Ray takes Ubuntu 18.04, too old for torch", "an image", warning=True)
    elif image.startswith("resolve:ssm:") and head and "IamInstanceProfile" not in node:
        what = "Ray's own role may not resolve an image's name, so no worker would start"
        yield Finding(f"{place}.IamInstanceProfile", what, "a role with AmazonSSMReadOnlyAccess", warning=True)
    if mapping(config, "auth").get("ssh_private_key") and not {"KeyName", "UserData"} & set(node):
        yield Finding(f"{place}.KeyName", "missing, and auth names an ssh_private_key", "the name of that key pair at EC2")


@cache
def _run_instances() -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model("ec2", "service-2")).operation_model("RunInstances").input_shape


@cache
def _ec2_regions() -> tuple[str, ...]:
    from botocore.loaders import Loader
    from botocore.regions import EndpointResolver

    endpoints = EndpointResolver(Loader().load_data("endpoints"))
    partitions = endpoints.get_available_partitions()  # China's and the government's, too
    return tuple(name for partition in partitions for name in endpoints.get_available_endpoints("ec2", partition))


def _compute(place: str, node: dict[str, Any], config: dict[str, Any], head: bool) -> Iterator[Finding]:
    if "machineType" not in node:
        if not {"acceleratorType", "acceleratorConfig"} & set(node):  # a TPU, which is another call
            yield Finding(f"{place}.machineType", "missing", "such as n2-standard-8")
        return
    yield from violations(schema(_COMPUTE, "Instance"), node, place)
    if node.get("guestAccelerators") and mapping(node, "scheduling").get("onHostMaintenance") != "TERMINATE":
        yield Finding(f"{place}.scheduling.onHostMaintenance", "a node with GPUs cannot be migrated", "TERMINATE")
