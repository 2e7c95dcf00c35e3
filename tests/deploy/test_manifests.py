"""The manifests say what Kubernetes and KubeRay understand, and name what is there."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from enterprise_lab.batch.attempts.supervisor import (
    INTERRUPT_GRACE_SECONDS,
    TERMINATE_GRACE_SECONDS,
)

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
SCHEMAS = json.loads((Path(__file__).parent / "schemas" / "kubernetes.json").read_text())["schemas"]
POD = SCHEMAS["io.k8s.api.core.v1.PodTemplateSpec"]


def fields(required: str, **schemas: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": schemas,
        "required": required.split(),
        "additionalProperties": False,
    }


TEXT, WHOLE, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
GROUP: dict[str, Any] = {"rayStartParams": TEXTS, "template": POD}
RAY_JOB = fields(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields("name", name=TEXT),
    spec=fields(
        "rayClusterSpec",
        entrypoint=TEXT,
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=WHOLE,
        rayClusterSpec=fields(
            "headGroupSpec",
            rayVersion=TEXT,
            authOptions=fields("", mode={"enum": ["disabled", "token"]}),
            headGroupSpec=fields("template", **GROUP),
            workerGroupSpecs={
                "type": "array",
                "items": fields(
                    "groupName template maxReplicas minReplicas",
                    groupName=TEXT,
                    replicas=WHOLE,
                    minReplicas=WHOLE,
                    maxReplicas=WHOLE,
                    **GROUP,
                ),
            },
        ),
    ),
)
OF_KIND = {
    "Job": SCHEMAS["io.k8s.api.batch.v1.Job"],
    "ServiceAccount": SCHEMAS["io.k8s.api.core.v1.ServiceAccount"],
    "RayJob": RAY_JOB,
}


def manifests() -> dict[str, Any]:
    return {path.name: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yaml")}


def pods(content: Any) -> list[Any]:
    if content["kind"] == "Job":
        return [content["spec"]["template"]["spec"]]
    if content["kind"] == "RayJob":
        cluster = content["spec"]["rayClusterSpec"]
        groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        return [group["template"]["spec"] for group in groups]
    return []


ALL_PODS = [pod for content in manifests().values() for pod in pods(content)]


@pytest.mark.parametrize("name", sorted(manifests()))
def test_a_manifest_has_the_fields_that_there_are(name: str) -> None:
    content = manifests()[name]
    jsonschema.validate(content, OF_KIND[content["kind"]])


@pytest.mark.parametrize("name", sorted(manifests()))
def test_a_misspelt_field_is_found_wherever_it_is(name: str) -> None:
    content = manifests()[name]
    validator = jsonschema.Draft202012Validator(OF_KIND[content["kind"]])
    for path in _mappings(content):
        changed = copy.deepcopy(content)
        place = changed
        for step in path:
            place = place[step]
        place["misspelt"] = {}
        assert not validator.is_valid(changed), path


def _mappings(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(content, list):
        return [p for i, one in enumerate(content) for p in _mappings(one, (*path, i))]
    if not isinstance(content, dict):
        return []
    found = [path]
    for name, below in content.items():
        if name not in ("annotations", "nodeSelector", "rayStartParams", "requests", "limits"):
            found += _mappings(below, (*path, name))
    return found


def test_pods_have_the_time_to_stop_in_the_order_that_a_notice_leaves() -> None:
    to_stop = INTERRUPT_GRACE_SECONDS + TERMINATE_GRACE_SECONDS
    for pod in ALL_PODS:
        assert to_stop * 2 < pod["terminationGracePeriodSeconds"] < 120


def test_pods_mount_what_they_have_and_find_their_account() -> None:
    account = manifests()["access.yaml"]["metadata"]["name"]
    for pod in ALL_PODS:
        assert pod["serviceAccountName"] == account
        (container,) = pod["containers"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_plans_are_there() -> None:
    text = "".join(path.read_text() for path in FOLDER.glob("*.yaml"))
    plans = re.findall(r"batches/[\w-]+\.yaml", text)
    assert len(plans) == 2
    assert all((ROOT / plan).is_file() for plan in plans)


def test_ray_is_of_one_version() -> None:
    (constraint,) = re.findall(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.M)
    (image,) = re.findall(r"FROM rayproject/ray:([\d.]+)", (ROOT / "deploy/Dockerfile").read_text())
    cluster = manifests()["ray-job.yaml"]["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == image == constraint
