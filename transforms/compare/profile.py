"""What a dataset directory knows about one feature: statistics and the distribution of its training values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tfrec.dataset.directory import VOCABULARY, DatasetDirectory
from tfrec.errors import ArtifactError
from tfrec.schema import CategoricalFeature, Feature, TextFeature
from transforms.compare.distances import Cumulative


@dataclass(frozen=True)
class FeatureProfile:
    """One feature of one dataset."""

    dataset: DatasetDirectory
    name: str

    @property
    def feature(self) -> Feature:
        """The feature; of a text the feature that its words are."""
        feature = self.dataset.schema.features[self.name]
        return feature.as_categorical if isinstance(feature, TextFeature) and feature.tokens else feature

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Empty for what has none: sequences and text."""
        found: dict[str, Any] = self.dataset.statistics["features"].get(self.name, {})
        return found

    @property
    def missing_share(self) -> float | None:
        return self.statistics.get("missing_share")

    @property
    def is_id(self) -> bool:
        return isinstance(self.feature, CategoricalFeature) and self.feature.id

    @cached_property
    def tokens(self) -> dict[str, int]:
        """Tokens of the vocabulary, most frequent first, with their training counts; empty without a vocabulary.

        Raises:
            ArtifactError: the vocabulary is absent, or tokens and counts do not belong together.

        """
        if not isinstance(self.feature, CategoricalFeature) or self.feature.hash_buckets is not None:
            return {}
        path = self.dataset.path / VOCABULARY / f"{self.name}.txt"
        try:
            tokens = path.read_bytes().decode().split("\n")[:-1]  # a token may hold other ends of line
            counts = [int(line) for line in path.with_suffix(".counts").read_text().split()]
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path}: cannot be read ({error}); rerun the transforms") from None
        if len(tokens) != len(counts):
            raise ArtifactError(f"{path}: {len(tokens)} tokens and {len(counts)} counts; rerun the transforms")
        return dict(zip(tokens, counts, strict=True))

    @property
    def rest(self) -> int:
        """Training values that are in no vocabulary."""
        return max(0, int(self.statistics.get("values", 0)) - sum(self.tokens.values()))

    @property
    def token_hash_counts(self) -> list[int] | None:
        return self.statistics.get("token_hash_counts")

    @cached_property
    def cumulative(self) -> Cumulative | None:
        """None for features that are not numeric, have no value, or come from a dataset without distributions."""
        found = self.statistics.get("distribution")
        return Cumulative(found["values"], found["counts"]) if found else None


def profiles(dataset: DatasetDirectory) -> dict[str, FeatureProfile]:
    """All features in the order of the schema."""
    return {name: FeatureProfile(dataset, name) for name in dataset.schema.features}
