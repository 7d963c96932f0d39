"""Manifests, image and Compose file, by their schemas and by each other."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import tensorflow as tf
import yaml
from tensorflow.core.protobuf import saved_model_pb2

from tests.serving.deploy.read_deployment import manifests_of
from tfrec.errors import ConfigError


def test_the_manifests_fit_kubernetes_own_schema(deploy):
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    out = deploy("--set", "namespace=shop", "--set", "claim=models")
    plain = manifests_of(out)
    with_image = manifests_of(deploy("--set", "cpu=500m", job=out.parent / "job"))
    for manifest in [*plain.values(), *with_image.values()]:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    assert {manifest["metadata"].get("namespace") for manifest in plain.values()} == {"shop"}
    assert sorted(manifest["kind"] for manifest in plain.values()) == [
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "Service",
        "Service",
    ]


def test_the_manifests_fit_each_other(deploy):
    out = deploy()
    found = manifests_of(out)
    spec = found["deployment.yaml"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    labels = spec["template"]["metadata"]["labels"]
    selectors = [
        spec["selector"]["matchLabels"],
        found["pod-disruption-budget.yaml"]["spec"]["selector"]["matchLabels"],
    ]
    selectors += [found[name]["spec"]["selector"] for name in ("service.yaml", "service-headless.yaml")]
    assert all(selector == labels for selector in selectors)
    target = found["horizontal-pod-autoscaler.yaml"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", found["deployment.yaml"]["metadata"]["name"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"] for port in found["service.yaml"]["spec"]["ports"]} == set(ports)
    flags = dict(flag.split("=", 1) for flag in container["args"])
    assert (flags["--port"], flags["--rest_api_port"]) == (str(ports["grpc"]), str(ports["http"]))
    probes = [container[name]["grpc"]["port"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert probes == [ports["grpc"]] * 3
    assert flags["--enable_grpc_healthcheck_service"] == "true"
    config = {name: (out / name).read_text() for name in ("models.config", "batching.config", "monitoring.config")}
    assert found["config-map.yaml"]["data"] == config
    assert pod["volumes"][0]["configMap"]["name"] == found["config-map.yaml"]["metadata"]["name"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    grace = pod["terminationGracePeriodSeconds"]
    assert int(container["lifecycle"]["preStop"]["exec"]["command"][1]) < grace


def test_pods_are_replaced_when_models_or_settings_change(deploy, make_job):
    def of_pod(out):
        manifests = manifests_of(out)
        pod = manifests["deployment.yaml"]["spec"]["template"]["spec"]
        assert manifests["config-map.yaml"]["immutable"]
        return pod["containers"][0]["image"], pod["volumes"][0]["configMap"]["name"]

    job = make_job()
    image, config_map = of_pod(deploy(job=job))
    other_settings = of_pod(deploy("--set", "batching.max_batch_size=7", job=job))
    assert other_settings[0] == image
    assert other_settings[1] != config_map
    (job / "export" / "two_tower" / "2" / "assets" / "tokens.txt").write_text("another vocabulary")
    other_model = of_pod(deploy(job=job))
    assert other_model[0] != image
    assert other_model[1] == config_map


def test_the_image_and_the_compose_file_take_the_models_from_where_they_are(deploy):
    out = deploy()
    readme = (out / "README.md").read_text()
    contexts = dict(re.findall(r"--build-context (\w+)=(\S+)", readme))
    copies = re.findall(r"^COPY --from=(\w+) (\S+) (\S+)$", (out / "Dockerfile").read_text(), re.MULTILINE)
    assert [target for _, _, target in copies] == ["/models/two_tower/1", "/models/two_tower/2"]
    for context, source, _ in copies:
        assert (Path(contexts[context]) / source / "saved_model.pb").is_file()
    compose = yaml.safe_load((out / "compose.yaml").read_text())["services"]["model-server"]
    mounts = {mount["target"]: mount for mount in compose["volumes"]}
    assert (out / mounts["/config"]["source"] / "models.config").is_file()
    assert (Path(mounts["/models/two_tower"]["source"]) / "2" / "saved_model.pb").is_file()
    assert all(mount["read_only"] for mount in mounts.values())
    assert all(port.startswith("127.0.0.1:") for port in compose["ports"])
    image = f"tensorflow/serving:{tf.__version__}"
    assert compose["image"] == image
    assert f"\nFROM {image}\n" in (out / "Dockerfile").read_text()


def test_the_compose_file_fits_the_compose_specification(deploy):
    package = pytest.importorskip("check_jsonschema", reason="pip install check-jsonschema")
    path = Path(package.__file__).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    compose = yaml.safe_load((deploy() / "compose.yaml").read_text())
    validator = jsonschema.Draft202012Validator(json.loads(path.read_text()))
    assert [error.message for error in validator.iter_errors(compose)] == []
    compose["services"]["model-server"]["replicas"] = 2  # no key of Compose
    assert not validator.is_valid(compose)


def test_an_image_that_was_not_looked_up_is_said_to_be_so_until_it_is_named(deploy, make_job, capsys):
    job, names = make_job(), ("Dockerfile", "compose.yaml", "README.md")
    out = deploy(job=job)
    assert all("not looked up" in (out / name).read_text() for name in names)
    assert "\n\n\n" not in (out / "README.md").read_text()
    assert f"tensorflow/serving:{tf.__version__} is the image of their TensorFlow" in capsys.readouterr().err
    deploy("--set", "image=tensorflow/serving:9.0.0", "--image", "tensorflow/serving:9.9.9", job=job)
    assert not any("not looked up" in (out / name).read_text() for name in names)
    assert "not looked up" not in capsys.readouterr().err
    assert (out / "Dockerfile").read_text().startswith("FROM tensorflow/serving:9.9.9\n")
    assert yaml.safe_load((out / "compose.yaml").read_text())["services"]["model-server"]["image"].endswith(":9.9.9")


def test_a_model_with_scanns_ops_needs_an_image_that_has_them(deploy, make_job):
    job = make_job(versions=["1"])
    path = job / "export" / "two_tower" / "1" / "saved_model.pb"
    content = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    function = content.meta_graphs[0].graph_def.library.function.add()
    function.signature.name = "search"
    function.node_def.add(name="search", op="Scann>ScannSearchBatched")
    path.write_bytes(content.SerializeToString())
    with pytest.raises(ConfigError, match=r"lacks its ops Scann>ScannSearchBatched; .*ScaNN.* --image NAME:TAG"):
        deploy(job=job)
    out = deploy("--image", "ours/serving-scann:2.20", job=job)
    assert (out / "Dockerfile").read_text().startswith("FROM ours/serving-scann:2.20\n")
    assert (
        "one that links Scann>ScannSearchBatched: you named `ours/serving-scann:2.20`"
        in (out / "README.md").read_text()
    )
