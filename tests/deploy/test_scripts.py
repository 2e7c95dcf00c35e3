"""The scripts are sound, and stop and continue as Slurm and EC2 ask for it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
SBATCH = sorted((DEPLOY / "slurm").glob("*.sbatch"))
# What sbatch knows of what a batch could ask for (Slurm's manual, sbatch(1)), with its values.
OPTIONS = {
    "job-name": r"[\w-]+",
    "nodes": r"\d+(-\d+)?",
    "ntasks": r"\d+",
    "ntasks-per-node": r"\d+",
    "cpus-per-task": r"\d+",
    "mem": r"\d+[KMGT]?",
    "gpus-per-node": r"(\w+:)?\d+",
    "exclusive": r"(user|mcs)?",
    "no-kill": r"(off)?",
    "time": r"(\d+-)?\d{2}:\d{2}:\d{2}",
    "signal": r"(B:|R:|RB:)?[A-Z]+(@\d+)?",
    "requeue": "",
    "open-mode": r"append|truncate",
    "output": r"[\w%./-]+",
}
STUBS = {
    # Stops when it is asked to, as the runner does, and says what it was called with.
    "elab": 'trap "sleep 0.2; exit 143" TERM\n'
    'echo "$@" >>"$TOLD"\n[ "$CODE" = wait ] || exit "$CODE"\n'
    'touch "$TOLD.begun"\nwhile :; do sleep 0.1; done',
    "scontrol": 'echo "scontrol $*" >>"$TOLD"',
    "srun": 'echo "srun $*" >>"$TOLD"\nexec sleep 60',
    "python": "exit 0",
    "hostname": "echo 192.0.2.1 192.0.2.2",
}


@pytest.fixture
def told(tmp_path: Path) -> Path:
    for name, script in STUBS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path / "told"


def start(script: Path, told: Path, code: object) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PATH": f"{told.parent}:{os.environ['PATH']}",
        "TOLD": str(told),
        "CODE": str(code),
        "SLURM_JOB_ID": "30042",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURMD_NODENAME": "one",
    }
    return subprocess.Popen(
        ["bash", script, "batches/x.yaml", "s3://bucket"], env=environment, start_new_session=True
    )


@contextmanager
def ended_afterwards(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Slurm ends what a job's script leaves behind; here nobody does."""
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("script", [*SBATCH, DEPLOY / "spot-notice"], ids=lambda path: path.name)
def test_a_script_is_sound(script: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    checked = subprocess.run([shellcheck, script], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("script", SBATCH, ids=lambda path: path.name)
def test_slurm_has_the_options(script: Path) -> None:
    lines = re.findall(r"^#SBATCH (.+)$", script.read_text(), re.M)
    assert len(lines) > 10
    for line in lines:
        name, _, value = line.removeprefix("--").partition("=")
        assert re.fullmatch(OPTIONS[name], value), line


@pytest.mark.parametrize("script", SBATCH, ids=lambda path: path.name)
@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_job_ends_as_its_runner(script: Path, told: Path, code: int) -> None:
    job = start(script, told, code)
    with ended_afterwards(job):
        assert job.wait(30) == code
    assert "batch run batches/x.yaml --store s3://bucket" in told.read_text()
    assert "scontrol" not in told.read_text()


@pytest.mark.parametrize("script", SBATCH, ids=lambda path: path.name)
def test_a_job_that_has_to_go_waits_for_its_runner_and_is_queued_again(
    script: Path, told: Path
) -> None:
    job = start(script, told, "wait")
    with ended_afterwards(job):
        end = time.monotonic() + 30
        while not told.with_name("told.begun").exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        job.send_signal(signal.SIGTERM)
        assert job.wait(30) == 143
    assert told.read_text().splitlines()[-1] == "scontrol requeue 30042"


def test_rays_machines_find_each_other(told: Path) -> None:
    job = start(DEPLOY / "slurm" / "ray.sbatch", told, 0)
    with ended_afterwards(job):
        job.wait(30)
        time.sleep(0.2)
    said = told.read_text()
    assert (
        "--nodelist=one ray start --block --head --node-ip-address=192.0.2.1 --port=20042" in said
    )
    assert "--nodes=2 --ntasks=2 --cpus-per-task=8 --no-kill --exclude=one" in said
    assert said.count("--address=192.0.2.1:20042") == 1
    assert "--engine ray --address 192.0.2.1:20042" in said


def test_a_spot_notice_is_passed_on_as_a_file(tmp_path: Path) -> None:
    asked: list[tuple[str, str | None]] = []

    class Metadata(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self._answer(200, b"secret")

        def do_GET(self) -> None:
            asked.append((self.path, self.headers["X-aws-ec2-metadata-token"]))
            assert not (tmp_path / "notice").exists()
            self._answer(404 if len(asked) < 3 else 200, b"{}")

        def _answer(self, code: int, content: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    (tmp_path / "sleep").write_text("#!/bin/bash\n")
    (tmp_path / "sleep").chmod(0o755)
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        Thread(target=server.serve_forever).start()
        environment = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        }
        done = subprocess.run(
            [DEPLOY / "spot-notice", tmp_path / "notice"], env=environment, timeout=60
        )
        server.shutdown()

    assert done.returncode == 0
    assert (tmp_path / "notice").exists()
    assert asked == [("/latest/meta-data/spot/instance-action", "secret")] * 3
