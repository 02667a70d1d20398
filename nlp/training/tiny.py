"""A very small encoder of random weights in a bundle, so that tests need no hub and no minutes."""

from pathlib import Path

import torch
from transformers import BertConfig, BertModel

from nlp.encoder import Encoder
from nlp.training import words
from nlp.training.artifacts import put_encoder, put_reader
from nlp.training.joint import new_reader
from nlp.training.surgery import SPECIAL, tokenizer_of

_ASCII = "abcdefghijklmnopqrstuvwxyz0123456789.,:;!?()#%+-/=<>°'\"&*_"


def tiny_encoder(seed: int) -> Encoder:
    """Make an encoder of width 32 with 2 layers; it knows letters, digits and the hanzi of the word lists."""
    torch.manual_seed(seed)
    hanzi = dict.fromkeys("".join("".join(zh) for zh, _ in words.everything()))
    vocabulary = list(dict.fromkeys([*SPECIAL, *_ASCII, *(f"##{sign}" for sign in _ASCII), *hanzi]))
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        pad_token_id=0,
    )
    return Encoder(BertModel(config, add_pooling_layer=False), tokenizer_of(vocabulary))


def tiny_bundle(bundle: Path, seed: int = 1) -> Path:
    """Write a tiny encoder and an untrained reader into a bundle; gives the bundle."""
    bundle.mkdir(parents=True, exist_ok=True)
    encoder = tiny_encoder(seed)
    put_encoder(bundle, encoder, "nlp.training.tiny", {}, seed)
    put_reader(bundle, new_reader(encoder, 1), "nlp.training.tiny", {}, seed)
    return bundle
