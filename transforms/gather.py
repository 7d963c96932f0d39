"""Small results of a pipeline → one file that the next pipeline, or the driver, reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam

from transforms import storage


class GatherJson(beam.PTransform):
    """Write `merge(all elements)` as JSON to one file; also where there are no elements."""

    def __init__(self, path: str, merge: Callable[[list[Any]], Any]) -> None:
        super().__init__()
        self._path = path
        self._merge = merge

    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        path, merge = self._path, self._merge

        def save(_: Any, found: Iterable[Any]) -> str:
            storage.write_bytes(path, json.dumps(merge(list(found))).encode())
            return path

        once = elements.pipeline | beam.Create([None])
        return once | beam.Map(save, beam.pvalue.AsIter(elements))


def read_json(path: str) -> Any:
    return json.loads(storage.read_bytes(path))
