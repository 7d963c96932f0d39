"""The order of things in a run: three pipelines, smaller ones that a config may ask for, and what the driver does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from rich.console import Console

from tfrec.dataset import directory
from tfrec.errors import DataError
from tfrec.schema import NumericFeature, Temporal
from transforms import layout, storage
from transforms.accounting import add_left_out, check_labels, check_rows, check_times
from transforms.analysis import Analysis
from transforms.base.load import BaseDataset
from transforms.base.users import save_base_users
from transforms.catalogue import Source
from transforms.core import leave_core
from transforms.count import build_count
from transforms.cuts import build_count_times
from transforms.dataset_config import DatasetConfig, TableName
from transforms.encode import build_encode
from transforms.encode_plan import EncodePlan
from transforms.filters import TimeLimits
from transforms.gather import read_json
from transforms.layout import Stage
from transforms.manifest import make_manifest
from transforms.partitions import Partitions
from transforms.prepare import Prepared, build_prepare
from transforms.read.files import InputTable
from transforms.read.typed import TypedRows
from transforms.shards import plan_shards
from transforms.so_far import build_so_far, item_counts
from transforms.steps.negatives import LEFT_OUT
from transforms.steps.split import SplitPlan, buckets_to_refine, refined_cuts

_SHARES = "lower split.validation and split.test"
_MORE_TRAINING = {
    "temporal": f"{_SHARES}, or set later split.validation_from and split.test_from",
    "per_user": _SHARES,
    "users": _SHARES,
    "random": _SHARES,
    "leave_one_out": "users need more events, or another strategy",
    "given": "give at least one part of 'events' split: train",
}


@dataclass(frozen=True)
class RunRequest:
    """What is asked for.

    Attributes:
        config: dataset.yaml.
        tables: the files found for it.
        options: Beam's.
        now_ms: when the run began; later events than a day after it are of the future.
        base: a dataset that this one goes on from.

    """

    config: DatasetConfig
    tables: dict[TableName, InputTable]
    options: PipelineOptions
    now_ms: int
    base: BaseDataset | None = None

    def is_local(self, output: str) -> bool:
        """Whether workers and output are on this machine, so that tables can be exchanged through files."""
        runner = self.options.view_as(StandardOptions).runner or "DirectRunner"
        return runner.endswith(("DirectRunner", "FnApiRunner")) and "://" not in output


class Run:
    """One run, step by step; every step reads what the one before wrote."""

    def __init__(self, request: RunRequest, output: str, console: Console) -> None:
        self._request = request
        self._config = request.config
        self._schema = request.config.schema_of()
        self._output = output
        self._console = console
        self._is_local = request.is_local(output)

    def write(self) -> dict[str, Any]:
        self._say("1/3 reading and ordering")
        partitions, rows, seen = self._prepare()
        plan = SplitPlan(self._schema, self._cuts(partitions, seen), self._request.tables["events"].split_of_file)
        self._say("2/3 counting")
        negatives = self._config.filters.keep_negatives
        features = (self._schema.user_id, self._schema.item_id, *self._event_features())
        with self._pipeline() as pipeline:
            build_count(pipeline, partitions, plan, features, negatives)
        splits = read_json(layout.summary(self._output, "splits"))
        if not splits["train"]["rows"]:
            raise DataError(f"the split leaves no training events; {_MORE_TRAINING[self._schema.split.strategy]}")
        check_labels(splits, self._schema)
        if negatives is not None:
            rows = add_left_out(rows, LEFT_OUT, splits["train"]["rows"] - splits["train"]["records"])
            if not splits["train"]["records"]:
                raise DataError("filters.keep_negatives leaves no training event; raise its share")
        sides = frozenset(side for side in ("users", "items") if side in self._request.tables)
        Analysis(Source(self._schema, self._output, frozenset(features), sides, self._request.base), splits).write()
        self._say("3/3 encoding and writing")
        shards, users = plan_shards(self._config, self._output, splits)
        with self._pipeline() as pipeline:
            build_encode(
                pipeline,
                EncodePlan(
                    partitions,
                    plan,
                    shards,
                    users,
                    is_compressed=self._config.compression == "gzip",
                    rows_per_record=self._config.rows_per_record,
                    is_local=self._is_local,
                    has_base=self._request.base is not None,
                    keep_negatives=negatives,
                ),
            )
        files = read_json(layout.summary(self._output, "files"))
        manifest = make_manifest(self._config, self._request.tables, rows, files, self._request.base)
        content = (json.dumps(manifest, indent=2) + "\n").encode()
        storage.write_bytes(storage.join(self._output, directory.MANIFEST), content)
        return manifest

    def _prepare(self) -> tuple[Partitions, dict[str, Any], dict[str, Any]]:
        """Where the events are that are used; what became of the rows; rows and times of the events."""
        config, tables, base = self._config, self._request.tables, self._request.base
        known_until = None if base is None else base.last_time_ms
        limits = TimeLimits.of(config.filters, self._request.now_ms, known_until)
        prepared = Prepared(config, tables, self._output, limits, self._is_local, has_base=base is not None)
        if base is not None:
            save_base_users(self._output, base.users, prepared.partitions)
        with self._pipeline() as pipeline:
            build_prepare(pipeline, prepared)
        self._forget_exchanged()
        rows = read_json(layout.summary(self._output, "rows"))
        check_rows(rows, config, tables, self._output)
        seen = read_json(layout.summary(self._output, "ordered"))
        check_times(seen, self._schema)
        partitions = self._at_stage(seen, "ordered")
        if config.filters.is_core:
            left = leave_core(self._pipeline, partitions, config.filters)
            rows = add_left_out(rows, "not in the k-core", seen["rows"] - left["rows"])
            check_rows(rows, config, tables, self._output)
            seen, partitions = left, self._next_stage(partitions, left, "core")
        if item_counts(self._schema):
            known = {} if base is None else base.item_counts(self._schema.item_id)
            with self._pipeline() as pipeline:
                build_so_far(pipeline, partitions, known, is_local=self._is_local)
            self._forget_exchanged()
            partitions = self._next_stage(partitions, seen, "counted")
        return partitions, rows, seen

    def _cuts(self, partitions: Partitions, seen: dict[str, Any]) -> tuple[int, int] | None:
        split = self._schema.split
        if not isinstance(split, Temporal) or split.cuts_ms is not None:
            return split.cuts_ms if isinstance(split, Temporal) else None
        coarse = dict(seen["coarse_times"])
        with self._pipeline() as pipeline:
            build_count_times(pipeline, partitions, buckets_to_refine(coarse, split))
        fine = dict(read_json(layout.summary(self._output, "fine_times")))
        return refined_cuts(coarse, fine, split)

    def _pipeline(self) -> beam.Pipeline:
        return beam.Pipeline(options=self._request.options)

    def _at_stage(self, seen: dict[str, Any], stage: Stage) -> Partitions:
        return Partitions(self._schema, self._output, tuple(seen["partitions"]), stage)

    def _next_stage(self, before: Partitions, seen: dict[str, Any], stage: Stage) -> Partitions:
        storage.remove(layout.stage_directory(self._output, before.stage))
        return self._at_stage(seen, stage)

    def _forget_exchanged(self) -> None:
        storage.remove(layout.exchanges(self._output))

    def _say(self, step: str) -> None:
        self._console.print(f"transforms {step}", style="dim", highlight=False)

    def _event_features(self) -> tuple[str, ...]:
        made = (n for n, f in self._schema.features.items() if isinstance(f, NumericFeature) and f.so_far)
        return (*TypedRows(self._config, self._request.tables, "events").feature_names, *made)
