"""CRLs and OCSP answers over https: from servers that this host trusts, as any other program of it would."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.certificates import Issued, issue

from fastesp.gateway.fetcher import Fetcher
from ike.events import LookupSource, LookupWanted

TODAY = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
SPAN = {"first": TODAY - 2 * DAY, "last": TODAY + DAY}
ROOT = issue("CN=web root", ca=True, **SPAN)
NAMES = (x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1")))
PURPOSE = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlist"


def shop(**options: object) -> Issued:
    """A web server's certificate."""
    wanted = {"issuer": ROOT, "names": NAMES, "extensions": [PURPOSE], **SPAN, **options}
    return issue("CN=web", **wanted)  # type: ignore[arg-type]


@asynccontextmanager
async def server(own: Issued, directory: Path) -> AsyncIterator[int]:
    """A web server that shows this certificate, for the time of the block; yields its port."""
    pem, key = directory / "web.pem", directory / "web-key.pem"
    pem.write_bytes(own.certificate.public_bytes(Encoding.PEM))
    key.write_bytes(own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(PAGE)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listening:
        yield listening.sockets[0].getsockname()[1]


def fetched(
    own: Issued, directory: Path, host: str = "localhost", *, scheme: str = "https"
) -> tuple[bytes | None, str]:
    """What the gateway gets of it, and why nothing."""

    async def run() -> tuple[bytes | None, str]:
        done: asyncio.Future[tuple[bytes | None, str]] = asyncio.get_running_loop().create_future()
        ours = Fetcher(lambda _, data, why: done.set_result((data, why)))
        async with server(own, directory) as port, asyncio.timeout(10):
            ours.start(LookupWanted(1, 1, f"{scheme}://{host}:{port}/ca.crl", b"", 100, LookupSource.CERTIFICATE))
            found = await done
            await ours.stop()
        return found

    return asyncio.run(run())


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The host trusts ROOT."""
    pem = tmp_path / "roots.pem"
    pem.write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_server_that_the_host_trusts_is_asked_by_name_and_by_address(tmp_path: Path, host: str) -> None:
    assert fetched(shop(), tmp_path, host) == (b"list", "")


def test_a_server_that_the_host_does_not_trust_is_refused(tmp_path: Path) -> None:
    data, why = fetched(shop(), tmp_path)
    assert data is None
    assert why == "the server's certificate is not good: unable to get local issuer certificate"


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize(
    ("own", "word"),
    [
        (shop(issuer=issue("CN=web root", ca=True, **SPAN)), "signature failure"),
        (shop(issuer=None), "self-signed certificate"),
        (shop(names=[x509.DNSName("other.example")]), "Hostname mismatch"),
        (shop(last=TODAY - DAY), "certificate has expired"),
        (shop(extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)]), "purpose"),
    ],
    ids=["namesake-of-the-ca", "self-signed", "another-name", "expired", "no-server"],
)
def test_a_server_whose_certificate_is_not_good_is_refused_with_the_reason(
    tmp_path: Path, own: Issued, word: str
) -> None:
    data, why = fetched(own, tmp_path)
    assert data is None
    assert why.startswith("the server's certificate is not good: ")
    assert word in why


@pytest.mark.usefixtures("trusting")
def test_http_to_a_server_of_https_gets_nothing(tmp_path: Path) -> None:
    data, why = fetched(shop(), tmp_path, scheme="http")
    assert (data, why) == (None, "the server hung up")
