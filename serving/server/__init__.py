"""A model server that behaves as tensorflow_model_server does: its flags, its gRPC and REST interfaces, its words.

`runtime` runs a SavedModel, `calls` answers a request with one, `models` keeps the right versions loaded, `rpc` and
`rest` carry requests and answers, `workers` is several such processes on one port.
"""
