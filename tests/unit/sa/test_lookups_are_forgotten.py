"""What was looked up and kept goes when it is asked to, kind by kind, and is then asked for again."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.certificates import issue
from support.peers import NOW
from support.responders import DAY, crl_at

from ike.credentials import CredentialStore
from ike.events import LookupWanted
from ike.sa.lookups import Kind, Lookups
from ike.timing import Timing


@pytest.mark.parametrize(("kinds", "gone"), [((Kind.CRL,), True), (tuple(Kind), True), ((Kind.OCSP,), False)])
@pytest.mark.parametrize("found", [True, False])
def test_a_list_is_asked_for_again_once_its_kind_is_forgotten(found: bool, kinds: tuple[Kind, ...], gone: bool) -> None:
    wanted: list[LookupWanted] = []
    lookups = Lookups(CredentialStore(), Timing(), random=bytes, wall_clock=lambda: NOW, emit=wanted.append)
    root = issue("CN=root", ca=True)
    site = issue("CN=site", issuer=root, extensions=[crl_at("http://ca.example/root.crl")]).certificate
    (question,) = lookups.status_questions(site, root.certificate)
    assert lookups.ask(question, 1, 0.0)
    made = root.crl((), last=NOW - DAY, following=NOW + DAY).public_bytes(Encoding.DER)
    lookups.answer(wanted[0].lookup_id, made if found else None, "nobody is there", 1.0)

    def asked_again() -> bool:
        questions = lookups.status_questions(site, root.certificate)
        return bool(questions) and lookups.ask(questions[0], 1, 2.0)

    assert not asked_again()
    lookups.forget(kinds)
    assert asked_again() is gone
    assert bool(lookups.crls(root.certificate)) is (found and not gone)
