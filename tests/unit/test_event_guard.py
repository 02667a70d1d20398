"""Where events may be sent: what an address looks like and what it means are two things."""

import ipaddress
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.events.guard import Forbidden, Resolve, allowed_of, barred, pinned, refusal, target_of

NOTHING = allowed_of([])
PUBLIC = "8.8.8.8"


def resolver(*addresses: str) -> Resolve:
    async def resolve(_: str, __: int) -> Sequence[str]:
        return addresses

    return resolve


async def nobody(host: str, _: int) -> Sequence[str]:
    raise AssertionError(f"an address needs no name server, but {host} was asked for")


@pytest.mark.parametrize(
    "url",
    [
        "https://2130706433/",  # 127.0.0.1 as one number
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",  # octal
        "https://127.1/",
        "https://127.0.0.1.1/",
        "https://256.0.0.1/",
        "https://mes.example:pass@evil.example/",
        "https://mes.example@127.0.0.1/",
        "https://mes.example\\@127.0.0.1/",
        "https://mes.example#@127.0.0.1/",
        "https://mes.example/a b",
        "https://mes.example/\r\nHost: other",
        "https://mes%2eexample/",
        "https://127。0。0。1/",  # full-width dots, which IDNA takes for dots
        "https://①②⑦.0.0.1/",
        "https://bücher.example/",  # in its xn-- form it is taken
        "https://[::1/",
        "https://[fe80::1%eth0]/",
        "https://::1/",
        "https:///path",
        "https://mes.example:0/",
        "https://mes.example:99999/",
        "https://-mes.example/",
        "https://mes..example/",
        "ftp://mes.example/",
        "file:///etc/passwd",
        "gopher://mes.example/",
        "//mes.example/",
        "mes.example",
        f"https://mes.example/{'a' * 2000}",
    ],
)
def test_a_url_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        target_of(url)


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "at"),
    [
        ("https://MES.Example./a?b=1", "mes.example", 443, "mes.example", "https://8.8.8.8:443/a?b=1"),
        ("https://mes.example:8443", "mes.example", 8443, "mes.example:8443", "https://8.8.8.8:8443/"),
        (
            "https://xn--bcher-kva.example/",
            "xn--bcher-kva.example",
            443,
            "xn--bcher-kva.example",
            "https://8.8.8.8:443/",
        ),
        ("http://8.8.4.4/x", "8.8.4.4", 80, "8.8.4.4", "http://8.8.8.8:80/x"),
        ("https://[2001:4860::8888]:444/", "2001:4860::8888", 444, "[2001:4860::8888]:444", "https://8.8.8.8:444/"),
    ],
)
def test_a_sound_url_is_taken_apart(url: str, host: str, port: int, authority: str, at: str) -> None:
    target = target_of(url)
    assert (target.host, target.port, target.authority, target.at(PUBLIC)) == (host, port, authority, at)


INSIDE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3",  # noqa: S104  (it is refused)
    "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.1.1", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1",
    "168.63.129.16",  # a cloud's metadata service on an address that is public elsewhere
    "::", "::1", "::ffff:127.0.0.1", "::ffff:a00:1", "::127.0.0.1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1",
    "ff02::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2001::1", "2001:db8::1",
    "2002:7f00:1::", "3fff::1", "100::1", "5f00::1", "fe80::1%eth0", "nonsense", "",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
async def test_no_name_leads_inside(address: str) -> None:
    assert refusal(address, "mes.example", NOTHING)
    with pytest.raises(Forbidden, match=r"mes\.example"):
        await pinned(target_of("https://mes.example/secret?token=1"), NOTHING, resolver(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2001:4860:4860::8888", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
async def test_the_internet_is_let_through_and_pinned(address: str) -> None:
    [pin] = await pinned(target_of("https://mes.example/"), NOTHING, resolver(address))
    assert ipaddress.ip_address(pin).is_global


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://127.0.0.1./", "https://[::1]/", "https://[::ffff:7f00:1]/"]
)
async def test_an_address_in_the_url_is_judged_without_a_name_server(url: str) -> None:
    with pytest.raises(Forbidden):
        await pinned(target_of(url), NOTHING, nobody)


@pytest.mark.parametrize(
    ("url", "allow", "never"),
    [
        ("https://mes.example/", [], False),
        ("http://mes.example/", [], True),
        ("http://mes.example/", ["mes.example"], False),
        ("http://mes.example/", ["10.0.0.0/8"], False),  # its name may lead there
        ("https://10.1.2.3/", [], True),
        ("https://10.1.2.3/", ["10.0.0.0/8"], False),
        ("http://10.1.2.3/", ["10.0.0.0/8"], False),
        ("https://8.8.8.8/", [], False),
        ("http://8.8.8.8/", [], True),
        ("https://[::1]/", [], True),
        ("https://localhost/", [], True),
        ("https://mes.localhost/", ["mes.localhost"], True),
        ("http://localhost:9000/", ["127.0.0.1"], False),
    ],
)
async def test_what_can_never_be_sent_to_is_known_from_the_settings_alone(
    url: str, allow: list[str], *, never: bool
) -> None:
    target, allowed = target_of(url), allowed_of(allow)
    assert bool(barred(target, allowed)) is never
    address = "127.0.0.1" if "localhost" in url else "10.1.2.3" if allow else PUBLIC
    if never:
        with pytest.raises(Forbidden):
            await pinned(target, allowed, resolver(address))
    else:
        assert await pinned(target, allowed, resolver(address))


async def test_of_several_addresses_only_those_that_may_be_used_are() -> None:
    found = await pinned(target_of("https://mes.example/"), NOTHING, resolver("127.0.0.1", "8.8.8.8", "10.0.0.1"))
    assert found == ["8.8.8.8"]


async def test_a_name_without_an_address_is_said() -> None:
    with pytest.raises(Forbidden, match="no address"):
        await pinned(target_of("https://mes.example/"), NOTHING, resolver())


@pytest.mark.parametrize(
    ("allow", "address", "fits"),
    [
        (["mes.example"], "10.1.2.3", True),
        (["MES.example."], "10.1.2.3", True),
        (["mes.example"], "fd12::1", True),
        (["mes.example"], "127.0.0.1", False),  # a listed name may be in the plant, not on this machine
        (["mes.example"], "169.254.169.254", False),
        (["mes.example"], "fd00:ec2::254", False),
        (["mes.example"], "::ffff:127.0.0.1", False),
        (["other.example"], "10.1.2.3", False),
        (["ample"], "10.1.2.3", False),
        (["10.1.0.0/16"], "10.1.2.3", True),
        (["10.1.0.0/16"], "::ffff:10.1.2.3", True),
        (["10.1.0.0/16"], "10.2.2.3", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
        (["::1"], "::1", True),
        (["0.0.0.0/0"], "169.254.169.254", False),  # only by its own address
        (["169.254.169.254"], "169.254.169.254", True),
        (["fd00::/8"], "fd00:ec2::254", False),
    ],
)
def test_what_is_listed_is_let_through_and_no_more(allow: list[str], address: str, *, fits: bool) -> None:
    assert (refusal(address, "mes.example", allowed_of(allow)) == "") is fits


@pytest.mark.parametrize(
    "listed", ["10.1.0.0/33", "10.1.2.3/16", "2130706433", "0x7f.1", "*.example", "a b", "", "::g"]
)
def test_a_list_that_means_nothing_is_refused(listed: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        allowed_of([listed])


async def test_plain_text_is_sent_to_what_is_listed_alone() -> None:
    target = target_of("http://mes.example/")
    with pytest.raises(Forbidden, match="plain text"):
        await pinned(target, NOTHING, resolver(PUBLIC))
    assert await pinned(target, allowed_of(["mes.example"]), resolver("10.1.2.3")) == ["10.1.2.3"]
    assert await pinned(target, allowed_of(["8.8.8.0/24"]), resolver(PUBLIC)) == [PUBLIC]
    with pytest.raises(Forbidden, match="plain text"):
        await pinned(target, allowed_of(["8.8.8.0/24"]), resolver(PUBLIC, "1.1.1.1"))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_that_is_let_through_is_public_in_every_disguise(address: ipaddress.IPv4Address) -> None:
    if refusal(str(address), "mes.example", NOTHING) == "":
        assert address.is_global and not address.is_multicast
    number = int(address)
    disguises = [f"::ffff:{address}", str(ipaddress.IPv6Address((0x64_FF9B << 96) | number))]
    for disguise in disguises:
        assert bool(refusal(disguise, "h", NOTHING)) == bool(refusal(str(address), "h", NOTHING))


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_that_is_let_through_is_public(address: ipaddress.IPv6Address) -> None:
    if refusal(str(address), "mes.example", NOTHING) == "" and address.ipv4_mapped is None:
        assert address in ipaddress.ip_network("2000::/3") or address in ipaddress.ip_network("64:ff9b::/96")
        assert not (address.is_loopback or address.is_link_local or address.is_private or address.is_multicast)


@given(st.text(max_size=60))
def test_no_text_makes_it_raise_anything_but_valueerror(text: str) -> None:
    for make in (lambda: target_of(text), lambda: target_of(f"https://{text}/"), lambda: allowed_of([text])):
        try:
            make()
        except ValueError:
            continue


@given(st.from_regex(r"\Ahttps://[a-z0-9.:\[\]@%\\-]{1,40}(/[a-z?#=]{0,8})?\Z"))
def test_the_host_that_is_judged_is_the_host_that_is_asked_for(url: str) -> None:
    try:
        target = target_of(url)
    except ValueError:
        return
    shown = f"[{target.host}]" if ":" in target.host else target.host
    assert url[len("https://") :].lower().startswith((shown, f"{shown}.")) or ":" in target.host
    assert "@" not in target.authority and "\\" not in target.authority
