"""Scapy's IKEv2 layers as a second opinion: it reads what we write, and we read what it writes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from scapy.contrib import ikev2 as scapy

from ike.wire.constants import ExchangeType, HeaderFlag, NotifyType, PayloadType, ProtocolId
from ike.wire.message import Message, pull_message, push_message
from ike.wire.payloads import (
    AuthPayload,
    CertRequestPayload,
    CpAttribute,
    CpPayload,
    DeletePayload,
    IdPayload,
    KePayload,
    NoncePayload,
    NotifyPayload,
    Payload,
    Proposal,
    SaPayload,
    SkfPayload,
    SkPayload,
    Transform,
    TsPayload,
    VendorIdPayload,
)
from ike.wire.selectors import TrafficSelector

SPI_I, SPI_R = bytes(range(1, 9)), bytes(range(9, 17))


def seen_by_scapy(*payloads: Payload) -> scapy.IKEv2:
    """Scapy's reading of a message of ours."""
    return scapy.IKEv2(
        push_message(
            spi_i=SPI_I,
            spi_r=SPI_R,
            exchange=ExchangeType.CREATE_CHILD_SA,
            flags=HeaderFlag.INITIATOR,
            message_id=5,
            payloads=payloads,
        )
    )


def seen_by_us(first: str, packet: scapy.IKEv2_Payload) -> Message:
    """Our reading of a message of scapy's; ``first`` is scapy's word for the first payload's type."""
    header = scapy.IKEv2(init_SPI=SPI_I, resp_SPI=SPI_R, next_payload=first, exch_type=36, flags="Initiator", id=5)
    return pull_message(bytes(header / packet))


def test_scapy_reads_our_header() -> None:
    read = seen_by_scapy(NoncePayload(bytes(16)))
    assert (read.init_SPI, read.resp_SPI) == (SPI_I, SPI_R)
    assert (read.version, read.exch_type, read.id, read.length) == (0x20, 36, 5, 28 + 20)
    assert str(read.flags) == "Initiator"


def test_scapy_reads_our_proposals() -> None:
    transforms = (Transform(1, 20, 256), Transform(2, 6), Transform(4, 31), Transform(5, 1))
    read = seen_by_scapy(
        SaPayload((Proposal(1, ProtocolId.ESP, b"abcd", transforms), Proposal(2, 3, b"efgh", transforms)))
    )
    first = read[scapy.IKEv2_SA].prop
    second = first.payload
    for number, spi, proposal in ((1, b"abcd", first), (2, b"efgh", second)):
        assert (proposal.proposal, proposal.proto, proposal.SPI, proposal.trans_nb) == (number, 3, spi, 4)
        layers = [proposal.trans.getlayer(scapy.IKEv2_Transform, index + 1) for index in range(4)]
        assert [(t.transform_type, t.transform_id) for t in layers] == [(1, 20), (2, 6), (4, 31), (5, 1)]
        assert layers[0].key_length == 256


def test_scapy_reads_our_payloads() -> None:
    selectors = (
        TrafficSelector(IPv4Address("10.1.0.0"), IPv4Address("10.1.255.255"), 6, 80, 81),
        TrafficSelector(IPv6Address("fe80::"), IPv6Address("fe80::ff")),
    )
    read = seen_by_scapy(
        KePayload(31, b"k" * 32),
        NoncePayload(b"n" * 32),
        IdPayload(PayloadType.ID_I, 2, b"moon"),
        IdPayload(PayloadType.ID_R, 11, b"sun"),
        CertRequestPayload(4, (b"h" * 20,)),
        AuthPayload(14, b"signature"),
        NotifyPayload(NotifyType.REKEY_SA, b"", ProtocolId.ESP, b"abcd"),
        DeletePayload(ProtocolId.ESP, (b"abcd", b"efgh")),
        VendorIdPayload(b"vendor"),
        TsPayload(PayloadType.TS_I, selectors),
        TsPayload(PayloadType.TS_R, selectors[:1]),
        CpPayload(1, (CpAttribute(1, bytes((10, 0, 0, 1))), CpAttribute(3))),
        SkPayload(PayloadType.SA, b"sealed"),
    )
    assert (read[scapy.IKEv2_KE].group, read[scapy.IKEv2_KE].ke) == (31, b"k" * 32)
    assert read[scapy.IKEv2_Nonce].nonce == b"n" * 32
    assert (read[scapy.IKEv2_IDi].IDtype, read[scapy.IKEv2_IDi].ID) == (2, b"moon")
    assert (read[scapy.IKEv2_IDr].IDtype, read[scapy.IKEv2_IDr].ID) == (11, b"sun")
    assert (read[scapy.IKEv2_CERTREQ].cert_encoding, read[scapy.IKEv2_CERTREQ].cert_authority) == (4, b"h" * 20)
    assert (read[scapy.IKEv2_AUTH].auth_type, read[scapy.IKEv2_AUTH].load) == (14, b"signature")
    notify = read[scapy.IKEv2_Notify]
    assert (notify.type, notify.proto, notify.SPI, notify.notify) == (16393, 3, b"abcd", b"")
    assert read[scapy.IKEv2_Delete].SPI == [b"abcd", b"efgh"]
    assert read[scapy.IKEv2_VendorID].vendorID == b"vendor"
    four, six = read[scapy.IKEv2_TSi].traffic_selector
    assert (four.starting_address_v4, four.ending_address_v4) == ("10.1.0.0", "10.1.255.255")
    assert (four.IP_protocol_ID, four.start_port, four.end_port) == (6, 80, 81)
    assert (six.starting_address_v6, six.ending_address_v6) == ("fe80::", "fe80::ff")
    assert read[scapy.IKEv2_TSr].number_of_TSs == 1
    assert [(a.type, a.length) for a in read[scapy.IKEv2_CP].attributes] == [(1, 4), (3, 0)]
    assert (read[scapy.IKEv2_Encrypted].next_payload, read[scapy.IKEv2_Encrypted].load) == (33, b"sealed")


def test_scapy_reads_our_fragments() -> None:
    read = seen_by_scapy(SkfPayload(PayloadType.ID_I, 1, 3, b"sealed"))[scapy.IKEv2_Encrypted_Fragment]
    assert (read.next_payload, read.frag_number, read.frag_total, read.load) == (35, 1, 3, b"sealed")


def test_we_read_scapys_sa_init() -> None:
    transforms = scapy.IKEv2_Transform(next_payload=3, transform_type=1, transform_id=12, length=12, key_length=128)
    transforms /= scapy.IKEv2_Transform(next_payload=3, transform_type=2, transform_id=5)
    transforms /= scapy.IKEv2_Transform(next_payload=3, transform_type=3, transform_id=12)
    transforms /= scapy.IKEv2_Transform(next_payload=0, transform_type=4, transform_id=14)
    proposal = scapy.IKEv2_Proposal(next_payload=0, proposal=1, proto=1, trans_nb=4, trans=transforms)
    packet = scapy.IKEv2_SA(next_payload="KE", prop=proposal)
    packet /= scapy.IKEv2_KE(next_payload="Nonce", group=14, ke=b"k" * 256)
    packet /= scapy.IKEv2_Nonce(next_payload="Notify", nonce=b"n" * 32)
    packet /= scapy.IKEv2_Notify(next_payload="None", type=16388, notify=b"")
    read = seen_by_us("SA", packet).payloads
    suite = (Transform(1, 12, 128), Transform(2, 5), Transform(3, 12), Transform(4, 14))
    assert read[0] == SaPayload((Proposal(1, ProtocolId.IKE, b"", suite),))
    assert read[1:3] == (KePayload(14, b"k" * 256), NoncePayload(b"n" * 32))
    assert isinstance(read[3], NotifyPayload)
    assert read[3].notify == NotifyType.NAT_DETECTION_SOURCE_IP


def test_we_read_scapys_inner_payloads() -> None:
    packet = scapy.IKEv2_IDi(next_payload="IDr", IDtype="Email_addr", ID=b"carol@x")
    packet /= scapy.IKEv2_IDr(next_payload="AUTH", IDtype="IPv4_addr", ID="10.0.0.1")
    packet /= scapy.IKEv2_AUTH(next_payload="TSi", auth_type=2, load=b"mac")
    one = scapy.IPv4TrafficSelector(IP_protocol_ID=17, starting_address_v4="10.0.0.0", ending_address_v4="10.0.0.9")
    packet /= scapy.IKEv2_TSi(next_payload="CP", traffic_selector=[one])
    address = scapy.ConfigurationAttribute(type=1, value=b"", length=0)
    packet /= scapy.IKEv2_CP(next_payload="Delete", CFGType=1, attributes=[address])
    packet /= scapy.IKEv2_Delete(next_payload="None", proto=3, SPIsize=4, SPInum=1, SPI=[b"abcd"])
    assert seen_by_us("IDi", packet).payloads == (
        IdPayload(PayloadType.ID_I, 3, b"carol@x"),
        IdPayload(PayloadType.ID_R, 1, bytes((10, 0, 0, 1))),
        AuthPayload(2, b"mac"),
        TsPayload(PayloadType.TS_I, (TrafficSelector(IPv4Address("10.0.0.0"), IPv4Address("10.0.0.9"), 17),)),
        CpPayload(1, (CpAttribute(1),)),
        DeletePayload(ProtocolId.ESP, (b"abcd",)),
    )
