"""Secrets, keys and certificates: what an endpoint asks its program for, and a store that answers from memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import Certificate, CertificateRevocationList

from .crypto.revocation import Publication
from .crypto.secret import Secret
from .wire.identity import Identity

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey


class Credentials(Protocol):
    """Asked anew for each authentication, so that a reload takes effect at the next one. Nothing here blocks."""

    def shared_key(self, local: Identity, remote: Identity) -> Secret | None:
        """The pre-shared key between two identities: the best match, ``None`` where there is none."""
        ...

    def shared_key_where(self, local: Identity, remote: Identity) -> str:
        """``file:line`` of that key, or an empty string: for the record of a failed authentication."""
        ...

    def ppks(self) -> Sequence[SharedKey]:
        """Post-quantum preshared keys (RFC 8784), each with the PPK_IDs that it is for."""
        ...

    def private_key_for(self, owner: Certificate | bytes) -> PrivateKey | None:
        """The private key of a certificate or raw public key (SubjectPublicKeyInfo) of ours."""
        ...

    def certificates(self) -> Sequence[Certificate]:
        """End-entity and intermediate certificates that may serve to build chains, ours and others'."""
        ...

    def authorities(self) -> Sequence[Certificate]:
        """Trust anchors: what a peer's chain must end in unless its connection names others."""
        ...

    def crls(self) -> Sequence[CertificateRevocationList]:
        """Revocation lists at hand."""
        ...

    def publications(self) -> Sequence[Publication]:
        """Where certification authorities publish what is known of their certificates."""
        ...


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A pre-shared key and the identities it is for; none: for everybody. ``where`` is ``file:line`` of it."""

    secret: Secret
    owners: tuple[Identity, ...] = ()
    where: str = ""

    def score(self, identity: Identity) -> int:
        """How well the key's owners name ``identity``; 0: not at all, 1: only in that it is for everybody."""
        if not self.owners:
            return 1
        return max(identity.match_score(owner) for owner in self.owners)


def public_key_bytes(key: PrivateKey | Certificate) -> bytes:
    """SubjectPublicKeyInfo in DER: what ties a private key to its certificates."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(slots=True)
class CredentialStore:
    """Credentials in memory."""

    shared: list[SharedKey] = field(default_factory=list)
    post_quantum: list[SharedKey] = field(default_factory=list)
    own: list[Certificate] = field(default_factory=list)
    anchors: list[Certificate] = field(default_factory=list)
    revocation: list[CertificateRevocationList] = field(default_factory=list)
    published: list[Publication] = field(default_factory=list)
    _keys: dict[bytes, PrivateKey] = field(default_factory=dict, repr=False)

    def add_shared_key(self, secret: bytes, owners: Iterable[Identity] = (), where: str = "") -> None:
        """A pre-shared key for these identities (none: for everybody)."""
        self.shared.append(SharedKey(Secret(secret), tuple(owners), where))

    def add_ppk(self, secret: bytes, owners: Iterable[Identity] = (), where: str = "") -> None:
        """A post-quantum preshared key with its PPK_IDs (none: for all)."""
        self.post_quantum.append(SharedKey(Secret(secret), tuple(owners), where))

    def add_private_key(self, key: PrivateKey) -> None:
        """A private key; its certificates find it by their public key."""
        self._keys[public_key_bytes(key)] = key

    def add_certificate(self, certificate: Certificate) -> None:
        """A certificate that is not a trust anchor."""
        self.own.append(certificate)

    def add_authority(self, certificate: Certificate) -> None:
        """A trust anchor."""
        self.anchors.append(certificate)

    def _best(self, local: Identity, remote: Identity) -> SharedKey | None:
        # As strongSwan ranks them: the peer's identity counts first, ours decides among equals. A key that names
        # only one of the two is good enough: sites list just the peer's.
        best: SharedKey | None = None
        rank = (0, 0)
        for key in self.shared:
            scores = (key.score(remote), key.score(local))
            if any(scores) and scores > rank:
                best, rank = key, scores
        return best

    def shared_key(self, local: Identity, remote: Identity) -> Secret | None:
        """See :class:`Credentials`."""
        best = self._best(local, remote)
        return best.secret if best is not None else None

    def shared_key_where(self, local: Identity, remote: Identity) -> str:
        """See :class:`Credentials`."""
        best = self._best(local, remote)
        return best.where if best is not None else ""

    def ppks(self) -> Sequence[SharedKey]:
        """See :class:`Credentials`."""
        return self.post_quantum

    def private_key_for(self, owner: Certificate | bytes) -> PrivateKey | None:
        """See :class:`Credentials`."""
        return self._keys.get(owner if isinstance(owner, bytes) else public_key_bytes(owner))

    def certificates(self) -> Sequence[Certificate]:
        """See :class:`Credentials`."""
        return self.own

    def authorities(self) -> Sequence[Certificate]:
        """See :class:`Credentials`."""
        return self.anchors

    def crls(self) -> Sequence[CertificateRevocationList]:
        """See :class:`Credentials`."""
        return self.revocation

    def publications(self) -> Sequence[Publication]:
        """See :class:`Credentials`."""
        return self.published
