"""What `python -m serving.deploy` wrote, parsed."""

import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2


def files_of(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def models_of(out):
    config = text_format.Parse((out / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    return {model.name: model for model in config.model_config_list.config}


def manifests_of(out):
    return {path.name: yaml.safe_load(path.read_text()) for path in (out / "kubernetes").glob("*.yaml")}
