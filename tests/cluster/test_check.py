"""`hqc cluster check`: each fault of a table is found, all at once, and nothing is found in what is right."""

import base64
import copy
import platform
import shutil
from pathlib import Path

import pytest
import yaml

from hqc_ray import cli
from hqc_ray.cluster import check

ROOT = Path(__file__).parents[2]
FILES = {"aws": "cluster.yaml", "local": "cluster/local.yaml", "gcp": "cluster/gcp.yaml"}


def key(cipher=b"none"):
    body = base64.b64encode(b"openssh-key-v1\0" + len(cipher).to_bytes(4) + cipher + bytes(40)).decode()
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A laptop on which everything is as it should be, in the root of the project."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_PROFILE", "someone")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "somewhere")
    monkeypatch.setattr(platform, "python_version", lambda: "3.11.18")
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.chdir(ROOT)
    for name, text in ((".ray/auth_token", "0" * 64), (".ssh/id_ed25519", key())):
        path = tmp_path / "home" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(0o600)
    return tmp_path / "home"


def found(config, tmp_path, **options):
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump_all(config) if isinstance(config, list) else yaml.safe_dump(config))
    return check.check(file, results=str(tmp_path / "results"), **options)


def config(kind):
    """The project's file, with the user's own project in it."""
    whole = yaml.safe_load((ROOT / FILES[kind]).read_text())
    return whole | ({"provider": whole["provider"] | {"project_id": "tissue-4711"}} if kind == "gcp" else {})


def put(path, value):
    """An edit: the value at a path of keys; DELETE takes it away, a function changes what is there."""

    def edit(config):
        *parents, last = path.split("/")
        for part in parents:
            config = config[part]
        if value is DELETE:
            del config[last]
        else:
            config[last] = value(config[last]) if callable(value) else value

    return edit


def replace(old, new):
    return lambda commands: [command.replace(old, new) for command in commands]


DELETE = object()
HEAD, WORKER, TYPES = "head_start_ray_commands", "worker_start_ray_commands", "available_node_types"
BROKEN = {
    # what Ray's own schema says
    "unknown key": ("aws", put("idle_timeout", 5), "idle_timeout: unknown key; did you mean 'idle_timeout_minutes'?"),
    "unknown key of a type": ("aws", put(f"{TYPES}/cpu/min_worker", 1), "cpu.min_worker: unknown key; did you mean 'min_w"),
    "type of a value": ("aws", put("max_workers", "8"), "max_workers: '8' is not of type 'integer'"),
    "setup is no list": ("local", put("setup_commands", "pip install ray"), "'pip install ray' is not of type 'array'"),
    "key that is a number": ("aws", put(TYPES, lambda types: {**types, 16: {}}), "16: its key is of type int (valid: '16', in"),
    "key that is nothing": ("local", put("file_mounts", {None: "sweeps"}), "file_mounts.None: its key is of type NoneType"),
    "key that is yes": ("gcp", put(f"{TYPES}/cpu/node_config/labels", {True: "a"}), "labels.True: its key is of type bool"),
    "head type": ("aws", put("head_node_type", "heat"), "`head_node_type` must be one of"),
    "sum of min_workers": ("aws", put("max_workers", 0), "min_workers", put(f"{TYPES}/cpu/min_workers", 1)),
    # what it leaves out
    "no cluster_name": ("aws", put("cluster_name", DELETE), "cluster_name: missing"),
    "no auth": ("local", put("auth", DELETE), "auth: missing"),
    "no ssh_user": ("local", put("auth/ssh_user", DELETE), "auth.ssh_user: missing"),
    "no provider": ("aws", put("provider", DELETE), "provider: missing"),
    "provider key": ("aws", put("provider/cache_stoped_nodes", True), "provider.cache_stoped_nodes: unknown key; did"),
    "provider": ("aws", put("provider/type", "awz"), "Ray has no provider 'awz'"),
    "region": ("aws", put("provider/region", DELETE), "provider.region: missing"),
    "project": ("gcp", put("provider/project_id", DELETE), "provider.project_id: missing"),
    "min above max": ("aws", put(f"{TYPES}/gpu/min_workers", 1), "gpu.min_workers: 1, and max_workers is 0"),
    "negative min": ("aws", put(f"{TYPES}/cpu/min_workers", -1), "cpu.min_workers: -1"),
    "local min above max": ("local", put("min_workers", 2), "min_workers: 2, and max_workers is 1", put("max_workers", 1)),
    "local min above hosts": ("local", put("min_workers", 3), "min_workers: 3, and worker_ips has 2"),
    "local negative min": ("local", put("min_workers", -1), "min_workers: -1"),
    "host twice": ("local", put("provider/worker_ips", ["10.0.0.2", "10.0.0.2"]), "10.0.0.2 is listed twice"),
    "head as worker": ("local", put("provider/worker_ips", ["192.168.1.10"]), "192.168.1.10 is the head as well"),
    "no hosts": ("local", put("provider/worker_ips", DELETE), "provider.worker_ips: missing"),
    "part of a GPU": ("gcp", put(f"{TYPES}/gpu/resources", {"CPU": 8, "GPU": 0.3}), "gpu.resources.GPU: 0.3 (valid: whole GPUs"),
    "part of a GPU to ray start": ("local", put(WORKER, replace("ray start", "ray start --num-gpus=0.3")), "--num-gpus=0.3"),
    # the cloud's own call
    "EC2 field": ("aws", put(f"{TYPES}/cpu/node_config/InstanceTyp", "m5.large"), 'parameter in input: "InstanceTyp"'),
    "EC2 type": ("aws", put(f"{TYPES}/cpu/node_config/InstanceMarketOptions", "spot"), "Invalid type for parameter Inst"),
    "EC2 region": ("aws", put("provider/region", "us-wst-2"), "'us-wst-2' is no region of EC2; did you mean 'us-west-2'?"),
    "EC2 zone": ("aws", put("provider/availability_zone", "us-west-2a, eu-central-1a"), "'eu-central-1a' is no zone of us"),
    "EC2 key": ("aws", put("auth/ssh_private_key", "~/.ssh/id_ed25519"), "head.node_config.KeyName: missing"),
    "GCE field": ("gcp", put(f"{TYPES}/cpu/node_config/machinType", "n2"), "did you mean 'machineType'?"),
    "GCE word": ("gcp", put(f"{TYPES}/cpu/node_config/scheduling/provisioningModel", "CHEAP"), "'CHEAP' is not one of"),
    "GCE type": ("gcp", put(f"{TYPES}/cpu/node_config/scheduling", [{"preemptible": True}]), "is not of type 'object'"),
    "GCE machine": ("gcp", put(f"{TYPES}/cpu/node_config/machineType", DELETE), "machineType: missing"),
    "GCE GPU": (
        "gcp",
        put(f"{TYPES}/head/node_config/guestAccelerators", [{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 1}]),
        "a node with GPUs cannot be migrated",
    ),
    # commands
    "no ray start": ("aws", put(HEAD, ["ray stop"]), f"{HEAD}: no `ray start --head`"),
    "no autoscaling": ("aws", put(HEAD, replace("--autoscaling-config", "--config")), "no `ray start --autoscaling-config`"),
    "other port": ("local", put(HEAD, replace("--port=6385", "--port=6390")), "and the head listens on port 6390"),
    "port of workers": ("local", put(HEAD, replace("dashboard-port=8275", "dashboard-port=10010")), "--dashboard-port=10010"),
    "autoscaler": ("local", put(HEAD, replace("RAY_enable_autoscaler_v2=0", "")), "counts this head as a worker"),
    "authentication of one": ("aws", put(WORKER, replace("RAY_AUTH_MODE=token", "")), "every actor dies"),
    "no token mounted": ("aws", put("file_mounts", {}), "no authentication token"),
    # versions
    "Ray": ("local", put("setup_commands", ["pip install ray==2.9.0 && conda install python=3.11.18"]), "nodes get Ray 2.9.0"),
    "Python of the head": (
        "aws",
        put("head_setup_commands", ["uv venv --python 3.11.4 x", "uv python install 3.11.4"]),
        "not one Python for all: the head 3.11.4",
        put("setup_commands", lambda commands: [c for c in commands if "uv venv" not in c]),
        put("worker_setup_commands", ["uv venv --python 3.11.18 x"]),
    ),
    # this machine
    "mount": ("local", lambda config: config["file_mounts"].update({"~/sweeps": "swepps"}), "no such file: swepps in"),
    "key": ("local", put("auth/ssh_private_key", "~/.ssh/none"), "no such file: ~/.ssh/none"),
}  # fmt: skip
BROKEN = {name: (kind, [edit, *more], text) for name, (kind, edit, text, *more) in BROKEN.items()}
WARNED = {
    "dashboard": ("aws", put(HEAD, replace("127.0.0.1", "::")), "--dashboard-host=:: lets others submit jobs"),
    "authentication": (
        "aws",
        lambda c: [put(k, replace("RAY_AUTH_MODE=token", ""))(c) for k in (HEAD, WORKER)],
        "whoever reaches the head's port can run code there",
    ),
    "ray stop on shared hosts": ("local", put(HEAD, lambda commands: ["ray stop", *commands]), "`ray stop` ends every Ray"),
    "dropped min_workers": ("aws", put("min_workers", 1), "min_workers: Ray ignores it here"),
    "hosts left over": ("local", lambda c: c.update(min_workers=1, max_workers=1), "1 of the 2 worker_ips would be used"),
    "old image": ("aws", put(f"{TYPES}/head/node_config/ImageId", DELETE), "Ray takes Ubuntu 18.04"),
    "EC2 type": ("aws", put(f"{TYPES}/cpu/node_config/InstanceType", "c7i.4xlarg"), "knows; did you mean 'c7i.4xlarge'?"),
    "role": ("aws", put(f"{TYPES}/head/node_config/IamInstanceProfile", DELETE), "no worker would start"),
    "example of a project": ("gcp", put("provider/project_id", "my-project"), "provider.project_id: 'my-project' is an example"),
    "unknown versions": ("local", put("setup_commands", []), "they do not say which Python the nodes get"),
    "no patch": ("aws", put("setup_commands", replace("3.11.18", "3.11")), "Python 3.11 without its patch"),
    "Python": ("local", put("setup_commands", replace("3.11.18", "3.11.4")), "a driver here could not join"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_nothing_is_found_where_nothing_is_wrong(kind, home, tmp_path):
    assert [str(finding) for finding in found(config(kind), tmp_path)] == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_an_error_in_one_line(name, home, tmp_path):
    kind, edits, text = BROKEN[name]
    changed = config(kind)
    for edit in edits:
        edit(changed)
    errors = [str(finding) for finding in found(changed, tmp_path) if not finding.warning]
    assert [line for line in errors if text in line], errors
    assert all("\n" not in line for line in errors)


@pytest.mark.parametrize("name", WARNED)
def test_a_doubtful_file_is_a_warning(name, home, tmp_path):
    kind, edit, text = WARNED[name]
    changed = config(kind)
    edit(changed)
    findings = found(changed, tmp_path)
    assert [f for f in findings if f.warning and text in str(f)], list(map(str, findings))
    assert [str(f) for f in findings if not f.warning] == [] or name == "no patch"  # the GPU type has its own list


def test_all_is_said_at_once_and_the_exit_code_is_2(home, tmp_path, capsys):
    changed = config("local")
    changed |= {"cluster_name": "", "min_workers": 9, "idle_timeout": 1}
    changed["auth"]["ssh_private_key"] = "~/none"
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(changed))
    assert cli.main(["cluster", "check", str(tmp_path / "c.yaml"), "--results", "/proc/x"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("hqc: error: ") for line in lines)


def test_warnings_alone_leave_the_exit_code_at_0(home, capsys):
    (home / ".ray/auth_token").chmod(0o644)
    assert cli.main(["cluster", "check", "cluster.yaml"]) == 0
    out, err = capsys.readouterr()
    assert "others on this machine may read" in err
    assert "Ray 2.60.0, Python 3.11.18" in out
    assert "errors: 0, warnings: 1" in out


@pytest.mark.parametrize("text", ["provider: [", "- a\n- b", "", "\x00"])
def test_what_is_no_cluster_file_is_one_line(text, home, tmp_path, capsys):
    (tmp_path / "c.yaml").write_text(text)
    assert cli.main(["cluster", "check", str(tmp_path / "c.yaml")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert cli.main(["cluster", "check", str(tmp_path / "none.yaml")]) == 2


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("wrong", [None, "text", 3, [], [1], {}, {"a": 1}, {16: 1}])
def test_no_value_of_another_type_breaks_the_check(kind, wrong, home, tmp_path):
    good = config(kind)
    for path in (
        [[key] for key in good] + [["provider", key] for key in good["provider"]] + [["auth", key] for key in good["auth"]]
    ):
        changed = copy.deepcopy(good)
        section = changed if len(path) == 1 else changed[path[0]]
        section[path[-1]] = wrong
        found(changed, tmp_path, workers_per_gpu=2)  # does not raise
    for name in good.get(TYPES, {}):
        for key in (*good[TYPES][name], None):
            changed = copy.deepcopy(good)
            section, last = (changed[TYPES][name], key) if key else (changed[TYPES], name)
            section[last] = wrong
            found(changed, tmp_path, workers_per_gpu=2)


@pytest.mark.parametrize("region", ["us-gov-west-1", "cn-north-1"])
def test_every_partition_of_ec2_has_regions(region, home, tmp_path):
    changed = config("aws")
    changed["provider"] |= {"region": region, "availability_zone": f"{region}a,{region}b"}
    assert found(changed, tmp_path) == []
    del changed["provider"]["availability_zone"]
    assert found(changed, tmp_path) == []


def gpu_workers(kind, most=1, resources=None, size=None):
    changed = config(kind)
    changed[TYPES]["gpu"] |= {"max_workers": most} | ({"resources": resources} if resources is not None else {})
    if size:
        changed[TYPES]["gpu"]["node_config"]["InstanceType"] = size
    return changed


ENOUGH, NO_GPU = None, "no kind of node that may start has a GPU"
UNKNOWN, HOSTS = "is not in the file", "GPUs are counted when Ray starts on a host"


@pytest.mark.parametrize(("changed", "workers", "said"), [
    (gpu_workers("gcp"), 0, ENOUGH), (gpu_workers("gcp"), 8, ENOUGH), (gpu_workers("gcp"), 9, "--workers-per-gpu 8 or less"),
    (gpu_workers("gcp", resources={"CPU": 8}), 1, NO_GPU), (gpu_workers("gcp", most=0), 1, NO_GPU),
    (gpu_workers("gcp") | {"max_workers": 0}, 1, NO_GPU), (gpu_workers("gcp", most=0), 0, ENOUGH),
    (gpu_workers("gcp", most=0) | {"head_node_type": "gpu"}, 8, ENOUGH),
    (gpu_workers("gcp", resources={"CPU": 0, "GPU": 1}), 1, "take 1 (valid: more CPUs)"),
    (gpu_workers("aws"), 8, UNKNOWN), (gpu_workers("aws"), 9, "8 CPUs, and 9 workers to each of its GPUs take 9"),
    (gpu_workers("aws", size="p4d.24xlarge"), 96, UNKNOWN), (gpu_workers("aws", size="gr6.4xlarge"), 17, "16 or less"),
    (gpu_workers("aws", size="g4dn.metal"), 99, UNKNOWN), (gpu_workers("aws", size="g5.xlarge"), 5, "4 or less"),
    (gpu_workers("aws", resources={"GPU": 4}, size="g6.12xlarge"), 12, ENOUGH),
    (gpu_workers("aws", resources={"GPU": 4}, size="g6.12xlarge"), 13, "13 workers to each of 4 GPUs take 52"),
    (gpu_workers("aws", resources={"GPU": 0}), 1, NO_GPU), (gpu_workers("aws", size="inf2.xlarge"), 1, NO_GPU),
    (config("local"), 1, HOSTS),
])  # fmt: skip
def test_workers_to_a_gpu_that_is_there_and_has_cpus_for_them(changed, workers, said, home, tmp_path):
    findings = found(changed, tmp_path, workers_per_gpu=workers)
    about = [f for f in findings if f.where.endswith((TYPES, f"{TYPES}.gpu", "provider.type"))]
    assert [said in str(f) for f in about] == ([True] if said else []), about
    assert [f.warning for f in about] == ([said in (UNKNOWN, HOSTS)] if said else [])


@pytest.mark.parametrize(("limits", "most", "workers", "said"), [
    ({"cpu": "8"}, 8, 1, NO_GPU), ({"cpu": "8", "nvidia.com/gpu": 2}, 0, 1, NO_GPU), ({"cpu": "8"}, 8, 0, ENOUGH),
    ({"cpu": "8", "nvidia.com/gpu": 2}, 8, 4, ENOUGH), ({"cpu": "8", "nvidia.com/gpu": "2"}, 8, 5, "4 or less"),
    ({"cpu": "8500m", "nvidia.com/gpu": "1"}, 8, 5, UNKNOWN),
])  # fmt: skip
@pytest.mark.parametrize("job", [False, True])
def test_workers_to_a_gpu_of_a_pod(limits, most, workers, said, job, pods, tmp_path):
    (cluster,), containers = pods
    for container in containers:
        container["image"] = "ghcr.io/me/hqc:1"
    containers[1]["resources"]["limits"] = limits | {"memory": "16Gi"}
    cluster["spec"]["workerGroupSpecs"][0]["maxReplicas"] = most
    if job:
        cluster |= {"kind": "RayJob", "spec": {"entrypoint": "hqc", "rayClusterSpec": cluster["spec"]}}
    findings = found([cluster], tmp_path, workers_per_gpu=workers)
    assert [said in str(f) for f in findings] == ([True] if said else []), findings


@pytest.mark.parametrize("workers", ["0", "-3", "0.5", "x"])
def test_workers_to_a_gpu_are_a_number_from_1(workers, capsys):
    assert cli.main(["cluster", "check", "cluster.yaml", f"--workers-per-gpu={workers}"]) == cli.BAD_INPUT
    assert f"{workers!r} is not a number from 1" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "mode", "said"), [
    (key(), 0o644, "ssh refuses it"), (key(b"aes256-ctr"), 0o600, "has a passphrase"), ("ssh-rsa AAAA", 0o600, "no private key"),
    ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", 0o600, "has a passphrase"),
])  # fmt: skip
def test_a_key_that_ssh_or_the_head_could_not_use(text, mode, said, home, tmp_path):
    (home / ".ssh/id_ed25519").write_text(text)
    (home / ".ssh/id_ed25519").chmod(mode)
    assert [str(f) for f in found(config("local"), tmp_path) if said in str(f) and not f.warning]


def test_a_token_that_is_missing_or_empty(home, tmp_path):
    (home / ".ray/auth_token").write_text("\n")
    assert [f.warning for f in found(config("aws"), tmp_path) if "empty" in str(f)] == [False]
    (home / ".ray/auth_token").unlink()
    assert [f.warning for f in found(config("aws"), tmp_path) if "ray get-auth-token --generate" in str(f)] == [False]


def test_a_mount_that_every_node_would_wait_for(home, tmp_path):
    with (tmp_path / "data.h5").open("wb") as file:
        file.truncate(200 * 2**20)  # a hole: no bytes are written
    changed = config("aws")
    changed["file_mounts"]["~/data"] = str(tmp_path)
    assert [f.warning for f in found(changed, tmp_path) if "has 200 MB" in str(f)] == [True]


@pytest.mark.parametrize("tool", ["ssh", "rsync"])
def test_a_missing_tool(tool, home, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None if name == tool else name)
    assert [f.warning for f in found(config("local"), tmp_path) if f"no {tool}, which" in str(f)] == [False]


@pytest.mark.parametrize(("kind", "package"), [("aws", "boto3"), ("gcp", "google-api-python-client")])
def test_a_cloud_without_its_library(kind, package, home, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert [f.warning for f in found(config(kind), tmp_path) if f"pip install {package}" in str(f)] == [False]


@pytest.fixture
def pods():
    """The documents of a KubeRay file, and both of its containers."""
    documents = list(yaml.safe_load_all((ROOT / "cluster/kuberay-cluster.yaml").read_text()))
    spec = documents[0]["spec"]
    groups = (spec["headGroupSpec"], *spec["workerGroupSpecs"])
    return documents, [group["template"]["spec"]["containers"][0] for group in groups]


@pytest.mark.parametrize(("image", "said"), [
    ("REGISTRY/hqc_ray:0.1.0", "hqc_ray:0.1.0' is an example (valid: your own registry's address in place of REGISTRY)"),
    ("ghcr.io/Me/hqc_ray:0.1.0", "a repository's name has no capitals (valid: ghcr.io/me/hqc_ray:0.1.0)"),
    ("HQC:A", "a repository's name has no capitals (valid: hqc:A)"),
    ("rayproject/ray:2.9.0-py311", "'rayproject/ray:2.9.0-py311' has Ray 2.9.0, and this project is tested with 2.60.0"),
    (DELETE, "image: missing"),
])  # fmt: skip
def test_an_image_that_no_pod_could_pull_or_join_with(image, said, pods, tmp_path):
    documents, containers = pods
    for container in containers:
        put("image", image)(container)
    errors = [str(finding) for finding in found(documents, tmp_path) if not finding.warning]
    assert [said in line for line in errors] == [True, True], errors


@pytest.mark.parametrize("image", [
    "ghcr.io/me/hqc-ray:0.1.0", "Registry.local:5000/hqc_ray:0.1.0-RC1", "localhost/hqc:1", "hqc:A",
    "rayproject/ray:2.60.0-py311-gpu", "ghcr.io/me/hqc@sha256:0A",
])  # fmt: skip
def test_an_image_that_a_pod_can_pull(image, pods, tmp_path):
    documents, containers = pods
    for container in containers:
        container["image"] = image
    assert found(documents, tmp_path) == []


@pytest.mark.parametrize(
    "file", ["cluster/kuberay-cluster.yaml", "cluster/kuberay-job.yaml", "cluster/kuberay-files.yaml", "cluster/gcp.yaml"]
)
def test_the_examples_in_the_project_s_own_files_are_found(file, home, tmp_path):
    assert [f for f in check.check(file, results=str(tmp_path)) if "is an example" in f.what]


def test_results_where_nothing_can_be_written(home, tmp_path):
    (tmp_path / "results").write_text("a file, not a folder")
    assert [f.warning for f in found(config("local"), tmp_path) if "cannot be written" in str(f)] == [False]
