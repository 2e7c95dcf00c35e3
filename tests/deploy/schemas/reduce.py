"""Make kubernetes.json: what the manifests use of Kubernetes' own schemas, and nothing else.

    python tests/deploy/schemas/reduce.py kubernetes_validate-1.37.0-py3-none-any.whl

A manifest that gains a field fails its test until this is run again, and ever after where
Kubernetes has no such field.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
MANIFESTS = HERE.parents[2] / "deploy" / "kubernetes"
VERSION = "v1.37.0"
DEFINITIONS = f"kubernetes_validate/kubernetes-json-schema/{VERSION}-local-strict/_definitions.json"
JOB = "io.k8s.api.batch.v1.Job"
POD = "io.k8s.api.core.v1.PodTemplateSpec"
ACCOUNT = "io.k8s.api.core.v1.ServiceAccount"
KEPT = ("type", "required", "enum", "format", "oneOf", "anyOf", "additionalProperties", "pattern")


def main(wheel: str) -> None:
    definitions = json.loads(zipfile.ZipFile(wheel).read(DEFINITIONS))["$defs"]
    schemas = {
        name: _reduced({"$ref": f"#/$defs/{name}"}, values, definitions)
        for name, values in _used().items()
    }
    text = json.dumps({"version": VERSION, "schemas": schemas}, indent=1, sort_keys=True)
    (HERE / "kubernetes.json").write_text(text + "\n")


def _used() -> dict[str, list[Any]]:
    """The values of each kind in the manifests."""
    objects = [
        content
        for path in sorted(MANIFESTS.glob("*.yaml"))
        for content in yaml.safe_load_all(path.read_text())
    ]
    cluster = next(o for o in objects if o["kind"] == "RayJob")["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return {
        JOB: [o for o in objects if o["kind"] == "Job"],
        ACCOUNT: [o for o in objects if o["kind"] == "ServiceAccount"],
        POD: [group["template"] for group in groups],
    }


def _reduced(schema: Any, values: list[Any], definitions: Any) -> dict[str, Any]:
    """The schema, without references, of those properties that some value has."""
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    kept = {key: schema[key] for key in KEPT if key in schema}
    if isinstance(schema.get("additionalProperties"), dict):
        below = [v for value in values for v in value.values()]
        kept["additionalProperties"] = _reduced(schema["additionalProperties"], below, definitions)
    if "items" in schema:
        below = [v for value in values for v in value]
        kept["items"] = _reduced(schema["items"], below, definitions)
    if "properties" in schema:
        kept["additionalProperties"] = False
        kept["properties"] = {
            name: _reduced(sub, [v[name] for v in values if name in v], definitions)
            for name, sub in schema["properties"].items()
            if any(name in value for value in values)
        }
    return kept


if __name__ == "__main__":
    main(sys.argv[1])
