"""ModelServerConfig, TF Serving's list of models, as a file or in a reload request."""

from __future__ import annotations

from pathlib import Path

from tensorflow_serving.config import model_server_config_pb2

from serving.protocol.text_files import read_text_proto
from serving.server.models.policies import AllVersions, LatestVersions, SpecificVersions, VersionPolicy
from serving.server.options import ModelOptions
from tfrec.errors import ConfigError

TENSORFLOW_PLATFORM = "tensorflow"
_FLAG = "--model_config_file"


def read_model_config_file(path: Path) -> tuple[ModelOptions, ...]:
    """Return the models that the text proto in `path` lists. Raises ConfigError, with the line."""
    config = read_text_proto(path, model_server_config_pb2.ModelServerConfig(), _FLAG)
    try:
        return models_of_config(config)
    except ConfigError as error:
        raise ConfigError(f"{_FLAG}: {path}: {error}") from None


def models_of_config(config: model_server_config_pb2.ModelServerConfig) -> tuple[ModelOptions, ...]:
    """Return the models that `config` lists. Raises ConfigError for one that can't be served."""
    if config.WhichOneof("config") != "model_config_list":
        raise ConfigError("expected a model_config_list { config { name: ... base_path: ... } }")
    models: dict[str, ModelOptions] = {}
    for model in config.model_config_list.config:
        if model.name in models:
            raise ConfigError(f"Illegal to list model {model.name} multiple times in config list")
        models[model.name] = _model_options(model)
    return tuple(models.values())


def _model_options(model: model_server_config_pb2.ModelConfig) -> ModelOptions:
    if not model.name:
        raise ConfigError("a model has no name")
    if not Path(model.base_path).is_absolute():
        raise ConfigError(
            f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
        )
    if model.model_platform not in ("", TENSORFLOW_PLATFORM):
        raise ConfigError(
            f"model {model.name}: model_platform {model.model_platform!r}; allowed: {TENSORFLOW_PLATFORM!r}"
        )
    labels = tuple(sorted(model.version_labels.items()))
    return ModelOptions(model.name, Path(model.base_path), _version_policy(model), labels)


def _version_policy(model: model_server_config_pb2.ModelConfig) -> VersionPolicy:
    policy = model.model_version_policy
    match policy.WhichOneof("policy_choice"):
        case "all":
            return AllVersions()
        case "specific":
            if not policy.specific.versions:
                raise ConfigError(f"model {model.name}: a specific version policy must name at least one version")
            return SpecificVersions(frozenset(policy.specific.versions))
        case _:
            return LatestVersions(policy.latest.num_versions or 1)
