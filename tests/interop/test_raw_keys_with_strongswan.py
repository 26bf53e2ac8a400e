"""Raw public keys (RFC 7670) with strongSwan 5.9.8, which knows its peer's key and asks for none."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from support.tunnels import Pair, hosts_reach_each_other, pair

from fastesp.lab import Lab
from fastesp.lab.configurations import configuration
from fastesp.lab.peer import Peer, RefusedError
from fastesp.pki import make_key
from ike.credentials import PrivateKey

pytestmark = [pytest.mark.root, pytest.mark.peer]


def keyed(lab: Lab, kind: str) -> Pair:
    """Ours and strongSwan, each with a key of its own and the other's public half."""
    both = pair(lab)
    keys = {name: make_key(kind) for name in ("a", "b")}
    for peer, me, other in ((both.ours, both.sites.a, both.sites.b), (both.theirs, both.sites.b, both.sites.a)):
        remote = f"site-{other.name}.example.org"
        text = configuration(me, other, auth="pubkey", local_id=f"site-{me.name}.example.org", remote_id=remote)
        text = text.replace("certs = my-cert.pem", "pubkeys = own.pem")
        peer.swanctl.configure(text.replace(f'id = "{remote}"', f'id = "{remote}"\n      pubkeys = peer.pem'))
        show(peer, "own.pem", keys[me.name])
        show(peer, "peer.pem", keys[other.name])
        private = keys[me.name].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (peer.swanctl.private / "own.pem").write_bytes(private)
    return both


def show(peer: Peer, file: str, key: PrivateKey) -> None:
    """The public half in the peer's directory."""
    directory = peer.swanctl.path / "pubkey"
    directory.mkdir(exist_ok=True)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (directory / file).write_bytes(public)


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
@pytest.mark.parametrize("kind", ["ecdsa-256", "rsa-2048", "ed25519"])
def test_keys_of_every_kind_authenticate_both_ways(lab: Lab, kind: str, initiator: str) -> None:
    both = keyed(lab, kind)
    both.start()
    both.side(initiator).initiate("net")
    hosts_reach_each_other(both)


@pytest.mark.parametrize("initiator", ["ours", "theirs"])
def test_another_key_of_strongswan_is_refused(lab: Lab, initiator: str) -> None:
    both = keyed(lab, "ecdsa-256")
    show(both.ours, "peer.pem", make_key("ecdsa-256"))
    both.start()
    with pytest.raises(RefusedError):
        both.side(initiator).initiate("net", timeout=10.0)
    (record,) = both.ours.command("show", "failures", "--json").json()["entries"].values()
    assert record["code"] == "signature-invalid"
    assert both.ours.children() == []
