"""Messages of the server's configuration files that the tensorflow-serving-api package lacks.

Defined here from descriptors, with TF Serving's names, numbers and types, so that its files parse. They live in a pool
of their own: a process that also holds the generated ones is not disturbed.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "tensorflow.serving"
_INT64_VALUE = ".google.protobuf.Int64Value"
_STRING_VALUE = ".google.protobuf.StringValue"

# message → field → (number, type, name of the message type, whether it is repeated)
_MESSAGES: dict[str, dict[str, tuple[int, Any, str, bool]]] = {
    "SSLConfig": {
        "server_key": (1, _Field.TYPE_STRING, "", False),
        "server_cert": (2, _Field.TYPE_STRING, "", False),
        "custom_ca": (3, _Field.TYPE_STRING, "", False),
        "client_verify": (4, _Field.TYPE_BOOL, "", False),
    },
    "PrometheusConfig": {
        "enable": (1, _Field.TYPE_BOOL, "", False),
        "path": (2, _Field.TYPE_STRING, "", False),
    },
    "MonitoringConfig": {
        "prometheus_config": (1, _Field.TYPE_MESSAGE, f".{_PACKAGE}.PrometheusConfig", False),
    },
    "BatchingParameters": {
        "max_batch_size": (1, _Field.TYPE_MESSAGE, _INT64_VALUE, False),
        "batch_timeout_micros": (2, _Field.TYPE_MESSAGE, _INT64_VALUE, False),
        "max_enqueued_batches": (3, _Field.TYPE_MESSAGE, _INT64_VALUE, False),
        "num_batch_threads": (4, _Field.TYPE_MESSAGE, _INT64_VALUE, False),
        "thread_pool_name": (5, _Field.TYPE_MESSAGE, _STRING_VALUE, False),
        "allowed_batch_sizes": (6, _Field.TYPE_INT64, "", True),
        "pad_variable_length_inputs": (7, _Field.TYPE_BOOL, "", False),
    },
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="tensorflow_serving/server_files.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for message, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message)
        for name, (number, kind, type_name, is_repeated) in fields.items():
            field = declared.field.add(name=name, number=number, type=kind)
            field.label = _Field.LABEL_REPEATED if is_repeated else _Field.LABEL_OPTIONAL
            if type_name:
                field.type_name = type_name
    return file


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_file().SerializeToString())
    types = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in _MESSAGES}
    return {name: message_factory.GetMessageClass(kind) for name, kind in types.items()}


_CLASSES = _classes()

SSLConfig: Any = _CLASSES["SSLConfig"]
MonitoringConfig: Any = _CLASSES["MonitoringConfig"]
BatchingParameters: Any = _CLASSES["BatchingParameters"]
