"""How far two datasets may lie apart."""

from __future__ import annotations

from pydantic import Field

from tfrec.config_file import Config


class Limits(Config):
    """What `transforms.validate` allows; a value above its limit fails. Of a share or a distance, 1 is no limit.

    Ids have limits of their own: other users and items come each day, and that is no fault of the log.
    """

    max_new_value_share: float = Field(0.1, ge=0, le=1, description="training values that A's vocabulary lacks; no ids")
    max_new_item_share: float = Field(0.2, ge=0, le=1, description="training events of items that A did not know")
    max_new_user_share: float = Field(1.0, ge=0, le=1, description="training events of users that A did not know")
    max_linf: float = Field(0.1, ge=0, le=1, description="L∞: the largest change of one value's share")
    max_js: float = Field(0.1, ge=0, le=1, description="Jensen–Shannon divergence in bits; no ids")
    max_id_js: float = Field(1.0, ge=0, le=1, description="likewise for the ids")
    max_missing_share_change: float = Field(0.05, ge=0, le=1, description="either way")
    max_label_rate_change: float = Field(
        0.05, ge=0, description="per split: of the rate; relative, of the mean, where the label is a value"
    )
    max_row_change: float = Field(
        0.5, ge=0, le=1, description="per split: 1 − fewer rows / more rows; 0.5 is half or twice as many"
    )
    allow_schema_changes: bool = Field(False, description="show them, but do not fail")
    skip_features: tuple[str, ...] = Field((), description="features that are shown and not judged")
