"""A tunnel out of a command line: what ``fastesp up --to`` loads over VICI, and takes back where that fails."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from fastesp.config.values import BadValueError, secret_bytes

from .client import GatewayClient
from .exits import CommandError, Exit
from .names import Target
from .output import Output

CHILD = "net"

MOST = 4096
"""Bytes of a file that may be a secret: whatever is longer is another file."""


@dataclass(frozen=True, slots=True)
class AdHoc:
    """A peer, the file with the secret, and what is behind each side. Identities not given are the addresses."""

    to: str
    psk_file: Path
    local: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()
    own_id: str = ""
    peer_id: str = ""

    @property
    def target(self) -> Target:
        """What it is called: ``to-198.51.100.20/net``."""
        return Target(f"to-{self.to}", CHILD)

    def load(self, client: GatewayClient, out: Output) -> None:
        """Secret and connection; everything that is not written is the gateway's default, which is safe."""
        name = self.target.connection
        peer = self.peer_id or self.to
        secret = {"id": name, "type": "IKE", "data": self._secret(out), "owners": [peer]}
        child: dict[str, object] = {}
        if self.local:
            child["local_ts"] = list(self.local)
        if self.remote:
            child["remote_ts"] = list(self.remote)
        local: dict[str, object] = {"auth": "psk"}
        if self.own_id:
            local["id"] = self.own_id
        connection = {
            "version": "2",
            "remote_addrs": [self.to],
            "local": local,
            "remote": {"auth": "psk", "id": peer},
            "children": {CHILD: child},
        }
        client.request("load-shared", secret, what=str(self.psk_file))
        client.request("load-conn", {name: connection}, what=name)

    def unload(self, client: GatewayClient) -> None:
        """Nothing of it stays."""
        client.request("unload-conn", {"name": self.target.connection})
        client.request("unload-shared", {"id": self.target.connection})

    def _secret(self, out: Output) -> bytes:
        """The first line of the file, in swanctl.conf's spellings: text, 0x and hexadecimal, 0s and Base64."""
        try:
            with self.psk_file.open("rb") as file:
                readable = bool(stat.S_IMODE(self.psk_file.stat().st_mode) & stat.S_IROTH)
                data = file.read(MOST + 1)
        except OSError as error:
            raise CommandError(Exit.USAGE, f"cannot read {self.psk_file}: {error.strerror}") from None
        if readable:
            out.warn(f"{self.psk_file}: everybody may read this secret (chmod 600 {self.psk_file})")
        try:
            text = data.decode().strip("\r\n")
            if not text or len(data) > MOST or "\n" in text:
                raise CommandError(Exit.USAGE, f"{self.psk_file}: a secret is one line of at most {MOST} bytes")
            return secret_bytes(text)
        except UnicodeDecodeError:
            raise CommandError(Exit.USAGE, f"{self.psk_file}: the secret is no text; write it as 0x or 0s") from None
        except BadValueError as error:
            raise CommandError(Exit.USAGE, f"{self.psk_file}: {error.message}", hint=error.hint) from None
