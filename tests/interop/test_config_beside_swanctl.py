"""The same file read by us and by the real ``swanctl``: what it sends over VICI gives the settings that we read.

A server of this test answers swanctl and keeps what it sends; nothing is applied anywhere.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

from fastesp.config import Shared, load, vici
from fastesp.gateway.vici.codec import Packet, PacketType, pull_message, pull_packet, push_message, push_packet

pytestmark = pytest.mark.peer

SECRETS = """
secrets { ike-text { id-1 = a.example.org
    id-2 = "CN=b, O=x"
    secret = "with blank, and # sign" }
  ike-hex { secret = 0x00ff:10f
  }
  ike-base { id = 10.0.0.1
    secret = 0sAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
  }
}
"""

FILES = {
    "one line": {
        "swanctl.conf": """
        connections { a { version = 2
            remote_addrs = 10.0.0.2
            local { auth = psk } remote { auth = psk }
            children { net { local_ts = 10.1.0.0/24
                remote_ts = 10.2.0.0/24 } }
            proposals = aes256-sha384-modp3072 } }
        """
        + SECRETS
    },
    "quotes and comments": {
        "swanctl.conf": r"""
        # a comment { with braces }
        connections { a { # here too
            remote_addrs = gw.example.org, 10.0.0.2 , 2001:db8::1   # three
            local { auth = psk
              id = "C=CH, O=\"quoted, Inc.\", CN=a" }
            remote { auth = psk
              id = C=CH, O=x,   CN=b }
            children { net { remote_ts = 10.2.0.0/24[tcp/80], 10.3.0.1-10.3.0.9[udp/1000-2000], 10.4.0.0/16
                updown = "/usr/bin/env \
one two"
                local_ts =
                rekey_time = 10m
            } } } }
        """
        + SECRETS
    },
    "references": {
        "swanctl.conf": """
        connections { b : connections.a, more { remote_addrs = 10.0.0.3
            children { net : net-base { remote_ts = 10.3.0.0/24
              } } }
          a : base { remote_addrs = 10.0.0.2
            local { id = a.example.org }
            children { net { remote_ts = 10.2.0.0/24 } } } }
        base { mobike = no
          rekey_time = 2h
          local { auth = psk }
          remote-2 { auth = psk
            id = two }
          remote-1 { auth = psk
            id = one } }
        more { rekey_time = 3h
          encap = yes
          mobike = yes }
        net-base { start_action = trap|start
          esp_proposals = aes256gcm16-x25519, default
          local_ts = 10.1.0.0/24 }
        """
        + SECRETS
    },
    "cleared": {
        "swanctl.conf": """
        connections { a : base { remote_addrs = 10.0.0.2
            rekey_time =
            proposals =
            children { net : net-base { rekey_time =
                 remote_ts = 10.2.0.0/24
                 } } } }
        base { rekey_time = 2h
          proposals = aes128-sha256-x25519
          local { auth = psk }
          remote { auth = psk } }
        net-base { rekey_time = 5m
          life_time = 2h }
        """
        + SECRETS
    },
    "includes": {
        "swanctl.conf": """
        include conf.d/*.conf
        connections { a { include common/a\\ b.inc
            remote_addrs = 10.0.0.2
            } }
        """
        + SECRETS,
        "conf.d/1.conf": "connections { a { remote_addrs = 10.9.9.9\n encap = yes\n mobike = no\n } }\n",
        "conf.d/2.conf": "connections { a { mobike = yes\n children { net { remote_ts = 10.2.0.0/24 } }\n } }\n",
        "common/a b.inc": "local { auth = psk }\nremote { auth = psk }\nunique = replace\n",
    },
    "every kind of value": {
        "swanctl.conf": """
        connections { a { remote_addrs = 10.0.0.0/8, 192.0.2.1-192.0.2.9, 203.0.113.1
            local_addrs = %any4
            local_port = 4500
            reauth_time = 3h
            over_time = 0x10
            keyingtries = 0
            unique = Keep
            fragmentation = ACCEPT
            send_cert = always
            send_certreq = disabled
            ppk_id = p
            dpd_delay = 30
            local { auth = psk
              round = 2 }
            local-1 { auth = psk
              round = 1 }
            remote { auth = psk
              id = "*.example.org" }
            children { net { remote_ts = dynamic[icmp/8]
                local_ts = 2001:db8::/32, 10.0.0.0/8[/53], 10.0.0.1[47], 10.0.0.0/24[tcp/opaque]
                mode = Transport
                rekey_bytes = 1G
                rand_bytes = 10M
                life_packets = 1000000
                inactivity = 1d
                reqid = 17
                tfc_padding = mtu
                replay_window = 1024
                hw_offload = auto
                copy_dscp = in
                close_action = start
                dpd_action = restart
                start_action = route } } } }
        pools { one { addrs = 10.9.0.0/24
            dns = 10.9.0.1, 10.9.0.2
            subnet = 10.0.0.0/8, 192.168.0.0/16
            28674 = some text }
          two { addrs = 2001:db8:1::10-2001:db8:1::99 } }
        secrets { ppk { id = p
            secret = 0x000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f } }
        """
        + SECRETS.replace("secrets {", "secrets { ike-more { id = nobody\n secret = 0123456789abcdef }\n")
    },
}
SITE = """
connections { site { remote_addrs = 198.51.100.20
    local { certs = site-a.pem
      id = "CN=site-a" }
    remote { id = "CN=site-b"
      cacerts = ca.pem }
    children { net { remote_ts = 10.2.0.0/24 } } } }
authorities { ours { cacert = ca.pem
    crl_uris = http://pki.example.org/ca.crl, http://pki.example.net/ca.crl } }
secrets { private-1 { file = site-a.key
    secret = "open sesame" } }
"""
ANSWERS: dict[str, dict[str, object]] = {
    "get-conns": {"conns": []},
    "get-pools": {},
    "get-authorities": {"authorities": []},
    "get-keys": {"keys": []},
    "get-shared": {"keys": []},
}


class Recorder:
    """A VICI server that says yes to everything and remembers it."""

    def __init__(self, path: Path) -> None:
        self.commands: list[tuple[str, dict[str, object]]] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.listener.settimeout(20)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        peer, _ = self.listener.accept()
        with peer, peer.makefile("rb") as stream:
            while len(head := stream.read(4)) == 4:
                packet = pull_packet(stream.read(struct.unpack("!I", head)[0]))
                message = pull_message(packet.message)
                self.commands.append((packet.name, message))
                answer = ANSWERS.get(packet.name, {"success": "yes"})
                peer.sendall(push_packet(Packet(PacketType.CMD_RESPONSE, "", push_message(answer))))

    def of(self, command: str) -> list[dict[str, object]]:
        return [message for name, message in self.commands if name == command]


def sent_by_swanctl(directory: Path) -> Recorder:
    """What the real swanctl makes of the configuration in ``directory``."""
    path = directory / "vici.sock"
    recorder = Recorder(path)
    command = [
        "swanctl",
        "--load-all",
        "--noprompt",
        "--file",
        str(directory / "swanctl.conf"),
        "--uri",
        f"unix://{path}",
    ]
    done = subprocess.run(
        command,
        env=os.environ | {"SWANCTL_DIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    recorder.thread.join(20)
    recorder.listener.close()
    assert done.returncode == 0, done.stdout + done.stderr
    return recorder


@pytest.mark.parametrize("name", FILES)
def test_a_file_means_to_us_what_it_means_to_swanctl(tmp_path: Path, name: str) -> None:
    for file, text in FILES[name].items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    ours = load(tmp_path / "swanctl.conf")
    sent = sent_by_swanctl(tmp_path)
    connections = [one for message in sent.of("load-conn") for one in vici.load_connections(message).connections]
    assert connections == list(ours.connections)
    pools = [replace(one, where="") for message in sent.of("load-pool") for one in vici.load_pools(message)]
    assert pools == [replace(one, where="") for one in ours.pools]
    assert identical(map(vici.load_shared, sent.of("load-shared"))) == identical(ours.shared)


def identical(secrets: Iterable[Shared]) -> set[object]:
    """Shared secrets as values that compare, less where they came from."""
    return {(one.name, one.kind, bytes(one.secret), one.owners) for one in secrets}


def test_certificates_and_keys_arrive_as_we_read_them(tmp_path: Path) -> None:
    make_site(tmp_path)
    ours = load(tmp_path / "swanctl.conf")
    sent = sent_by_swanctl(tmp_path)
    (connection,) = [one for message in sent.of("load-conn") for one in vici.load_connections(message).connections]
    assert connection == ours.connections[0]
    assert len(connection.local[0].certs) == 1
    certificates = [vici.load_certificate(message) for message in sent.of("load-cert")]
    assert {(one.kind, one.certificate) for one in certificates} == {(o.kind, o.certificate) for o in ours.certificates}
    (key,) = [vici.load_key(message) for message in sent.of("load-key")]
    assert key.public_key() == ours.keys[0].key.public_key()
    (authority,) = [one for message in sent.of("load-authority") for one in vici.load_authorities(message)]
    assert replace(authority, where="") == replace(ours.authorities[0], where="")


def make_site(directory: Path) -> None:
    """A CA, a certificate that it signed, an encrypted key, and a configuration that uses them."""
    now = datetime.now(UTC)
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "site-a")}
    names = {name: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in keys}
    for name, folder in (("ca", "x509ca"), ("site-a", "x509")):
        made = x509.CertificateBuilder().subject_name(names[name]).issuer_name(names["ca"]).serial_number(7)
        made = made.public_key(keys[name].public_key()).not_valid_before(now).not_valid_after(now + timedelta(days=30))
        made = made.add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
        (directory / folder).mkdir()
        (directory / folder / f"{name}.pem").write_bytes(made.sign(keys["ca"], SHA256()).public_bytes(Encoding.PEM))
    (directory / "private").mkdir()
    protection = BestAvailableEncryption(b"open sesame")
    data = keys["site-a"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    (directory / "private" / "site-a.key").write_bytes(data)
    (directory / "swanctl.conf").write_text(SITE)
