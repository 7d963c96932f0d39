"""Serving of exported models: a server with TensorFlow Serving's protocol, a client, and their command lines.

`python -m serving.server` answers as `tensorflow_model_server` does, so either can stand behind the same
client.
"""

import tfrec  # noqa: F401  # before TensorFlow is imported: it quietens TensorFlow's own logging
