"""Tickets of session resumption (RFC 5723), by value: what one holds, how it is sealed, and that it serves once.

A ticket is the state of an IKE SA under a key that only this gateway has (AES-256-GCM, RFC 5723 appendix A.1), so
nothing is kept for the peers that hold them. A key seals for as long as a ticket lives, opens for as long again, and
then is forgotten with the record of what it sealed and was used.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import zip_longest
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..config import Connection
from ..crypto.secret import Secret
from ..errors import PeerError
from ..wire.constants import NotifyType, PayloadType, ProtocolId
from ..wire.identity import Identity
from ..wire.message import pull_payloads, push_payloads
from ..wire.payloads import IdPayload, Proposal, SaPayload, Transform
from .select import method_allowed

if TYPE_CHECKING:
    from .core import Core

LIFETIME = 4 * 3600.0
"""Seconds that a ticket is good for, at most; ``reauth_time`` may cut it short."""
MAX_KEYS = 4
MAX_USED = 65_536
"""Used tickets that are remembered for each key; one more, and a new key seals and the old one opens nothing."""
MAX_TICKET = 4096
"""The longest ticket that is looked at, and that is kept for somebody else's gateway."""

MAX_CONNECTIONS = 16_384
"""Connections that are told apart; of one that was pushed out, tickets are refused."""

VERSION = 1
_HEAD = struct.Struct(">B8s12s")
_FIXED = struct.Struct(">dd8s8s32s?BHHH")


@dataclass(frozen=True, slots=True)
class Session:
    """What a ticket brings back (RFC 5723 section 5): who the two are, what they agreed on, and SK_d.

    ``witness`` is what :func:`witness` said when the ticket was made. ``authenticated_at`` is when the peer last proved
    who it is, by ``remote_auth``. The SPIs are of the IKE SA that the ticket comes from. ``ppk``: SK_d descends from a
    post-quantum preshared key, and so do the keys that come of it (RFC 8784 section 3).
    """

    connection: str
    witness: bytes = field(repr=False)
    remote_auth: str
    authenticated_at: float
    spi_i: bytes
    spi_r: bytes
    local_id: Identity
    remote_id: Identity
    suite: tuple[Transform, ...]
    ppk: bool
    sk_d: Secret


def witness(core: Core, connection: Connection, local: Identity, remote: Identity) -> bytes:
    """32 bytes that are others once the connection, a secret of its rounds, a PPK, a CA or a CRL is another, or a
    responder says that a certificate was revoked.

    So that a ticket gives nobody what a full handshake would refuse now.
    """
    credentials = core.credentials
    secrets = [credentials.shared_key(*pair) for pair in _pairs(connection, local, remote)]
    parts = [core.tickets.generation(connection), *(bytes(one) if one is not None else b"" for one in secrets)]
    parts += [bytes(key.secret) for key in credentials.ppks()]
    parts += [authority.signature for authority in credentials.authorities()]
    parts += sorted(crl.signature for crl in (*credentials.crls(), *core.lookups.kept_crls))
    parts += core.lookups.kept_revocations
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def _pairs(connection: Connection, local: Identity, remote: Identity) -> Iterator[tuple[Identity, Identity]]:
    """Who the two are in each round. ``local`` and ``remote`` are so in their last one, and while the other goes on."""
    for earlier in zip_longest(connection.local[:-1], connection.remote[:-1]):
        ours, theirs = (section.id if section is not None else None for section in earlier)
        yield ours or local, theirs or remote
    yield local, remote


def can_be_witnessed(connection: Connection) -> bool:
    """Whether it is known later whose secrets the rounds before the last were: those of patterns are of anybody."""
    return not any(
        method_allowed(section, "psk") and (section.id is None or section.id.has_wildcards)
        for section in connection.remote[:-1]
    )


class _Key:
    """One key, and which of the tickets that it sealed were used, by their nonce: it counts, so none comes twice."""

    __slots__ = ("aead", "made_at", "name", "sealed", "used")

    def __init__(self, random: Callable[[int], bytes], now: float) -> None:
        self.name = random(8)
        self.aead = AESGCM(random(32))
        self.made_at = now
        self.sealed = 0
        self.used: set[int] = set()


class Tickets:
    """The gateway's side: seals, opens, and knows what was used."""

    __slots__ = ("_generations", "_keys", "_random")

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._keys: dict[bytes, _Key] = {}
        self._generations: dict[str, tuple[Connection, bytes]] = {}

    def generation(self, connection: Connection) -> bytes:
        """Eight random bytes for a connection as it is configured; others once it is another."""
        known = self._generations.get(connection.name)
        if known is None or known[0] != connection:
            if len(self._generations) >= MAX_CONNECTIONS:
                del self._generations[next(iter(self._generations))]
            known = self._generations[connection.name] = (connection, self._random(8))
        return known[1]

    def seal(self, session: Session, lifetime: float, now: float) -> bytes:
        """A ticket for so many seconds."""
        key = self._sealing_key(now)
        key.sealed += 1
        head = _HEAD.pack(VERSION, key.name, key.sealed.to_bytes(12, "big"))
        return head + key.aead.encrypt(head[-12:], _packed(session, now + lifetime), head)

    def open(self, ticket: bytes, now: float) -> tuple[Session, bytes]:
        """What it holds, and its name for :meth:`spend`. Raises :func:`refused`."""
        self._forget(now)
        if not _HEAD.size < len(ticket) <= MAX_TICKET:
            raise refused(f"a ticket of {len(ticket)} bytes is none of ours")
        head = ticket[: _HEAD.size]
        version, name, nonce = _HEAD.unpack(head)
        key = self._keys.get(name)
        if version != VERSION or key is None:
            raise refused("the ticket was sealed by another gateway, or too long ago, or before a restart")
        try:
            plain = key.aead.decrypt(nonce, ticket[_HEAD.size :], head)
        except InvalidTag:
            raise refused("the ticket was changed on its way") from None
        session, expires = _unpacked(plain)
        if expires <= now:
            raise refused("the ticket has expired")
        if int.from_bytes(nonce, "big") in key.used:
            raise refused("the ticket was used before")
        return session, name + nonce

    def spend(self, serial: bytes) -> bool:
        """Use a ticket up, once who presented it has proven to know its SK_d; ``False`` where it was used meanwhile."""
        key = self._keys.get(serial[:8])
        number = int.from_bytes(serial[8:], "big")
        if key is None or number in key.used:
            return False
        key.used.add(number)
        if len(key.used) >= MAX_USED:
            del self._keys[key.name]
        return True

    def _sealing_key(self, now: float) -> _Key:
        self._forget(now)
        newest = next(reversed(self._keys.values()), None)
        if newest is None or now - newest.made_at >= LIFETIME:
            newest = _Key(self._random, now)
            self._keys[newest.name] = newest
        return newest

    def _forget(self, now: float) -> None:
        old = [key.name for key in self._keys.values() if now - key.made_at >= 2 * LIFETIME]
        for name in (*old, *list(self._keys)[:-MAX_KEYS]):
            self._keys.pop(name, None)


def refused(why: str) -> PeerError:
    """A ticket that is not taken: its holder is told, and comes with a full handshake (RFC 5723 section 4.3.2)."""
    return PeerError("ticket-refused", why, notify=NotifyType.TICKET_NACK)


def _packed(session: Session, expires: float) -> bytes:
    name, auth, sk_d = session.connection.encode(), session.remote_auth.encode(), bytes(session.sk_d)
    first, chain = push_payloads(
        [
            SaPayload((Proposal(1, ProtocolId.IKE, b"", session.suite),)),
            session.local_id.to_payload(PayloadType.ID_I),
            session.remote_id.to_payload(PayloadType.ID_R),
        ]
    )
    fixed = _FIXED.pack(
        expires,
        session.authenticated_at,
        session.spi_i,
        session.spi_r,
        session.witness,
        session.ppk,
        first,
        len(name),
        len(auth),
        len(sk_d),
    )
    return b"".join((fixed, name, auth, sk_d, chain))


def _unpacked(plain: bytes) -> tuple[Session, float]:
    """The reverse; authenticated, so only what this very program packed comes here."""
    expires, at, spi_i, spi_r, seen, ppk, first, name, auth, sk_d = _FIXED.unpack_from(plain)
    ends = [_FIXED.size + name, _FIXED.size + name + auth, _FIXED.size + name + auth + sk_d]
    payloads = pull_payloads(first, plain[ends[2] :])
    (suite,) = (p.proposals[0].transforms for p in payloads if isinstance(p, SaPayload))
    local, remote = (Identity.from_payload(p) for p in payloads if isinstance(p, IdPayload))
    session = Session(
        plain[_FIXED.size : ends[0]].decode(),
        seen,
        plain[ends[0] : ends[1]].decode(),
        at,
        spi_i,
        spi_r,
        local,
        remote,
        suite,
        ppk,
        Secret(plain[ends[1] : ends[2]]),
    )
    return session, expires
