"""The payloads of RFC 7296 section 3 as frozen values.

Numbers are plain ``int`` where a peer may send one that no registry of ours names; compare them with the
enums of :mod:`ike.wire.constants`, which are ``IntEnum``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from .constants import PayloadType, ProtocolId, TransformType
from .selectors import TrafficSelector


@dataclass(frozen=True, slots=True)
class Transform:
    """One transform (RFC 7296 section 3.3.2). ``key_length`` in bits, ``None`` where the attribute is absent.

    ``unknown_attributes`` says that the peer attached an attribute we do not know: such a transform must be
    treated as not understood (section 3.3.6).
    """

    type: int
    id: int
    key_length: int | None = None
    unknown_attributes: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal (RFC 7296 section 3.3.1). ``spi`` is empty in IKE_SA_INIT, 8 bytes for IKE, 4 for ESP and AH."""

    number: int
    protocol: int
    spi: bytes = b""
    transforms: tuple[Transform, ...] = ()

    def of(self, kind: TransformType) -> tuple[Transform, ...]:
        """The transforms of one type, in the sender's order of preference."""
        return tuple(t for t in self.transforms if t.type == kind)


@dataclass(frozen=True, slots=True)
class SaPayload:
    """Security Association (RFC 7296 section 3.3)."""

    TYPE: ClassVar[PayloadType] = PayloadType.SA
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True)
class KePayload:
    """Key Exchange (RFC 7296 section 3.4). ``method`` is the group or KEM number."""

    TYPE: ClassVar[PayloadType] = PayloadType.KE
    method: int
    data: bytes


@dataclass(frozen=True, slots=True)
class IdPayload:
    """Identification, either of IDi and IDr (RFC 7296 section 3.5): ``kind`` says which."""

    kind: PayloadType
    id_type: int
    data: bytes

    @property
    def TYPE(self) -> PayloadType:  # noqa: N802 - the same name as the class attribute of its siblings
        return self.kind

    def body(self) -> bytes:
        """The payload less its generic header: what ``MACedIDForI`` covers (RFC 7296 section 2.15)."""
        return bytes((self.id_type, 0, 0, 0)) + self.data


@dataclass(frozen=True, slots=True)
class CertPayload:
    """Certificate (RFC 7296 section 3.6)."""

    TYPE: ClassVar[PayloadType] = PayloadType.CERT
    encoding: int
    data: bytes


@dataclass(frozen=True, slots=True)
class CertRequestPayload:
    """Certificate Request (RFC 7296 section 3.7). ``authorities`` are SHA-1 hashes of the CAs' SubjectPublicKeyInfo."""

    TYPE: ClassVar[PayloadType] = PayloadType.CERTREQ
    encoding: int
    authorities: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AuthPayload:
    """Authentication (RFC 7296 section 3.8). For method 14 ``data`` holds the AlgorithmIdentifier too (RFC 7427)."""

    TYPE: ClassVar[PayloadType] = PayloadType.AUTH
    method: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoncePayload:
    """Nonce, 16 to 256 bytes (RFC 7296 section 3.9)."""

    TYPE: ClassVar[PayloadType] = PayloadType.NONCE
    data: bytes


@dataclass(frozen=True, slots=True)
class NotifyPayload:
    """Notify (RFC 7296 section 3.10)."""

    TYPE: ClassVar[PayloadType] = PayloadType.NOTIFY
    notify: int
    data: bytes = b""
    protocol: int = ProtocolId.NONE
    spi: bytes = b""


@dataclass(frozen=True, slots=True)
class DeletePayload:
    """Delete (RFC 7296 section 3.11). ``spis`` is empty for an IKE SA."""

    TYPE: ClassVar[PayloadType] = PayloadType.DELETE
    protocol: int
    spis: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class VendorIdPayload:
    """Vendor ID (RFC 7296 section 3.12)."""

    TYPE: ClassVar[PayloadType] = PayloadType.VENDOR_ID
    data: bytes


@dataclass(frozen=True, slots=True)
class TsPayload:
    """Traffic Selectors, either of TSi and TSr (RFC 7296 section 3.13): ``kind`` says which."""

    kind: PayloadType
    selectors: tuple[TrafficSelector, ...]

    @property
    def TYPE(self) -> PayloadType:  # noqa: N802 - the same name as the class attribute of its siblings
        return self.kind


@dataclass(frozen=True, slots=True)
class CpAttribute:
    """Configuration attribute (RFC 7296 section 3.15.1)."""

    type: int
    value: bytes = b""


@dataclass(frozen=True, slots=True)
class CpPayload:
    """Configuration (RFC 7296 section 3.15)."""

    TYPE: ClassVar[PayloadType] = PayloadType.CP
    cfg_type: int
    attributes: tuple[CpAttribute, ...] = ()


@dataclass(frozen=True, slots=True)
class EapPayload:
    """Extensible Authentication (RFC 7296 section 3.16). ``message`` is the EAP packet, header included."""

    TYPE: ClassVar[PayloadType] = PayloadType.EAP
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SkPayload:
    """Encrypted and Authenticated (RFC 7296 section 3.14), still sealed. ``first`` is the first inner payload's type.

    ``body`` is IV, ciphertext and ICV. Always the last payload of its message.
    """

    TYPE: ClassVar[PayloadType] = PayloadType.SK
    first: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SkfPayload:
    """Encrypted fragment (RFC 7383 section 2.5), still sealed. ``first`` is zero unless ``number`` is 1."""

    TYPE: ClassVar[PayloadType] = PayloadType.SKF
    first: int
    number: int
    total: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnknownPayload:
    """A payload type that we do not know: kept as it came (RFC 7296 section 2.5)."""

    type: int
    critical: bool
    data: bytes

    @property
    def TYPE(self) -> int:  # noqa: N802 - the same name as the class attribute of its siblings
        return self.type


Payload = (
    SaPayload
    | KePayload
    | IdPayload
    | CertPayload
    | CertRequestPayload
    | AuthPayload
    | NoncePayload
    | NotifyPayload
    | DeletePayload
    | VendorIdPayload
    | TsPayload
    | CpPayload
    | EapPayload
    | SkPayload
    | SkfPayload
    | UnknownPayload
)
