"""The cluster files of the project, held to Ray's schema, the clouds' own models, KubeRay's fields, and each other."""

import copy
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config

from hqc_ray.cluster import check, kuberay

ROOT = Path(__file__).parents[2]
LAUNCH = ["cluster.yaml", "cluster/local.yaml", "cluster/gcp.yaml"]
KUBERAY = ["cluster/kuberay-cluster.yaml", "cluster/kuberay-job.yaml"]
CLOUD = ["cluster.yaml", "cluster/gcp.yaml"]
POD = "cluster/kuberay-files.yaml"
TEXTS = {file: (ROOT / file).read_text().replace("REGISTRY", "ghcr.io/someone") for file in (*KUBERAY, POD)}  # as a user would


def load(file):
    return yaml.safe_load((ROOT / file).read_text())


def documents(file):
    return list(yaml.safe_load_all(TEXTS[file]))


def pinned(package):
    return re.search(rf"^{package}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)[1]


def ray_cluster(file):
    spec = documents(file)[0]["spec"]
    return spec.get("rayClusterSpec", spec)


# Ray


@pytest.mark.parametrize("file", LAUNCH)
def test_ray_takes_the_file(file):
    validate_config(prepare_config(load(file)))


@pytest.mark.parametrize("file", LAUNCH)
def test_ray_would_not_take_anything(file):
    broken = load(file) | {"idle_timeout_minutes": "soon"}
    with pytest.raises(Exception, match="soon"):
        validate_config(prepare_config(broken))


# AWS


def run_instances(node_config):
    shape = ServiceModel(Loader().load_service_model("ec2", "service-2")).operation_model("RunInstances").input_shape
    return ParamValidator().validate(node_config | {"MinCount": 1, "MaxCount": 1}, shape).generate_report()


@pytest.mark.parametrize("name", ["head", "cpu", "gpu"])
def test_ec2_knows_every_field_of_a_node_type(name):
    node = load("cluster.yaml")["available_node_types"][name]["node_config"]
    assert run_instances(node) == ""
    assert "VolumSize" in run_instances(node | {"BlockDeviceMappings": [{"Ebs": {"VolumSize": 1}}]})


def test_ray_launches_a_head_and_a_spot_worker_from_it(tmp_path, monkeypatch):
    moto = pytest.importorskip("moto")
    from ray.autoscaler._private.aws import node_provider
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    monkeypatch.setenv("HOME", str(tmp_path))  # Ray writes a key pair there
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with moto.mock_aws():
        import boto3

        boto3.client("iam").create_instance_profile(InstanceProfileName="hqc-ray-head")
        ours = [node["node_config"]["InstanceType"] for node in load("cluster.yaml")["available_node_types"].values()]
        known = boto3.client("ec2", "us-west-2").describe_instance_types(InstanceTypes=ours)["InstanceTypes"]
        monkeypatch.setattr(node_provider, "list_ec2_instances", lambda *_: known)  # not all 800, which takes a minute
        config = AWSNodeProvider.fillout_available_node_types_resources(prepare_config(load("cluster.yaml")))
        types = config["available_node_types"]
        assert types["head"]["resources"]["CPU"] == 0  # trials stay off it
        assert types["cpu"]["resources"]["CPU"] == 16
        assert types["gpu"]["resources"]["GPU"] == 1
        config = bootstrap_aws(config)
        provider = AWSNodeProvider(config["provider"], config["cluster_name"])
        for name in ("head", "cpu", "gpu"):
            node = dict(config["available_node_types"][name]["node_config"])
            if name == "head":
                node |= config["head_node"]
            (made,) = provider.create_node(node, {"ray-node-name": name, "ray-user-node-type": name}, 1).values()
            assert made.instance_type == load("cluster.yaml")["available_node_types"][name]["node_config"]["InstanceType"]
            assert made.instance_lifecycle == (None if name == "head" else "spot")
        rules = boto3.client("ec2", "us-west-2").describe_security_groups(GroupNames=["ray-autoscaler-hqc"])
        open_to_all = [rule for group in rules["SecurityGroups"] for rule in group["IpPermissions"] if rule["IpRanges"]]
        assert [(rule["FromPort"], rule["ToPort"]) for rule in open_to_all] == [(22, 22)]  # ssh alone


# KubeRay


@pytest.mark.parametrize("file", KUBERAY)
def test_kuberay_knows_every_field(file):
    assert [str(finding) for document in documents(file) for finding in kuberay.check(document)] == []
    assert ray_cluster(file)["rayVersion"] == pinned("ray")


def worker(spec):
    return spec["workerGroupSpecs"][0]


def container(spec):
    return worker(spec)["template"]["spec"]["containers"][0]


BROKEN = {
    "field": (lambda s: s.update(enableInTreeAutoscalin=True), "did you mean 'enableInTreeAutoscaling'?"),
    "type": (lambda s: worker(s).update(maxReplicas="8"), "'8' is not of type 'integer'"),
    "missing": (lambda s: worker(s).pop("groupName"), "groupName: missing"),
    "word": (lambda s: s["authOptions"].update(mode="tokens"), "'tokens' is not one of"),
    "number for ray start": (lambda s: s["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}), "0 is not of type 'string'"),
    "pod": (lambda s: worker(s)["template"]["spec"].update(container=[]), "did you mean 'containers'?"),
    "replicas": (lambda s: worker(s).update(minReplicas=9), "0 <= minReplicas <= replicas <= maxReplicas"),
    "version": (lambda s: s.update(rayVersion="2.9.0"), "2.9.0, and this project is tested with"),
    "memory": (lambda s: container(s)["resources"]["limits"].update(memory="16 GB"), "'16 GB' is no quantity"),
    "part of a GPU": (lambda s: container(s)["resources"]["limits"].update({"nvidia.com/gpu": "0.5"}), "whole GPUs"),
    "volume": (
        lambda s: container(s).update(volumeMounts=[{"name": "hcq", "mountPath": "/hqc"}]),
        "hcq: unknown key",
    ),
    "groups": (lambda s: s["workerGroupSpecs"].append(worker(s)), "two groups 'cpu'"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("file", KUBERAY)
def test_a_broken_kuberay_file_is_found(file, name, tmp_path):
    changed = copy.deepcopy(documents(file))
    spec = changed[0]["spec"].get("rayClusterSpec", changed[0]["spec"])
    edit, text = BROKEN[name]
    edit(spec)
    (tmp_path / "kuberay.yaml").write_text(yaml.safe_dump_all(changed))
    errors = [str(finding) for finding in check.check(tmp_path / "kuberay.yaml") if not finding.warning]
    assert [line for line in errors if text in line], errors


@pytest.mark.parametrize(("change", "text"), [
    ({"entrypoint": None}, "None is not of type 'string'"), ({"shutdownAfterJobFinishes": False}, "Finished: refused without"),
    ({"clusterSelector": {"ray.io/cluster": "hqc"}}, "a job needs one cluster"), ({"submissionMode": "K8sJob"}, "is not one of"),
])  # fmt: skip
def test_a_broken_job_is_found(change, text):
    job = documents("cluster/kuberay-job.yaml")[0]
    job["spec"] |= change
    assert [str(finding) for finding in kuberay.check(job) if text in str(finding)]


def test_the_pod_that_brings_files_is_checked_as_well():
    pod = documents(POD)[0]
    assert list(kuberay.check(pod)) == []
    for edit, text in (
        (lambda p: p["spec"].update(restartPolic="Never"), "did you mean 'restartPolicy'?"),
        (lambda p: p["spec"].update(containers=[]), "spec.containers: none"),
        (lambda p: p["spec"].update(volumes=[]), "hqc: unknown key"),
        (lambda p: p["spec"]["containers"][0].update(image="hqc:1", command="sleep"), "'sleep' is not of type 'array'"),
        (lambda p: p.update(apiVersion="v2"), "'v2' is not"),
        (lambda p: p.update(kind="Deployment"), "unknown: 'Deployment' (valid: RayCluster, RayJob, Pod)"),
    ):
        changed = copy.deepcopy(pod)
        edit(changed)
        found = [str(finding) for finding in kuberay.check(changed)]
        assert [line for line in found if text in line], (text, found)


def places(node, path=()):
    """Every place in nested mappings and lists."""
    for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield (*path, key)
        yield from places(node[key], (*path, key))


@pytest.mark.parametrize("wrong", [None, "text", 3, -1, [], [1], {}, {"a": 1}])
def test_no_value_of_another_type_breaks_the_check(wrong):
    for path in places(documents("cluster/kuberay-job.yaml")[0]):
        document = documents("cluster/kuberay-job.yaml")[0]
        section = document
        for key in path[:-1]:
            section = section[key]
        section[path[-1]] = wrong
        list(kuberay.check(document))  # does not raise


# what the project promises of all of them


@pytest.mark.parametrize("file", CLOUD)
def test_a_cloud_cluster_starts_from_nothing_and_its_head_runs_no_trials(file):
    config = load(file)
    types = config["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    assert [types[name]["min_workers"] for name in ("cpu", "gpu")] == [0, 0]
    assert types["cpu"]["max_workers"] == config["max_workers"]
    assert config["provider"]["cache_stopped_nodes"] is False


def test_the_other_heads_run_no_trials():
    assert "--num-cpus=0" in load("cluster/local.yaml")["head_start_ray_commands"][-1]
    for file in KUBERAY:
        assert ray_cluster(file)["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        assert ray_cluster(file)["workerGroupSpecs"][0]["minReplicas"] == 0


@pytest.mark.parametrize("file", LAUNCH)
def test_dashboard_on_loopback_and_a_token_on_every_node(file):
    config = load(file)
    head, workers = config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]
    assert "--include-dashboard=true --dashboard-host=127.0.0.1" in head  # or a taken port would mean: none
    assert "RAY_AUTH_MODE=token" in head
    assert "RAY_AUTH_MODE=token" in workers
    assert "~/.ray/auth_token" in config["file_mounts"]


@pytest.mark.parametrize("file", KUBERAY)
def test_a_token_in_every_pod(file):
    assert ray_cluster(file)["authOptions"] == {"mode": "token"}


def test_every_file_installs_the_same():
    aws = load("cluster.yaml")
    assert [load(file)["setup_commands"] for file in LAUNCH] == [aws["setup_commands"]] * 3
    gpu = aws["available_node_types"]["gpu"]["worker_setup_commands"]
    assert [command.replace(" --torch-backend=cpu", "") for command in aws["setup_commands"]] == gpu
    assert load("cluster/gcp.yaml")["available_node_types"]["gpu"]["worker_setup_commands"] == gpu
    python = re.search(r"--python (\d+\.\d+\.\d+) ", " ".join(aws["setup_commands"]))[1]
    uv = re.search(r"uv/(\d+\.\d+\.\d+)/", " ".join(aws["setup_commands"]))[1]
    dockerfile = (ROOT / "cluster/Dockerfile").read_text()
    assert f"FROM python:{python}-slim" in dockerfile
    assert f"astral-sh/uv:{uv} " in dockerfile
    assert "--constraint constraints.txt" in dockerfile


@pytest.mark.parametrize("file", LAUNCH)
def test_nodes_get_code_and_the_head_alone_reads_data(file):
    config = load(file)
    assert {str(local) for local in config["file_mounts"].values()} <= {
        "~/.ray/auth_token", "hqc_ray", "sweeps", "pyproject.toml", "constraints.txt", "README.md",
    }  # fmt: skip
    everywhere = [*config["setup_commands"], *config.get("worker_setup_commands", []), *config["worker_start_ray_commands"]]
    assert not [command for command in everywhere if "HQC_DATA" in command or "HQC_WEIGHTS" in command]
    for local in set(config["file_mounts"].values()) - {"~/.ray/auth_token"}:
        assert (ROOT / local).exists()


def commands(config):
    """Every shell command of a launch file."""
    lists = [config, *config.get("available_node_types", {}).values()]
    return [text for section in lists for key, texts in section.items() if key.endswith("_commands") for text in texts]


@pytest.mark.parametrize("file", LAUNCH)
def test_every_command_is_shell(file):
    found = commands(load(file))
    assert len(found) >= 8
    for text in found:
        assert "\n" not in text  # ssh gets it as one line
        assert subprocess.run(["bash", "-n", "-c", text], capture_output=True).stderr == b""


@pytest.mark.parametrize("file", LAUNCH)
def test_what_a_login_shell_knows_is_said_once_however_often_ray_up_runs(file, tmp_path):
    config = load(file)
    profile = [text for text in config["setup_commands"] + config.get("head_setup_commands", []) if ".bashrc" in text]
    for text in profile * 2:
        subprocess.run(["bash", "-c", text], env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}, check=True)
    lines = (tmp_path / ".bashrc").read_text().splitlines()
    assert len(lines) == len(profile)
    shown = subprocess.run(
        ["bash", "-c", ". ~/.bashrc; echo $PATH $RAY_AUTH_MODE"],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert shown.startswith(f"{tmp_path}/hqc_ray/.venv/bin:")
    assert shown.endswith(" token\n")


def test_hosts_that_are_shared_keep_every_other_ray():
    config = load("cluster/local.yaml")
    assert not [command for command in commands(config) if "ray stop" in command]
    end, start = config["head_start_ray_commands"]
    assert config["worker_start_ray_commands"][0] == end
    assert ")6385( |$)" in end
    assert "--port=6385 " in start


def test_the_end_command_ends_the_raylet_of_its_own_port_alone():
    """Stand-ins with a raylet's command line; ports that no Ray of this machine has."""
    ours, theirs = 61385, 61386
    name = "/x/raylet/raylet --store_socket_name=x --gcs-address=192.0.2.1:{} --session-name=x"
    processes = []
    for port in (ours, theirs):
        argv = name.format(port).split()
        processes.append(subprocess.Popen(["python3", "-c", "import time; time.sleep(60)", *argv]))
    server = subprocess.Popen(["python3", "-c", "import time; time.sleep(60)", f"--gcs_server_port={ours}"])
    try:
        time.sleep(0.5)
        end = load("cluster/local.yaml")["head_start_ray_commands"][0].replace("6385", str(ours))
        assert subprocess.run(["bash", "-c", end], env=dict(os.environ), timeout=30).returncode == 0
        time.sleep(0.2)
        assert [p.poll() is None for p in (*processes, server)] == [False, True, False]
    finally:
        for process in (*processes, server):
            process.kill()
            process.wait()
