"""Whatever is changed in a sealed message, it does not open."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ike.crypto.envelope import Envelope
from ike.crypto.keys import IkeKeys
from ike.crypto.proposal import ProposalSpec
from ike.crypto.secret import Secret
from ike.errors import SilentDrop
from ike.wire.constants import PayloadType, ProtocolId
from ike.wire.payloads import SkfPayload, SkPayload

HEADER = bytes(range(16)) + bytes((0, 0x20, 35, 8)) + bytes(8)
SUITES = (
    "aes256gcm16-prfsha256-x25519",
    "aes128gcm8-prfsha256-x25519",
    "aes128gcm12-prfsha256-x25519",
    "aes256ccm16-prfsha256-x25519",
    "aes128ccm8-prfsha256-x25519",
    "chacha20poly1305-prfsha256-x25519",
    "aes256-sha384-x25519",
    "aes128ctr-sha256-x25519",
    "camellia256-sha512-x25519",
    "3des-sha1-x25519",
    "aes128-aesxcbc-x25519",
)


def envelope(text):
    suite = ProposalSpec.parse(text, ProtocolId.IKE).transforms
    keys = IkeKeys.derive(suite, Secret(b"g" * 32), b"i" * 32, b"r" * 32, b"I" * 8, b"R" * 8)
    return Envelope(suite, keys.sk_ei, keys.sk_ai)


ENVELOPES = {text: envelope(text) for text in SUITES}


def opens(box, message, *, fragment):
    payload = SkfPayload(0, 1, 1, message[36:]) if fragment else SkPayload(0, message[32:])
    try:
        box.open(message, payload)
    except SilentDrop:
        return False
    return True


@given(st.sampled_from(SUITES), st.binary(max_size=300), st.data(), st.booleans())
@settings(max_examples=400, deadline=None)
def test_no_changed_message_opens(text, plaintext, data, fragment):
    box = ENVELOPES[text]
    if fragment:
        message = box.seal_fragment(HEADER, 0, 1, 1, plaintext)
    else:
        message = box.seal(HEADER, PayloadType.NONE, plaintext)
    assert opens(box, message, fragment=fragment)
    position = data.draw(st.integers(0, len(message) - 1))
    mask = data.draw(st.integers(1, 255))
    changed = bytearray(message)
    changed[position] ^= mask
    assert not opens(box, bytes(changed), fragment=fragment)


@given(st.sampled_from(SUITES), st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_garbage_opens(text, garbage):
    message = HEADER + bytes(4) + garbage
    assert not opens(ENVELOPES[text], message, fragment=False)


@given(st.sampled_from(SUITES), st.binary(max_size=600))
@settings(max_examples=200, deadline=None)
def test_what_was_sealed_opens_to_the_same(text, plaintext):
    box = ENVELOPES[text]
    message = box.seal(HEADER, PayloadType.NONE, plaintext)
    assert len(message) == 32 + box.body_length(len(plaintext))
    assert box.open(message, SkPayload(0, message[32:])) == plaintext
