"""The same export, the same bytes: what TensorFlow writes into a SavedModel beside the model is put in order.

TensorFlow numbers functions and captured variables by how many a process has made so far, names tables by the paths of
their files, and adds a random identifier. Here functions get the numbers of their first use, variables and tables those
of their own order, and the fingerprint is that of the resulting bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from tensorflow.core.protobuf import fingerprint_pb2, saved_model_pb2
from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

SAVED_MODEL, FINGERPRINT = "saved_model.pb", "fingerprint.pb"
_NUMBER = re.compile(r"_\d+$")
_COLOCATED = re.compile(rb"^(loc:@.*/)(\d+)$")
_SPECIFIED_NAME = "_user_specified_name"
_GRADIENT_TYPE = re.compile(rb"^((?:Stateful)?PartitionedCall)-\d+$")


def make_canonical(directory: Path) -> None:
    """Rewrite the SavedModel in a directory."""
    path = directory / SAVED_MODEL
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in saved.meta_graphs:
        _order_functions(graph)
        _name_tables(graph)
        for function in graph.graph_def.library.function:
            _name_captures(function)
    path.write_bytes(saved.SerializeToString(deterministic=True))
    if (directory / FINGERPRINT).exists():
        (directory / FINGERPRINT).unlink()  # or its old bytes would be part of the new ones
        content = fingerprint_pb2.FingerprintDef.FromString(fingerprinting.CreateFingerprintDef(str(directory)))
        content.uuid = str(content.saved_model_checksum)
        (directory / FINGERPRINT).write_bytes(content.SerializeToString(deterministic=True))


def _order_functions(graph: Any) -> None:
    """Number the functions by first use, and put them in that order."""
    library = graph.graph_def.library
    functions = {function.signature.name: function for function in library.function}
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in functions and name not in order:
            order[name] = None
            for called in _called(functions[name].node_def):
                visit(called)

    for name in [*_called(graph.graph_def.node), *_of_objects(graph.object_graph_def)]:
        visit(name)
    for name in sorted(functions, key=lambda name: (_NUMBER.sub("", name), name)):  # what nobody calls
        visit(name)
    names = {name: f"{_NUMBER.sub('', name)}_{place}" for place, name in enumerate(order)}
    _rewrite(graph, lambda text: names.get(text, text), lambda raw: _GRADIENT_TYPE.sub(rb"\1-0", raw))
    ordered = [functions[name] for name in order]
    copies = [type(function).FromString(function.SerializeToString()) for function in ordered]
    del library.function[:]
    library.function.extend(copies)


def _called(nodes: Any) -> Iterator[str]:
    """Names of the functions that nodes call, in their order."""
    for node in nodes:
        yield node.op
        for key in sorted(node.attr):
            value = node.attr[key]
            for one in [value.func, *value.list.func]:
                if one.name:
                    yield one.name


def _of_objects(objects: Any) -> Iterator[str]:
    for node in objects.nodes:
        yield from node.function.concrete_functions
        yield node.bare_concrete_function.concrete_function_name


def _name_tables(graph: Any) -> None:
    """Give the shared names of tables, which hold paths, numbers in the order of their first use."""
    bodies = [graph.graph_def.node, *(function.node_def for function in graph.graph_def.library.function)]
    names: dict[bytes, bytes] = {}
    for nodes in bodies:
        for node in nodes:
            if "HashTable" in node.op and node.attr["shared_name"].s:
                known = node.attr["shared_name"].s
                node.attr["shared_name"].s = names.setdefault(known, b"hash_table_%d" % len(names))


def _name_captures(function: Any) -> None:
    """Give the variables that a function captures, which are named by counters, numbers in the order of first use."""
    attributes = [arguments.attr for arguments in function.arg_attr.values()] + [one.attr for one in function.node_def]
    for one in attributes:
        if _SPECIFIED_NAME in one and one[_SPECIFIED_NAME].s.isdigit():
            one[_SPECIFIED_NAME].s = b"capture"
    numbers: dict[str, int] = {}
    for node in function.node_def:
        if "_class" in node.attr:
            values = node.attr["_class"].list.s
            for place, value in enumerate(values):
                if match := _COLOCATED.match(value):
                    number = numbers.setdefault(match[2].decode(), len(numbers))
                    values[place] = match[1] + b"%d" % number
    names: dict[str, str] = {}
    for argument in function.signature.input_arg:
        base, _, number = argument.name.rpartition("_")
        if number in numbers:
            names[argument.name] = f"{base}_capture_{numbers[number]}"
            argument.name = names[argument.name]
    for node in function.node_def:
        for place, tensor in enumerate(node.input):
            node.input[place] = _renamed(tensor, names)
    for key, tensor in function.ret.items():
        function.ret[key] = _renamed(tensor, names)


def _renamed(tensor: str, names: dict[str, str]) -> str:
    """`name`, `name:output:0` or `^name`, with another name."""
    head, colon, rest = tensor.removeprefix("^").partition(":")
    return f"{'^' if tensor.startswith('^') else ''}{names.get(head, head)}{colon}{rest}"


def _rewrite(message: Any, text: Callable[[str], str], raw: Callable[[bytes], bytes]) -> None:
    """Apply functions to every string and every bytes field of a message, keys of maps among them."""
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if field.message_type.GetOptions().map_entry:
                _rewrite_map(value, field.message_type.fields_by_name["value"], text, raw)
            else:
                for one in value if _is_repeated(field) else [value]:
                    _rewrite(one, text, raw)
        elif field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            change: Any = text if field.type == FieldDescriptor.TYPE_STRING else raw
            if _is_repeated(field):
                for place, one in enumerate(value):
                    changed = change(one)
                    if changed != one:
                        value[place] = changed
            elif (changed := change(value)) != value:
                setattr(message, field.name, changed)


def _rewrite_map(values: Any, of_value: Any, text: Callable[[str], str], raw: Callable[[bytes], bytes]) -> None:
    is_message = of_value.type == FieldDescriptor.TYPE_MESSAGE
    for key in list(values):
        if is_message:
            _rewrite(values[key], text, raw)
        elif of_value.type == FieldDescriptor.TYPE_STRING and text(values[key]) != values[key]:
            values[key] = text(values[key])
        if isinstance(key, str) and text(key) != key:
            if is_message:
                values[text(key)].CopyFrom(values[key])
            else:
                values[text(key)] = values[key]
            del values[key]


def _is_repeated(field: Any) -> bool:
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED)
