"""The files of KubeRay: fields and types of its resources (CRDs of v1.7), and the rules that its operator adds to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hqc_ray.cluster.fields import schema, violations
from hqc_ray.cluster.finding import WHOLE, Finding, mapping, unknown_key
from hqc_ray.cluster.versions import IMAGE

# KubeRay v1.7, ray-operator/config/crd/bases (https://github.com/ray-project/kuberay), down to the container
_TABLES = {
    "RayCluster": "apiVersion=ray.io/v1! kind=RayCluster! metadata:object! spec:Cluster!",
    "RayJob": "apiVersion=ray.io/v1! kind=RayJob! metadata:object! spec:Job!",
    "OnePod": "apiVersion=v1! kind=Pod! metadata:object! spec:Pod!",
    "Cluster": """
        authOptions:Auth autoscalerOptions:Autoscaler enableInTreeAutoscaling:boolean gcsFaultToleranceOptions:object
        headGroupSpec:Head! headServiceAnnotations:object historyServerOptions:object managedBy networkPolicy:object
        rayVersion suspend:boolean tlsOptions:object upgradeStrategy:object workerGroupSpecs:[Workers]""",
    "Job": """
        activeDeadlineSeconds:integer backoffLimit:integer clusterSelector:object deletionStrategy:object entrypoint
        entrypointNumCpus:number entrypointNumGpus:number entrypointResources jobId managedBy metadata:object
        preRunningDeadlineSeconds:integer rayClusterSpec:Cluster runtimeEnvYAML shutdownAfterJobFinishes:boolean
        submissionMode=K8sJobMode|HTTPMode|SidecarMode|InteractiveMode submitterConfig:object submitterPodTemplate:object
        suspend:boolean ttlSecondsAfterFinished:integer""",
    "Auth": "mode=disabled|token enableK8sTokenAuth:boolean secretName",
    "Autoscaler": """
        args:[string] command:[string] env:[object] envFrom:[object] idleTimeoutSeconds:integer image imagePullPolicy
        resources:object securityContext:object upscalingMode=Default|Aggressive|Conservative version=v1|v2
        volumeMounts:[object]""",
    "Head": """
        enableIngress:boolean headService:object ingressOptions:object labels:object rayStartParams:Start resources:object
        serviceType template:Template!""",
    "Workers": """
        groupName! idleTimeoutSeconds:integer labels:object maxReplicas:integer! minReplicas:integer! numOfHosts:integer
        priority:integer rayStartParams:Start replicas:integer resources:object scaleStrategy:object suspend:boolean
        template:Template!""",
    "Template": "metadata:object spec:Pod!",
    "Pod": """
        activeDeadlineSeconds:integer affinity:object automountServiceAccountToken:boolean containers:[Container]!
        dnsConfig:object dnsPolicy enableServiceLinks:boolean hostAliases:[object] hostIPC:boolean hostNetwork:boolean
        hostPID:boolean hostUsers:boolean hostname imagePullSecrets:[object] initContainers:[Container] nodeName
        nodeSelector:object os:object overhead:object preemptionPolicy priority:integer priorityClassName
        readinessGates:[object] resourceClaims:[object] resources:object restartPolicy=Always|OnFailure|Never runtimeClassName
        schedulerName securityContext:object serviceAccount serviceAccountName setHostnameAsFQDN:boolean
        shareProcessNamespace:boolean subdomain terminationGracePeriodSeconds:integer tolerations:[object]
        topologySpreadConstraints:[object] volumes:[object]""",
    "Container": """
        args:[string] command:[string] env:[Variable] envFrom:[object] image imagePullPolicy=Always|IfNotPresent|Never
        lifecycle:object livenessProbe:object name! ports:[Port] readinessProbe:object resizePolicy:[object]
        resources:Resources restartPolicy securityContext:object startupProbe:object stdin:boolean terminationMessagePath
        terminationMessagePolicy tty:boolean volumeDevices:[object] volumeMounts:[Mount] workingDir""",
    "Variable": "name! value valueFrom:object",
    "Port": "containerPort:integer! hostIP hostPort:integer name protocol=TCP|UDP|SCTP",
    "Mount": "mountPath! mountPropagation name! readOnly:boolean recursiveReadOnly subPath subPathExpr",
    "Resources": "claims:[object] limits:object requests:object",
    "Start": "",
}
PLACEHOLDER = "REGISTRY"  # of the project's own files
KINDS = {"RayCluster": "RayCluster", "RayJob": "RayJob", "Pod": "OnePod"}  # that are checked, and their table
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGTPE]i?|Ki)?")
OTHERS = ("PersistentVolumeClaim", "ConfigMap", "Namespace", "ServiceAccount")  # may stand in the same file; not checked


def check(document: dict[str, Any]) -> Iterator[Finding]:
    """One document of a KubeRay file."""
    kind = document.get("kind")
    if kind in OTHERS:
        return
    if kind not in KINDS:
        yield Finding("kind", f"unknown: {kind!r}", ", ".join(KINDS))
        return
    whole = schema(_TABLES, KINDS[kind])
    whole["definitions"]["Start"] = {"type": "object", "additionalProperties": {"type": "string"}}  # options of `ray start`
    found = list(violations(whole, document))
    yield from found
    if not mapping(document, "metadata").get("name"):
        yield Finding("metadata.name", "missing", "a name")
    if found:
        return
    spec = document["spec"]
    if kind == "Pod":  # such as one that only mounts the volume; it runs no Ray
        yield from _pod("spec", spec, ray=False)
        return
    if kind == "RayJob":
        yield from _job(spec)
    place = "spec" if kind == "RayCluster" else "spec.rayClusterSpec"
    cluster = spec if kind == "RayCluster" else spec.get("rayClusterSpec")
    if cluster:
        yield from _cluster(place, cluster)


def _job(spec: dict[str, Any]) -> Iterator[Finding]:
    if bool(spec.get("rayClusterSpec")) == bool(spec.get("clusterSelector")):
        yield Finding("spec.rayClusterSpec", "a job needs one cluster, its own or another's", "rayClusterSpec or clusterSelector")
    if not spec.get("entrypoint") and spec.get("submissionMode") != "InteractiveMode":
        yield Finding("spec.entrypoint", "missing", "hqc sweep FILE --address auto --results DIR")
    if spec.get("ttlSecondsAfterFinished") and not spec.get("shutdownAfterJobFinishes"):
        yield Finding("spec.ttlSecondsAfterFinished", "refused without shutdownAfterJobFinishes", "both, or neither")


def _cluster(place: str, spec: dict[str, Any]) -> Iterator[Finding]:
    import ray

    version = spec.get("rayVersion")
    if version != ray.__version__:
        yield Finding(f"{place}.rayVersion", f"{version}, and this project is tested with {ray.__version__}", ray.__version__)
    if mapping(spec, "authOptions").get("mode") != "token":
        yield Finding(f"{place}.authOptions.mode", "whoever reaches the head can run code there", "token", warning=True)
    groups = spec.get("workerGroupSpecs", [])
    names = [group["groupName"] for group in groups]
    yield from (Finding(f"{place}.workerGroupSpecs", f"two groups {n!r}", "one") for n in set(names) if names.count(n) > 1)
    for i, group in enumerate(groups):
        low, high = group["minReplicas"], group["maxReplicas"]
        if not 0 <= low <= group.get("replicas", low) <= high:
            said = f"minReplicas {low}, replicas {group.get('replicas', low)}, maxReplicas {high}"
            yield Finding(f"{place}.workerGroupSpecs.{i}", said, "0 <= minReplicas <= replicas <= maxReplicas")
    pods = {"headGroupSpec": spec["headGroupSpec"], **{f"workerGroupSpecs.{i}": group for i, group in enumerate(groups)}}
    images = set()
    for name, group in pods.items():
        yield from _pod(f"{place}.{name}.template.spec", group["template"]["spec"])
        images |= {container.get("image") for container in group["template"]["spec"]["containers"][:1]}
    if len(images) > 1:
        said = ", ".join(sorted(map(str, images)))
        yield Finding(place, f"more than one image: {said}", "images with the same Ray and Python, to the patch", warning=True)


def _pod(place: str, pod: dict[str, Any], ray: bool = True) -> Iterator[Finding]:
    volumes = {str(volume.get("name")) for volume in pod.get("volumes", [])}
    if not pod["containers"]:
        yield Finding(f"{place}.containers", "none", "a container with Ray" if ray else "a container")
    for i, container in enumerate(pod["containers"]):
        where = f"{place}.containers.{i}"
        yield from _image(f"{where}.image", container.get("image", ""))
        resources = container.get("resources", {})
        for side in ("requests", "limits"):
            for name, amount in mapping(resources, side).items():
                if not _QUANTITY.fullmatch(str(amount)):
                    yield Finding(f"{where}.resources.{side}.{name}", f"{amount!r} is no quantity", "such as 2, 500m, 4Gi")
                elif str(name).endswith("/gpu") and not str(amount).isdigit():
                    yield Finding(f"{where}.resources.{side}.{name}", f"{amount}", WHOLE)
        if ray and i == 0 and "memory" not in mapping(resources, "limits"):
            what = "missing: the pod would believe that it owns the node"
            yield Finding(f"{where}.resources.limits.memory", what, "such as 16Gi", warning=True)
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield unknown_key(f"{where}.volumeMounts", mount["name"], volumes)


def _image(place: str, image: str) -> Iterator[Finding]:
    import ray

    host, _, rest = image.partition("@")[0].partition("/")
    if not image:
        yield Finding(place, "missing", "an image with Ray and this project")
    elif host == PLACEHOLDER:
        yield Finding(place, f"{image!r} is an example", f"your own registry's address in place of {PLACEHOLDER}")
    elif (name := _repository(host, rest)) != name.lower():
        yield Finding(place, f"{image!r}: a repository's name has no capitals", image.replace(name, name.lower()))
    elif (tagged := IMAGE.search(image)) and tagged[1] != ray.__version__:
        yield Finding(place, f"{image!r} has Ray {tagged[1]}, and this project is tested with {ray.__version__}", ray.__version__)


def _repository(host: str, rest: str) -> str:
    """The name without its tag, and without the registry, which is a host with a dot, a port, or called localhost."""
    registry = rest and ("." in host or ":" in host or host == "localhost")
    return (rest if registry else f"{host}/{rest}" if rest else host).partition(":")[0]
