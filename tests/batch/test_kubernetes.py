"""The manifests of examples/kubernetes/, against the schemas of Kubernetes and the fields of KubeRay."""

import shlex
from pathlib import Path

import pytest
import yaml

from ssim_ae.cli import COMMANDS
from ssim_ae.commands.parser import Parser
from ssim_ae.config import Config

FOLDER = Path(__file__).parents[2] / "examples" / "kubernetes"
# Fields of RayJobSpec, RayClusterSpec, HeadGroupSpec and WorkerGroupSpec of KubeRay's ray.io/v1 that are used
JOB = {"entrypoint": str, "backoffLimit": int, "shutdownAfterJobFinishes": bool, "ttlSecondsAfterFinished": int}
CLUSTER = {"headGroupSpec": dict, "workerGroupSpecs": list}
HEAD = {"rayStartParams": dict, "template": dict}
WORKERS = {**HEAD, "groupName": str, "replicas": int, "minReplicas": int, "maxReplicas": int}


def documents(name: str) -> list[dict]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def check_fields(part: dict, types: dict[str, type]) -> None:
    assert part.keys() == types.keys()
    assert all(type(part[name]) is kind for name, kind in types.items())


def arguments_of(words: list[str]):
    """Return the options that `ssim-ae` reads from a command."""
    parser = Parser(allow_abbrev=False)
    COMMANDS[words[0]].arguments(parser)
    return parser.parse_args(parser.normalize_option_names(words[1:]))


def test_the_job_that_inspects():
    (job,) = documents("inspect.yaml")
    assert (job["apiVersion"], job["kind"], job["metadata"]) == ("ray.io/v1", "RayJob", {"name": "inspect"})
    check_fields(job["spec"], {**JOB, "rayClusterSpec": dict})
    cluster = job["spec"]["rayClusterSpec"]
    check_fields(cluster, CLUSTER)
    check_fields(cluster["headGroupSpec"], HEAD)
    for group in cluster["workerGroupSpecs"]:
        check_fields(group, WORKERS)
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(type(value) is str for value in group["rayStartParams"].values()), "KubeRay takes texts alone"
    program, *words = shlex.split(job["spec"]["entrypoint"])
    options = arguments_of(words)
    assert (program, options.ray) == ("ssim-ae", "auto")
    assert options.output.startswith("s3://")


def test_the_job_that_trains():
    service, job = documents("train.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    words = container["args"]
    options = arguments_of(words[words.index("ssim_ae") + 1 :])
    settings = {key.removeprefix("config."): value for key, value in vars(options).items() if key.startswith("config.")}
    assert Config.read("", {key: value for key, value in settings.items() if value is not None}).distribute
    assert f"--nnodes={job['spec']['completions']}" in words
    assert job["spec"]["completions"] == job["spec"]["parallelism"]
    name, subdomain = job["metadata"]["name"], job["spec"]["template"]["spec"]["subdomain"]
    assert f"--rdzv-endpoint={name}-0.{subdomain}:{service['spec']['ports'][0]['port']}" in words
    assert (service["metadata"]["name"], service["spec"]["selector"]) == (subdomain, {"job-name": name})


def test_pods_jobs_and_services_have_the_fields_of_kubernetes():
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate").validate
    (ray_job,) = documents("inspect.yaml")
    cluster = ray_job["spec"]["rayClusterSpec"]
    templates = [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, **template} for template in templates]
    for document in (*documents("train.yaml"), *pods):
        validate(document, "1.32", strict=True)
