"""Two IKEv2 endpoints in memory (PSK, X25519), and what they say to each other."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from ipaddress import IPv4Address, IPv4Network
from itertools import count

from ike.config import AddressTemplate, AuthRound, Child, Connection, TsTemplate, Unique
from ike.credentials import CredentialStore
from ike.crypto.proposal import ProposalSpec
from ike.endpoint import Endpoint
from ike.events import Path
from ike.wire.constants import ProtocolId
from ike.wire.identity import Identity
from ike.wire.selectors import TrafficSelector

INITIATOR, RESPONDER = IPv4Address("192.0.2.2"), IPv4Address("192.0.2.1")
IKE, ESP = "aes256gcm16-prfsha384-x25519", "aes256gcm16"
NET = IPv4Network("10.0.0.0/8")


def endpoint(address: IPv4Address, behind: IPv4Network = NET) -> Endpoint:
    """One side, whose only connection leads to the other."""
    spis = count(0x100)
    remote = RESPONDER if address == INITIATOR else INITIATOR
    own, everywhere = ((TsTemplate(TrafficSelector(net[0], net[-1], 0, 0, 65535)),) for net in (behind, NET))
    connection = Connection(
        name="site",
        local_addrs=(AddressTemplate(address=address),),
        remote_addrs=(AddressTemplate(address=remote),),
        proposals=(ProposalSpec.parse(IKE, ProtocolId.IKE),),
        local=(AuthRound(auth="psk", id=Identity.of_address(address)),),
        remote=(AuthRound(auth="psk", id=Identity.of_address(remote)),),
        children=(Child("net", own, everywhere, (ProposalSpec.parse(ESP, ProtocolId.ESP),)),),
        unique=Unique.NEVER,
    )
    store = CredentialStore()
    store.add_shared_key(b"a secret for an afternoon")
    return Endpoint(
        lambda: (connection,), store, random=secrets.token_bytes, child_spi=lambda *_: next(spis), tells=False
    )


def handshake(
    initiator: Endpoint,
    responder: Endpoint,
    while_responding: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
) -> list[bytes]:
    """Carry datagrams until both are silent, events drained as a gateway would; returns all messages in order."""
    messages = []
    initiator.initiate("site", "net", 0.0, local=INITIATOR, remote=RESPONDER)
    while sent := initiator.datagrams_to_send(0.0):
        for data, path in sent:
            with while_responding():
                responder.receive_datagram(data, Path(RESPONDER, path.remote_port, INITIATOR, path.local_port), 0.0)
                answers = responder.datagrams_to_send(0.0)
                while responder.next_event() is not None:
                    pass
            messages.append(data)
            for answer, back in answers:
                initiator.receive_datagram(answer, Path(INITIATOR, back.remote_port, RESPONDER, back.local_port), 0.0)
                messages.append(answer)
    return messages
