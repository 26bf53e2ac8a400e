"""What a hash-and-URL reference leads to: a certificate, or a bundle of them and of CRLs (RFC 7296 section 3.6)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

from .revocation import UNREADABLE, UnusableError

_SEQUENCE = 0x30
_CERTIFICATE = 0xA0
_CRL = 0xA1
_MOST = 32


@dataclass(frozen=True, slots=True)
class Bundle:
    """Certificates, the one that signs first, and CRLs; nothing in it is trusted for having been fetched."""

    certificates: tuple[x509.Certificate, ...]
    crls: tuple[x509.CertificateRevocationList, ...] = ()


def read_bundle(data: bytes, *, single: bool) -> Bundle:
    """DER of a certificate (``single``), or of ``SEQUENCE OF CHOICE { cert [0] EXPLICIT, crl [1] EXPLICIT }``.

    Raises :class:`UnusableError`.
    """
    certificates: list[x509.Certificate] = []
    crls: list[x509.CertificateRevocationList] = []
    try:
        if single:
            return Bundle((x509.load_der_x509_certificate(data),))
        tag, inside, rest = _element(data)
        if tag != _SEQUENCE or rest:
            raise UnusableError("no certificate bundle")
        while inside:
            tag, value, inside = _element(inside)
            if len(certificates) + len(crls) >= _MOST:
                raise UnusableError(f"a bundle of more than {_MOST} certificates and CRLs")
            if tag == _CERTIFICATE:
                certificates.append(x509.load_der_x509_certificate(value))
            elif tag == _CRL:
                crls.append(x509.load_der_x509_crl(value))
            else:
                raise UnusableError(f"a bundle with an element of tag {tag:#x}")
    except UNREADABLE as error:
        raise UnusableError("no certificate that can be read") from error
    if not certificates:
        raise UnusableError("a bundle without a certificate")
    return Bundle(tuple(certificates), tuple(crls))


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag and value of the DER element at the start (X.690 section 8.1), and what follows: at least 2 bytes less."""
    if len(data) < 2:
        raise UnusableError("a bundle that ends too early")
    length, start = data[1], 2
    if length & 0x80:
        octets = length & 0x7F
        start += octets
        if not 1 <= octets <= 4 or len(data) < start:
            raise UnusableError("a bundle with a length that cannot be")
        length = int.from_bytes(data[2:start], "big")
    if length > len(data) - start:
        raise UnusableError("a bundle that ends too early")
    return data[0], data[start : start + length], data[start + length :]
