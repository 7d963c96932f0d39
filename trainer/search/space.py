"""What is searched: config keys with their ranges, `train.learning_rate=log(1e-4, 1e-1)`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tfrec.errors import ConfigError, did_you_mean

KINDS = ("uniform", "log", "int", "logint", "choice")
FORMS = "uniform(0, 0.5), log(1e-4, 1e-1), int(8, 64, 8), logint(8, 256) or [a, b, c]"
_EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")  # 1e-3 is a word to YAML
_CALL = re.compile(r"\s*([a-z_]+)\s*\((.*)\)\s*", re.DOTALL)


@dataclass(frozen=True)
class Dimension:
    """One key and its values.

    Attributes:
        key: dotted, of the config.
        text: the range as it was written.
        distribution: Optuna's.
        choices: what stands for each choice of a categorical one: Optuna keeps numbers and words, not lists.

    """

    key: str
    text: str
    distribution: BaseDistribution
    choices: dict[CategoricalChoiceType, Any]

    def value(self, parameter: Any) -> Any:
        """The config value of what Optuna chose."""
        return self.choices[parameter] if self.choices else parameter

    def override(self, parameter: Any) -> str:
        """`key=value`, as --set takes it."""
        listed = yaml.safe_dump([self.value(parameter)], default_flow_style=True, width=math.inf)
        return f"{self.key}={listed.strip()[1:-1]}"

    def parameter(self, value: Any) -> Any:
        """What Optuna would choose for a config value; None if it is outside the range."""
        if self.choices:
            return next((name for name, choice in self.choices.items() if choice == _plain(value)), None)
        assert isinstance(self.distribution, FloatDistribution | IntDistribution)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not self.distribution.low <= value <= self.distribution.high:
            return None
        step = self.distribution.step
        return value if step is None or (value - self.distribution.low) % step == 0 else None

    def probes(self) -> list[Any]:
        """Parameters with which a config can be tried: the ends and one between, or every choice."""
        if self.choices:
            return list(self.choices)
        found = self.distribution
        assert isinstance(found, FloatDistribution | IntDistribution)
        if isinstance(found, IntDistribution):
            return [found.low, found.high]
        middle = math.sqrt(found.low * found.high) if found.log else (found.low + found.high) / 2
        return [found.low, middle, found.high]


def read_space(given: Sequence[str]) -> dict[str, Dimension]:
    """Dimensions by key.

    Args:
        given: `key=range` strings, and paths of YAML files that map keys to ranges.

    Raises:
        ConfigError: a file cannot be read, a key stands twice, or a range is not one.

    """
    space: dict[str, Dimension] = {}
    for text in given:
        key, equals, written = text.partition("=")
        pairs = {key.strip(): written.strip()} if equals else _from_file(text)
        for name, value in pairs.items():
            if name in space:
                raise ConfigError(f"--space: {name} stands twice; keep one range")
            space[name] = dimension(name, value)
    return space


def dimension(key: str, written: Any) -> Dimension:
    """Read one range: text as in `FORMS`, or a list of choices.

    Raises:
        ConfigError: it is not one.

    """
    text = written if isinstance(written, str) else json.dumps(written)
    where = f"--space {key}={text}"
    call = _CALL.fullmatch(text)
    if call is None:
        return _choice(key, text, _arguments(text, where), where)
    kind = call[1]
    if kind not in KINDS:
        raise ConfigError(f"{where}: unknown range {kind!r}{did_you_mean(kind, KINDS)}")
    values = _arguments(f"[{call[2]}]", where)
    if kind == "choice":
        return _choice(key, text, values, where)
    return Dimension(key, text, _numbers(kind, values, where), {})


def _numbers(kind: str, values: list[Any], where: str) -> BaseDistribution:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        numbers = []
    if not 2 <= len(numbers) <= (3 if kind == "int" else 2) or not all(map(math.isfinite, numbers)):
        raise ConfigError(f"{where}: needs two numbers, lowest and highest; a range is {FORMS}")
    low, high = numbers[:2]
    if not low < high:
        raise ConfigError(f"{where}: {low:g} is not below {high:g}; the lowest value comes first")
    if kind in ("log", "logint") and low <= 0:
        raise ConfigError(f"{where}: {low:g} has no logarithm; begin above 0, or choose uniform or int")
    if kind in ("uniform", "log"):
        return FloatDistribution(low, high, log=kind == "log")
    if any(number != int(number) for number in numbers) or (len(numbers) == 3 and numbers[2] < 1):
        raise ConfigError(f"{where}: needs whole numbers; a range is {FORMS}")
    step = int(numbers[2]) if len(numbers) == 3 else 1
    if (high - low) % step:
        raise ConfigError(f"{where}: {high:g} is no whole number of steps of {step} above {low:g}; choose such an end")
    return IntDistribution(int(low), int(high), log=kind == "logint", step=step)


def _choice(key: str, text: str, values: list[Any], where: str) -> Dimension:
    named = {
        value if isinstance(value, str | int | float | bool | None) else json.dumps(value): value for value in values
    }
    if len(named) < 2:
        raise ConfigError(f"{where}: needs at least two different values; a range is {FORMS}")
    return Dimension(key, text, CategoricalDistribution(list(named)), named)


def _arguments(text: str, where: str) -> list[Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, list):
        raise ConfigError(f"{where}: not a range; one is {FORMS}")
    return [float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value for value in found]


def _from_file(path: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"--space {path}: cannot be read ({error.strerror}); name a YAML file, or write KEY={FORMS}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"--space {path}: not YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"--space {path}: a mapping of config keys to ranges is needed; a range is {FORMS}")
    return {str(key): value for key, value in content.items()}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
