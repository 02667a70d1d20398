"""Laws of the edge: whatever is sent as a token, a signature or a body, the answer is a refusal and never a bug."""

import asyncio
import base64
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.delivery import ProductionOrder, StatusUpdate
from gateway.core.ports import StoredReport
from gateway.core.report import Extraction, QualityReport, Slot
from gateway.flow.receive import Ruling
from gateway.runtime.api_settings import ApiSettings, Issuer
from gateway.web.bodies import decode
from gateway.web.pages.stream import event
from gateway.web.pages.views import pieces
from gateway.web.photo import clean
from gateway.web.problems import Denied, Wrong, problem_of
from gateway.web.reports import ReportIn
from gateway.web.tokens import Tokens
from gateway.web.webhooks import Verifier
from tests.integration.edge_rig import ISSUER, NOW, jwks, token

KINDS = [ReportIn, ProductionOrder, StatusUpdate, Ruling]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["text", "id", "asset", "photo", "order_id", "quantity", "due_date", "key", "status", "decision"]
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    file = jwks(Path(tmp_path_factory.mktemp("keys")))
    return Tokens(
        ApiSettings(issuer=(Issuer(issuer=ISSUER, audience="andon", jwks_file=str(file)),)), lambda: datetime.now(UTC)
    )


def refused(tokens: Tokens, given_token: str) -> bool:
    try:
        asyncio.run(tokens.caller(given_token))
    except Denied as no:
        return no.status == 401
    return False


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=80) | st.lists(st.binary(max_size=40), min_size=3, max_size=3))
def test_nothing_that_is_no_token_is_taken_for_one(tokens: Tokens, said: str | list[bytes]) -> None:
    text = said if isinstance(said, str) else ".".join(base64.urlsafe_b64encode(part).decode() for part in said)
    assert refused(tokens, text)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_token_with_any_character_changed_is_refused(tokens: Tokens, data: st.DataObject) -> None:
    good = token("read")
    place = data.draw(st.integers(0, len(good) - 2))  # the last character has bits that do not count
    other = data.draw(st.sampled_from("ABCxyz019-_.é ").filter(lambda letter: letter != good[place]))
    if place in {good.index("."), good.rindex(".")} or good[place + 1] != ".":
        assert refused(tokens, good[:place] + other + good[place + 1 :])


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()), st.binary()
)
def test_no_signature_that_nobody_made_is_taken(headers: dict[str, str], content: bytes) -> None:
    with pytest.raises(Denied):
        Verifier(("whsec_" + base64.b64encode(b"s" * 32).decode(),)).event_of(headers, content)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KINDS), st.dictionaries(NAMES, JSON, max_size=6).map(msgspec.json.encode) | st.binary(max_size=60)
)
def test_a_body_is_decoded_or_refused_with_a_reason(kind: type[msgspec.Struct], content: bytes) -> None:
    try:
        found = decode(content, kind)
    except Wrong as wrong:
        problem, _ = problem_of(wrong)
        assert problem.status == 400 and problem.detail
    else:
        assert isinstance(found, kind)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"\x89PNG\r\n\x1a\n" + tail))
def test_bytes_that_are_no_picture_are_refused(content: bytes) -> None:
    with pytest.raises(Wrong):
        clean(content)


@given(st.text(max_size=40), st.lists(st.tuples(st.integers(-3, 45), st.integers(-3, 45)), max_size=6))
def test_pieces_always_give_back_the_text(text: str, spans: list[tuple[int, int]]) -> None:
    slots = tuple(Slot("symptom", start, end, "") for start, end in spans)
    report = QualityReport(id="r", text=text, reported_at=NOW)
    told = Extraction(id="r", intent=None, fine_intent=None, asset=None, slots=slots, masked=text)
    held = StoredReport(report, NOW, told)
    assert "".join(piece.text for piece in pieces(held)) == text


@given(st.text(max_size=60))
def test_an_event_is_one_event_whatever_the_words(text: str) -> None:
    sent = event("line", msgspec.json.encode(text))
    assert sent.count(b"\n\n") == 1 and sent.endswith(b"\n\n")
