"""strongSwan's charon in a namespace of its own: with user-space ESP where the kernel has none, with XFRM where it has.

Each instance has its own strongswan.conf, VICI socket, log and swanctl directory; nothing of /etc is read.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from .errors import LabError
from .namespace import Namespace
from .peer import Peer
from .topology import Lab

CHARON = Path("/usr/sbin/charon-systemd")
SWANCTL = "/usr/sbin/swanctl"

PLUGINS = (
    "random nonce curl openssl pem pkcs1 pkcs7 pkcs8 pkcs12 x509 revocation constraints pubkey curve25519 hmac kdf gcm"
    " ccm ctr chapoly sha1 sha2 aes xcbc cmac socket-default updown vici eap-identity eap-mschapv2 eap-md5 eap-tls"
    " counters"
)
"""By name, so that what else Debian has installed changes nothing. ``test-vectors`` is left out for a quick start."""

ESP_MARK = "0x42"
"""Marks charon's own packets: everything that is not marked goes into kernel-libipsec's TUN by routing rule."""


class StrongSwan(Peer):
    """charon. ``kernel`` uses XFRM (protocol 50); otherwise ESP is kernel-libipsec's: in UDP, tunnel mode only.

    ``options`` are further lines for the ``charon-systemd`` section, such as ``retransmit_tries = 2``.
    """

    kind = "strongswan"

    def __init__(
        self, lab: Lab, namespace: Namespace, *, kernel: bool = False, options: str = "", name: str = ""
    ) -> None:
        super().__init__(lab, namespace, name=name)
        self.kernel = kernel
        self.options = options
        self.charon_log = self.directory / "charon.log"

    def start(self) -> None:
        """Start charon, then ``swanctl --load-all``."""
        if not CHARON.exists():
            raise LabError(f"{CHARON}: strongSwan is not installed; `ci/setup-machine.sh peers` installs it")
        settings = self.directory / "strongswan.conf"
        settings.write_text(self._settings())
        self.process = self.lab.start(
            self.namespace,
            [*unconfined(), str(CHARON)],
            name="charon",
            environment={"STRONGSWAN_CONF": str(settings)},
        )
        self.process.wait_for(r"spawning \d+ worker threads", log=self.charon_log, timeout=60.0)
        self.load()

    def load(self) -> str:
        """``swanctl --load-all`` of the directory as it stands; returns what it printed."""
        return self.command("--load-all")

    def command(self, *words: str) -> str:
        """``swanctl WORDS`` against this charon."""
        environment = [f"SWANCTL_DIR={self.swanctl.path}", f"STRONGSWAN_CONF={self.directory / 'strongswan.conf'}"]
        uri = f"unix://{self.socket_path}"
        return self.namespace.run("env", *environment, *unconfined(), SWANCTL, *words, "--uri", uri)

    def log(self) -> str:
        """charon's own log file."""
        return self.charon_log.read_text(errors="replace") if self.charon_log.exists() else ""

    def _settings(self) -> str:
        plane = "kernel-netlink" if self.kernel else "kernel-libipsec kernel-netlink"
        marks = f"kernel-netlink {{ fwmark = !{ESP_MARK} }}\n    socket-default {{ fwmark = {ESP_MARK} }}"
        return f"""
charon-systemd {{
  load = {PLUGINS} {plane}
  install_routes = {"no" if self.kernel else "yes"}
  {self.options}
  filelog {{ lab {{ path = {self.charon_log}
      default = 1
      ike = 2
      cfg = 2
      flush_line = yes
      time_format = %H:%M:%S }} }}
  plugins {{
    vici {{ socket = unix://{self.socket_path} }}
    {"" if self.kernel else marks}
  }}
}}
swanctl {{ load = random openssl pem pkcs1 pkcs8 pkcs12 x509 constraints pubkey curve25519 }}
"""


def unconfined() -> list[str]:
    """Debian's AppArmor profiles would keep charon and swanctl from our directories, where they are in force."""
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    if shutil.which("aa-exec") and enabled.exists() and enabled.read_text().startswith("Y"):
        return ["aa-exec", "-p", "unconfined", "--"]
    return []
