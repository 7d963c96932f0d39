"""A set of equal servers on Kubernetes: manifests as plain objects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from serving.deploy.config import GRPC_PORT, REST_PORT
from serving.deploy.docker import BINARY, USER_ID
from serving.deploy.plan import Plan
from serving.deploy.server_files import CONFIG_DIR, METRICS_PATH, MODELS_DIR, server_flags

Manifest = dict[str, Any]
_CONTAINER = "model-server"
_DRAIN_SECONDS = 15  # for balancers to learn that a pod goes, before its server is told to


def manifests(plan: Plan, files: Mapping[str, str]) -> dict[str, Manifest]:
    """File name → manifest; `files` are the server's own, by name."""
    return {
        "config-map.yaml": _config_map(plan, files),
        "deployment.yaml": _deployment(plan, files),
        "service.yaml": _service(plan, plan.config.name),
        # A gRPC client holds one connection to one pod: it balances itself over the addresses of this one.
        "service-headless.yaml": _service(plan, f"{plan.config.name}-headless", is_headless=True),
        "horizontal-pod-autoscaler.yaml": _autoscaler(plan),
        "pod-disruption-budget.yaml": _disruption_budget(plan),
    }


def _head(plan: Plan, version: str, kind: str, name: str | None = None) -> Manifest:
    metadata: Manifest = {"name": name or plan.config.name, "labels": _labels(plan)}
    if plan.config.namespace is not None:
        metadata["namespace"] = plan.config.namespace
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _labels(plan: Plan) -> dict[str, str]:
    return {"app.kubernetes.io/name": plan.config.name, "app.kubernetes.io/component": _CONTAINER}


def _config_map(plan: Plan, files: Mapping[str, str]) -> Manifest:
    """The server's files, under a name that changes with them.

    So another configuration rolls out as another image does. Pods of the roll-out before keep theirs: it names the
    versions that their image has, and a file that changed under them would make them drop these.
    """
    return {**_head(plan, "v1", "ConfigMap", _config_name(plan, files)), "immutable": True, "data": dict(files)}


def _config_name(plan: Plan, files: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()
    return f"{plan.config.name}-{digest[:10]}"


def _deployment(plan: Plan, files: Mapping[str, str]) -> Manifest:
    annotations = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(REST_PORT),
        "prometheus.io/path": METRICS_PATH,
    }
    return {
        **_head(plan, "apps/v1", "Deployment"),
        "spec": {
            # No replicas: the autoscaler's number would be reset with every apply.
            "selector": {"matchLabels": _labels(plan)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "minReadySeconds": 5,
            "template": {
                "metadata": {"labels": _labels(plan), "annotations": annotations},
                "spec": _pod(plan, _config_name(plan, files)),
            },
        },
    }


def _pod(plan: Plan, config_name: str) -> Manifest:
    volumes: list[Manifest] = [{"name": "config", "configMap": {"name": config_name}}]
    if plan.config.claim is not None:
        claim = {"claimName": plan.config.claim, "readOnly": True}
        volumes.append({"name": "models", "persistentVolumeClaim": claim})
    return {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 2 * _DRAIN_SECONDS,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _labels(plan)},
            }
        ],
        "containers": [_container(plan)],
        "volumes": volumes,
    }


def _container(plan: Plan) -> Manifest:
    mounts = [{"name": "config", "mountPath": CONFIG_DIR, "readOnly": True}]
    if plan.config.claim is not None:
        mounts.append({"name": "models", "mountPath": MODELS_DIR, "readOnly": True})
    health = {"grpc": {"port": GRPC_PORT}}
    return {
        "name": _CONTAINER,
        "image": plan.image if plan.config.claim is not None else plan.image_with_models,
        "command": [BINARY],
        "args": server_flags(plan),
        "ports": [
            {"name": "grpc", "containerPort": GRPC_PORT},
            {"name": "http", "containerPort": REST_PORT},
        ],
        "resources": {
            "requests": {"cpu": plan.config.cpu, "memory": plan.memory},
            # No limit on CPU: a throttled server misses deadlines while the node idles.
            "limits": {"memory": plan.memory},
        },
        # The ports open when all models are loaded: up to ten minutes for that.
        "startupProbe": {**health, "periodSeconds": 5, "failureThreshold": 120},
        "readinessProbe": {**health, "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 2},
        "livenessProbe": {**health, "periodSeconds": 20, "timeoutSeconds": 5, "failureThreshold": 3},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(_DRAIN_SECONDS)]}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _service(plan: Plan, name: str, *, is_headless: bool = False) -> Manifest:
    spec: Manifest = {
        "selector": _labels(plan),
        "ports": [
            {"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"},
            {"name": "http", "port": REST_PORT, "targetPort": "http", "appProtocol": "http"},
        ],
    }
    if is_headless:
        spec = {"clusterIP": "None", **spec}
    return {**_head(plan, "v1", "Service", name), "spec": spec}


def _autoscaler(plan: Plan) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": plan.config.target_cpu_percent}
    return {
        **_head(plan, "autoscaling/v2", "HorizontalPodAutoscaler"),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": plan.config.name},
            "minReplicas": plan.config.min_replicas,
            "maxReplicas": plan.config.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            # A lull of a minute is no reason to load the models again a minute later.
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    }


def _disruption_budget(plan: Plan) -> Manifest:
    return {
        **_head(plan, "policy/v1", "PodDisruptionBudget"),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(plan)}},
    }
