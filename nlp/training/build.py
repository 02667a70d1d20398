"""The maintainers' build of the encoder: surgery, language modelling, joint fine-tuning; about 30 CPU-minutes, once.

`andon models build-encoder --data DIR`. DIR holds the public data sets that `corpus` names; no text of them enters
the bundle. The package with the base weights is needed here and nowhere else.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from nlp.encoder import Encoder, open_encoder, open_reader
from nlp.pieces import encode, units
from nlp.training import corpus, joint, mlm, surgery
from nlp.training.artifacts import put_encoder, put_reader
from nlp.training.evaluate import score_generated

VOCABULARY = 14_000
_EPOCHS = 2
_GENERATED = 16_000
_GLOSSARY = 4_000
Say = Callable[[str], None]


def build_encoder(data: Path, bundle: Path, seed: int, say: Say = print) -> dict[str, float]:
    """Build the encoder and its reader into a bundle and give what was measured.

    Raises `Misconfigured` when the base weights are not there or not the pinned ones, FileNotFoundError when a
    data set is missing.
    """
    torch.set_num_threads(1)
    english = corpus.english(data)
    ours = corpus.generated(20_000, seed)
    model, tokenizer = surgery.operate([*english, *ours[1::2]], VOCABULARY, seed)
    # Hanzi are new to the model: twice as much Chinese as generated English.
    chinese = corpus.generated(2 * _GENERATED, seed + 1)[::2]
    texts = [*english, *chinese, *corpus.generated(_GENERATED, seed + 2)[1::2], *mlm.glossary(_GLOSSARY, seed)]
    loss = mlm.train(model, tokenizer, texts, _EPOCHS, seed, say=say)
    encoder = Encoder(model, tokenizer)
    metrics = {"mlm_loss": loss, "texts": float(len(texts)), **check(encoder, english[:2000], ours[::2][:2000])}
    put_encoder(bundle, encoder, "nlp.training.build", metrics, seed)
    return metrics | build_reader(data, bundle, seed, say)


def build_reader(
    data: Path | None,
    bundle: Path,
    seed: int,
    say: Say = print,
    *,
    course: joint.Course | None = None,
    judged: int = 600,
) -> dict[str, float]:
    """Train a reader anew on the bundle's encoder, which stays as it is.

    `data` None leaves the public sets out; `judged` generated reports give the figures that enter the manifest.
    """
    torch.set_num_threads(1)
    reader = joint.train(open_encoder(bundle), data, seed, course, say=say)
    put_reader(bundle, reader, "nlp.training.build", {}, seed)
    metrics = score_generated(open_reader(bundle), seed + 1_000, judged)
    put_reader(bundle, reader, "nlp.training.build", metrics, seed)
    return metrics


def check(encoder: Encoder, english: Sequence[str], chinese: Sequence[str]) -> dict[str, float]:
    """Share of unknown pieces by language, and how far apart the mean vectors of unlike texts are (1 - cosine)."""
    sample = encoder.vectors([*english[:200], *chinese[:200]])
    sample = sample / np.linalg.norm(sample, axis=1, keepdims=True)
    near = sample @ sample.T
    return {
        "unknown_en": unknown(encoder, english),
        "unknown_zh": unknown(encoder, chinese),
        "spread": float(1 - near[~np.eye(len(near), dtype=bool)].mean()),
    }


def unknown(encoder: Encoder, texts: Sequence[str]) -> float:
    """Share of pieces that the vocabulary does not have."""
    pieces = encode(encoder.tokenizer, [units(text) for text in texts])
    asked = sum(map(sum, pieces.mask))
    return sum(row.count(encoder.tokenizer.unk_token_id) for row in pieces.ids) / max(1, asked)
