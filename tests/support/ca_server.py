"""What a CA puts onto the Web, in a namespace of a lab: pages by path, and OpenSSL's OCSP responder."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer

from fastesp.lab import Lab
from fastesp.lab.namespace import Namespace
from fastesp.lab.pki import Authority
from fastesp.pki import Certified

OCSP_PORT = 2560


class WebServer:
    """Serves ``pages`` by path, and remembers what was asked for. Its socket is the namespace's, its thread ours.

    ``silent`` paths are taken and never answered.
    """

    def __init__(self, lab: Lab, namespace: Namespace, address: str, port: int = 8080) -> None:
        self.base = f"http://{address}:{port}"
        self.pages: dict[str, bytes] = {}
        self.silent: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        """Address of who asked, and the path."""
        self._over = threading.Event()
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages.asked.append((self.client_address[0], self.path))
                if self.path in pages.silent:
                    pages._over.wait()
                    return
                page = pages.pages.get(self.path)
                self.send_response(200 if page is not None else 404)
                self.send_header("Content-Length", str(len(page or b"")))
                self.end_headers()
                self.wfile.write(page or b"")

            def log_message(self, format: str, *values: object) -> None:
                """Tests print nothing."""

        class Server(HTTPServer):
            def process_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
                threading.Thread(target=self._serve, args=(request, client_address), daemon=True).start()

            def _serve(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
                try:
                    self.finish_request(request, client_address)
                except OSError:
                    pass
                finally:
                    self.shutdown_request(request)

        with namespace.entered():
            self._server = Server((address, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        lab.on_close(self.close)

    def uri(self, path: str) -> str:
        """Where a page is."""
        return self.base + path

    def asked_by(self, address: str) -> list[str]:
        """The paths that somebody asked for, in order."""
        return [path for asker, path in self.asked if asker == address]

    def close(self) -> None:
        """Serve no longer."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def ocsp_responder(
    lab: Lab,
    namespace: Namespace,
    address: str,
    authority: Authority,
    good: Sequence[Certified],
    revoked: Sequence[Certified],
) -> str:
    """``openssl ocsp`` with a certificate of its own; returns its URI once it answers."""
    directory = lab.directory / "ocsp"
    directory.mkdir()
    signer = authority.responder()
    lines = [_entry("V", certified) for certified in good] + [_entry("R", certified) for certified in revoked]
    (directory / "index.txt").write_text("".join(lines))
    (directory / "index.txt.attr").write_text("unique_subject = no\n")
    for name, data in (("ca.pem", authority.pem), ("ocsp.pem", signer.pem), ("ocsp-key.pem", signer.key_pem)):
        (directory / name).write_bytes(data)
    words = ["openssl", "ocsp", "-port", str(OCSP_PORT), "-index", str(directory / "index.txt")]
    words += ["-CA", str(directory / "ca.pem"), "-rsigner", str(directory / "ocsp.pem")]
    words += ["-rkey", str(directory / "ocsp-key.pem"), "-nmin", "10"]
    lab.start(namespace, words, name="ocsp").wait_for("waiting for OCSP client connections", timeout=20.0)
    return f"http://{address}:{OCSP_PORT}/"


def _entry(status: str, certified: Certified) -> str:
    """A line of OpenSSL's index: status, end, time and reason of revocation, serial number, file, subject."""
    certificate = certified.certificate
    end = certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
    since = certificate.not_valid_before_utc.strftime("%y%m%d%H%M%SZ") + ",keyCompromise" if status == "R" else ""
    serial = f"{certificate.serial_number:x}".upper()
    serial = serial.zfill(len(serial) + len(serial) % 2)
    name = certificate.subject.rfc4514_string()
    return "\t".join((status, end, since, serial, "unknown", f"/{name}")) + "\n"
