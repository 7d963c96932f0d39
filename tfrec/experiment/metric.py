"""What is measured of a user: a total, a mean, whether something happened, or a ratio of totals over all users."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tfrec.errors import ConfigError

ROWS = "rows"  # in place of a column: how many rows the user has
FOLDS = ("sum", "mean", "max")
FORMS = "COLUMN, sum(COLUMN), mean(COLUMN), max(COLUMN), rows, or one of these / another"


@dataclass(frozen=True)
class Part:
    """A number of a user, folded from the user's rows.

    Attributes:
        column: of the log, or `ROWS`
        fold: one of FOLDS

    """

    column: str
    fold: str = "sum"


@dataclass(frozen=True)
class Metric:
    """A mean over users of `numerator`, or Σ numerator / Σ denominator over the users of a variant.

    Attributes:
        name: in the report
        numerator: of a user
        denominator: of a user, for a ratio

    """

    name: str
    numerator: Part
    denominator: Part | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.numerator,) if self.denominator is None else (self.numerator, self.denominator)


def parse_metric(text: str) -> Metric:
    """Return the metric that `[NAME=]PART` or `[NAME=]PART/PART` describes, such as `ctr=clicks/impressions`.

    Raises:
        ConfigError: it is written in another way.

    """
    name, has_name, formula = text.rpartition("=")
    parts = [_part(part.strip(), text) for part in formula.split("/")]
    if len(parts) > 2 or (has_name and not name.strip()):
        raise ConfigError(f"metric: got {text!r}; allowed: [NAME=]FORM, FORM being {FORMS}")
    return Metric(name.strip() or formula.strip(), *parts)


def _part(text: str, whole: str) -> Part:
    if matched := re.fullmatch(r"(\w+)\(\s*([^()]+?)\s*\)", text):
        fold, column = matched.groups()
        if fold in FOLDS:
            return Part(column, fold)
    elif text and not set(text) & set("()"):
        return Part(text)
    raise ConfigError(f"metric: got {whole!r}; allowed: [NAME=]FORM, FORM being {FORMS}")
