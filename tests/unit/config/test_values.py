"""Single values: what strongSwan reads is read alike, and everything else says what to write."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from fastesp.config import addresses, values
from fastesp.config.values import BadValueError
from ike.config import AddressTemplate, TsTemplate
from ike.wire.selectors import TrafficSelector


def selector(start: str, end: str, protocol: int = 0, low: int = 0, high: int = 65535) -> TsTemplate:
    found = TrafficSelector(ip_address(start), ip_address(end), protocol, low, high)
    return TsTemplate(found, False, protocol, low, high)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("1D", 86400),
        ("2 h", 7200),
        ("0", 0),
        ("0x10", 16),
        ("0x10m", 960),
    ],
)
def test_times(text: str, seconds: int) -> None:
    assert values.TIME.read(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "-1", "1.5h", "h", "1w", "1h30m", "010", "1 0", "99999999999999999999d", "1\u0660"]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadValueError) as caught:
        values.TIME.read(text)
    assert caught.value.hint


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("500M", 500 << 20), ("1G", 1 << 30), ("4k", 4096), ("7", 7)])
def test_sizes(text: str, size: int) -> None:
    assert values.BYTES.read(text) == size


@pytest.mark.parametrize("text", ["1T", "M", "1.5G", "-1", "1GB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(BadValueError):
        values.BYTES.read(text)


def test_booleans_in_every_spelling() -> None:
    assert all(values.BOOLEAN.read(text) is True for text in ("yes", "true", "Enabled", "1"))
    assert all(values.BOOLEAN.read(text) is False for text in ("no", "FALSE", "disabled", "0"))
    with pytest.raises(BadValueError, match="neither yes nor no"):
        values.BOOLEAN.read("on")


def test_a_leading_zero_is_refused_because_it_stands_for_octal() -> None:
    with pytest.raises(BadValueError) as caught:
        values.NUMBER.read("010")
    assert "octal" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("42", (42, 0xFFFFFFFF)),
        ("0x42/0xff", (0x42, 0xFF)),
        ("0x1234/0xff", (0x34, 0xFF)),
        ("%unique", (values.MARK_UNIQUE, 0xFFFFFFFF)),
        ("%unique-dir/0xff00", (values.MARK_UNIQUE_DIR, 0xFF00)),
    ],
)
def test_marks(text: str, mark: tuple[int, int]) -> None:
    assert values.MARK.read(text) == mark


def test_percent_same_belongs_to_set_marks_only() -> None:
    assert values.SET_MARK.read("%same") == (values.MARK_SAME, 0xFFFFFFFF)
    with pytest.raises(BadValueError):
        values.MARK.read("%same")
    with pytest.raises(BadValueError):
        values.SET_MARK.read("%unique")


def test_start_actions_stand_alone_or_together() -> None:
    read = values.START_ACTION.read
    assert [read(t) for t in ("none", "start", "trap", "trap|start", "start|trap", "route")] == [
        "none",
        "start",
        "trap",
        "trap|start",
        "trap|start",
        "trap",
    ]
    with pytest.raises(BadValueError, match="begin"):
        read("trap|begin")


def test_other_scalars() -> None:
    assert values.DSCP.read("101110") == 0b101110
    assert values.INTERFACE_ID.read("%unique-dir") == values.MARK_UNIQUE_DIR
    assert values.TFC.read("mtu") == values.TFC_MTU
    assert values.TFC.read("1280") == 1280
    assert values.OID.read("1.3.6.1") == "1.3.6.1"
    assert values.PER_CPU.read("yes") == -1
    assert values.PER_CPU.read("4") == 4
    assert values.OFFLOAD.read("packet:eth0") == "packet:eth0"
    assert values.PORT.read("4500") == 4500
    for kind, text in (
        (values.DSCP, "1011100"),
        (values.DSCP, "46"),
        (values.OID, "1..3"),
        (values.PER_CPU, "encap"),
        (values.OFFLOAD, "kernel:eth0"),
        (values.OFFLOAD, "packet:"),
        (values.PORT, "0"),
        (values.PORT, "65536"),
        (values.CRL_URI, "ftp://x"),
        (values.TEXT, "a\x1bb"),
    ):
        with pytest.raises(BadValueError):
            kind.read(text)


# Secrets.


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("plain text", b"plain text"),
        ("0x00ff", b"\x00\xff"),
        ("0X0:0f:f", b"\x00\x0f\x0f"),
        ("0xfff", b"\x0f\xff"),
        ("0sAAEC", b"\x00\x01\x02"),
        ("0sAAE=", b"\x00\x01"),
        ("0sAAE", b"\x00\x01"),
        ("grüß", "grüß".encode()),
    ],
)
def test_secrets_as_text_hexadecimal_and_base64(text: str, secret: bytes) -> None:
    assert values.SECRET.read(text) == secret


@pytest.mark.parametrize("text", ["0xZZ", "0s!!!!", "0sAAAAA", "", "0x", "0s"])
def test_a_bad_secret_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(BadValueError) as caught:
        values.SECRET.read(text)
    said = str(caught.value) + caught.value.hint
    assert text[2:] == "" or text[2:] not in said
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# Addresses.


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("%any", AddressTemplate()),
        ("%any4", AddressTemplate(version=4)),
        ("%any6", AddressTemplate(version=6)),
        ("0.0.0.0", AddressTemplate(version=4)),
        ("::/0", AddressTemplate(version=6)),
        ("203.0.113.10", AddressTemplate(address=ip_address("203.0.113.10"))),
        ("2001:db8::1", AddressTemplate(address=ip_address("2001:db8::1"))),
        ("10.0.0.0/8", AddressTemplate(network=ip_network("10.0.0.0/8"))),
        ("10.0.0.1-10.0.0.9", AddressTemplate(address=ip_address("10.0.0.1"), last=ip_address("10.0.0.9"))),
        ("vpn.example.org", AddressTemplate(name="vpn.example.org")),
        ("gw-1.example", AddressTemplate(name="gw-1.example")),
    ],
)
def test_addresses_of_peers(text: str, entry: AddressTemplate) -> None:
    assert addresses.PEER_ADDRESS.read(text) == entry


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.256",
        "%anny",
        "10.0.0.0/33",
        "10.0.0.9-10.0.0.1",
        "fe80::1%eth0",
        "a b",
        "-x.org",
        "x..org",
        "1.2.3",
        "%config",
    ],
)
def test_what_is_no_address_of_a_peer(text: str) -> None:
    with pytest.raises(BadValueError) as caught:
        addresses.PEER_ADDRESS.read(text)
    assert caught.value.hint


def test_virtual_addresses() -> None:
    read = addresses.VIRTUAL_IP.read
    assert {str(read(text)) for text in ("0.0.0.0", "%config", "%config4", "%any4")} == {"0.0.0.0"}
    assert {str(read(text)) for text in ("::", "%config6", "%any6")} == {"::"}
    assert str(read("10.3.0.7")) == "10.3.0.7"
    with pytest.raises(BadValueError):
        read("10.3.0.0/24")


# Traffic selectors.


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("10.1.0.0/16", selector("10.1.0.0", "10.1.255.255")),
        ("10.1.0.5", selector("10.1.0.5", "10.1.0.5")),
        ("10.1.0.5/24", selector("10.1.0.0", "10.1.0.255")),
        ("10.1.0.1-10.1.0.9", selector("10.1.0.1", "10.1.0.9")),
        ("2001:db8::/32", selector("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")),
        ("0.0.0.0/0", selector("0.0.0.0", "255.255.255.255")),
        ("10.0.0.0/24[tcp/80]", selector("10.0.0.0", "10.0.0.255", 6, 80, 80)),
        ("10.0.0.0/24[udp/1000-2000]", selector("10.0.0.0", "10.0.0.255", 17, 1000, 2000)),
        ("10.0.0.1/32[icmp/8]", selector("10.0.0.1", "10.0.0.1", 1, 0x0800, 0x08FF)),
        ("10.0.0.1/32[icmp/2048]", selector("10.0.0.1", "10.0.0.1", 1, 2048, 2048)),
        ("10.0.0.0/24[gre]", selector("10.0.0.0", "10.0.0.255", 47)),
        ("10.0.0.0/24[89]", selector("10.0.0.0", "10.0.0.255", 89)),
        ("10.0.0.0/24[/53]", selector("10.0.0.0", "10.0.0.255", 0, 53, 53)),
        ("10.0.0.0/24[tcp/opaque]", selector("10.0.0.0", "10.0.0.255", 6, 65535, 0)),
        ("10.0.0.0/24[any/any]", selector("10.0.0.0", "10.0.0.255")),
        ("dynamic", TsTemplate(None, True)),
        ("dynamic[tcp/22]", TsTemplate(None, True, 6, 22, 22)),
        ("[udp/1000-2000]", TsTemplate(None, True, 17, 1000, 2000)),
    ],
)
def test_traffic_selectors(text: str, template: TsTemplate) -> None:
    assert addresses.TRAFFIC_SELECTOR.read(text) == template


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.1.0.0/33",
        "10.1.0.0/16[tcp/80",
        "10.1.0.0/16]tcp[",
        "10.1.0.0/16[tcp/99999]",
        "10.1.0.0/16[tcp/90-80]",
        "10.1.0.0/16[nosuch]",
        "10.1.0.0/16[300]",
        "10.1.0.0/16[tcp/no-such-service]",
        "10.1.0.9-10.1.0.1",
        "dynamc",
        "%dynamc",
        "10.1.0.1-2001:db8::1",
        "x[tcp/80][udp]",
    ],
)
def test_what_is_no_traffic_selector(text: str) -> None:
    with pytest.raises(BadValueError) as caught:
        addresses.TRAFFIC_SELECTOR.read(text)
    assert caught.value.hint


# Pools.


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("10.3.0.0/24", "10.3.0.1", "10.3.0.254"),
        ("10.3.0.5/24", "10.3.0.5", "10.3.0.254"),
        ("10.3.0.4/30", "10.3.0.5", "10.3.0.6"),
        ("10.3.0.4/31", "10.3.0.4", "10.3.0.5"),
        ("10.3.0.4", "10.3.0.4", "10.3.0.4"),
        ("10.3.0.10-10.3.0.99", "10.3.0.10", "10.3.0.99"),
        ("2001:db8::/120", "2001:db8::1", "2001:db8::fe"),
        ("2001:db8::/64", "2001:db8::1", "2001:db8::7fff:fffe"),
    ],
)
def test_pools_hand_out_what_strongswan_would(text: str, first: str, last: str) -> None:
    assert addresses.POOL_RANGE.read(text) == (ip_address(first), ip_address(last))


@pytest.mark.parametrize("text", ["x", "10.3.0.0/40", "10.3.0.255/24", "10.3.0.9-10.3.0.1", "vpn.example.org"])
def test_what_is_no_pool(text: str) -> None:
    with pytest.raises(BadValueError):
        addresses.POOL_RANGE.read(text)
