"""What the gateway gets: one value that holds a whole configuration, complete and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.x509 import Certificate

from ike.config import Connection
from ike.credentials import CredentialStore, PrivateKey
from ike.crypto.secret import Secret
from ike.wire.identity import Identity
from ike.wire.selectors import Address, Network

from .problems import Problem


@dataclass(frozen=True, slots=True)
class Shared:
    """A shared secret of kind ``ike``, ``eap``, ``ntlm`` or ``ppk``, named for its section; no owners: for anybody."""

    name: str
    kind: str
    secret: Secret
    owners: tuple[Identity, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private key and the file that it was read from."""

    path: str
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """A certificate and its file. ``kind`` is the directory: ``x509``, ``x509ca``, ``x509ocsp``, ``x509aa``."""

    path: str
    kind: str
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of virtual addresses, ``first`` to ``last``, and what else its clients are told.

    ``attributes`` maps names of swanctl.conf (``dns``, ``subnet`` ...) or numbers of RFC 7296 section 3.15.1 to values.
    """

    name: str
    first: Address | None
    last: Address | None
    attributes: Mapping[str | int, tuple[Address | Network | str, ...]]
    where: str = ""
    base: Address | None = None
    """The address that was written: strongSwan names a pool by it, also where the first one handed out is the next."""

    @property
    def size(self) -> int:
        """Addresses that it hands out."""
        return int(self.last) - int(self.first) + 1 if self.first is not None and self.last is not None else 0


@dataclass(frozen=True, slots=True)
class Authority:
    """What is known of a certification authority besides its certificate."""

    name: str
    certificate: Certificate | None = None
    crl_uris: tuple[str, ...] = ()
    ocsp_uris: tuple[str, ...] = ()
    cert_uri_base: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration that passed every check.

    ``credentials`` answers an :class:`ike.endpoint.Endpoint`; the other values say where each of its parts came from.
    ``warnings`` and remarks are worth a log line each.
    """

    connections: tuple[Connection, ...] = ()
    credentials: CredentialStore = field(default_factory=CredentialStore)
    shared: tuple[Shared, ...] = ()
    keys: tuple[KeyFile, ...] = ()
    certificates: tuple[CertificateFile, ...] = ()
    pubkeys: tuple[bytes, ...] = ()
    pools: tuple[Pool, ...] = ()
    authorities: tuple[Authority, ...] = ()
    warnings: tuple[Problem, ...] = ()
    directory: Path = Path()

    def connection(self, name: str) -> Connection | None:
        """The connection of that name."""
        return next((connection for connection in self.connections if connection.name == name), None)

    def pool(self, name: str) -> Pool | None:
        """The pool of that name."""
        return next((pool for pool in self.pools if pool.name == name), None)
