"""Which features are fields of a model, and where each stands in its tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tfrec.dataset.records import encoded_dtype, list_width
from tfrec.errors import ConfigError, did_you_mean
from tfrec.layers.tables import RowPlan, TableConfig, TableShape, plan_rows
from tfrec.schema import Schema, SequenceFeature, VectorFeature, WeightsFeature


def choose_features(schema: Schema, wanted: Sequence[str] | None, *, roles: Sequence[str], key: str) -> tuple[str, ...]:
    """Names of encoded features: the wanted ones, or all of the roles but sequences.

    Weights of a multi-valued feature are none: they count wherever that feature is read.

    Raises:
        ConfigError: a wanted feature is not an encoded one of these roles, or holds the weights of another.

    """
    allowed = [name for name, feature in schema.encoded.items() if feature.role in roles]
    if wanted is None:
        unasked = (SequenceFeature, WeightsFeature)
        return tuple(name for name in allowed if not isinstance(schema.encoded[name], unasked))
    for name in wanted:
        if name not in allowed:
            raise ConfigError(
                f"{key}: no encoded feature {name!r} of role {' or '.join(roles)}{did_you_mean(name, allowed)}"
            )
        feature = schema.encoded[name]
        if isinstance(feature, WeightsFeature):
            raise ConfigError(
                f"{key}: {name!r} holds the weights of {feature.of!r} and counts wherever that is read; "
                f"name {feature.of!r} instead"
            )
    return tuple(wanted)


def with_weights(schema: Schema, names: Iterable[str]) -> tuple[str, ...]:
    """Features, and behind them the weights of those that have some: all that embedding them reads."""
    names = tuple(names)
    return (*names, *(weights for name in names if (weights := schema.weights_of(name))))


class FieldPlan:
    """Which field stands where: single-valued ids, bags of ids, composed ones, numbers, vectors.

    All ids are looked up in one table, each feature's rows behind the other's: the number of operations does not
    grow with the number of fields. Composed fields, whose vectors are products of two rows, are looked up one by one.
    A declared cross is a field with ids like any other, a bag where one of its parts is; a wide one has first-order
    weights alone, in rows of the first-order table behind those of the fields.
    """

    def __init__(
        self,
        schema: Schema,
        num_ids: Mapping[str, int],
        features: Sequence[str],
        tables: Mapping[str, TableConfig] | None = None,
        *,
        crosses: Sequence[str] = (),
        wide_crosses: Sequence[str] = (),
    ) -> None:
        """Lay the fields out.

        Args:
            schema: of the dataset.
            num_ids: feature → number of its ids.
            features: encoded features that are fields.
            tables: how the ids of a feature share rows; each has its own by default.
            crosses: of the schema, that are fields too.
            wide_crosses: of the schema, that have first-order weights alone.

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
        self.vectors = {name: kind.length for name, kind in kinds.items() if isinstance(kind, VectorFeature)}
        self.numbers = tuple(n for n in features if n not in self.vectors and encoded_dtype(kinds[n]).is_floating)
        self.crosses = {name: schema.crosses[name] for name in (*crosses, *wide_crosses)}
        with_ids = [name for name in features if name not in self.numbers and name not in self.vectors] + [*crosses]
        for name in tables or {}:
            if name not in with_ids:
                raise ConfigError(f"model.tables: no field with ids is called {name!r}{did_you_mean(name, with_ids)}")
        sizes = {**num_ids, **{name: 1 + cross.hash_buckets for name, cross in self.crosses.items()}}
        self.rows = {name: plan_rows(sizes[name], (tables or {}).get(name, TableConfig())) for name in with_ids}
        self.rows |= {name: RowPlan(sizes[name], 0, "plain") for name in wide_crosses}
        several = {name: part for name in self.rows if (part := self._several(schema, name))}
        # A bag of a cross has the weights of the part that makes it a bag.
        found = {name: schema.weights_of(part) for name, part in several.items()}
        self.weights = {name: weights for name, weights in found.items() if weights is not None}
        self.multivalued = frozenset(several)
        self.composed = tuple(name for name in with_ids if self.rows[name].quotients)
        self.singles, self.bags = self._divided(name for name in with_ids if name not in self.composed)
        self.wide_singles, self.wide_bags = self._divided(wide_crosses)
        self._place_rows()

    def _place_rows(self) -> None:
        """Rows of the fields one behind the other, in the first-order table those of wide crosses behind them."""
        self.first_row: dict[str, int] = {}
        self.first_quotient: dict[str, int] = {}
        self.num_rows = self.num_quotients = 0
        for name in (*self.singles, *self.bags, *self.composed):
            self.first_row[name], self.first_quotient[name] = self.num_rows, self.num_quotients
            self.num_rows += self.rows[name].rows
            self.num_quotients += self.rows[name].quotients
        self.num_first_order = self.num_rows
        for name in (*self.wide_singles, *self.wide_bags):
            self.first_row[name] = self.num_first_order
            self.num_first_order += self.rows[name].rows

    def _several(self, schema: Schema, name: str) -> str | None:
        """The feature that makes a field a bag: itself, or one part of a cross."""
        parts = self.crosses[name].of if name in self.crosses else (name,)
        return next((part for part in parts if list_width(schema.encoded[part]) is not None), None)

    def _divided(self, names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        names = list(names)
        bags = tuple(name for name in names if name in self.multivalued)
        return tuple(name for name in names if name not in bags), bags

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields, in the order of their vectors."""
        return (*self.singles, *self.bags, *self.composed, *self.numbers, *self.vectors)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the first-order terms, in the order of their weights: the fields, then the wide crosses."""
        return (*self.fields, *self.wide_singles, *self.wide_bags)

    @property
    def required_features(self) -> frozenset[str]:
        """Encoded features that are read: those of the fields, the parts of crosses, the weights of bags."""
        parts = {part for cross in self.crosses.values() for part in cross.of}
        return frozenset({*self.terms, *self.weights.values()} - set(self.crosses) | parts)

    @property
    def projections(self) -> dict[str, str]:
        """Name of the matrix of each vector feature."""
        return {name: f"vector_{name}" for name in self.vectors}

    def seed_of(self, table: str) -> int:
        """A number of its own for every table, whichever others there are."""
        return ("embedding", "quotients", "numbers", *self.projections.values()).index(table)

    def row_counts(self, *, first_order: bool) -> dict[str, int]:
        """Rows of every table, by its name; tables without any are left out."""
        rows = {
            "embedding": self.num_first_order if first_order else self.num_rows,
            "quotients": self.num_quotients,
            "numbers": len(self.numbers),
            **{table: self.vectors[name] for name, table in self.projections.items()},
        }
        return {name: count for name, count in rows.items() if count}

    def table_shapes(self, dim: int, *, first_order: bool) -> list[TableShape]:
        """What the variables take; `dim` 0: there are no vectors."""
        found = [TableShape(name, rows, dim) for name, rows in self.row_counts(first_order=False).items() if dim]
        if first_order:
            counts = self.row_counts(first_order=True)
            found += [TableShape(f"{name}/first_order", rows, 1) for name, rows in counts.items()]
        return found
