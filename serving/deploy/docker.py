"""One server on one machine: a Dockerfile with the models inside, and a compose file that mounts them."""

from __future__ import annotations

from typing import Any

from serving.deploy.config import GRPC_PORT, REST_PORT
from serving.deploy.plan import Plan
from serving.deploy.server_files import CONFIG_DIR, MODELS_DIR, server_flags

BINARY = "tensorflow_model_server"
USER_ID = 10001  # nobody in particular: the server needs to read, and no name in the image


def dockerfile(plan: Plan) -> str:
    """An image with the labelled versions inside; each model's directory is a build context of its name."""
    lines = [*(f"# {line}" for line in remarks(plan)), f"FROM {plan.image}"]
    for index, model in enumerate(plan.models):
        for version in model.versions:
            source = model.directory(version).name
            lines.append(f"COPY --from={context_name(index)} {source} {MODELS_DIR}/{model.name}/{version}")
    lines += [
        f"USER {USER_ID}:{USER_ID}",
        f"EXPOSE {GRPC_PORT} {REST_PORT}",
        f'ENTRYPOINT ["{BINARY}"]',
        "",
    ]
    return "\n".join(lines)


def remarks(plan: Plan) -> list[str]:
    """What whoever runs the image should know of it; nothing where they named it themselves."""
    if not plan.is_image_derived:
        return []
    return [
        f"{plan.image}: the tag is the TensorFlow that wrote the models. It was not looked up in any",
        "registry; where it is not there, name a newer one with --image NAME:TAG.",
    ]


def context_name(index: int) -> str:
    """A build context's name; models may have names that Docker does not take."""
    return f"model{index}"


def compose(plan: Plan) -> dict[str, Any]:
    """The Compose file: ports on loopback; a change of models.config is picked up while the server runs."""
    mounts = [{"type": "bind", "source": ".", "target": CONFIG_DIR, "read_only": True}]
    mounts += [
        {"type": "bind", "source": str(model.base_path), "target": f"{MODELS_DIR}/{model.name}", "read_only": True}
        for model in plan.models
    ]
    service = {
        "image": plan.image,
        "entrypoint": [BINARY],
        "command": [
            *server_flags(plan),
            f"--model_config_file_poll_wait_seconds={plan.config.config_poll_seconds}",
        ],
        "user": f"{USER_ID}:{USER_ID}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "ports": [f"127.0.0.1:{port}:{port}" for port in (GRPC_PORT, REST_PORT)],
        "volumes": mounts,
        # The image has no client for health checks; the port opens when all models are loaded.
        "healthcheck": {
            "test": ["CMD", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{GRPC_PORT}"],
            "interval": "10s",
            "timeout": "3s",
            "retries": 3,
            "start_period": "60s",
        },
        "restart": "unless-stopped",
    }
    return {"name": plan.config.name, "services": {"model-server": service}}
