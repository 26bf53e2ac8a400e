"""AES-GMAC and ChaCha20-Poly1305 in ESP, for every provider: cryptography, which knows nothing of us, agrees."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import Pair, udp

from fastesp.dataplane.base import Suite
from fastesp.engine import Verdict, available_providers
from fastesp.engine.providers import Provider

PROVIDERS = sorted(available_providers())
HEAD = bytes.fromhex("0102030400000005")
SUITES = [Suite("chacha20-poly1305", 256), *(Suite("aes-gmac", bits) for bits in (128, 192, 256))]

every_provider = pytest.mark.parametrize("name", PROVIDERS)
every_suite = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite.encryption}-{suite.key_bits}")


def associated(high: int | None) -> bytes:
    return HEAD if high is None else HEAD[:4] + high.to_bytes(4) + HEAD[4:]


@settings(deadline=None, max_examples=100)
@given(
    key=st.binary(min_size=36, max_size=36),
    iv=st.binary(min_size=8, max_size=8),
    text=st.binary(min_size=1, max_size=1600),
    high=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
)
@every_provider
def test_chacha20_poly1305_agrees(name: str, key: bytes, iv: bytes, text: bytes, high: int | None) -> None:
    """RFC 7634 section 2: nonce of salt and IV, associated data as AES-GCM has it."""
    provider = Provider(name)
    job = (SUITES[0], key, None, HEAD, iv)
    sealed, icv = provider.seal(*job, text, high=high)
    assert sealed + icv == ChaCha20Poly1305(key[:32]).encrypt(key[32:] + iv, text, associated(high))
    assert provider.open(*job, sealed, icv, high=high) == text
    assert provider.open(*job, sealed, icv[:-1] + bytes([icv[-1] ^ 1]), high=high) is None


@settings(deadline=None, max_examples=100)
@given(
    bits=st.sampled_from([128, 192, 256]),
    material=st.binary(min_size=36, max_size=36),
    iv=st.binary(min_size=8, max_size=8),
    text=st.binary(min_size=1, max_size=1600),
    high=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
)
@every_provider
def test_gmac_agrees(name: str, bits: int, material: bytes, iv: bytes, text: bytes, high: int | None) -> None:
    """RFC 4543 section 3.3: all is associated data, the IV among it."""
    provider = Provider(name)
    key = material[: bits // 8] + material[32:]
    job = (Suite("aes-gmac", bits), key, None, HEAD, iv)
    sealed, icv = provider.seal(*job, text, high=high)
    assert sealed == text
    assert icv == AESGCM(key[:-4]).encrypt(key[-4:] + iv, b"", associated(high) + iv + text)
    assert provider.open(*job, text, icv, high=high) == text
    assert provider.open(*job, text, icv[:-1] + bytes([icv[-1] ^ 1]), high=high) is None


@every_suite
@every_provider
def test_every_length_goes_through_and_neighbours_in_a_burst_do_not_disturb_each_other(name: str, suite: Suite) -> None:
    two = Pair(suite, provider=name)
    assert two.a.outbound.provider_of(two.out) == name
    for start in range(0, 1400, 70):
        packets = [udp(size) for size in range(start, start + 70)]
        sealed = two.seal(*packets)
        broken = [packet if at % 3 else packet[:-1] + bytes([packet[-1] ^ 1]) for at, packet in enumerate(sealed)]
        expected = [packet if at % 3 else Verdict.CORRUPT for at, packet in enumerate(packets)]
        assert two.open(*broken) == expected


@every_suite
@pytest.mark.parametrize(("ours", "theirs"), [(a, b) for a in PROVIDERS for b in PROVIDERS if a != b])
def test_providers_open_what_another_sealed(ours: str, theirs: str, suite: Suite) -> None:
    key = bytes(range(1, suite.key_bits // 8 + 5))
    for size in (1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1400):
        text, iv = bytes(at % 251 for at in range(size)), size.to_bytes(8)
        for high in (None, 0, 2**32 - 1):
            sealed, icv = Provider(ours).seal(suite, key, None, HEAD, iv, text, high=high)
            assert Provider(theirs).open(suite, key, None, HEAD, iv, sealed, icv, high=high) == text
