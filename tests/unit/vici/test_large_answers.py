"""One IKE SA with more CHILD_SAs than a VICI packet carries is shown all the same, and hides no other."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address, ip_network
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import CertificateRevocationListBuilder, RevokedCertificateBuilder
from support.certs import START, issue
from support.gateways import memory_gateway

from fastesp.cli.sas import list_sas as cli_list
from fastesp.gateway.commands.credentials import list_certs
from fastesp.gateway.commands.sas import list_sas
from fastesp.gateway.failures import Failure as Failed
from fastesp.gateway.failures import as_message
from fastesp.gateway.vici.codec import MAX_PACKET, Packet, PacketType, push_message, push_packet
from ike.config import Mode
from ike.events import AttemptLost, Path
from ike.records import Failure, record
from ike.status import ChildSaInfo, IkeSaInfo
from ike.wire.identity import Identity
from ike.wire.selectors import TrafficSelector

PATH = Path(ip_address("203.0.113.10"), 4500, ip_address("198.51.100.20"), 4500)
WHO = Identity.parse("gw.example.org")


def child(child_id: int, selectors: int) -> ChildSaInfo:
    net = ip_network("2001:db8:ffff:ffff::/64")
    own = tuple(TrafficSelector(net[0], net[-2], 6, 10_000 + n, 60_000 + n) for n in range(selectors))
    return ChildSaInfo(
        child_id,
        "a-child-of-some-name",
        "INSTALLED",
        3,
        Mode.TUNNEL,
        True,
        (),
        1,
        2,
        own,
        own,
        False,
        False,
        0.0,
        1e6,
        1e6,
    )


def ike(ike_id: int, children: tuple[ChildSaInfo, ...]) -> IkeSaInfo:
    return IkeSaInfo(
        ike_id,
        "site",
        "ESTABLISHED",
        True,
        bytes(8),
        bytes(8),
        WHO,
        WHO,
        PATH,
        (),
        False,
        False,
        0.0,
        1e6,
        (),
        children,
    )


class Asked:
    """A request whose client takes what is streamed as VICI packets do."""

    message: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.events: list[Mapping[str, Any]] = []

    async def stream(self, event: str, message: Mapping[str, Any]) -> bool:
        push_packet(Packet(PacketType.EVENT, event, push_message(message)))
        self.events.append(message)
        return True


class Client:
    """The command line's, fed with what was streamed."""

    def __init__(self, events: list[Mapping[str, Any]]) -> None:
        self._events = events

    def stream(self, command: str, event: str) -> list[Mapping[str, Any]]:
        assert (command, event) == ("list-sas", "list-sa")
        return self._events


@pytest.mark.parametrize(("children", "selectors"), [(2000, 1), (100, 255), (0, 0), (3, 2)])
async def test_an_ike_sa_with_many_children_is_shown_in_parts(
    children: int, selectors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = memory_gateway()
    many = ike(1, tuple(child(number, selectors) for number in range(1, children + 1)))
    monkeypatch.setattr(gateway, "ike_sas", lambda: [many, ike(2, (child(9999, 1),))])
    asked = Asked()
    await list_sas(gateway, asked)  # type: ignore[arg-type]
    shown = cli_list(Client(asked.events))  # type: ignore[arg-type]
    assert [(sa["uniqueid"], len(sa["children"])) for sa in shown] == [(1, children), (2, 1)]
    assert len({one["uniqueid"] for one in shown[0]["children"]}) == children


async def test_a_revocation_list_that_vici_cannot_carry_hides_no_certificate(caplog: pytest.LogCaptureFixture) -> None:
    gateway = memory_gateway()
    authority = issue("ca", authority=True)
    assert isinstance(authority.key, EllipticCurvePrivateKey)
    for count in (5000, 1):
        builder = CertificateRevocationListBuilder(authority.certificate.subject, START, START + timedelta(days=count))
        for number in range(1, count + 1):
            builder = builder.add_revoked_certificate(
                RevokedCertificateBuilder().serial_number(number).revocation_date(START).build()
            )
        gateway.vault.load_crl(builder.sign(authority.key, SHA256()))
    gateway.vault.load_certificate(authority.certificate, authority=True)
    asked = Asked()
    with caplog.at_level(logging.INFO, "fastesp"):
        await list_certs(gateway, asked)  # type: ignore[arg-type]
    assert [event["type"] for event in asked.events] == ["X509", "X509_CRL"]
    assert "the revocation list of 'CN=ca' is in use and not listed" in caplog.text


def test_the_longest_record_fits_a_packet() -> None:
    word = "\x1b" * 5000
    lost = [AttemptLost("a" * 200 + str(n), word) for n in range(3000)]
    many = (word,) * 3000
    failure = Failure("no-proposal-chosen", word, word, many, many, word, tuple(lost), fields={"a": word})
    sa = SimpleNamespace(connection=None, initiator=False, path=PATH, local_id=word, remote_id=word)
    made = Failed(1, 0.0, 1, record(sa, failure, "IKE_AUTH"))  # type: ignore[arg-type]
    packet = push_packet(Packet(PacketType.EVENT, "list-failure", push_message({"1": as_message(made)})))
    assert len(packet) <= MAX_PACKET + 4
