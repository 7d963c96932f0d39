"""Encoders by kind: the one key `model.encoder.kind` swaps them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tfrec.errors import ConfigError
from tfrec.models.sequences.attention import AttentionConfig, AttentionEncoder
from tfrec.models.sequences.encoder import EncoderConfig, SequenceEncoder
from tfrec.models.sequences.hstu import HstuConfig, HstuEncoder
from tfrec.models.sequences.recurrent import GruConfig, GruEncoder

EncoderChoice = Annotated[AttentionConfig | HstuConfig | GruConfig, Field(discriminator="kind")]

_ENCODERS: dict[type[EncoderConfig], type[SequenceEncoder]] = {
    AttentionConfig: AttentionEncoder,
    HstuConfig: HstuEncoder,
    GruConfig: GruEncoder,
}


def make_encoder(config: EncoderConfig, dim: int, length: int, seed: int, *, is_causal: bool) -> SequenceEncoder:
    """The encoder of a config.

    Args:
        config: one of `EncoderChoice`.
        dim: of the steps, and of what comes out.
        length: of the longest segment.
        seed: of the initial weights.
        is_causal: no step may see a later one.

    Raises:
        ConfigError: this kind reads in one direction alone, or its own settings do not fit together.

    """
    found = _ENCODERS[type(config)]
    if not is_causal and not found.can_look_ahead:
        able = ", ".join(kind.model_fields["kind"].default for kind, one in _ENCODERS.items() if one.can_look_ahead)
        raise ConfigError(
            f"model.encoder.kind={getattr(config, 'kind', '?')}: reads in one direction alone, and masked items need "
            f"both; choose {able}"
        )
    build: type = found
    made: SequenceEncoder = build(config, dim, length, seed, is_causal=is_causal)
    return made
