"""Known answers and an independent library, for every provider: the same vectors for each."""

from __future__ import annotations

import hashlib
import hmac
import struct
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import HMACS, any_packet

from fastesp.dataplane.base import Suite
from fastesp.engine import INTEGRITY, Batch, Engine, Verdict, available_providers
from fastesp.engine.providers import Provider, open_providers

NIST = Path(cryptography_vectors.__file__).parent / "ciphers" / "AES" / "GCM"
PROVIDERS = sorted(available_providers())
HEAD = bytes.fromhex("0102030400000005")
DIGESTS = {
    "hmac-sha1": hashlib.sha1,
    "hmac-sha2-256": hashlib.sha256,
    "hmac-sha2-384": hashlib.sha384,
    "hmac-sha2-512": hashlib.sha512,
}


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> Provider:
    return Provider(request.param)


def records(path: Path) -> list[dict[str, str]]:
    """Groups of ``name = value`` lines, parted by blank ones; what stands in brackets is left out."""
    found: list[dict[str, str]] = [{}]
    for line in path.read_text().splitlines():
        if not line.strip():
            found.append({})
        elif "=" in line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found[-1][name.strip()] = value.strip()
    return [record for record in found if record]


MCGREW = [
    {name: bytes.fromhex(value) for name, value in record.items()}
    for record in records(Path(__file__).parent / "data" / "draft-mcgrew-gcm-test-01.txt")
]


def high_of(aad: bytes) -> int | None:
    return int.from_bytes(aad[4:8]) if len(aad) == 12 else None


@pytest.mark.parametrize("case", MCGREW, ids=range(1, len(MCGREW) + 1))
def test_draft_mcgrew_packets_seal_to_the_published_bytes(provider: Provider, case: dict[str, bytes]) -> None:
    suite = Suite("aes-gcm-16", len(case["key"]) * 8)
    key = case["key"] + case["nonce"][:4]
    head = case["aad"][:4] + case["aad"][-4:]
    job = (suite, key, None, head, case["nonce"][4:])
    sealed = provider.seal(*job, case["text"], high=high_of(case["aad"]))
    assert sealed == (case["sealed"], case["icv"])
    assert provider.open(*job, *sealed, high=high_of(case["aad"])) == case["text"]


# SPI 0, which one of the cases has, never goes on the wire.
ON_THE_WIRE = [case for case in MCGREW if any(case["aad"][:4])]


@pytest.mark.parametrize("case", ON_THE_WIRE, ids=range(1, len(ON_THE_WIRE) + 1))
@pytest.mark.parametrize("name", PROVIDERS)
def test_draft_mcgrew_packets_arrive_as_esp(name: str, case: dict[str, bytes]) -> None:
    engine = Engine(provider=name, max_sas=4, max_policies=4, flows=4)
    high, low = high_of(case["aad"]), int.from_bytes(case["aad"][-4:])
    slot = engine.install_inbound(
        int.from_bytes(case["aad"][:4]),
        Suite("aes-gcm-16", len(case["key"]) * 8),
        case["key"] + case["nonce"][:4],
        selectors=any_packet(),
        esn=high is not None,
    )
    if high:
        engine.inbound.advance(slot, (high << 32 | low) - 1)
    batch = Batch(bytearray(1024))
    batch.put(case["aad"][:4] + case["aad"][-4:] + case["nonce"][4:] + case["sealed"] + case["icv"])
    engine.decapsulate(batch, 1)
    text = case["text"]
    pad, following = text[-2], text[-1]
    inner = text[: -2 - pad]
    if following == 4 and inner[:1] == b"\x45":
        assert batch.data(0) == inner[: int.from_bytes(inner[2:4])]
    else:
        # Authentic, but no packet for a tunnel.
        assert batch.view["verdict"][0] in (Verdict.BAD_NEXT_HEADER, Verdict.BAD_PADDING, Verdict.DUMMY)


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_nist_gcm_texts_seal_to_the_published_bytes(provider: Provider, bits: int) -> None:
    """NIST's associated data never has the length of ESP's; so the text is theirs and the tag is cryptography's."""
    cases = [
        record
        for record in records(NIST / f"gcmEncryptExtIV{bits}.rsp")
        if len(record.get("IV", "")) == 24 and record.get("PT") and "CT" in record
    ]
    assert len(cases) > 300
    for case in cases[::7]:
        key, nonce, text = (bytes.fromhex(case[name]) for name in ("Key", "IV", "PT"))
        job = (Suite("aes-gcm-16", bits), key + nonce[:4], None, HEAD, nonce[4:])
        sealed, icv = provider.seal(*job, text)
        assert sealed.hex() == case["CT"]
        assert AESGCM(key).decrypt(nonce, sealed + icv, HEAD) == text
        assert provider.open(*job, sealed, icv) == text


@settings(deadline=None, max_examples=60)
@given(
    bits=st.sampled_from([128, 192, 256]),
    material=st.binary(min_size=36, max_size=36),
    iv=st.binary(min_size=8, max_size=8),
    text=st.binary(min_size=1, max_size=600),
    high=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    icv_length=st.sampled_from([8, 12, 16]),
)
@pytest.mark.parametrize("name", PROVIDERS)
def test_gcm_agrees_with_cryptography(
    name: str, bits: int, material: bytes, iv: bytes, text: bytes, high: int | None, icv_length: int
) -> None:
    (provider,) = open_providers(name)
    key, salt = material[: bits // 8], material[32:]
    aad = HEAD if high is None else HEAD[:4] + struct.pack("!I", high) + HEAD[4:]
    expected = AESGCM(key).encrypt(salt + iv, text, aad)
    job = (Suite(f"aes-gcm-{icv_length}", bits), key + salt, None, HEAD, iv)
    sealed, icv = provider.seal(*job, text, high=high)
    assert sealed + icv == expected[: len(text) + icv_length]
    assert provider.open(*job, sealed, icv, high=high) == text
    assert provider.open(*job, sealed, bytes(len(icv)), high=high) is None


def test_rfc_7634_appendix_a_seals_to_the_published_bytes(provider: Provider) -> None:
    text = bytes.fromhex(
        "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f1011121314151617"
        "18191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363701020204"
    )
    key = bytes(range(0x80, 0xA0)) + bytes.fromhex("a0a1a2a3")
    job = (Suite("chacha20-poly1305", 256), key, None, HEAD, bytes(range(0x10, 0x18)))
    sealed, icv = provider.seal(*job, text)
    assert sealed.hex() == (
        "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f72aa71e7c"
        "4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0"
    )
    assert icv.hex() == "76aaa8266b7fb0f7b11b369907e1ad43"
    assert provider.open(*job, sealed, icv) == text
    assert ChaCha20Poly1305(key[:32]).decrypt(key[32:] + bytes(range(0x10, 0x18)), sealed + icv, HEAD) == text


def mac(suite: Suite, key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, DIGESTS[suite.integrity])[: INTEGRITY[suite.integrity].icv]


RFC_3602 = [
    (
        "06a9214036b8a15b512e03d534120006",
        "3dafba429d9eb430b422da802c9fac41",
        b"Single block msg".hex(),
        "e353779c1079aeb82708942dbe77181a",
    ),
    (
        "c286696d887c9aa0611bbb3e2025a45a",
        "562e17996d093d28ddb3ba695a2e6f58",
        bytes(range(32)).hex(),
        "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1",
    ),
]
RFC_3686 = [
    (
        "ae6852f8121067cc4bf7a5765577f39e00000030",
        "0000000000000000",
        b"Single block msg".hex(),
        "e4095d4fb7a7b3792d6175a3261311b8",
    ),
    (
        "7e24067817fae0d743d6ce1f32539163006cb6db",
        "c0543b59da48d90b",
        bytes(range(32)).hex(),
        "5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28",
    ),
    (
        "7691be035e5020a8ac6e618529f9a0dc00e0017b",
        "27777f3f4a1786f0",
        bytes(range(36)).hex(),
        "c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f",
    ),
]
CASES = [("aes-cbc", *case) for case in RFC_3602] + [("aes-ctr", *case) for case in RFC_3686]


@pytest.mark.parametrize("provider", ["openssl"], indirect=True)
@pytest.mark.parametrize("integrity", HMACS)
@pytest.mark.parametrize("high", [None, 0, 7])
@pytest.mark.parametrize(("cipher", "key", "iv", "text", "sealed"), CASES)
def test_rfc_3602_and_3686_texts_seal_to_the_published_bytes(
    provider: Provider, cipher: str, key: str, iv: str, text: str, sealed: str, high: int | None, integrity: str
) -> None:
    suite = Suite(cipher, 128, integrity)
    integrity_key = bytes(range(INTEGRITY[integrity].key))
    job = (suite, bytes.fromhex(key), integrity_key, HEAD, bytes.fromhex(iv))
    got, icv = provider.seal(*job, bytes.fromhex(text), high=high)
    assert got.hex() == sealed
    covered = HEAD + bytes.fromhex(iv) + got + (b"" if high is None else struct.pack("!I", high))
    assert icv == mac(suite, integrity_key, covered)
    assert provider.open(*job, got, icv, high=high).hex() == text
    assert provider.open(*job, got, icv[:-1] + bytes([icv[-1] ^ 1]), high=high) is None


def test_a_provider_that_is_named_alone_never_falls_back() -> None:
    assert [provider.name for provider in open_providers("openssl")] == ["openssl"]
    with pytest.raises(ValueError, match="unknown crypto provider 'rot13'"):
        open_providers("rot13")


def test_the_fastest_provider_goes_first() -> None:
    assert [provider.name for provider in open_providers("auto")] == list(available_providers())
    assert next(iter(available_providers())) == ("ipsec-mb" if "ipsec-mb" in available_providers() else "openssl")
