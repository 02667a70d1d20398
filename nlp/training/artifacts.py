"""Writing the encoder and the reader into a bundle."""

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.core.artifact import put_part
from nlp.encoder import ENCODER_PARTS, READER_PARTS, Encoder, Reader, own_state
from nlp.weights import save

_CONFIG = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "hidden_act",
)


def put_encoder(bundle: Path, encoder: Encoder, made_by: str, metrics: dict[str, float], seed: int) -> None:
    """Write an encoder (a BERT with a fast tokenizer) as int8 rows, its tokenizer and its configuration."""
    config, tokenizer, weights = (bundle / name for name in ENCODER_PARTS)
    config.parent.mkdir(parents=True, exist_ok=True)
    sizes = {name: getattr(encoder.model.config, name) for name in _CONFIG} | {"pad_token_id": 0}
    config.write_text(json.dumps(sizes, indent=1, sort_keys=True) + "\n")
    core = encoder.tokenizer.backend_tokenizer
    core.no_padding()
    core.no_truncation()
    core.save(str(tokenizer), pretty=False)
    save(weights, encoder.model.state_dict())
    _enter(bundle, ENCODER_PARTS, made_by, metrics, seed)


def put_reader(bundle: Path, reader: Reader, made_by: str, metrics: dict[str, float], seed: int) -> None:
    """Write a reader's configuration and its own weights."""
    config, weights = (bundle / name for name in READER_PARTS)
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_bytes(msgspec.json.format(msgspec.json.encode(reader.config), indent=1) + b"\n")
    save(weights, own_state(reader))
    _enter(bundle, READER_PARTS, made_by, metrics, seed)


def _enter(bundle: Path, parts: tuple[str, ...], made_by: str, metrics: dict[str, float], seed: int) -> None:
    now = datetime.now(UTC).isoformat()
    for name in parts:
        (bundle / name).chmod(0o644)
        put_part(bundle, name, made_by, metrics if name == parts[-1] else {}, seed=seed, created_at=now)
