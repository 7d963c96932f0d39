"""How far a log of impressions shows its own models' taste: what the next model will learn from."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator

import pyarrow as pa


@dataclasses.dataclass
class VersionFeedback:
    """What one model version showed.

    A model trained on this log learns from what this version chose: the fewer `items`, the larger `top_share` and
    `certain_share`, the more of its own opinion comes back as data.
    """

    model: str
    version: int
    impressions: int = 0
    reward: float = 0.0
    with_propensity: int = 0
    certain: int = 0  # shown with probability 1: no other item had a chance, so nothing is learnt of any other
    items: Counter[str] = dataclasses.field(default_factory=Counter)

    @property
    def reward_rate(self) -> float:
        """Mean reward of an impression."""
        return self.reward / self.impressions

    @property
    def certain_share(self) -> float | None:
        """Share with propensity 1, of the impressions that have one; None where none has."""
        return self.certain / self.with_propensity if self.with_propensity else None

    @property
    def top_share(self) -> float:
        """Share of the impressions that the most shown tenth of the shown items has; 0.1 where all are shown alike."""
        tenth = max(1, round(len(self.items) / 10))
        return sum(count for _, count in self.items.most_common(tenth)) / self.impressions


class Feedback:
    """Collects `VersionFeedback` from the tables of a join as they pass."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, int], VersionFeedback] = {}

    def watch(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Pass the tables on."""
        for table in tables:
            names = ("model", "version", "item_id", "reward", "propensity")
            for model, version, item, reward, propensity in zip(
                *(table.column(name).to_pylist() for name in names), strict=True
            ):
                found = self._versions.setdefault((model, version), VersionFeedback(model, version))
                found.impressions += 1
                found.reward += reward
                if propensity is not None:
                    found.with_propensity += 1
                    found.certain += propensity >= 1
                found.items[item] += 1
            yield table

    def versions(self) -> list[VersionFeedback]:
        """By model and version."""
        return [self._versions[key] for key in sorted(self._versions)]
