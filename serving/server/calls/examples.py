"""The examples of a Classify, Regress or MultiInference request, as the one tensor that their signatures take."""

from __future__ import annotations

import numpy as np
from tensorflow_serving.apis import input_pb2

from serving.server.status import invalid_argument
from serving.tensors import Array

INPUTS = "inputs"  # the name of that tensor in the signature


def serialized_examples(request_input: input_pb2.Input) -> Array:
    """Return serialized tf.Examples, string [batch]; with a context, its bytes come first in each.

    Two messages one after the other read as one in which the second's fields win, so an example's feature replaces
    the context's. Raises StatusError for no examples at all.
    """
    match request_input.WhichOneof("kind"):
        case "example_list":
            examples = request_input.example_list.examples
            context = b""
        case "example_list_with_context":
            examples = request_input.example_list_with_context.examples
            context = request_input.example_list_with_context.context.SerializeToString()
        case _:
            examples, context = (), b""
    if not examples:
        raise invalid_argument("Input is empty.")
    rows = np.empty(len(examples), dtype=object)
    rows[:] = [context + example.SerializeToString() for example in examples]
    return rows
