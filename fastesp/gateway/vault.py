"""Credentials of the gateway: those of the configuration file and those that came over VICI, asked as one.

A reload replaces the first kind, ``clear-creds`` the second. Private keys and secrets are never handed out again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate, CertificateRevocationList, SubjectKeyIdentifier

from fastesp.config import Authority, Shared
from ike.credentials import CredentialStore, PrivateKey, SharedKey
from ike.crypto.revocation import Publication
from ike.crypto.secret import Secret
from ike.wire.identity import Identity


def key_id(key: PrivateKey | Certificate) -> str:
    """strongSwan's name for a key pair: the SHA-1 key identifier of RFC 5280 section 4.2.1.2, in hex."""
    return SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()


class Vault:
    """:class:`ike.credentials.Credentials` over both kinds, and what the VICI commands need to change the second."""

    def __init__(self) -> None:
        self._file = CredentialStore()
        self._shared: dict[str, Shared] = {}
        self._keys: dict[str, PrivateKey] = {}
        self._certificates: dict[bytes, Certificate] = {}
        self._authorities: dict[bytes, Certificate] = {}
        self._crls: dict[bytes, CertificateRevocationList] = {}
        self._named: list[Authority] = []
        self._publications: list[Publication] = []
        self._public_keys: dict[bytes, bytes] = {}
        self._count = 0
        self._all = CredentialStore()

    # What the endpoint asks.

    def shared_key(self, local: Identity, remote: Identity) -> Secret | None:
        """See :class:`ike.credentials.Credentials`."""
        return self._all.shared_key(local, remote)

    def shared_key_where(self, local: Identity, remote: Identity) -> str:
        """See :class:`ike.credentials.Credentials`."""
        return self._all.shared_key_where(local, remote)

    def ppks(self) -> Sequence[SharedKey]:
        """See :class:`ike.credentials.Credentials`."""
        return self._all.ppks()

    def private_key_for(self, owner: Certificate | bytes) -> PrivateKey | None:
        """See :class:`ike.credentials.Credentials`."""
        return self._all.private_key_for(owner) or self._file.private_key_for(owner)

    def certificates(self) -> Sequence[Certificate]:
        """See :class:`ike.credentials.Credentials`."""
        return self._all.certificates()

    def authorities(self) -> Sequence[Certificate]:
        """See :class:`ike.credentials.Credentials`."""
        return self._all.authorities()

    def crls(self) -> Sequence[CertificateRevocationList]:
        """See :class:`ike.credentials.Credentials`."""
        return self._all.crls()

    def publications(self) -> Sequence[Publication]:
        """See :class:`ike.credentials.Credentials`."""
        return self._publications

    # What a load brings.

    def use_file(self, store: CredentialStore) -> None:
        """Credentials of the configuration that was just read."""
        self._file = store
        self._merge()

    def load_shared(self, shared: Shared) -> None:
        """A secret; one of the same name is replaced."""
        self._count += 1
        self._shared[shared.name or f"#{self._count}"] = shared
        self._merge()

    def unload_shared(self, unique_id: str) -> bool:
        """Forget a pre-shared key; returns whether there was one of that id."""
        key = self._shared.pop(unique_id, None)
        self._merge()
        return key is not None

    def shared_ids(self) -> list[str]:
        """Ids of pre-shared keys that came over VICI with one."""
        return [unique_id for unique_id in self._shared if not unique_id.startswith("#")]

    def load_key(self, key: PrivateKey) -> str:
        """A private key; returns its id."""
        name = key_id(key)
        self._keys[name] = key
        self._merge()
        return name

    def unload_key(self, name: str) -> bool:
        """Forget a private key; returns whether there was one."""
        found = self._keys.pop(name.lower(), None)
        self._merge()
        return found is not None

    def key_ids(self) -> list[str]:
        """Ids of private keys that came over VICI."""
        return list(self._keys)

    def load_certificate(self, certificate: Certificate, *, authority: bool) -> None:
        """A certificate; an authority is a trust anchor."""
        place = self._authorities if authority else self._certificates
        place[certificate.public_bytes(Encoding.DER)] = certificate
        self._merge()

    def load_public_key(self, spki: bytes) -> None:
        """A raw public key (RFC 7670), SubjectPublicKeyInfo in DER."""
        self._public_keys[spki] = spki

    @property
    def public_keys(self) -> list[bytes]:
        """Raw public keys that came over VICI."""
        return list(self._public_keys)

    def load_crl(self, crl: CertificateRevocationList) -> None:
        """A revocation list."""
        self._crls[crl.public_bytes(Encoding.DER)] = crl
        self._merge()

    def use_authorities(self, authorities: Iterable[Authority]) -> None:
        """All ``authorities`` sections that are loaded: their CAs are trusted, and publish where the section says."""
        self._publications = [
            Publication(a.certificate, a.crl_uris, a.ocsp_uris, a.cert_uri_base)
            for a in authorities
            if a.certificate is not None
        ]
        self._merge()

    def clear(self) -> None:
        """Forget all that came over VICI, authorities' sections excepted."""
        self._shared.clear()
        self._keys.clear()
        self._certificates.clear()
        self._authorities.clear()
        self._crls.clear()
        self._public_keys.clear()
        self._merge()

    def has_private_key(self, certificate: Certificate) -> bool:
        """Whether this gateway can sign for a certificate."""
        return self.private_key_for(certificate) is not None

    def _loaded(self, kind: str) -> list[SharedKey]:
        return [SharedKey(s.secret, s.owners, "VICI load-shared") for s in self._shared.values() if s.kind == kind]

    def _merge(self) -> None:
        file, merged = self._file, CredentialStore()
        merged.shared = [*self._loaded("ike"), *file.shared]
        merged.post_quantum = [*self._loaded("ppk"), *file.post_quantum]
        merged.own = _distinct([*self._certificates.values(), *file.own])
        named = [publication.authority for publication in self._publications]
        merged.anchors = _distinct([*self._authorities.values(), *named, *file.anchors])
        merged.revocation = [*self._crls.values(), *file.revocation]
        for key in self._keys.values():
            merged.add_private_key(key)
        self._all = merged


def _distinct(certificates: Iterable[Certificate]) -> list[Certificate]:
    return list({certificate.public_bytes(Encoding.DER): certificate for certificate in certificates}.values())
