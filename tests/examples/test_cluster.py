"""The examples for clusters, as far as one machine allows: the variables that Slurm, Open MPI and
Kubernetes set are set by hand, around two real processes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nerf import main
from nerf.cli import modes
from tests.support.command_line import TINY
from tests.support.job import REPOSITORY, free_port

CLUSTER = REPOSITORY / "examples" / "cluster"
NUM_PROCESSES = 2
# In place of the program of this name. It starts processes as Slurm does, with what JAX reads.
SRUN = """#!/bin/bash
[ "$1" = "--kill-on-bad-exit=0" ] && shift
export SLURM_JOB_ID={job} SLURM_STEP_NODELIST=localhost SLURM_STEP_NUM_NODES=1 SLURM_NTASKS=2
SLURM_PROCID=1 SLURM_LOCALID=1 "$@" &
SLURM_PROCID=0 SLURM_LOCALID=0 "$@"
status=$?
wait $! && exit $status
"""
KUBERNETES = """
from types import SimpleNamespace as Space
from jax._src.clusters.k8s_cluster import K8sCluster

metadata = Space(
    name="nerf", labels={"job-name": "nerf"}, owner_references=[Space(controller=True, kind="Job")]
)
pod = Space(metadata=metadata, spec=Space(subdomain="nerf"))
job = Space(metadata=metadata, spec=Space(parallelism=2))
api = lambda: Space(
    list_namespaced_pod=lambda namespace, field_selector: Space(items=[pod]),
    read_namespaced_job=lambda name, namespace: {"nerf": job}[name],
)
client = Space(CoreV1Api=api, BatchV1Api=api, exceptions=Space(ApiException=KeyError))
K8sCluster._namespace = classmethod(lambda cls: "default")
config = Space(load_incluster_config=lambda: None)
"""


def environment(bin, **more):
    """That of a job: it finds this Python, and programs of `bin` before others."""
    found = {name: text for name, text in os.environ.items() if not name.startswith("SLURM")}
    return found | {
        "PATH": f"{bin}:{Path(sys.executable).parent}:{found['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        **more,
    }


def program(folder, name, text):
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


def sbatch(script, bin, cwd, *arguments, **variables):
    """Runs a script as Slurm's first task would."""
    return subprocess.run(
        ["bash", CLUSTER / script, *arguments],
        cwd=cwd,
        env=environment(bin, **variables),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("task", "scene", "name"),
    [("0", "/data/garden", "garden"), ("1", "procedural:flower@24x18", "procedural-flower-24x18")],
)
def test_a_task_of_the_array_trains_its_line(tmp_path, task, scene, name):
    program(tmp_path, "srun", '#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (tmp_path / "scenes.txt").write_text("/data/garden\nprocedural:flower@24x18\n")
    ended = sbatch(
        "slurm_array.sh", tmp_path, tmp_path, "scenes.txt", "--steps=9", SLURM_ARRAY_TASK_ID=task
    )
    python, m, module, *flags = ended.stdout.splitlines()
    assert (python, m, module) == ("python", "-m", "nerf.main"), ended.stderr
    main.FLAGS.unparse_flags()
    modes.parse_flags(["nerf", *flags])
    found = main.FLAGS
    assert (found.scene, found.run_dir, found.steps) == (scene, f"runs/{name}", 9)


def test_a_task_without_a_line_says_so(tmp_path):
    (tmp_path / "scenes.txt").write_text("one\n")
    ended = sbatch("slurm_array.sh", tmp_path, tmp_path, "scenes.txt", SLURM_ARRAY_TASK_ID="1")
    assert ended.returncode == 1
    assert "has no line 2" in ended.stderr


@pytest.mark.slow
def test_a_job_of_slurm_trains_in_two_processes(scene, tmp_path):
    port = free_port()
    program(tmp_path, "srun", SRUN.format(job=7))
    ended = sbatch(
        "slurm_job.sh",
        tmp_path,
        tmp_path,
        *(f"--scene={scene}", "--run_dir=run", "--steps=4", "--video_frames=0", *TINY),
        JAX_COORDINATOR_PORT=str(port),
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("processes:  2 processes on 1 machine, 2 devices\n")
    assert (tmp_path / "run" / "eval.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["slurm", "open mpi", "kubernetes"])
def test_a_job_is_found_by_its_variables(cluster, tmp_path):
    port, arguments = free_port(), []
    if cluster == "slurm":
        of_all = {
            "SLURM_JOB_ID": "7",
            "SLURM_STEP_NODELIST": "localhost",
            "SLURM_NTASKS": "2",
            "JAX_COORDINATOR_PORT": str(port),
        }
        own = ("SLURM_PROCID", "SLURM_LOCALID")
    elif cluster == "open mpi":
        of_all = {
            "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://127.0.0.1:34911",
            "OMPI_COMM_WORLD_SIZE": "2",
            "JAX_COORDINATOR_PORT": str(port),
        }
        own = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")
    else:  # without a name server, the first pod has no name
        arguments = [f"127.0.0.1:{port}"]
        (tmp_path / "kubernetes.py").write_text(KUBERNETES)
        of_all = {
            "KUBERNETES_SERVICE_HOST": "10.0.0.1",
            "HOSTNAME": "localhost",
            "PYTHONPATH": f"{tmp_path}:{REPOSITORY}",
        }
        own = ("JOB_COMPLETION_INDEX",)
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.job_joins", *arguments],
            env=environment(tmp_path, **of_all, **dict.fromkeys(own, str(number))),
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(NUM_PROCESSES)
    ]
    try:
        printed = [process.communicate(timeout=120)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert printed == ["2 processes on 1 machine, 2 devices\n"] * NUM_PROCESSES


def test_the_parts_of_the_kubernetes_job_fit():
    parts = {
        part["kind"]: part
        for part in yaml.safe_load_all((CLUSTER / "kubernetes_job.yaml").read_text())
    }
    job, service, account = parts["Job"], parts["Service"], parts["ServiceAccount"]
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] > 1
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert pod["subdomain"] == service["metadata"]["name"]
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    binding = parts["RoleBinding"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account["metadata"]["name"]}]
    assert binding["roleRef"]["name"] == parts["Role"]["metadata"]["name"]
    allowed = {
        (resource, verb)
        for rule in parts["Role"]["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {("pods", "list"), ("jobs", "get"), ("services", "list")} <= allowed  # what JAX asks
    (container,) = pod["containers"]
    python, m, module, *flags = container["command"]
    assert (python, m, module) == ("python", "-m", "nerf.main")
    main.FLAGS.unparse_flags()
    modes.parse_flags(["nerf", *flags])
    assert main.FLAGS.distributed


@pytest.mark.parametrize("script", ["slurm_array.sh", "slurm_job.sh"])
def test_a_script_is_one_of_bash_with_options_before_its_commands(script):
    text = (CLUSTER / script).read_text()
    assert subprocess.run([shutil.which("bash"), "-n", CLUSTER / script]).returncode == 0
    assert text.rindex("#SBATCH") < text.index("set -euo")  # after a command, Slurm reads none
