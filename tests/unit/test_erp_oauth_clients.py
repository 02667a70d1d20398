"""How a client proves who it is, and refresh tokens that turn at every use."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs

import httpx2
import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from connectors.erp.grant import ClientAuth, Grant, read_key
from connectors.erp.keeper import Kept, Remembering, Sealed
from connectors.erp.oauth import ClientCredentials, NoToken
from connectors.erp.rest import Settings
from gateway.core.errors import Misconfigured, Unreachable
from gateway.core.secret import SecretRef
from tests.erp_process import SECRET, Erp, running_erp

EC = ECKey.generate_key("P-256", {"kid": "c1"})
KEYS = {
    "RS256": RSAKey.generate_key(2048, {"kid": "c2"}),
    "ES256": EC,
    "ES384": ECKey.generate_key("P-384", {"kid": "c3"}),
    "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "c4"}),
}


@pytest.fixture(scope="module")
def process() -> Iterator[Erp]:
    with running_erp() as erp:
        yield erp


@pytest.fixture
def plant(process: Erp) -> Erp:
    process.faults()
    process.tokens(expires_in=300, fail=0, delay=0, refresh="", rotate=True, client_jwks={}, require_audience=False)
    return process


def connect() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False)


def pem(key: RSAKey | ECKey | OKPKey) -> str:
    return key.as_pem(private=True).decode()


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_client_proves_itself_with_a_key_and_the_server_takes_no_assertion_twice(
    plant: Erp, algorithm: str
) -> None:
    key = KEYS[algorithm]
    plant.tokens(client_jwks=KeySet([key]).as_dict(private=False), require_audience=True)
    proof = read_key(pem(key), str(key.kid))
    asked = Grant(
        plant.ready["token_url"],
        plant.ready["client_id"],
        client_auth="private_key_jwt",
        audience="erp",
        client_key=proof,
        assertion_audience=plant.ready["issuer"],
    )
    auth = ClientCredentials(connect, asked)
    async with httpx2.AsyncClient(base_url=plant.url, auth=auth, trust_env=False) as asker:
        assert (await asker.get("/api/orders")).status_code == 200
        plant.revoke()
        assert (await asker.get("/api/orders")).status_code == 200
    headers, body = asked.request()
    assert [plant.http.post("/oauth/token", headers=headers, content=body).status_code for _ in range(2)] == [200, 401]


def test_no_two_assertions_are_the_same_and_none_lives_longer_than_a_minute() -> None:
    asked = Grant("https://x/token", "me", client_auth="private_key_jwt", client_key=read_key(pem(EC), "c1"))
    seen = set()
    for _ in range(3):
        form = parse_qs(asked.request(clock=lambda: 1000.9)[1].decode())
        assert form["client_id"] == ["me"]
        token = jwt.decode(form["client_assertion"][0], EC)
        assert token.header["kid"] == "c1"
        assert (token.claims["iss"], token.claims["sub"], token.claims["aud"]) == ("me", "me", "https://x/token")
        assert token.claims["exp"] - token.claims["iat"] == 60
        seen.add(token.claims["jti"])
    assert len(seen) == 3


def test_a_key_may_be_a_jwk_and_another_key_is_not_accepted(plant: Erp) -> None:
    other = ECKey.generate_key("P-256", {"kid": "c1"})
    plant.tokens(client_jwks=KeySet([other]).as_dict(private=False))
    proof = read_key(json.dumps(EC.as_dict(private=True)))
    asked = Grant(plant.ready["token_url"], plant.ready["client_id"], client_auth="private_key_jwt", client_key=proof)
    with pytest.raises(NoToken, match="invalid_client") as caught:
        ClientCredentials(connect, asked).token_here()
    assert caught.value.refused


@pytest.mark.parametrize(
    "text",
    [
        *("", "secret words", "{}", '{"kty": "oct", "k": "AA"}', "{" * 20),
        *(EC.as_pem(private=False).decode(), json.dumps(EC.as_dict(private=False))),
        *(pem(ECKey.generate_key("P-521")), pem(OKPKey.generate_key("X25519"))),
    ],
)
def test_what_is_no_signing_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(Misconfigured, match="private key") as caught:
        read_key(text)
    assert "secret words" not in str(caught.value)


def test_a_certificate_as_proof_sends_the_id_alone() -> None:
    headers, body = Grant("https://x/token", "me", client_auth="tls", scope="a").request()
    assert "authorization" not in headers
    assert parse_qs(body.decode()) == {"grant_type": ["client_credentials"], "scope": ["a"], "client_id": ["me"]}


def refreshing(
    plant: Erp, first: str, keeper: Kept | None = None, connect: Callable[[], httpx2.AsyncClient] = connect
) -> ClientCredentials:
    asked = Grant(
        plant.ready["token_url"], plant.ready["client_id"], SECRET, audience="erp", scope="all", refreshes=True
    )
    return ClientCredentials(connect, asked, refresh_token=first, keeper=keeper)


async def test_a_refresh_token_turns_at_every_use_and_the_newest_is_kept_for_the_next_start(plant: Erp) -> None:
    plant.tokens(refresh="first", require_audience=True)
    keeper = Kept()
    auth = refreshing(plant, "first", keeper)
    async with httpx2.AsyncClient(base_url=plant.url, auth=auth, trust_env=False) as asker:
        for turn in range(3):
            was = keeper.newest()
            answers = await asyncio.gather(*(asker.get("/api/orders") for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}, turn
            assert keeper.newest() not in {"", was, "first"}
            plant.revoke()
    restarted = refreshing(plant, "first", keeper)
    assert (await restarted.token()).value


async def test_somebody_who_consents_anew_puts_the_new_token_into_the_settings(plant: Erp) -> None:
    keeper = Kept()
    keeper.keep("old and revoked")
    plant.tokens(refresh="second")
    assert (await refreshing(plant, "second", keeper).token()).value
    assert keeper.newest() != "old and revoked"


async def test_a_refresh_token_that_ended_is_said_to_be_refused(plant: Erp) -> None:
    plant.tokens(refresh="another")
    with pytest.raises(NoToken, match="invalid_grant") as caught:
        await refreshing(plant, "first").token()
    assert caught.value.refused and "first" not in str(caught.value)


class Shaky(Kept):
    """Cannot keep, the first time."""

    failed = False

    def keep(self, token: str) -> None:
        if not self.failed:
            self.failed = True
            raise Unreachable("the store is away")
        super().keep(token)


async def test_a_token_that_could_not_be_kept_is_used_and_kept_the_next_time(plant: Erp) -> None:
    plant.tokens(refresh="first")
    keeper = Shaky()
    auth = refreshing(plant, "first", keeper)
    async with httpx2.AsyncClient(base_url=plant.url, auth=auth, trust_env=False) as asker:
        assert (await asker.get("/api/orders")).status_code == 200
        assert (keeper.failed, keeper.newest()) == (True, "")
        plant.revoke()
        assert (await asker.get("/api/orders")).status_code == 200
        assert keeper.newest()


class Slow(Kept):
    """Says that it keeps, and is done when `free` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.free = threading.Event(), threading.Event()

    def keep(self, token: str) -> None:
        self.asked.set()
        assert self.free.wait(20)
        super().keep(token)


async def test_a_turned_token_is_durable_before_what_came_with_it_is_used(plant: Erp) -> None:
    plant.tokens(refresh="first")
    keeper = Slow()
    async with httpx2.AsyncClient(
        base_url=plant.url, auth=refreshing(plant, "first", keeper), trust_env=False
    ) as asker:
        before = plant.state()["requests"]
        asking = asyncio.create_task(asker.get("/api/orders"))
        assert await asyncio.to_thread(keeper.asked.wait, 20)
        assert plant.state()["requests"] == before and not asking.done()
        keeper.free.set()
        assert (await asking).status_code == 200
    assert keeper.newest() == plant.state()["refresh_token"]


async def test_a_gateway_that_ends_waits_for_the_token_that_is_on_its_way(plant: Erp) -> None:
    plant.tokens(refresh="first", delay=0.5)
    keeper, begun = Kept(), threading.Event()

    def noted() -> httpx2.AsyncClient:
        begun.set()
        return connect()

    auth = refreshing(plant, "first", keeper, noted)
    asking = asyncio.create_task(auth.token())
    assert await asyncio.to_thread(begun.wait, 20)
    await auth.close()
    assert (await asking).value
    assert keeper.newest() == plant.state()["refresh_token"]


class Shared(Kept):
    """What another gateway keeps in the same store while we ask with the token before."""

    def __init__(self, *held: str) -> None:
        super().__init__()
        self._held = list(held)

    def newest(self) -> str:
        return self._held.pop(0) if len(self._held) > 1 else self._held[0]


async def test_a_token_that_another_gateway_turned_meanwhile_is_taken_up(plant: Erp) -> None:
    plant.tokens(refresh="theirs")
    assert (await refreshing(plant, "first", Shared("ours, used up", "theirs")).token()).value


class Away(Kept):
    """Cannot be read."""

    def newest(self) -> str:
        raise Unreachable("the store is away")


async def test_while_the_newest_cannot_be_read_no_older_one_is_used_up(plant: Erp) -> None:
    plant.tokens(refresh="first")
    before = plant.state()["token_requests"]
    with pytest.raises(NoToken, match="cannot be read"):
        await refreshing(plant, "first", Away()).token()
    assert plant.state()["token_requests"] == before


def test_what_is_kept_opens_with_the_consent_that_it_came_from_and_no_other() -> None:
    held = Kept()
    Sealed(held, "first", "https://e.example/t", "me").keep("turned")
    assert "turned" not in held.newest()
    assert Sealed(held, "first", "https://e.example/t", "me").newest() == "turned"
    for other in (("second", "https://e.example/t", "me"), ("first", "https://e.example/t", "you")):
        assert Sealed(held, *other).newest() == ""
    held.keep("no token of ours")
    assert Sealed(held, "first").newest() == ""


async def test_a_server_that_does_not_turn_its_refresh_tokens_is_fine(plant: Erp) -> None:
    plant.tokens(refresh="first", rotate=False)
    auth = refreshing(plant, "first")
    async with httpx2.AsyncClient(base_url=plant.url, auth=auth, trust_env=False) as asker:
        for _ in range(2):
            assert (await asker.get("/api/orders")).status_code == 200
            plant.revoke()


GIVEN = {"name": "main", "base_url": "https://e.example", "token_url": "https://e.example/t", "client_id": "c"}


@pytest.mark.parametrize(
    ("auth", "needed"),
    [
        ("basic", "client_secret"),
        ("form", "client_secret"),
        ("private_key_jwt", "client_key"),
        ("tls", "cert_file"),
    ],
)
def test_settings_name_what_a_way_to_authenticate_needs(auth: ClientAuth, needed: str) -> None:
    with pytest.raises(ValueError, match=needed):
        Settings(**GIVEN, client_auth=auth)


async def test_the_adapter_takes_a_keeper_before_its_first_request(plant: Erp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", SECRET)
    monkeypatch.setenv("A_TOKEN", "first")
    plant.tokens(refresh="first")
    given = GIVEN | {"base_url": plant.url, "token_url": plant.ready["token_url"]}
    given |= {"client_id": plant.ready["client_id"], "audience": "erp"}
    adapter = Settings(**given, client_secret=SecretRef(env="A_SECRET"), refresh_token=SecretRef(env="A_TOKEN")).open()
    keeper = Kept()
    assert isinstance(adapter, Remembering)
    adapter.keep_with(keeper)
    assert await adapter.verify() == []
    assert keeper.newest() not in {"", "first"}
    await adapter.close()


def test_the_algorithm_of_a_key_is_the_keys_own() -> None:
    for name, key in KEYS.items():
        proof = read_key(pem(key))
        assert proof.algorithm == name
        assert jws.extract_compact(proof.assertion("me", "you", 0).encode()).headers()["alg"] == name
