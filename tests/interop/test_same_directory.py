"""Ours and charon are configured by the very same swanctl directory, mirrored, each by ``swanctl --load-all``.

One pair of gateways lives through all configurations, as daemons do: each is loaded in place of the one before, which
unloads what is no longer there. Traffic flows in every one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from string import Template

import pytest
from support.living import LIMIT, living_pair, loaded
from support.tunnels import Pair

from fastesp.lab.pki import Authority
from fastesp.lab.process import wait_until
from fastesp.lab.sites import LAN, Site

pytestmark = [pytest.mark.root, pytest.mark.peer]

SECRET = """
secrets {
  ike-site {
    id = $peer.example.org
    secret = "a secret for an afternoon"
  }
}
"""
PSK = "auth = psk\n    id = ${name}.example.org"
PEER_PSK = "auth = psk\n    id = ${peer}.example.org"
OFTEN = "rekey_time = 2s\n        life_time = 9s\n        rand_time = 1s"
NET = "local_ts = $net\n        remote_ts = $peer_net"


def connection(
    *,
    more: str = "",
    child: str = "",
    ts: str = NET,
    children: str = "",
    local: str = PSK,
    remote: str = PEER_PSK,
    rest: str = SECRET,
    addresses: str = "local_addrs = $outer\n    remote_addrs = $peer_outer",
    version: str = "version = 2",
) -> str:
    """A connection ``site`` with a child ``net``: what a configuration changes of it."""
    return f"""
connections {{
  site {{
    {addresses}
    {version}
    {more}
    local {{
    {local}
    }}
    remote {{
    {remote}
    }}
    children {{
      net {{
        {ts}
        {child}
      }}
      {children}
    }}
  }}
}}
{rest}
"""


def pubkey(cert: str = "my-cert.pem", own: str = "CN=$name", other: str = "CN=$peer", **more: str) -> str:
    """The same with certificates."""
    lines = {
        "local": f'auth = pubkey\n    certs = {cert}\n    id = "{own}"',
        "remote": f'auth = pubkey\n    id = "{other}"',
        "rest": "",
    }
    return connection(**{**lines, **more})


@dataclass(frozen=True, slots=True)
class Case:
    """A configuration, how it comes up, and between which addresses of the sites packets then go."""

    text: str
    begin: tuple[str, ...] = ("net",)
    """Children to initiate; ``trap`` and ``start`` alone: nothing is initiated by command."""

    ways: tuple[str, ...] = ("host",)
    seconds: float = 0.0
    """Traffic for this long, of which nothing may be lost."""


CHILD = """{name} {{
        local_ts = {local}
        remote_ts = {remote}
        {more}
      }}"""
SECOND = CHILD.format(name="second", local="$net1", remote="$peer_net1", more="")

CASES = {
    "a pre-shared key between two names": Case(connection()),
    "identities that are the addresses": Case(
        connection(
            local="auth = psk",
            remote="auth = psk",
            rest="secrets {\n ike-x {\n id = $peer_outer\n secret = 0x0123456789abcdef\n }\n}",
        )
    ),
    "one secret of several, by identity": Case(
        connection(
            rest=SECRET
            + """secrets {
  ike-any {
    secret = "the wrong one"
  }
  ike-other {
    id = someone.example.org
    secret = 0sd3Jvbmc=
  }
}"""
        )
    ),
    "a secret without identities": Case(connection(rest="secrets {\n ike-x {\n secret = 0sYSBzZWNyZXQ=\n }\n}")),
    "an e-mail identity and a key id": Case(
        connection(
            local="auth = psk\n    id = $name@example.org",
            remote="auth = psk\n    id = $peer@example.org",
            rest='secrets {\n ike-x {\n id = $peer@example.org\n secret = "of an afternoon"\n }\n}',
        )
    ),
    "certificates": Case(pubkey()),
    "a chain with an intermediate authority": Case(pubkey("chain-cert.pem", "CN=chain-$name", "CN=chain-$peer")),
    "RSA certificates": Case(pubkey("rsa-cert.pem", "CN=rsa-$name", "CN=rsa-$peer")),
    "Ed25519 certificates": Case(pubkey("ed-cert.pem", "CN=ed-$name", "CN=ed-$peer")),
    "names in certificates": Case(pubkey("san-cert.pem", "$name.example.org", "$peer.example.org")),
    "a wildcard for the peer's name": Case(pubkey("san-cert.pem", "$name.example.org", "*.example.org")),
    "a wildcard in a distinguished name": Case(pubkey(other="CN=*")),
    "no identities, taken from the certificate": Case(
        pubkey(local="certs = my-cert.pem", remote='id = "CN=$peer"\n    cacerts = ca.pem')
    ),
    "the peer's certificate pinned": Case(pubkey(remote="auth = pubkey\n    certs = peer-cert.pem")),
    "certificates sent always and asked for never": Case(pubkey(more="send_cert = always\n    send_certreq = no")),
    "several children": Case(connection(children=SECOND), begin=("net", "second"), ways=("host", "second")),
    "several selectors in one child": Case(
        connection(ts="local_ts = $net, $net1\n        remote_ts = $peer_net, $peer_net1"), ways=("host", "second")
    ),
    "selectors wider than what the peer has": Case(connection(ts="local_ts = $net\n        remote_ts = $peer_wide")),
    "selectors of one protocol": Case(connection(ts="local_ts = $net[icmp]\n        remote_ts = $peer_net[icmp]")),
    "selectors of single hosts": Case(
        connection(ts="local_ts = $inner\n        remote_ts = $peer_inner/32"), ways=("inner",)
    ),
    "IPv6 inside": Case(connection(ts="local_ts = $net6\n        remote_ts = $peer_net6"), ways=("host6",)),
    "IPv6 outside": Case(connection(addresses="local_addrs = $outer6\n    remote_addrs = $peer_outer6")),
    "several remote addresses": Case(
        connection(addresses="local_addrs = %any\n    remote_addrs = $peer_outer, 192.0.2.1, 198.18.0.0/15")
    ),
    "two connections told apart by identity": Case(
        connection()
        + """
connections {
  other {
    remote_addrs = $peer_outer
    version = 2
    local {
      auth = psk
      id = $name.example.net
    }
    remote {
      auth = psk
      id = $peer.example.net
    }
    children {
      second {
        local_ts = $net1
        remote_ts = $peer_net1
      }
    }
  }
}
secrets {
  ike-other {
    id = $peer.example.net
    secret = "a secret for another"
  }
}
""",
        begin=("second", "net"),
        ways=("host", "second"),
    ),
    "start_action = start": Case(connection(child="start_action = start"), begin=("start",)),
    "start_action = trap": Case(connection(child="start_action = trap"), begin=("trap",)),
    "what passes beside what is protected": Case(
        connection(children=CHILD.format(name="clear", local="$net", remote="$peer_net1", more="mode = pass")),
    ),
    "rekeying every two seconds": Case(connection(child=OFTEN), seconds=4.0),
    "rekeying with another exchange of keys": Case(
        connection(child=f"esp_proposals = aes256gcm16-ecp256\n        {OFTEN}"),
        seconds=4.0,
    ),
    "rekeying the IKE SA every two seconds": Case(
        connection(more="rekey_time = 2s\n    over_time = 9s\n    rand_time = 1s"), seconds=4.0
    ),
    "liveness checks and what follows": Case(
        connection(more="dpd_delay = 1s", child="dpd_action = restart\n        close_action = none"), seconds=2.5
    ),
    "several proposals": Case(
        connection(
            more="proposals = aes128-sha256-modp2048, aes256gcm16-prfsha384-ecp384, default",
            child="esp_proposals = aes128gcm16, aes256-sha256, default",
        )
    ),
    "AES-CBC with HMAC": Case(
        connection(more="proposals = aes256-sha512-modp3072", child="esp_proposals = aes256-sha512")
    ),
    "ChaCha20-Poly1305": Case(
        connection(
            more="proposals = chacha20poly1305-prfsha256-x25519", child="esp_proposals = chacha20poly1305-aes256gcm16"
        )
    ),
    "a template": Case(
        connection().replace("site {", "site : base {", 1)
        + "base {\n  mobike = no\n  unique = replace\n  proposals = aes256gcm16-prfsha384-x25519\n}\n"
    ),
    "mobike = no and fragmentation = no": Case(connection(more="mobike = no\n    fragmentation = no")),
    "fragmentation = force": Case(pubkey("rsa-cert.pem", "CN=rsa-$name", "CN=rsa-$peer", more="fragmentation = force")),
    "UDP encapsulation": Case(connection(more="encap = yes")),
    "the NAT port from the beginning": Case(connection(more="local_port = 4500\n    remote_port = 4500")),
    "an IKE SA without a child first": Case(connection(more="childless = force")),
    "any version of IKE": Case(connection(version="")),
    "units, lists and quotes": Case(
        connection(
            more='rekey_time = 4h\n    proposals = "aes256gcm16-prfsha384-x25519" , default\n    keyingtries = 0',
            child="rekey_bytes = 1G\n        life_bytes = 1100M\n        rekey_packets = 1000000",
        )
    ),
}


def rendered(text: str, me: Site, other: Site) -> str:
    """One side's words."""
    words: dict[str, str] = {}
    for prefix, site in (("", me), ("peer_", other)):
        start = site.net.removesuffix("0.0/24")
        words |= {
            f"{prefix}outer": site.outer,
            f"{prefix}outer6": site.outer6,
            f"{prefix}inner": site.gateway_address,
            f"{prefix}net": site.net,
            f"{prefix}net1": f"{start}1.0/24",
            f"{prefix}wide": f"{start}0.0/16",
            f"{prefix}net6": site.net6,
        }
    return Template(text).substitute(words, name=f"site-{me.name}", peer=f"site-{other.name}")


@pytest.fixture(scope="module")
def both() -> Iterator[Pair]:
    """A gateway of ours and a charon without a configuration, and a pile of certificates for each."""
    with living_pair() as one:
        authority = Authority("lab CA")
        middle = Authority("lab middle CA", under=authority)
        mine = {}
        for peer, site in ((one.ours, one.sites.a), (one.theirs, one.sites.b)):
            start = site.net.removesuffix("0.0/24")
            # kernel-libipsec wants an address of its own within each local selector.
            site.gateway.address(LAN, f"{start}1.1/24")
            site.host.address(LAN, f"{start}1.2/24")
            name = f"site-{site.name}"
            peer.swanctl.trust(authority)
            mine[site.name] = authority.issue(f"CN={name}")
            peer.swanctl.own(mine[site.name])
            peer.swanctl.own(middle.issue(f"CN=chain-{name}"), "chain-cert.pem")
            peer.swanctl.own(authority.issue(f"CN=rsa-{name}", kind="rsa-2048"), "rsa-cert.pem")
            peer.swanctl.own(authority.issue(f"CN=ed-{name}", kind="ed25519"), "ed-cert.pem")
            peer.swanctl.own(authority.issue(f"CN=san-{name}", names=[f"{name}.example.org"]), "san-cert.pem")
        (one.ours.swanctl.x509 / "peer-cert.pem").write_bytes(mine["b"].pem)
        (one.theirs.swanctl.x509 / "peer-cert.pem").write_bytes(mine["a"].pem)
        yield one


@pytest.mark.parametrize("name", CASES)
def test_the_same_directory_makes_a_tunnel_that_carries_traffic(both: Pair, name: str) -> None:
    case = CASES[name]
    both.theirs.swanctl.configure(rendered(case.text, both.sites.b, both.sites.a))
    both.ours.swanctl.configure(rendered(case.text, both.sites.a, both.sites.b))
    with loaded(both):
        bring_up(both, case)
        flows(both, case)


def bring_up(both: Pair, case: Case) -> None:
    if case.begin == ("start",):
        wait_until(lambda: "net" in both.ours.children(), "the child to come up at load", LIMIT)
    elif case.begin != ("trap",):
        for child in case.begin:
            both.ours.initiate(child, timeout=LIMIT)


def flows(both: Pair, case: Case) -> None:
    """Packets both ways between the addresses of the case, ours first: a trap is sprung by our side's host."""
    a, b = both.sites.a, both.sites.b
    for way in case.ways:
        for here, there in ((a, b), (b, a)):
            source = here.gateway if way == "inner" else here.host
            count = max(2, int(case.seconds / 0.05)) if here is a else 2
            words = ["ping", "-n", "-q", "-c", str(count), "-i", "0.05", "-W", "2", "-I", address(here, way)]
            printed = source.run(*words, address(there, way), timeout=30)
            assert f" {count} received" in printed, printed
    assert sum(child.packets_in for sa in both.ours.ike_sas() for child in sa.children) > 0


def address(site: Site, way: str) -> str:
    start = site.net.removesuffix("0.0/24")
    ways = {
        "host": site.host_address,
        "second": f"{start}1.2",
        "host6": site.host_address6,
        "inner": site.gateway_address,
    }
    return ways[way]
