"""The bilingual BERT: texts into vectors, and reports into slots and intents."""

import copy
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from gateway.core.artifact import open_part
from gateway.core.errors import Misconfigured
from nlp.heads import Intents, Pointer, pool
from nlp.pieces import Pieces, Units, encode, units
from nlp.spans import Read, Span, flat
from nlp.weights import State, load

ENCODER_PARTS = ("encoder/config.json", "encoder/tokenizer.json", "encoder/model.safetensors")
READER_PARTS = ("reader/reader.json", "reader/model.safetensors")
_BATCH = 32
_LONGEST_SPAN = 24  # units


class ReaderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader was trained for. `layers` is how many top layers are its own; `thresholds` are logits by slot."""

    width: int
    layers: int
    slots: tuple[str, ...]
    intents: tuple[str, ...]
    fine: dict[str, str]
    thresholds: dict[str, float] = {}


class Encoder:
    """Texts into mean vectors. Safe to call from several threads; one torch thread serves each."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer

    @property
    def width(self) -> int:
        """Length of a vector (384 for the shipped encoder)."""
        return int(self.model.config.hidden_size)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give one mean-pooled vector a text, in order: (n, width) float32."""
        found = np.zeros((len(texts), self.width), np.float32)
        cut = [units(text) for text in texts]
        order = sorted(range(len(cut)), key=lambda at: len(cut[at].words))
        for begin in range(0, len(order), _BATCH):
            chosen = order[begin : begin + _BATCH]
            hidden, mask, _ = _hidden(self.model, self.tokenizer, [cut[at] for at in chosen])
            found[chosen] = pool(hidden, mask).numpy()
        return found


class Remembered:
    """An encoder that remembers the vectors of texts that it met lately (log templates come again and again)."""

    def __init__(self, inner: Encoder, room: Annotated[int, msgspec.Meta(ge=1)] = 4096) -> None:
        self._inner, self._room = inner, room
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def width(self) -> int:
        """Length of a vector."""
        return self._inner.width

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As `Encoder.vectors`; asks it for new texts alone."""
        with self._lock:
            known = {text: self._known[text] for text in texts if text in self._known}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, self._inner.vectors(new), strict=True))
        with self._lock:
            for text in dict.fromkeys(texts):
                self._known[text] = known[text]
                self._known.move_to_end(text)
            while len(self._known) > self._room:
                self._known.popitem(last=False)
        return np.stack([known[text] for text in texts]) if texts else np.zeros((0, self.width), np.float32)


class Reader(torch.nn.Module):  # type: ignore[misc]  # mypy does not follow torch (pyproject)
    """Reads reports: the encoder's lower layers, own top layers, slots and intents."""

    def __init__(self, model: Any, tokenizer: Any, config: ReaderConfig) -> None:
        super().__init__()
        self.model, self.tokenizer, self.config = model, tokenizer, config
        self.pointer = Pointer(config.width, len(config.slots))
        self.intents = Intents(config.width, len(config.intents), len(config.fine))
        self._least = torch.tensor([config.thresholds.get(slot, 0.0) for slot in config.slots])

    def forward(self, batch: Sequence[Units]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Span logits (n, slots, start, end) over units, intent logits, fine intent logits."""
        hidden, mask, pieces = _forward(self.model, self.tokenizer, batch)
        width = max(len(row) for row in pieces.first)
        first = torch.zeros(len(batch), max(1, width), dtype=torch.long)
        present = torch.zeros_like(first, dtype=torch.bool)
        for at, row in enumerate(pieces.first):
            first[at, : len(row)] = torch.tensor(row, dtype=torch.long)
            present[at, : len(row)] = True
        chosen = hidden.gather(1, first[..., None].expand(-1, -1, hidden.shape[-1]))
        coarse, fine = self.intents(pool(hidden, mask))
        return self.pointer(chosen, present), coarse, fine

    def read(self, texts: Sequence[str]) -> list[Read]:
        """Read texts, in order. Offsets are those of the original texts; never raises on a text."""
        found: list[Read] = []
        self.eval()
        for begin in range(0, len(texts), _BATCH):
            batch = [units(text) for text in texts[begin : begin + _BATCH]]
            with torch.inference_mode():
                spans, coarse, fine = self(batch)
            for at, one in enumerate(batch):
                found.append(self._read(one, spans[at], coarse[at], fine[at]))
        return found

    def _read(self, text: Units, logits: torch.Tensor, coarse: torch.Tensor, fine: torch.Tensor) -> Read:
        names = self.config.intents
        intents = dict(zip(names, coarse.softmax(-1).tolist(), strict=True))
        return Read(flat(self.spans(text, logits)), intents, self._fine(intents, fine))

    def spans(self, text: Units, logits: torch.Tensor) -> list[Span]:
        """Every span above its slot's threshold, nested ones too; `logits` (slots, start, end) over units."""
        places = (logits > self._least[:, None, None]).nonzero().tolist()
        return [
            Span(self.config.slots[slot], text.starts[first], text.ends[last], float(logits[slot, first, last]))
            for slot, first, last in places
            if last - first < _LONGEST_SPAN and last < len(text.words)
        ]

    def _fine(self, intents: dict[str, float], logits: torch.Tensor) -> dict[str, float]:
        """Share each coarse intent's probability among its fine intents."""
        names = list(self.config.fine)
        found: dict[str, float] = {}
        for intent, chance in intents.items():
            own = [at for at, name in enumerate(names) if self.config.fine[name] == intent]
            for at, share in zip(own, logits[own].softmax(-1).tolist(), strict=True):
                found[names[at]] = chance * share
        return found


def open_encoder(bundle: Path) -> Encoder:
    """Open the encoder of a bundle. Raises `Misconfigured` when a byte differs from the manifest."""
    _one_thread()
    config, tokenizer, weights = (open_part(bundle, name) for name in ENCODER_PARTS)
    model = _blank(config)
    model.load_state_dict(load(weights))
    return Encoder(model, PreTrainedTokenizerFast(tokenizer_file=str(tokenizer), **SPECIAL))


def load_encoder(where: str) -> Encoder:
    """Load another encoder: a directory in the usual layout, or a hub id where the site has a hub.

    `HF_HUB_OFFLINE=1` keeps it from asking the hub. Raises `Misconfigured` when there is none.
    """
    _one_thread()
    offline = os.environ.get("HF_HUB_OFFLINE") == "1" or Path(where).is_dir()
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=offline)
        model = AutoModel.from_pretrained(where, local_files_only=offline)
    except (OSError, ValueError) as lost:
        raise Misconfigured(f"encoder {where!r} cannot be loaded: {str(lost).splitlines()[0]}") from lost
    if not getattr(tokenizer, "is_fast", False):
        raise Misconfigured(f"encoder {where!r} has no fast tokenizer: the place of its pieces is not known")
    return Encoder(model, tokenizer)


def open_reader(bundle: Path, encoder: Encoder | None = None) -> Reader:
    """Open the report reader of a bundle on its encoder. Raises `Misconfigured` when the two do not fit."""
    text, weights = (open_part(bundle, name) for name in READER_PARTS)
    config = msgspec.json.decode(text.read_bytes(), type=ReaderConfig)
    encoder = encoder or open_encoder(bundle)
    if encoder.width != config.width:
        raise Misconfigured(f"{text}: made for vectors of {config.width}, the encoder gives {encoder.width}")
    reader = Reader(own_top(encoder, config.layers), encoder.tokenizer, config)
    _fill(reader, load(weights))
    reader.eval()
    return reader


def own_top(encoder: Encoder, layers: int) -> Any:
    """A model that shares the encoder's embeddings and lower layers and has its own copy of the top `layers`."""
    below = encoder.model
    if not layers:
        return below
    model = copy.deepcopy(below)
    model.embeddings = below.embeddings
    for at in range(len(below.encoder.layer) - layers):
        model.encoder.layer[at] = below.encoder.layer[at]
    return model


def own_state(reader: Reader) -> State:
    """The weights that are the reader's own: top layers and heads."""
    layers = len(reader.model.encoder.layer)
    own = tuple(f"model.encoder.layer.{at}." for at in range(layers - reader.config.layers, layers))
    return {
        name: value for name, value in reader.state_dict().items() if name.startswith((*own, "pointer.", "intents."))
    }


def _fill(reader: Reader, state: State) -> None:
    wanted = set(own_state(reader))
    if wanted != set(state):
        raise Misconfigured("the reader's weights do not fit its configuration; run `andon models build-encoder`")
    reader.load_state_dict(state, strict=False)


SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def _one_thread() -> None:
    """Keep torch to one thread: on a busy machine more of them wait for each other, 800 ms a report instead of 15."""
    torch.set_num_threads(1)


def _blank(config: Path) -> BertModel:
    return BertModel(BertConfig(**msgspec.json.decode(config.read_bytes())), add_pooling_layer=False)


def _hidden(model: Any, tokenizer: Any, batch: Sequence[Units]) -> tuple[torch.Tensor, torch.Tensor, Pieces]:
    with torch.inference_mode():
        return _forward(model, tokenizer, batch)


def _forward(model: Any, tokenizer: Any, batch: Sequence[Units]) -> tuple[torch.Tensor, torch.Tensor, Pieces]:
    pieces = encode(tokenizer, batch)
    ids, mask = torch.tensor(pieces.ids), torch.tensor(pieces.mask)
    return model(input_ids=ids, attention_mask=mask).last_hidden_state, mask, pieces
