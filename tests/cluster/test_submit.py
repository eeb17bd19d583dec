"""`hqc submit` and `hqc sweep --address` on a real local head with its job server and a token."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import ray

from hqc_ray import cli
from hqc_ray.cluster import submit
from hqc_ray.errors import InputError
from hqc_ray.results.ledger import Ledger
from hqc_ray.results.row import VOLATILE
from hqc_ray.sweep.tune import address as address_room
from tests.cluster import local_head
from tests.sweep.conftest import SMALL

CODE = {
    "mine/__init__.py": "",
    "mine/.secret": "what is hidden stays",
    "mine/attacks.py": """
        import os, time
        from pathlib import Path
        import mine_helper
        from hqc_ray.attacks import FGSM

        print(f"HQC_DATA is {os.environ.get('HQC_DATA')}, HQC_NOTE is {os.environ.get('HQC_NOTE')}", flush=True)

        class Mine(FGSM):
            wait: str = ""

            def search(self, *args):
                while self.wait and not Path(self.wait).exists():
                    time.sleep(mine_helper.SECONDS)
                return super().search(*args)
        """,
    "mine_helper.py": "SECONDS = 0.05",
}


def user_code(folder):
    for name, text in CODE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.splitlines()
        path.write_text("\n".join(line.removeprefix(" " * 8) for line in lines) + "\n")


def sweep_of(folder, name, attack="{name: fgsm, epsilon: [0.01, 0.1]}"):
    path = folder / f"{name}.yaml"
    path.write_text(SMALL.replace("name: small", f"name: {name}").replace("{name: fgsm, epsilon: [0.01, 0.1]}", attack))
    return path


def table(folder):
    """All that a run must reproduce, whatever its sweep is called."""
    keys = json.loads((folder / "cells.json").read_text())
    rows = Ledger(folder / "rows.jsonl").rows
    return [rows[key].model_dump(exclude={*VOLATILE, "sweep"}) for key in keys]


@pytest.fixture(scope="module")
def head():
    folder = Path(tempfile.mkdtemp(prefix="hqc", dir="/tmp"))  # pytest's own folders are too long for Ray's sockets
    try:
        with local_head.started(folder, HQC_DATA="/the/head's") as running:
            yield running
    except TimeoutError as problem:
        pytest.skip(f"no local head can start here: {problem}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def hqc(head, tmp_path):
    """Starts `hqc` as a user does, who has code that only this machine has, and may enter the cluster."""
    user_code(tmp_path / "code")
    (tmp_path / "elsewhere").mkdir()
    python = f"{local_head.ROOT}{os.pathsep}{tmp_path / 'code'}"
    env = {n: v for n, v in os.environ.items() if n not in local_head.STRANGERS} | head.access | {"PYTHONPATH": python}

    def start(*arguments, **changes):
        command = [sys.executable, "-m", "hqc_ray.cli", *map(str, arguments)]
        cwd, pipes = tmp_path / "elsewhere", {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=env | changes, cwd=cwd, text=True, preexec_fn=listening, **pipes)

    return start


def listening():
    """Ctrl-C is heard, as in a terminal: a shell's background jobs, and what these start, ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ended(process):
    out, err = process.communicate(timeout=300)
    assert local_head.TOKEN not in out + err
    return process.returncode, out, err


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The table of the same cells, computed in this process."""
    folder = tmp_path_factory.mktemp("serial")
    assert cli.main(["sweep", str(sweep_of(folder, "plain")), "--results", str(folder), "--serial"]) == cli.OK
    return table(folder / "plain")


def test_a_submitted_sweep_brings_its_code_and_leaves_its_table_on_the_head(head, hqc, tmp_path, serial):
    file = sweep_of(tmp_path, "brought", "[{name: fgsm, epsilon: [0.01, 0.1]}, {name: 'mine.attacks:Mine', epsilon: 0.1}]")
    code, out, err = ended(hqc("submit", file, "--address", head.dashboard, "--env", "HQC_NOTE=hello"))
    assert code == cli.OK, out + err
    assert "brought.yaml (" in out
    assert "mine (" in out
    assert "mine_helper.py (" in out
    assert "HQC_DATA is /the/head's, HQC_NOTE is hello" in out
    rows = table(head.home / "results" / "brought")
    assert rows[:2] == serial
    assert [row["robust_correct"] for row in rows if "Mine" in row["attack"]] == [serial[1]["robust_correct"]]
    shipped = [path.name for path in (head.home / "ray").glob("session_*/runtime_resources/**/*") if path.is_file()]
    assert {"brought.yaml", "attacks.py", "mine_helper.py"} <= set(shipped)
    assert not {".secret", "elsewhere"} & set(shipped)
    logs = [path.read_text(errors="replace") for path in (head.home / "ray").glob("session_*/logs/**/*") if path.is_file()]
    assert not any(local_head.TOKEN in log for log in logs)


def test_ctrl_c_leaves_the_job_running_and_a_second_driver_is_refused(head, hqc, tmp_path):
    go = tmp_path / "go"
    file = sweep_of(tmp_path, "slow", f"{{name: 'mine.attacks:Mine', epsilon: 0.1, wait: '{go}'}}")
    first = hqc("submit", file, "--address", head.dashboard, "--results", "elsewhere")
    job = next(line.split()[1] for line in first.stdout if line.startswith("job "))
    ledger = head.home / "elsewhere" / "slow"
    wait_for(lambda: (ledger / "cells.json").exists())

    code, out, err = ended(hqc("submit", file, "--address", head.dashboard, "--results", "elsewhere"))
    assert (code, out) == (cli.BAD_INPUT, "")
    assert f"slow: this sweep is running there already, as job {job} (valid: to watch it: ray job logs" in err
    code, _, err = ended(hqc("sweep", file, "--address", head.gcs, "--results", ledger.parent))
    assert (code, "another driver is at work in this results folder" in err) == (cli.BAD_INPUT, True), err

    first.send_signal(signal.SIGINT)
    code, out, err = ended(first)
    assert code == cli.OK, err
    assert f"no longer watching; {job} goes on" in err
    assert f"ray job stop --address {head.dashboard} {job}" in out
    assert head.status(job) == "RUNNING"
    go.touch()
    wait_for(lambda: head.status(job) != "RUNNING")
    assert head.status(job) == "SUCCEEDED"
    assert len(table(ledger)) == 1


def test_two_sweeps_at_once_do_not_meet_and_find_their_code(head, hqc, tmp_path, serial):
    plain = hqc("sweep", sweep_of(tmp_path, "plain"), "--address", head.gcs, "--results", tmp_path / "a")
    own = sweep_of(tmp_path, "own", "{name: 'mine.attacks:Mine', epsilon: [0.01, 0.1]}")
    mine = hqc("sweep", own, "--address", head.gcs, "--results", tmp_path / "b")
    for process in (plain, mine):
        code, _, err = ended(process)
        assert code == cli.OK, err
    assert table(tmp_path / "a" / "plain") == serial
    assert [row["robust_correct"] for row in table(tmp_path / "b" / "own")] == [row["robust_correct"] for row in serial]


def wait_for(happened, seconds=60):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ray://127.0.0.1:10001", "cannot run through Ray Client"),
        ("http://127.0.0.1:8265", "cannot run through Ray Client or the dashboard"),
        ("127.0.0.1:1", "nothing answers there"),
        ("here", "not an address"),
    ],
)
def test_an_address_that_no_sweep_can_run_on_is_refused_at_once(tmp_path, capsys, address, says):
    assert (
        cli.main(["sweep", str(sweep_of(tmp_path, "plain")), "--address", address, "--results", str(tmp_path)]) == cli.BAD_INPUT
    )
    [line] = capsys.readouterr().err.splitlines()
    assert f"--address {address}: " in line
    assert says in line
    assert "hqc submit FILE" in line


def test_a_machine_that_is_no_node_is_told_so_at_once(monkeypatch):
    monkeypatch.setattr(address_room, "_clusters", set)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(InputError, match=r"not a node of that cluster: no raylet runs here \(valid: .*hqc submit FILE"):
            address_room.check(address)
        monkeypatch.undo()
        monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")  # it decides what auto means
        with pytest.raises(InputError, match=r"^RAY_ADDRESS=ray://127\.0\.0\.1:10001: a driver"):
            address_room.check("auto")


def test_auto_is_not_the_ray_that_another_sweep_started_for_itself(monkeypatch):
    """Ray would look for it at this machine's address, where nothing answers, and go on looking."""
    raylet = ["/x/raylet", "--node_ip_address=127.0.0.1", "--gcs-address=127.0.0.1:1"]
    here = f"{ray.util.get_node_ip_address()}:1"
    assert here not in address_room._clusters()
    with subprocess.Popen([raylet[0], "-c", "import time; time.sleep(60)", *raylet[1:]], executable=sys.executable) as other:
        while not Path(f"/proc/{other.pid}/cmdline").read_bytes().startswith(b"/x/"):
            time.sleep(0.01)
        assert here in address_room._clusters()
        other.kill()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(address_room, "_clusters", lambda: {"127.0.0.1:1"})
    with pytest.raises(InputError, match=r"^--address auto: the Ray that runs here is that of another sweep.*hqc submit FILE"):
        address_room.check("auto")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setattr(address_room, "_clusters", lambda: {"127.0.0.1:1", f"127.0.0.1:{listening.getsockname()[1]}"})
        address_room.check("auto")


def test_a_driver_without_the_token_is_told_so(head, hqc, tmp_path):
    code, _, err = ended(hqc("cluster", "doctor", "--address", head.gcs, RAY_AUTH_TOKEN_PATH=str(tmp_path / "nowhere")))
    assert code == cli.BAD_INPUT
    assert "no Ray cluster admits this process: RAY_AUTH_TOKEN_PATH is set but file cannot be opened" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("auto", "not the address of a dashboard"),
        ("http://", "not the address of a dashboard"),
        ("https:///", "not the address of a dashboard"),
        ("http://127.0.0.1:1", "no job server answers: Failed to connect to Ray at address: http://127.0.0.1:1."),
    ],
)
def test_no_job_server_is_one_line(tmp_path, capsys, monkeypatch, address, says):
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:2")  # Ray would prefer it to what was typed
    assert cli.main(["submit", str(sweep_of(tmp_path, "plain")), "--address", address]) == cli.BAD_INPUT
    [line] = capsys.readouterr().err.splitlines()
    assert f"--address {address}: {says}" in line
    assert "ray dashboard cluster.yaml" in line


def test_a_wrong_token_is_one_line(head, hqc, tmp_path):
    (tmp_path / "token").write_text("another")
    token = str(tmp_path / "token")
    code, _, err = ended(hqc("submit", sweep_of(tmp_path, "plain"), "--address", head.dashboard, RAY_AUTH_TOKEN_PATH=token))
    assert code == cli.BAD_INPUT
    assert "does not accept this machine's token (valid: RAY_AUTH_MODE=token" in err.splitlines()[-1]


@pytest.mark.parametrize("setting", ["QISKIT_IBM_TOKEN=abc", "AWS_SECRET_ACCESS_KEY=abc", "db_password=abc", "api_key=abc"])
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(tmp_path, setting):
    with pytest.raises(InputError, match="a secret does not belong on a command line") as refused:
        submit.prepare(sweep_of(tmp_path, "plain"), env=[setting])
    assert "abc" not in str(refused.value)


def test_what_is_wrong_in_the_file_is_said_before_anything_is_shipped(tmp_path):
    file = sweep_of(tmp_path, "plain")
    file.write_text(file.read_text().replace("epochs: 1", "epoch: 1"))
    with pytest.raises(InputError, match="unknown option 'epoch'"):
        submit.prepare(file)


@pytest.mark.parametrize(
    ("results", "there"),
    [("results", "$HOME/results"), ("~/my runs/", "$HOME/'my runs'"), ("/mnt/out", "/mnt/out"), ("a;b", "$HOME/'a;b'")],
)
def test_results_lie_in_the_heads_home_and_no_name_is_a_command(tmp_path, results, there):
    ready = submit.prepare(sweep_of(tmp_path, "plain"), results)
    assert ready.entrypoint == f"hqc sweep plain.yaml --address auto --results {there}"


def test_a_job_takes_the_options_of_a_sweep(tmp_path, monkeypatch):
    asked, prepare = [], submit.prepare
    monkeypatch.setattr(submit, "connect", lambda _: pytest.fail("connected"))
    monkeypatch.setattr(submit, "prepare", lambda *given: asked.append(given) or prepare(*given))
    file = str(sweep_of(tmp_path, "plain"))
    for options in (["--workers", "8", "--storage", "s3://a b/c"], ["--workers-per-gpu", "4"], []):
        with pytest.raises(pytest.fail.Exception):
            cli.main(["submit", file, *options])
    plain = "hqc sweep plain.yaml --address auto --results $HOME/results"
    entrypoints = [prepare(*given).entrypoint.removeprefix(plain) for given in asked]
    assert entrypoints == [" --storage 's3://a b/c' --workers 8", " --workers-per-gpu 4", ""]
    assert cli.main(["submit", file, "--workers", "0"]) == cli.BAD_INPUT
