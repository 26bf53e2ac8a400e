"""What has to be looked up elsewhere before a peer's certificate can be judged: CRLs, OCSP, certificates by URL.

The endpoint opens no connection: it says what it wants (:class:`ike.events.LookupWanted`) and is told what came of it.
1. A certificate's status or a reference becomes a :class:`Question`, with the places to try in order. 2. Equal
questions of several peers are one. 3. What comes back is checked; where it is no help the next place is tried. 4. What
is good is kept as long as it holds; a question that nobody could answer is not asked again for a while.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import TypeVar

from cryptography import x509

from ..credentials import Credentials, public_key_bytes
from ..crypto.bundle import Bundle, read_bundle
from ..crypto.ocsp import NONCE_LENGTH, ocsp_request, read_ocsp
from ..crypto.revocation import (
    UNREADABLE,
    OcspAnswer,
    Publication,
    Standing,
    UnusableError,
    crl_uris,
    is_fresh,
    ocsp_uris,
    signed_by,
    standing_by_crls,
    standing_of_delegate,
)
from ..events import LookupSource, LookupWanted
from ..timing import Timing

K = TypeVar("K")
V = TypeVar("V")

MAX_CRL = 16 * 1024 * 1024
MAX_OCSP = 64 * 1024
MAX_CERTIFICATE = 64 * 1024
MAX_PENDING = 256
MAX_CRLS = 256
MAX_ANSWERS = 16_384
MAX_BUNDLES = 1024
MAX_PLACES = 4
"""Places that are tried for one question."""


class Kind(Enum):
    """What is asked for."""

    OCSP = auto()
    CRL = auto()
    CERTIFICATE = auto()
    BUNDLE = auto()


LIMITS = {Kind.OCSP: MAX_OCSP, Kind.CRL: MAX_CRL, Kind.CERTIFICATE: MAX_CERTIFICATE, Kind.BUNDLE: MAX_CERTIFICATE}
Place = tuple[str, LookupSource]


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to look up. ``key`` tells it from others of its kind: a hash of what it is about.

    ``certificate`` and ``issuer`` are set where a certificate's status is asked for.
    """

    kind: Kind
    key: bytes
    places: tuple[Place, ...]
    certificate: x509.Certificate | None = field(default=None, compare=False)
    issuer: x509.Certificate | None = field(default=None, compare=False)


class Awaiting(Exception):  # noqa: N818 - reads as what happens
    """A message cannot be judged before these are answered: it is to be held, and handled again from its start."""

    def __init__(self, questions: Sequence[Question]) -> None:
        super().__init__(f"{len(questions)} look-ups")
        self.questions = tuple(questions)


class _Pending:
    """A question under way, where it is asked now, and which IKE SAs wait for it."""

    __slots__ = ("asked_at", "lookup_id", "nonce", "places", "question", "uri", "waiting")

    def __init__(self, question: Question) -> None:
        self.question = question
        self.places = list(question.places[:MAX_PLACES])
        self.waiting: set[int] = set()
        self.uri = ""
        self.nonce = b""
        self.lookup_id = 0
        self.asked_at = 0.0


class Lookups:
    """One for each endpoint; an :class:`ike.crypto.revocation.Evidence`. What it keeps is bounded."""

    def __init__(
        self,
        credentials: Credentials,
        timing: Timing,
        *,
        random: Callable[[int], bytes],
        wall_clock: Callable[[], datetime],
        emit: Callable[[LookupWanted], None],
    ) -> None:
        self._credentials = credentials
        self._timing = timing
        self._random = random
        self._wall_clock = wall_clock
        self._emit = emit
        self._last_id = 0
        self._pending: dict[Question, _Pending] = {}
        self._by_id: dict[int, _Pending] = {}
        self._failed: dict[Question, tuple[float, str]] = {}
        self._answers: dict[bytes, OcspAnswer] = {}
        self._crls: dict[tuple[bytes, bytes], x509.CertificateRevocationList] = {}
        self._bundles: dict[bytes, Bundle] = {}

    def forget(self, kinds: Container[Kind]) -> None:
        """What is kept of these kinds goes, and so does the memory of places that had nothing: all is asked anew."""
        if Kind.OCSP in kinds:
            self._answers.clear()
        if Kind.CRL in kinds:
            self._crls.clear()
        if Kind.CERTIFICATE in kinds or Kind.BUNDLE in kinds:
            self._bundles.clear()
        self._failed = {question: why for question, why in self._failed.items() if question.kind not in kinds}

    # What is known.

    @property
    def kept_crls(self) -> Sequence[x509.CertificateRevocationList]:
        """All lists that were fetched and are kept."""
        return list(self._crls.values())

    @property
    def kept_revocations(self) -> Sequence[bytes]:
        """A name for each certificate of which a responder said that it was revoked, in an order of their own."""
        return sorted(key for key, answer in self._answers.items() if answer.standing is Standing.REVOKED)

    def crls(self, issuer: x509.Certificate) -> Sequence[x509.CertificateRevocationList]:
        """See :class:`ike.crypto.revocation.Evidence`."""
        if not self._crls:
            return ()
        name = issuer.subject.public_bytes()
        return [crl for (of, _), crl in self._crls.items() if of == name]

    def ocsp(self, certificate: x509.Certificate, issuer: x509.Certificate) -> OcspAnswer | None:
        """See :class:`ike.crypto.revocation.Evidence`."""
        answer = self._answers.get(_status_key(certificate, issuer)) if self._answers else None
        return answer if answer is not None and answer.until >= self._wall_clock() else None

    def bundle(self, digest: bytes) -> Bundle | None:
        """Certificates that were fetched, by the SHA-1 of what was fetched."""
        return self._bundles.get(digest)

    def is_published(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        """See :class:`ike.crypto.revocation.Evidence`."""
        return any(self._places_of(certificate, issuer))

    def attempts(self, certificate: x509.Certificate, issuer: x509.Certificate) -> str:
        """See :class:`ike.crypto.revocation.Evidence`."""
        tried = [self.why_failed(question) for question in self._questions(certificate, issuer)]
        answer = self.ocsp(certificate, issuer)
        if answer is not None and answer.delegate is not None:
            revoked = self._standing_of(answer.delegate, issuer) is Standing.REVOKED
            word = "which was revoked itself" if revoked else "of which nothing says that it was not revoked"
            tried.append(f"the answer of {answer.delegate.subject.rfc4514_string()}, {word}")
            tried += [self.why_failed(question) for question in self._questions(answer.delegate, issuer)]
        return "; ".join(filter(None, tried))

    def why_failed(self, question: Question) -> str:
        """Why a question had no answer when it was last asked."""
        return self._failed[question][1] if question in self._failed else ""

    # What to ask.

    def publication_of(self, authority: x509.Certificate) -> Publication | None:
        """What is configured about a CA."""
        return next((p for p in self._credentials.publications() if p.authority == authority), None)

    def status_questions(self, certificate: x509.Certificate, issuer: x509.Certificate) -> tuple[Question, ...]:
        """What would help to know whether it was revoked, best first; nothing where enough is known.

        A responder is asked even where a list vouches: it knows sooner. Where the CA has certified somebody to answer,
        it is asked of that one too whether it was revoked (RFC 6960 section 4.2.2.2.1), and of nobody beyond.
        """
        answer = self.ocsp(certificate, issuer)
        if answer is None:
            return self._unanswered(certificate, issuer)
        known = self._standing_of(answer.delegate, issuer) if answer.delegate is not None else Standing.GOOD
        if answer.delegate is None or known is Standing.GOOD:
            return ()
        about_it = self._unanswered(answer.delegate, issuer) if known is not Standing.REVOKED else ()
        return (*about_it, *self._unanswered(certificate, issuer))

    def _standing_of(self, delegate: x509.Certificate, issuer: x509.Certificate) -> Standing:
        return standing_of_delegate(delegate, issuer, self._credentials.crls(), self, self._wall_clock())

    def _unanswered(self, certificate: x509.Certificate, issuer: x509.Certificate) -> tuple[Question, ...]:
        """What can be asked about one certificate and has no answer that holds, best first."""
        if not self.is_published(certificate, issuer):
            return ()
        by_ocsp, by_crl = self._questions(certificate, issuer)
        wanted = [by_ocsp] if by_ocsp.places and self.ocsp(certificate, issuer) is None else []
        lists = (*self._credentials.crls(), *self.crls(issuer))
        if by_crl.places and standing_by_crls(certificate, issuer, lists, self._wall_clock())[0] is not Standing.GOOD:
            wanted.append(by_crl)
        return tuple(wanted)

    def _questions(self, certificate: x509.Certificate, issuer: x509.Certificate) -> tuple[Question, Question]:
        """By OCSP and by CRL."""
        by_ocsp, by_crl = self._places_of(certificate, issuer)
        return (
            Question(Kind.OCSP, _status_key(certificate, issuer), by_ocsp, certificate, issuer),
            Question(Kind.CRL, _key_of(issuer), by_crl, certificate, issuer),
        )

    def _places_of(
        self, certificate: x509.Certificate, issuer: x509.Certificate
    ) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
        """Responders and CRLs: the operator's places go first."""
        known = self.publication_of(issuer)
        configured_ocsp, configured_crl = (known.ocsp_uris, known.crl_uris) if known is not None else ((), ())
        return _places(configured_ocsp, ocsp_uris(certificate)), _places(configured_crl, crl_uris(certificate))

    def ask(self, question: Question, ike_id: int, now: float) -> bool:
        """Have it looked up for an IKE SA; ``False`` where there is nothing to wait for."""
        pending = self._pending.get(question)
        if pending is not None and not self._is_lost(pending, now):
            pending.waiting.add(ike_id)
            return True
        failed = self._failed.get(question)
        if failed is not None and failed[0] > now:
            return False
        if len(self._pending) >= MAX_PENDING:
            self._give_up_lost(now)
        if len(self._pending) >= MAX_PENDING:
            self._fail(question, "too many look-ups are under way", now)
            return False
        self._failed.pop(question, None)
        fresh = _Pending(question)
        if pending is not None:
            # Whoever was to look it up does not say what came of it.
            self._by_id.pop(pending.lookup_id, None)
            fresh.waiting |= pending.waiting
        fresh.waiting.add(ike_id)
        self._pending[question] = fresh
        self._ask_next_place(fresh, ike_id, now)
        return True

    def _is_lost(self, pending: _Pending, now: float) -> bool:
        """Whether whoever was to look it up does not say what came of it."""
        return pending.asked_at + 2 * self._timing.lookup_timeout <= now

    def _give_up_lost(self, now: float) -> None:
        """Nobody waits for these any more, and there are few places."""
        for pending in [pending for pending in self._pending.values() if self._is_lost(pending, now)]:
            del self._pending[pending.question]
            self._by_id.pop(pending.lookup_id, None)

    def _ask_next_place(self, pending: _Pending, ike_id: int, now: float) -> None:
        pending.uri, source = pending.places.pop(0)
        question = pending.question
        body = b""
        if question.kind is Kind.OCSP and question.certificate is not None and question.issuer is not None:
            pending.nonce = self._random(NONCE_LENGTH)
            body = ocsp_request(question.certificate, question.issuer, pending.nonce)
        self._last_id += 1
        pending.lookup_id, pending.asked_at = self._last_id, now
        self._by_id[pending.lookup_id] = pending
        self._emit(LookupWanted(ike_id, pending.lookup_id, pending.uri, body, LIMITS[question.kind], source))

    # What comes back.

    def answer(self, lookup_id: int, data: bytes | None, why: str, now: float) -> tuple[Question, set[int]] | None:
        """Take what was found at one place. Where that settles the question: who waited for it."""
        pending = self._by_id.pop(lookup_id, None)
        if pending is None:
            return None
        question = pending.question
        try:
            if data is None:
                raise UnusableError(why or "no answer")
            if len(data) > LIMITS[question.kind]:
                raise UnusableError(f"more than {LIMITS[question.kind]} bytes")
            self._take(pending, data)
        except UnusableError as error:
            before = self._failed.get(question, (0.0, ""))[1]
            self._fail(question, f"{before}; {pending.uri}: {error}".removeprefix("; "), now)
            if pending.places:
                self._ask_next_place(pending, next(iter(pending.waiting), 0), now)
                return None
        else:
            self._failed.pop(question, None)
        del self._pending[question]
        return question, pending.waiting

    def _fail(self, question: Question, why: str, now: float) -> None:
        if len(self._failed) >= MAX_PENDING and question not in self._failed:
            del self._failed[next(iter(self._failed))]
        self._failed[question] = (now + self._timing.lookup_retry, why)

    def _take(self, pending: _Pending, data: bytes) -> None:
        question = pending.question
        if question.kind in (Kind.CERTIFICATE, Kind.BUNDLE):
            if hashlib.sha1(data, usedforsecurity=False).digest() != question.key:
                raise UnusableError("what is there has not the hash that the peer gave")
            _keep(self._bundles, question.key, read_bundle(data, single=question.kind is Kind.CERTIFICATE), MAX_BUNDLES)
            return
        if question.certificate is None or question.issuer is None:
            raise RuntimeError("a status is that of a certificate")
        if question.kind is Kind.OCSP:
            answer = read_ocsp(data, question.certificate, question.issuer, self._wall_clock(), pending.nonce)
            _keep(self._answers, question.key, answer, MAX_ANSWERS)
        else:
            self._take_crl(question.issuer, data)

    def _take_crl(self, issuer: x509.Certificate, data: bytes) -> None:
        now = self._wall_clock()
        try:
            crl = x509.load_pem_x509_crl(data) if b"-----BEGIN" in data[:64] else x509.load_der_x509_crl(data)
            if crl.issuer != issuer.subject or not signed_by(crl, issuer):
                raise UnusableError("a CRL that the CA did not sign")
            number = _scope(crl)
            key = (issuer.subject.public_bytes(), hashlib.sha256(_key_of(issuer) + number).digest())
            known = self._crls.get(key)
            if crl.last_update_utc > now:
                raise UnusableError(f"a CRL of the future, {crl.last_update_utc:%Y-%m-%d %H:%M:%S} UTC")
            if known is None or known.last_update_utc <= crl.last_update_utc:
                _keep(self._crls, key, crl, MAX_CRLS)
            if not is_fresh(crl, now):
                raise UnusableError("a CRL that is out of date")
        except UNREADABLE as error:
            raise UnusableError("no CRL that can be read") from error


def _places(configured: Sequence[str], published: Sequence[str]) -> tuple[Place, ...]:
    found = [(uri, LookupSource.CONFIGURED) for uri in configured]
    found += [(uri, LookupSource.CERTIFICATE) for uri in published if uri not in configured]
    return tuple(found)


def _key_of(issuer: x509.Certificate) -> bytes:
    """A CA by its name and key: a renewed certificate of both is the same CA."""
    return hashlib.sha256(issuer.subject.public_bytes() + public_key_bytes(issuer)).digest()


def _status_key(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    return hashlib.sha256(_key_of(issuer) + f"{certificate.serial_number:x}".encode()).digest()


def _scope(crl: x509.CertificateRevocationList) -> bytes:
    """What a list is about: one of another scope does not replace it (RFC 5280 section 5.2.5)."""
    try:
        return repr(crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value).encode()
    except x509.ExtensionNotFound:
        return b""


def _keep(kept: dict[K, V], key: K, value: V, limit: int) -> None:
    """The newest ones; the oldest goes."""
    kept.pop(key, None)
    while len(kept) >= limit:
        del kept[next(iter(kept))]
    kept[key] = value
