"""The bilingual encoder and the report reader, tiny and shipped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import gateway
from gateway.core.artifact import read_manifest
from gateway.core.errors import Misconfigured
from nlp.encoder import (
    ENCODER_PARTS,
    READER_PARTS,
    Encoder,
    Reader,
    Remembered,
    load_encoder,
    open_encoder,
    open_reader,
    own_state,
)
from nlp.pieces import units
from nlp.training import joint
from nlp.training.build import unknown
from nlp.training.generator import Generator
from nlp.training.tiny import tiny_bundle, tiny_encoder
from nlp.weights import load, pack, save, unpack

SHIPPED = Path(gateway.__file__).parent / "bundle"
MiB = 1024 * 1024


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def shipped() -> Encoder:
    return open_encoder(SHIPPED)


@pytest.fixture(scope="module")
def reader(shipped: Encoder) -> Reader:
    return open_reader(SHIPPED, shipped)


def test_int8_rows_are_at_most_half_a_step_off() -> None:
    weight = torch.randn(50, 384, generator=torch.Generator().manual_seed(1))
    back = unpack(pack({"weight": weight, "bias": weight[0]}))
    step = weight.abs().amax(1, keepdim=True) / 127
    assert bool(((back["weight"] - weight).abs() <= step / 2 + 1e-6).all())
    assert torch.equal(back["bias"], weight[0])


def test_a_row_of_zeros_stays_zero() -> None:
    assert torch.equal(unpack(pack({"w": torch.zeros(2, 3)}))["w"], torch.zeros(2, 3))


def test_a_file_that_is_no_weights_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not weights")
    with pytest.raises(Misconfigured, match=r"model\.safetensors"):
        load(path)


@pytest.mark.parametrize("part", [*ENCODER_PARTS, *READER_PARTS])
def test_an_altered_byte_is_refused(tmp_path: Path, part: str) -> None:
    bundle = tiny_bundle(tmp_path)
    content = bytearray((bundle / part).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / part).write_bytes(bytes(content))
    with pytest.raises(Misconfigured, match="sha256"):
        open_reader(bundle)


def test_a_reader_for_another_width_is_refused(tiny: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    other = joint.new_reader(open_encoder(tiny), 1)
    state = {name: value for name, value in own_state(other).items() if not name.startswith("pointer.")}
    save(bundle / READER_PARTS[1], state)
    with pytest.raises(Misconfigured):
        open_reader(bundle)


def test_units_know_their_place_in_the_original_text() -> None:
    raw = "　轴承\uff18\uff15℃，深0.2㎜ Press-3"  # a wide blank, wide digits
    cut = units(raw)
    assert [raw[a:b] for a, b in zip(cut.starts, cut.ends, strict=True)][:3] == ["轴", "承", "\uff18\uff15"]
    assert cut.words[:6] == ("轴", "承", "85", "°", "c", ",")
    assert "㎜" in {raw[a:b] for a, b in zip(cut.starts, cut.ends, strict=True)}


def test_an_encoder_gives_one_vector_a_text_in_order(tiny: Path) -> None:
    encoder = open_encoder(tiny)
    texts = ["轴承异响", "a much longer text about a noisy spindle", "", "x"]
    together = encoder.vectors(texts)
    alone = np.concatenate([encoder.vectors([text]) for text in texts])
    assert together.dtype == np.float32
    assert together.shape == (4, 32)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert encoder.vectors([]).shape == (0, 32)


def test_a_text_that_was_met_is_not_encoded_again() -> None:
    asked: list[str] = []

    class Counting(Encoder):
        def vectors(self, texts: list[str]) -> NDArray[np.float32]:  # type: ignore[override]
            asked.extend(texts)
            return super().vectors(texts)

    inner = tiny_encoder(1)
    remembered = Remembered(Counting(inner.model, inner.tokenizer), room=2)
    first = remembered.vectors(["a", "b", "a"])
    again = remembered.vectors(["b", "a"])
    assert asked == ["a", "b"]
    np.testing.assert_array_equal(first[[1, 0]], again)
    remembered.vectors(["c", "d"])
    remembered.vectors(["a"])
    assert asked == ["a", "b", "c", "d", "a"]


def test_a_directory_in_the_usual_layout_is_loaded(tmp_path: Path) -> None:
    encoder = tiny_encoder(3)
    encoder.model.save_pretrained(tmp_path)
    encoder.tokenizer.save_pretrained(tmp_path)
    again = load_encoder(str(tmp_path))
    np.testing.assert_allclose(again.vectors(["轴承异响"]), encoder.vectors(["轴承异响"]), atol=1e-5)


def test_a_hub_id_without_a_hub_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Misconfigured, match="nobody/no-such-encoder"):
        load_encoder("nobody/no-such-encoder")


def test_a_reader_learns_without_moving_the_encoder(tiny: Path) -> None:
    encoder = open_encoder(tiny)
    before = encoder.vectors(["轴承异响", "noise"])
    said: list[str] = []
    course = joint.Course(reports=48, epochs=1, layers=1)
    trained = joint.train(encoder, None, 5, course, say=said.append)
    np.testing.assert_array_equal(before, encoder.vectors(["轴承异响", "noise"]))
    assert said
    assert sum(trained.read(["轴承异响"])[0].intents.values()) == pytest.approx(1.0, abs=1e-5)


def test_spans_of_a_reader_do_not_overlap_and_stand_in_the_text(tiny: Path) -> None:
    reader = open_reader(tiny)
    for read in reader.read([report.text for report in Generator(4).reports(8)] + ["", " ", "！" * 500]):
        for one in read.spans:
            assert 0 <= one.start < one.end <= 500
            assert all(one is other or one.end <= other.start or other.end <= one.start for other in read.spans)
        assert sum(read.fine.values()) == pytest.approx(1.0, abs=1e-4)


def test_the_shipped_bundle_takes_at_most_40_mb() -> None:
    assert sum(part.size for part in read_manifest(SHIPPED).parts.values()) <= 40_000_000


def test_the_shipped_vocabulary_knows_shop_chinese_and_english(shipped: Encoder) -> None:
    for language in ("zh", "en"):
        texts = [report.text for report in Generator(77).reports(300, (language,))]  # type: ignore[arg-type]
        assert unknown(shipped, texts) < 0.005
    words = "划痕 气孔 裂纹 飞边 漏油 轴承温度过高达85℃ 啤机 焊缝未熔合 ㎜ 2#皮带线"
    assert unknown(shipped, words.split()) == 0.0


def test_the_shipped_encoder_has_the_five_special_pieces(shipped: Encoder) -> None:
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert shipped.tokenizer.convert_tokens_to_ids(names) == [0, 1, 2, 3, 4]


def test_the_shipped_reader_reads_plain_reports(reader: Reader) -> None:
    chinese, english = "五号磨床主轴异响，请明天上午检修", "lathe 4 spindle bearing noisy, please repair by Friday"
    for text, read in zip((chinese, english), reader.read([chinese, english]), strict=True):
        assert max(read.intents, key=lambda name: read.intents[name]) == "defect_report"
        found = {span.slot: text[span.start : span.end] for span in read.spans}
        assert {"equipment", "component", "symptom", "action"} <= set(found)


def test_the_shipped_reader_gives_offsets_of_the_original_text(reader: Reader) -> None:
    text = "\uff13号车床　主轴　异响"
    found = {text[span.start : span.end] for span in reader.read([text])[0].spans}
    assert "异响" in found
    assert "\uff13号车床" in found
