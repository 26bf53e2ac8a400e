"""Libreswan's pluto in a namespace of its own. It has no ESP but the kernel's: it runs in the virtual machine.

Its Debian package is in conflict with strongSwan's, so it is unpacked, not installed. Each instance has its own
ipsec.conf, secrets, NSS database and control socket; nothing of /etc is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12

from .errors import LabError
from .namespace import Namespace, command
from .ours import PROJECT
from .pki import Authority, Certified
from .process import Process, wait_until
from .sites import Site
from .topology import Lab

PROGRAMS = PROJECT / ".setup/unpacked/libreswan/usr/libexec/ipsec"
CONNECTION = "site"
CERTIFICATE = "own"
"""How the NSS database names the certificate of this side."""

AS_IF_INSTALLED = ["unshare", "--mount", "sh", "-c"]
AS_IF_INSTALLED += ['mount -t tmpfs none /usr/libexec && ln -s "$0" /usr/libexec/ipsec && exec "$@"', str(PROGRAMS)]
"""pluto looks for its helpers in one place only; in a mount namespace of its own they are there."""

START_TIMEOUT = 120.0
PASSWORD = "for one import"
ROUNDS = 1000
"""Of the key derivation over a password that protects nothing: an emulated CPU feels every one of them."""

CONFIGURATION = """\
conn {name}
    left = {local}
    leftid = "{local_id}"
    leftsubnet = {local_ts}
    right = {remote}
    rightid = "{remote_id}"
    rightsubnet = {remote_ts}
    {auth}
    ike = aes_gcm256-sha2_384-dh31
    esp = aes_gcm256
    ikev2 = yes
    leftupdown = %disabled
    auto = add
    {more}
"""
PSK = "authby = secret"
CERTIFICATES = f"leftcert = {CERTIFICATE}\n    leftsendcert = always\n    rightca = %same"


@dataclass(frozen=True, slots=True)
class PlutoChild:
    """An installed CHILD_SA: both SPIs, and the inner bytes that it carried."""

    spi_in: int
    spi_out: int
    bytes_in: int
    bytes_out: int


class Libreswan:
    """pluto with one connection, ``site``, that comes up when told to, or when the peer wants it."""

    kind = "libreswan"

    def __init__(self, lab: Lab, namespace: Namespace) -> None:
        self.lab = lab
        self.namespace = namespace
        self.directory = lab.directory / f"{namespace.role}-{self.kind}"
        self.nss = self.directory / "nss"
        self.run = self.directory / "run"
        for part in (self.nss, self.run):
            part.mkdir(parents=True, mode=0o700)
        self.file, self.secrets = self.directory / "ipsec.conf", self.directory / "ipsec.secrets"
        self.secrets.touch(mode=0o600)
        self.process: Process | None = None
        if not PROGRAMS.is_dir():
            raise LabError(f"{PROGRAMS}: not there; `ci/setup-machine.sh vm` unpacks Libreswan")
        command(["certutil", "-N", "-d", f"sql:{self.nss}", "--empty-password"])

    def configure(
        self,
        me: Site,
        peer: Site,
        *,
        auth: str = "psk",
        secret: str = "a secret for an afternoon",
        local: str = "",
        remote: str = "",
        more: str = "",
    ) -> None:
        """The mirror image of :func:`fastesp.lab.configurations.configuration`; ``more``: further lines of the conn."""
        psk = auth == "psk"
        ids = [f"@site-{s.name}.example.org" if psk else f"CN=site-{s.name}" for s in (me, peer)]
        text = CONFIGURATION.format(
            name=CONNECTION,
            local=local or me.outer,
            local_id=ids[0],
            local_ts=me.net,
            remote=remote or peer.outer,
            remote_id=ids[1],
            remote_ts=peer.net,
            auth=PSK if psk else CERTIFICATES,
            more=more,
        )
        self.file.write_text("".join(f"{line}\n" for line in text.splitlines() if line.strip()))
        if psk:
            self.secrets.write_text(f'{ids[0]} {ids[1]} : PSK "{secret}"\n')

    def trust(self, authority: Authority) -> None:
        """An authority that this side trusts."""
        words = ["certutil", "-A", "-d", f"sql:{self.nss}", "-n", "ca", "-t", "CT,,", "-a"]
        command(words, stdin=authority.pem.decode())

    def own(self, certified: Certified) -> None:
        """A certificate of this side, with its key."""
        protection = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(ROUNDS)
        protection = protection.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(hashes.SHA1())
        container = self.directory / "own.p12"
        container.touch(mode=0o600)
        container.write_bytes(
            pkcs12.serialize_key_and_certificates(
                CERTIFICATE.encode(),
                certified.key,
                certified.certificate,
                None,
                protection.build(PASSWORD.encode()),
            )
        )
        command(["pk12util", "-i", str(container), "-d", f"sql:{self.nss}", "-W", PASSWORD, "-K", ""])

    def start(self) -> None:
        """Start pluto, which loads the connection, and wait until it is there."""
        words = [*AS_IF_INSTALLED, str(PROGRAMS / "pluto"), "--config", str(self.file)]
        words += ["--nofork", "--stderrlog", "--log-no-audit", "--no-dnssec", "--use-xfrm"]
        words += ["--rundir", str(self.run), "--nssdir", str(self.nss), "--secretsfile", str(self.secrets)]
        words += ["--ipsecdir", str(self.directory), "--dumpdir", str(self.directory)]
        self.process = self.lab.start(self.namespace, words, name="pluto")
        self.process.wait_for(r"listening for IKE messages", START_TIMEOUT)
        self.process.wait_for(rf'"{CONNECTION}": added IKEv2 connection', START_TIMEOUT)

    def load(self) -> None:
        """Take the connection as it stands in the file now, in place of the one before; its SAs go."""
        self.whack("--rereadsecrets")
        control = ["--ctlsocket", str(self.run / "pluto.ctl"), "--config", str(self.file)]
        self.namespace.run(str(PROGRAMS / "addconn"), *control, CONNECTION)

    def stop(self) -> None:
        """End it the polite way: it deletes its SAs with the peer."""
        if self.process is not None and self.process.exit_code is None:
            self.whack("--shutdown")
            self.process.wait(20.0)

    def log(self) -> str:
        """All it logged so far."""
        return "" if self.process is None else self.process.text()

    def whack(self, *words: str) -> str:
        """``whack WORDS`` against this pluto."""
        return self.namespace.run(str(PROGRAMS / "whack"), "--rundir", str(self.run), *words)

    def initiate(self) -> None:
        """Bring the connection up."""
        self.whack("--name", CONNECTION, "--initiate", "--asynchronous")
        self.wait_child()

    def terminate(self) -> None:
        """Delete its SAs, the IKE SA too."""
        self.whack("--name", CONNECTION, "--terminate")

    def rekey(self, what: str) -> None:
        """Begin to rekey the ``ike`` SA or the CHILD_SA (``ipsec``)."""
        self.whack("--name", CONNECTION, f"--rekey-{what}", "--asynchronous")

    def children(self) -> list[PlutoChild]:
        """All CHILD_SAs that are established, the newest last."""
        spis: dict[str, tuple[int, int]] = {}
        for line in self.whack("--showstates").splitlines():
            number, ends = re.search(r"#(\d+):", line), re.findall(r"\besp\.([0-9a-f]+)@", line)
            if number and len(ends) == 2:
                spis[number[1]] = int(ends[0], 16), int(ends[1], 16)
        found = []
        for line in self.whack("--trafficstatus").splitlines():
            counted = re.search(r"#(\d+):.* inBytes=(\d+), outBytes=(\d+)", line)
            if counted and counted[1] in spis:
                # "esp.X@peer esp.Y@us": what we send comes first.
                out, into = spis[counted[1]]
                found.append((int(counted[1]), PlutoChild(into, out, int(counted[2]), int(counted[3]))))
        return [child for _, child in sorted(found, key=lambda pair: pair[0])]

    def wait_child(self, timeout: float = 60.0) -> PlutoChild:
        """Wait until a CHILD_SA is established; the newest one."""
        self.wait(lambda: bool(self.children()), "a CHILD_SA", timeout)
        return self.children()[-1]

    def wait_nothing(self, timeout: float = 30.0) -> None:
        """Wait until no SA is left."""
        self.wait(lambda: not re.search(r"#\d+:", self.whack("--showstates")), "the end of all SAs", timeout)

    def wait(self, true: Callable[[], bool], what: str, timeout: float) -> None:
        """Wait until something holds; an early end of pluto fails at once."""

        def holds() -> bool:
            if self.process is None or self.process.exit_code is not None:
                raise LabError(f"pluto is not running; its log ends:\n{self.process.tail() if self.process else ''}")
            return true()

        wait_until(holds, f"{self.kind} in {self.namespace.role}: {what}", timeout, every=0.3)
