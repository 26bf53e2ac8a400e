"""Certificate bundles: what a reference of a peer leads to, byte by byte."""

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from support.certificates import issue

from ike.crypto.bundle import read_bundle
from ike.crypto.revocation import UnusableError

ROOT = issue("CN=root", ca=True)
LEAF = ROOT.issue("CN=site-b")
LIST = ROOT.crl([LEAF])


def tlv(tag, value):
    size = len(value)
    length = bytes((size,)) if size < 128 else bytes((0x82,)) + size.to_bytes(2, "big")
    return bytes((tag,)) + length + value


def bundle(*parts):
    return tlv(0x30, b"".join(tlv(tag, part.public_bytes(Encoding.DER)) for tag, part in parts))


WHOLE = bundle((0xA0, LEAF.certificate), (0xA1, LIST), (0xA0, ROOT.certificate))


def test_a_bundle_has_certificates_in_order_and_lists():
    found = read_bundle(WHOLE, single=False)
    assert found.certificates == (LEAF.certificate, ROOT.certificate)
    assert found.crls == (LIST,)


def test_a_single_certificate_is_no_bundle_and_a_bundle_no_certificate():
    der = LEAF.certificate.public_bytes(Encoding.DER)
    assert read_bundle(der, single=True).certificates == (LEAF.certificate,)
    for data, single in ((der, False), (WHOLE, True)):
        with pytest.raises(UnusableError):
            read_bundle(data, single=single)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        WHOLE[:-1],
        WHOLE + b"\0",
        b"\x30\x80" + WHOLE[4:],
        b"\x30\x85\0\0\0\0\x01\0",
        b"\x30\x84\xff\xff\xff\xff",
        tlv(0x30, tlv(0xA2, b"")),
        tlv(0x30, tlv(0xA0, b"") * 3),
        bundle((0xA1, LIST)),
        bundle(*[(0xA1, LIST)] * 33),
    ],
)
def test_what_is_none_is_refused(data):
    with pytest.raises(UnusableError):
        read_bundle(data, single=False)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_bundle_or_refused(data, single):
    with pytest.raises(UnusableError):
        read_bundle(data, single=single)
