"""Which features are fields of a model, and where each stands in its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfrec.dataset.records import encoded_dtype, list_width
from tfrec.errors import ConfigError, did_you_mean
from tfrec.layers.tables import TableConfig, TableShape, plan_rows
from tfrec.schema import Schema, SequenceFeature


def choose_features(schema: Schema, wanted: Sequence[str] | None, *, roles: Sequence[str], key: str) -> tuple[str, ...]:
    """Names of encoded features: the wanted ones, or all of the roles but sequences.

    Raises:
        ConfigError: a wanted feature is not an encoded one of these roles.

    """
    allowed = [name for name, feature in schema.encoded.items() if feature.role in roles]
    if wanted is None:
        return tuple(name for name in allowed if not isinstance(schema.encoded[name], SequenceFeature))
    for name in wanted:
        if name not in allowed:
            raise ConfigError(
                f"{key}: no encoded feature {name!r} of role {' or '.join(roles)}{did_you_mean(name, allowed)}"
            )
    return tuple(wanted)


class FieldPlan:
    """Which field stands where: single-valued ids, bags of ids, composed ones, numbers.

    All ids are looked up in one table, each feature's rows behind the other's: the number of operations does not
    grow with the number of fields. Composed fields, whose vectors are products of two rows, are looked up one by one.
    """

    def __init__(
        self,
        schema: Schema,
        num_ids: Mapping[str, int],
        features: Sequence[str],
        tables: Mapping[str, TableConfig] | None = None,
    ) -> None:
        """Lay the fields out.

        Args:
            schema: of the dataset.
            num_ids: feature → number of its ids.
            features: the fields.
            tables: how the ids of a feature share rows; each has its own by default.

        Raises:
            ConfigError: `tables` names what is no field with ids, or a feature is a sequence without ids.

        """
        kinds = {name: schema.encoded[name] for name in features}
        for name, kind in kinds.items():
            if isinstance(kind, SequenceFeature) and name not in num_ids:
                raise ConfigError(
                    f"feature {name!r}: a sequence of {schema.sequence_source(name)} has no ids to embed; "
                    "leave it out of the model's features"
                )
        self.numbers = tuple(name for name in features if encoded_dtype(kinds[name]).is_floating)
        with_ids = [name for name in features if name not in self.numbers]
        for name in tables or {}:
            if name not in with_ids:
                raise ConfigError(f"model.tables: no field with ids is called {name!r}{did_you_mean(name, with_ids)}")
        self.rows = {name: plan_rows(num_ids[name], (tables or {}).get(name, TableConfig())) for name in with_ids}
        self.composed = tuple(name for name in with_ids if self.rows[name].quotients)
        self.multivalued = frozenset(name for name in with_ids if list_width(kinds[name]) is not None)
        plain = [name for name in with_ids if name not in self.composed]
        self.singles = tuple(name for name in plain if name not in self.multivalued)
        self.bags = tuple(name for name in plain if name in self.multivalued)
        self.first_row: dict[str, int] = {}
        self.first_quotient: dict[str, int] = {}
        self.num_rows = self.num_quotients = 0
        for name in (*self.singles, *self.bags, *self.composed):
            self.first_row[name], self.first_quotient[name] = self.num_rows, self.num_quotients
            self.num_rows += self.rows[name].rows
            self.num_quotients += self.rows[name].quotients

    @property
    def fields(self) -> tuple[str, ...]:
        return (*self.singles, *self.bags, *self.composed, *self.numbers)

    def table_shapes(self, dim: int, *, first_order: bool) -> list[TableShape]:
        """What the variables take."""
        found = []
        for name, rows in (
            ("embedding", self.num_rows),
            ("quotients", self.num_quotients),
            ("numbers", len(self.numbers)),
        ):
            if rows:
                found.append(TableShape(name, rows, dim))
                if first_order:
                    found.append(TableShape(f"{name}/first_order", rows, 1))
        return found
