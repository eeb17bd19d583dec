"""The volume of the KubeRay files outlives them: no file that starts or ends something holds its claim, and all mount it."""

import re
from pathlib import Path

import pytest
import yaml

from hqc_ray.cluster import check

ROOT = Path(__file__).parents[2]
VOLUME = "cluster/kuberay-volume.yaml"
USERS = {"cluster/kuberay-cluster.yaml": "RayCluster", "cluster/kuberay-job.yaml": "RayJob", "cluster/kuberay-files.yaml": "Pod"}
MODES = {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"}


def documents(file):
    return list(yaml.safe_load_all((ROOT / file).read_text()))


def pod(file):
    """The spec of the pod that mounts the volume: the head's, or the file's own."""
    spec = documents(file)[0]["spec"]
    spec = spec.get("rayClusterSpec", spec)
    return spec["headGroupSpec"]["template"]["spec"] if "headGroupSpec" in spec else spec


@pytest.mark.parametrize("file", USERS)
def test_a_file_that_is_deleted_holds_no_claim(file):
    assert [document["kind"] for document in documents(file)] == [USERS[file]]


def test_the_claim_is_one_that_kubernetes_takes():
    (claim,) = documents(VOLUME)
    assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
    assert set(claim) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(claim["spec"]) == {"accessModes", "resources"}
    assert claim["spec"]["accessModes"]
    assert set(claim["spec"]["accessModes"]) <= MODES
    assert re.fullmatch(r"[1-9]\d*(Mi|Gi|Ti)", claim["spec"]["resources"]["requests"]["storage"])
    assert "storageClassName" not in claim["spec"]  # the cluster's default


@pytest.mark.parametrize("file", USERS)
def test_all_mount_the_claim_by_its_name_in_one_place_as_one_user(file):
    (claim,) = documents(VOLUME)
    spec = pod(file)
    (volume,) = spec["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    (container,) = spec["containers"]
    assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/hqc"}]
    assert spec["securityContext"] == {"runAsUser": 1000, "runAsNonRoot": True, "fsGroup": 1000}
    assert container["image"] == pod("cluster/kuberay-cluster.yaml")["containers"][0]["image"]


def test_a_job_writes_to_the_volume_and_starts_no_second_cluster_for_a_mistyped_file():
    spec = documents("cluster/kuberay-job.yaml")[0]["spec"]
    assert "--results /hqc/" in spec["entrypoint"]
    assert spec["backoffLimit"] == 0


@pytest.mark.parametrize("file", [file for file in USERS if USERS[file] != "Pod"])
def test_nothing_is_found_in_the_files_but_the_examples_address(file):
    found = [str(finding) for finding in check.check(ROOT / file)]
    assert [text for text in found if not text.endswith("(valid: your own registry's address in place of REGISTRY)")] == []


@pytest.mark.parametrize("file", [*USERS, VOLUME, "docs/cluster.md"])
def test_nobody_is_told_to_delete_by_file(file):
    assert not re.search(r"kubectl delete (.* )?(-f|--filename)\b", (ROOT / file).read_text())
