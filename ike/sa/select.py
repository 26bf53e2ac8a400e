"""Which connection a peer belongs to, in strongSwan's order: addresses, proposals, identities, authentication."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import AddressTemplate, AuthRound, Connection
from ..credentials import Credentials
from ..crypto import proposal as proposals
from ..crypto.proposal import Mismatch, ProposalSpec, Selection
from ..events import AttemptLost, Path
from ..records import note_lost
from ..wire.constants import IdType, ProtocolId
from ..wire.identity import Identity
from ..wire.payloads import Proposal
from ..wire.selectors import Address


def _address_score(templates: tuple[AddressTemplate, ...], address: Address) -> int:
    """3: named, 2: its network or range is, 1: anybody may be, 0: somebody else."""
    if not templates:
        return 1
    best = 0
    for template in templates:
        if template.matches(address):
            narrow = template.address is not None and template.last is None
            best = max(best, 3 if narrow else 1 if template.is_any else 2)
    return best


def by_addresses(connections: Sequence[Connection], path: Path) -> list[Connection]:
    """Connections whose addresses allow this path, the closest first; among equals in the configuration's order."""
    scored = []
    for connection in connections:
        remote = _address_score(connection.remote_addrs, path.remote)
        local = _address_score(connection.local_addrs, path.local)
        if remote and local:
            scored.append(((remote, local), connection))
    return [connection for _, connection in sorted(scored, key=lambda pair: pair[0], reverse=True)]


def by_proposals(
    candidates: Sequence[Connection], offered: Sequence[Proposal]
) -> tuple[Selection | None, list[Connection], list[AttemptLost], Mismatch | None]:
    """The suite of the best candidate that has one, the candidates that allow this suite, and why the others lost."""
    chosen: Selection | None = None
    left: list[Connection] = []
    lost: list[AttemptLost] = []
    first: Mismatch | None = None
    # Hundreds of connections mostly allow the same.
    known: dict[tuple[ProposalSpec, ...], Selection | Mismatch] = {}
    for connection in candidates:
        found = known.get(connection.proposals)
        if found is None:
            wanted = offered if chosen is None else (chosen.proposal,)
            found = proposals.select(wanted, connection.proposals, protocol=ProtocolId.IKE, with_ke=True)
            known[connection.proposals] = found
        if isinstance(found, Selection):
            if chosen is None:
                chosen = found
                known.clear()
            left.append(connection)
        else:
            first = first or found
            note_lost(lost, connection.name, str(found))
    return chosen, left, lost, first


def local_identity(connection: Connection, path: Path, number: int = 0) -> Identity:
    """Who we are there in a round of ours, counted from 0."""
    return identity_of(connection.local[number] if number < len(connection.local) else AuthRound(), path)


def identity_of(round_: AuthRound, path: Path) -> Identity:
    """Who we are in a round: as configured, else as our certificate says, else our address (strongSwan's order)."""
    if round_.id is not None and not round_.id.is_any:
        return round_.id
    if round_.auth == "null":
        # Who proves nothing need not say who it is (RFC 7619 section 2.2).
        return Identity(IdType.NULL, b"")
    if round_.certs:
        return Identity.of_name(round_.certs[0].subject)
    return Identity.of_address(path.local)


def method_allowed(configured: AuthRound, method: str) -> bool:
    """Whether a peer may prove itself so. ``psk``, ``pubkey``, ``eap`` or ``null``; ``any`` takes all but ``null``."""
    wanted = configured.auth.split("-")[0]
    if wanted in ("rsa", "ecdsa", "ed25519", "ed448"):
        wanted = "pubkey"
    return wanted == method or (wanted == "any" and method != "null")


def by_identities(
    candidates: Sequence[Connection],
    path: Path,
    remote: Identity,
    wanted_local: Identity | None,
    method: str,
    number: int = 0,
) -> tuple[list[Connection], list[AttemptLost], list[str]]:
    """Candidates for this peer, the closest first; why the others lost, and the key each stumbled over.

    ``wanted_local`` is the peer's IDr: whom of us it wants to talk to. ``number`` is the round, counted from 0.
    """
    scored: list[tuple[tuple[int, int], Connection]] = []
    lost: list[AttemptLost] = []
    keys: list[str] = []
    peer = str(remote)
    for connection in candidates:
        expected = connection.remote[number] if number < len(connection.remote) else AuthRound()
        ours = local_identity(connection, path, number)
        remote_score = remote.match_score(expected.id if expected.id is not None else Identity.ANY)
        local_score = 1
        if wanted_local is not None and number < max(1, len(connection.local)):
            local_score = max(ours.match_score(wanted_local), wanted_local.match_score(ours))
        if not remote_score:
            note_lost(lost, connection.name, f"remote.id is {expected.id}, the peer is {peer}")
            keys.append("remote.id")
        elif not local_score:
            note_lost(lost, connection.name, f"local.id is {ours}, the peer wants {wanted_local}")
            keys.append("local.id")
        elif not method_allowed(expected, method):
            note_lost(lost, connection.name, f"remote.auth is {expected.auth}, the peer uses {method}")
            keys.append("remote.auth")
        else:
            scored.append(((local_score, remote_score), connection))
    ordered = [connection for _, connection in sorted(scored, key=lambda pair: pair[0], reverse=True)]
    return ordered, lost, keys


def secret_place(credentials: Credentials, local: Identity, remote: Identity) -> str:
    """``file:line: secrets`` of the shared key between two identities, or what to add."""
    where = credentials.shared_key_where(local, remote)
    return f"{where}: secret" if where else f"secrets.ike: id = {remote}"
