"""What `python -m serving.deploy` writes, read back by whoever it is for."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import tensorflow as tf
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.deploy.__main__ import main
from tests.serving.running_server import free_port, running_server
from tfrec.command_line import run_command
from tfrec.errors import ArtifactError, ConfigError


@pytest.fixture
def make_job(templates, tmp_path):
    """Write a job with versions of one model, named as their directories are; return its path."""

    def make(model="two_tower", versions=("1", "2"), job="job"):
        for version in versions:
            shutil.copytree(templates / "recommender", tmp_path / job / "export" / model / version)
        return tmp_path / job

    return make


@pytest.fixture
def deploy(make_job, tmp_path):
    """Run the command for a job of two versions; return where it wrote."""

    def run(*flags, job=None):
        out = tmp_path / "deploy"
        main(["--job", str(job or make_job()), "--out", str(out), *flags])
        return out

    return run


def files_of(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def models_of(out):
    config = text_format.Parse((out / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    return {model.name: model for model in config.model_config_list.config}


def manifests_of(out):
    return {path.name: yaml.safe_load(path.read_text()) for path in (out / "kubernetes").glob("*.yaml")}


@pytest.fixture(scope="module")
def batching_and_monitoring():
    """The two protos that the API wheel lacks, with TensorFlow Serving's fields."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="server.proto", package="test", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    batching = file.message_type.add(name="BatchingParameters")
    names = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    for number, name in enumerate(names, start=1):
        batching.field.add(
            name=name,
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=".google.protobuf.Int64Value",
            label=field.LABEL_OPTIONAL,
        )
    batching.field.add(name="pad_variable_length_inputs", number=7, type=field.TYPE_BOOL, label=field.LABEL_OPTIONAL)
    prometheus = file.message_type.add(name="PrometheusConfig")
    prometheus.field.add(name="enable", number=1, type=field.TYPE_BOOL, label=field.LABEL_OPTIONAL)
    prometheus.field.add(name="path", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    monitoring = file.message_type.add(name="MonitoringConfig")
    monitoring.field.add(
        name="prometheus_config",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".test.PrometheusConfig",
        label=field.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return [
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}"))
        for name in ("BatchingParameters", "MonitoringConfig")
    ]


@pytest.mark.parametrize(
    ("there", "stable", "canary"),
    [(["1"], 1, 1), (["1", "2"], 1, 2), (["00000003", "9", "10"], 9, 10)],
)
def test_the_newest_version_is_the_canary_and_the_one_before_it_stable(deploy, make_job, there, stable, canary):
    model = models_of(deploy(job=make_job(versions=there)))["two_tower"]
    assert dict(model.version_labels) == {"stable": stable, "canary": canary}
    assert sorted(model.model_version_policy.specific.versions) == sorted({stable, canary})
    assert (model.base_path, model.model_platform) == ("/models/two_tower", "tensorflow")


def test_versions_are_chosen_by_flags(deploy, make_job):
    job = make_job(versions=["1", "2", "3"])
    for flags, expected in (
        (["--stable", "two_tower=1"], {"stable": 1, "canary": 3}),
        (["--stable", "two_tower=3"], {"stable": 3, "canary": 3}),
        (["--stable", "two_tower=3", "--canary", "two_tower=2"], {"stable": 3, "canary": 2}),
    ):
        assert dict(models_of(deploy(*flags, job=job))["two_tower"].version_labels) == expected


def test_the_models_of_several_jobs_share_a_server(deploy, make_job):
    out = deploy("--job", str(make_job("deepfm", ["4"], "ranker")))
    assert sorted(models_of(out)) == ["deepfm", "two_tower"]
    assert {path.name for path in (out / "requests").iterdir()} == {
        "deepfm-4.json",
        "two_tower-1.json",
        "two_tower-2.json",
    }


def test_batching_and_monitoring_files_are_text_protos(deploy, batching_and_monitoring):
    out = deploy("--set", "batching.max_batch_size=32", "--set", "batching.batch_timeout_micros=500")
    batching, monitoring = (message() for message in batching_and_monitoring)
    text_format.Parse((out / "batching.config").read_text(), batching)
    assert (batching.max_batch_size.value, batching.batch_timeout_micros.value) == (32, 500)
    assert batching.pad_variable_length_inputs
    text_format.Parse((out / "monitoring.config").read_text(), monitoring)
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"


@pytest.mark.parametrize("is_on", [False, True])
def test_the_servers_flags_name_files_that_are_there(deploy, is_on):
    out = deploy("--set", f"batching.enabled={str(is_on).lower()}")
    compose = yaml.safe_load((out / "compose.yaml").read_text())["services"]["model-server"]
    (container,) = manifests_of(out)["deployment.yaml"]["spec"]["template"]["spec"]["containers"]
    assert [*container["args"], "--model_config_file_poll_wait_seconds=30"] == compose["command"]
    flags = dict(flag.split("=", 1) for flag in container["args"])
    for name, value in flags.items():
        if name.endswith("_file"):
            assert value.startswith("/config/")
            assert (out / value.removeprefix("/config/")).is_file()
    assert ("--enable_batching" in flags) is ("--batching_parameters_file" in flags) is is_on
    assert flags["--allow_version_labels_for_unavailable_models"] == "true"


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


def test_the_same_input_gives_the_same_files(deploy, make_job, capsys):
    job = make_job()
    first = files_of(deploy(job=job))
    capsys.readouterr()
    assert files_of(deploy(job=job)) == first
    assert "0 files changed" in capsys.readouterr().err


def test_a_file_that_was_changed_by_hand_is_not_overwritten_nor_is_any_other(deploy, make_job):
    job = make_job()
    out = deploy(job=job)
    (out / "compose.yaml").write_text("mine: true\n")
    before = files_of(out)
    with pytest.raises(ConfigError, match=r"compose\.yaml: was changed by hand"):
        deploy("--stable", "two_tower=2", job=job)
    assert files_of(out) == before
    (out / "compose.yaml").unlink()
    deploy("--stable", "two_tower=2", job=job)
    assert models_of(out)["two_tower"].version_labels["stable"] == 2


def test_a_file_of_somebody_else_is_not_overwritten(deploy, make_job, tmp_path):
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(ConfigError, match=r"Dockerfile: is not from python -m serving\.deploy"):
        deploy()
    assert files_of(tmp_path / "deploy") == {"Dockerfile": b"FROM scratch\n"}


def test_a_run_that_died_is_gone_on_with(deploy, make_job):
    job = make_job()
    whole = files_of(deploy(job=job))
    out = job.parent / "deploy"
    (out / ".deploy.json").unlink()  # written last
    (out / "kubernetes" / "service.yaml").unlink()
    assert files_of(deploy(job=job)) == whole


def test_files_that_are_no_longer_wanted_go(deploy, make_job):
    job = make_job()
    out = deploy(job=job)
    deploy("--stable", "two_tower=2", job=job)
    assert [path.name for path in (out / "requests").iterdir()] == ["two_tower-2.json"]


def test_the_request_of_a_version_has_every_input_and_is_answered(deploy, templates):
    body = json.loads((deploy() / "requests" / "two_tower-2.json").read_text())
    signature = tf.saved_model.load(str(templates / "recommender")).signatures[body["signature_name"]]
    specs = signature.structured_input_signature[1]
    assert set(body["inputs"]) == set(specs)
    tensors = {name: tf.constant(np.array(body["inputs"][name]), spec.dtype) for name, spec in specs.items()}
    assert signature(**tensors)["ids"].shape == (1, 8)


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


def test_the_readme_and_the_script_name_what_is_there(deploy):
    out = deploy()
    script, readme = (out / "smoke_test.sh").read_text(), (out / "README.md").read_text()
    assert subprocess.run(["sh", "-n", out / "smoke_test.sh"], check=False).returncode == 0
    asked = re.findall(r'@"\$here/([^"]+)"', script)
    assert len(asked) == 2
    assert all((out / name).is_file() for name in asked)
    assert "{{" not in script + readme
    assert "| `two_tower` | 1 | 2 |" in readme
    assert f"--out {out} --stable two_tower=2\n" in readme
    assert "None" not in readme


def test_a_single_version_has_nothing_to_promote(deploy, make_job):
    readme = (deploy(job=make_job(versions=["1"])) / "README.md").read_text()
    assert "--stable" not in readme
    assert "becomes the canary" in readme


def test_the_smoke_test_fails_where_no_server_is(deploy):
    done = subprocess.run(
        ["sh", deploy() / "smoke_test.sh", "http://127.0.0.1:9"],
        env={"PATH": "/usr/bin:/bin", "WAIT_SECONDS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "FAIL no server at http://127.0.0.1:9 within 0 s\n"


def smoke_test(out, rest_port):
    command = ["sh", out / "smoke_test.sh", f"http://127.0.0.1:{rest_port}"]
    environment = {"PATH": "/usr/bin:/bin", "WAIT_SECONDS": "60"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_smoke_test_holds_where_the_servers_flags_and_files_are_used_and_says_what_does_not(deploy, make_job):
    job = make_job()
    out = deploy("--set", "batching.enabled=true", job=job)
    config = (out / "models.config").read_text().replace("/models/", f"{job}/export/")
    (out / "models.config").write_text(config)  # the same, where no container mounts the models
    compose = yaml.safe_load((out / "compose.yaml").read_text())["services"]["model-server"]
    rest_port = free_port()
    flags = [flag.replace("/config/", f"{out}/") for flag in compose["command"] if not flag.startswith("--port=")]
    flags = [f"--rest_api_port={rest_port}" if flag.startswith("--rest_api_port=") else flag for flag in flags]
    with running_server(*flags):
        done = smoke_test(out, rest_port)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [
            "ok   two_tower: available",
            "ok   two_tower: stable (version 1) answers",
            "ok   two_tower: canary (version 2) answers",
            "ok   metrics",
            "all 4 checks hold",
        ]
        (out / "requests" / "two_tower-2.json").write_text("{")
        done = smoke_test(out, rest_port)
    assert done.returncode == 1
    assert re.match(r"FAIL two_tower: canary \(version 2\) answers: code 400: .*\n1 of 4 checks failed\n$", done.stderr)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--stable", "two_tower"], "--stable: got 'two_tower'; expected MODEL=VERSION"),
        (["--stable", "two_towr=1"], "--stable: unknown model 'two_towr'; did you mean 'two_tower'?"),
        (["--canary", "two_tower=7"], r"--canary two_tower=7: no such version in .*; there are: 1, 2"),
        (["--set", "replicas=3"], "unknown key 'replicas'"),
        (["--set", "min_replicas=9"], "max_replicas is 6; allowed: from min_replicas, 9"),
        (["--set", "name=Über Name"], "name: got 'Über Name'"),
        (["--set", "image=a b"], "image: got 'a b'"),
        (["--out", "/proc/deploy"], "/proc/deploy/.* cannot be written"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(deploy, flags, message):
    with pytest.raises(ConfigError, match=message) as caught:
        deploy(*flags)
    assert "\n" not in str(caught.value)


def test_a_job_that_was_not_exported_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"no exported version below export/; .* trainer\.export --job-dir"):
        main(["--job", str(tmp_path), "--out", str(tmp_path / "out")])


def test_two_jobs_with_one_model_are_refused(deploy, make_job):
    with pytest.raises(ConfigError, match=r"model 'two_tower' is in .*job and in .*other; leave one out"):
        deploy("--job", str(make_job(job="other")))


def test_help_shows_an_example_first(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["deploy", "--help"])
    with pytest.raises(SystemExit) as caught:
        run_command(main)
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("example: python -m serving.deploy")
