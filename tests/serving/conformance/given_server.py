r"""The conformance tests against a server that runs already, such as a real tensorflow_model_server.

example: python -m tests.serving.conformance.given_server MODELS
         tensorflow_model_server --port=8500 --rest_api_port=8501 --model_config_file=MODELS/models.config \
             --allow_version_labels_for_unavailable_models --enable_grpc_healthcheck_service \
             --rest_api_timeout_in_ms=2000 --monitoring_config_file=MODELS/monitoring.config
         TFREC_SERVING_ADDRESS=localhost:8500,localhost:8501 python -m pytest tests/serving/conformance

Tests of what a server does when its files or flags change need one of their own, and run with the embedded one always.
"""

import dataclasses
import os
import shutil
import sys
from pathlib import Path

from tests.serving.exported_models import save_templates

VARIABLE = "TFREC_SERVING_ADDRESS"


@dataclasses.dataclass(frozen=True)
class GivenServer:
    target: str
    rest_target: str

    @property
    def port(self):
        return int(self.target.rpartition(":")[2])


def given_server():
    """The server that the environment names, or None."""
    address = os.environ.get(VARIABLE)
    if not address:
        return None
    target, _, rest_target = address.partition(",")
    return GivenServer(target, rest_target)


def write_models(templates, root):
    """Lay out the models that the tests ask for; return the configuration file that serves them."""
    shutil.copytree(templates / "adder", root / "adder" / "00000003")
    shutil.copytree(templates / "adder_plus_100", root / "adder" / "7")
    shutil.copytree(templates / "recommender", root / "recommender" / "1")
    shutil.copytree(templates / "judge", root / "judge" / "1")
    (root / "monitoring.config").write_text("prometheus_config { enable: true }")
    config = root / "models.config"
    config.write_text(f"""
        model_config_list {{
          config {{ name: "adder" base_path: "{root}/adder" model_platform: "tensorflow"
                    model_version_policy {{ all {{}} }}
                    version_labels {{ key: "stable" value: 3 }} version_labels {{ key: "canary" value: 7 }} }}
          config {{ name: "recommender" base_path: "{root}/recommender" model_platform: "tensorflow" }}
          config {{ name: "judge" base_path: "{root}/judge" model_platform: "tensorflow" }}
        }}""")
    return config


if __name__ == "__main__":
    directory = Path(sys.argv[1]).absolute()
    save_templates(directory / "templates")
    print(write_models(directory / "templates", directory))
