"""The server's flags: tensorflow_model_server's own."""

import pytest

from serving.server.flags import parse_flags
from serving.server.models.policies import AllVersions, LatestVersions, SpecificVersions
from tfrec.errors import ConfigError

# What tensorflow_model_server defines, with a value that it takes.
WITH_NUMBERS = [
    "file_system_poll_wait_seconds",
    "grpc_max_threads",
    "load_retry_interval_micros",
    "max_num_load_retries",
    "model_config_file_poll_wait_seconds",
    "num_load_threads",
    "num_request_iterations_for_warmup",
    "num_tflite_interpreters_per_pool",
    "num_tflite_pools",
    "num_unload_threads",
    "per_process_gpu_memory_fraction",
    "port",
    "rest_api_num_threads",
    "rest_api_port",
    "rest_api_timeout_in_ms",
    "tensorflow_inter_op_parallelism",
    "tensorflow_intra_op_parallelism",
    "tensorflow_session_parallelism",
]
SWITCHES = [
    "allow_version_labels_for_unavailable_models",
    "enable_batching",
    "enable_grpc_healthcheck_service",
    "enable_model_warmup",
    "enable_profiler",
    "enable_serialization_as_tensor_content",
    "enable_signature_method_name_check",
    "flush_filesystem_caches",
    "force_allow_any_version_labels_for_unavailable_models",
    "remove_unused_fields_from_bundle_metagraph",
    "rest_api_enable_cors_support",
    "skip_initialize_tpu",
    "xla_cpu_compilation_enabled",
]
WITH_TEXT = {"grpc_channel_arguments": "grpc.a=1", "model_name": "m", "saved_model_tags": "serve"}
NOT_HERE = {
    "enable_per_model_batching_parameters": "all models share --batching_parameters_file",
    "platform_config_file": "all models are SavedModels",
    "prefer_tflite_model": "TF Lite models are not run",
    "tensorflow_session_config_file": "set --tensorflow_intra_op_parallelism",
    "thread_pool_factory_config_file": "set --tensorflow_inter_op_parallelism",
    "use_alts_credentials": "encrypt with --ssl_config_file",
}


def test_a_command_line_of_tensorflow_model_server_is_taken(tmp_path):
    flags = [f"--{name}={number}" for number, name in enumerate(WITH_NUMBERS, start=1)]
    flags += [f"--{name}" for name in SWITCHES] + [f"--{name}={value}" for name, value in WITH_TEXT.items()]
    parse_flags([f"--model_base_path={tmp_path}", *flags])
    parse_flags([f"--model_base_path={tmp_path}", *(f"--{name}=false" for name in SWITCHES)])


@pytest.mark.parametrize("name", NOT_HERE)
def test_a_flag_that_would_set_what_is_not_here_says_what_to_do_instead(tmp_path, name):
    for value in ("", "=true", "=x"):
        with pytest.raises(ConfigError, match=f"--{name}: is TensorFlow Serving's alone: {NOT_HERE[name]}"):
            parse_flags([f"--model_base_path={tmp_path}", f"--{name}{value}"])
    for value in ("=", "=false"):  # its own defaults
        parse_flags([f"--model_base_path={tmp_path}", f"--{name}{value}"])


def test_flags_take_hyphens_and_keep_those_of_values(tmp_path):
    options = parse_flags(["--model-base-path", str(tmp_path), "--model-name", "two-tower", "--grpc-max-threads=3"])
    assert options.models[0].name == "two-tower"
    assert options.grpc.max_threads == 3
    assert options.host == "127.0.0.1"
    assert options.port == 8500
    assert options.load.load_retry_interval_seconds == 60
    assert options.load.max_num_load_retries == 5
    assert options.load.poll_wait_seconds == 1


def test_a_model_config_file_lists_models_and_policies(tmp_path):
    path = tmp_path / "models.config"
    path.write_text("""
        model_config_list {
          config { name: "a" base_path: "/a" model_version_policy { latest { num_versions: 2 } } }
          config { name: "b" base_path: "/b" model_version_policy { specific { versions: 1 versions: 4 } } }
          config { name: "c" base_path: "/c" model_version_policy { all {} } }
          config { name: "d" base_path: "/d" }
        }""")
    models = parse_flags([f"--model_config_file={path}"]).models
    assert [(m.name, str(m.base_path)) for m in models] == [
        ("a", "/a"),
        ("b", "/b"),
        ("c", "/c"),
        ("d", "/d"),
    ]
    assert [m.version_policy for m in models] == [
        LatestVersions(2),
        SpecificVersions(frozenset({1, 4})),
        AllVersions(),
        LatestVersions(1),
    ]


def test_a_model_config_file_that_cannot_be_read_is_an_error_with_its_line(tmp_path):
    path = tmp_path / "models.config"
    path.write_text('model_config_list {\n  config { nam: "a" }\n}')
    with pytest.raises(ConfigError, match=rf"{path}:2:\d+ : .*nam.*expected text of the message ModelServerConfig"):
        parse_flags([f"--model_config_file={path}"])
