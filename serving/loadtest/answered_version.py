"""The version in a serialized PredictResponse, without TensorFlow's protos: a process of a load test starts fast."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def _message_class() -> type:
    """The fields of tensorflow.serving.PredictResponse on the way to the version, with its numbers."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="answered_version.proto", package="loadtest", syntax="proto3")
    version, spec, response = (file.message_type.add(name=name) for name in ("Version", "ModelSpec", "Response"))
    version.field.add(name="value", number=1, type=field.TYPE_INT64, label=field.LABEL_OPTIONAL)
    for owner, name, kind in ((spec, "version", "Version"), (response, "model_spec", "ModelSpec")):
        of_type = f".loadtest.{kind}"
        owner.field.add(name=name, number=2, type=field.TYPE_MESSAGE, type_name=of_type, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("loadtest.Response"))


_RESPONSE = _message_class()


def answered_version(content: bytes) -> int:
    """The version that answered; 0 where the answer does not say."""
    return int(_RESPONSE.FromString(content).model_spec.version.value)  # type: ignore[attr-defined]
