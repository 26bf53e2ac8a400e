"""The key schedule: NIST's IKEv2 vector, the order in which keys are cut, and the RFCs that extend it."""

from ike.crypto.keys import IkeKeys, child_keys, prf_of
from ike.crypto.prf import prf, prf_plus
from ike.crypto.proposal import ProposalSpec
from ike.crypto.secret import Secret
from ike.wire.constants import Prf, ProtocolId

# NIST CAVP, SP 800-135 IKEv2 with SHA-1: 132 bytes are what aes128-sha1 takes.
NI = bytes.fromhex("32b50d5f4a3763f3")
NR = bytes.fromhex("9206a04b26564cb1")
G_IR = Secret(bytes.fromhex("4b2c1f971981a8ad8d0abeafabf38cf75fc8349c148142465ed9c8b516b8be52"))
G_IR_NEW = Secret(bytes.fromhex("863f3c9d06efd39d2b907b97f8699e5dd5251ef64a2a176f36ee40c87d4f9330"))
SPI_I = bytes.fromhex("34c9e7c188868785")
SPI_R = bytes.fromhex("3ff77d760d2b2199")
DKM = bytes.fromhex(
    "a14293677cc80ff8f9cc0eee30d895da9d8f405666e30ef0dfcb63c634a46002a2a63080e514a062768b76606f9fa5e9"
    "92204fc5a670bde3f10d6b027113936a5c55b648a194ae587b0088d52204b702c979fa280870d2ed41efa9c549fd1119"
    "8af1670b143d384bd275c5f594cf266b05ebadca855e4249520a441a81157435a7a56cc4"
)
SKEYSEED_REKEY = bytes.fromhex("63e81194946ebd05df7df5ebf5d8750056bf1f1d")


def suite(text, protocol=ProtocolId.IKE):
    return ProposalSpec.parse(text, protocol).transforms


SHA1 = suite("aes128-sha1-modp2048")
GCM = suite("aes256gcm16-prfsha384-x25519")


def gcm_keys():
    return IkeKeys.derive(GCM, Secret(b"g" * 32), b"i" * 32, b"r" * 32, b"I" * 8, b"R" * 8)


def test_the_keys_of_an_ike_sa_are_those_of_the_nist_vector():
    keys = IkeKeys.derive(SHA1, G_IR, NI, NR, SPI_I, SPI_R)
    parts = (keys.sk_d, keys.sk_ai, keys.sk_ar, keys.sk_ei, keys.sk_er, keys.sk_pi, keys.sk_pr)
    assert [len(part) for part in parts] == [20, 20, 20, 16, 16, 20, 20]
    assert b"".join(map(bytes, parts)) == DKM


def test_the_rekeyed_seed_is_that_of_the_nist_vector():
    keys = IkeKeys.derive(SHA1, G_IR, NI, NR, SPI_I, SPI_R).rekey(SHA1, G_IR_NEW, NI, NR, SPI_I, SPI_R)
    stream = prf_plus(Prf.HMAC_SHA1, SKEYSEED_REKEY, NI + NR + SPI_I + SPI_R, 132)
    assert bytes(keys.sk_d) == stream[:20]
    assert bytes(keys.sk_pr) == stream[-20:]


def test_a_rekey_uses_the_old_prf_for_the_seed_and_the_new_one_for_the_keys():
    old = IkeKeys.derive(SHA1, G_IR, NI, NR, SPI_I, SPI_R)
    new = old.rekey(GCM, G_IR_NEW, NI, NR, SPI_I, SPI_R, additional=[Secret(b"second")])
    seed = prf(Prf.HMAC_SHA1, old.sk_d, bytes(G_IR_NEW) + NI + NR + b"second")
    assert bytes(new.sk_d) == prf_plus(Prf.HMAC_SHA2_384, seed, NI + NR + SPI_I + SPI_R, 48)
    assert new.suite == GCM


def test_an_aead_has_no_integrity_keys_and_a_salt_behind_its_key():
    keys = gcm_keys()
    assert len(keys.sk_ai) == len(keys.sk_ar) == 0
    assert len(keys.sk_ei) == len(keys.sk_er) == 32 + 4
    assert len(keys.sk_d) == len(keys.sk_pi) == 48


def test_aes_prfs_take_half_their_key_from_each_nonce():
    xcbc = suite("aes128-aesxcbc-modp2048")
    ni, nr = bytes(range(32)), bytes(range(100, 132))
    keys = IkeKeys.derive(xcbc, G_IR, ni, nr, SPI_I, SPI_R)
    seed = prf(Prf.AES128_XCBC, ni[:8] + nr[:8], bytes(G_IR))
    assert bytes(keys.sk_d) == prf_plus(Prf.AES128_XCBC, seed, ni + nr + SPI_I + SPI_R, 16)


def test_child_keys_are_cut_initiator_first_and_encryption_first():
    keys = gcm_keys()
    esp = suite("aes256-sha256", ProtocolId.ESP)
    stream = prf_plus(Prf.HMAC_SHA2_384, keys.sk_d, b"NiNr", 2 * (32 + 32))
    child = keys.child(esp, b"Ni", b"Nr")
    parts = (
        child.initiator.encryption,
        child.initiator.integrity,
        child.responder.encryption,
        child.responder.integrity,
    )
    assert b"".join(map(bytes, parts)) == stream
    assert child.outbound(initiator=True) is child.initiator is child.inbound(initiator=False)
    assert child.outbound(initiator=False) is child.responder is child.inbound(initiator=True)


def test_child_keys_with_pfs_and_a_follow_up_put_the_secrets_around_the_nonces():
    keys = gcm_keys()
    esp = suite("aes128gcm16", ProtocolId.ESP)
    child = child_keys(prf_of(keys.suite), keys.sk_d, esp, b"Ni", b"Nr", Secret(b"first"), [Secret(b"second")])
    stream = prf_plus(Prf.HMAC_SHA2_384, keys.sk_d, b"firstNiNrsecond", 40)
    assert bytes(child.initiator.encryption) + bytes(child.responder.encryption) == stream
    assert len(child.initiator.integrity) == 0


def test_ah_keys_are_integrity_alone_and_gmac_has_its_salt():
    keys = gcm_keys()
    assert len(keys.child(suite("sha384", ProtocolId.AH), b"i", b"r").initiator.integrity) == 48
    gmac = keys.child(suite("aes256gmac", ProtocolId.AH), b"i", b"r")
    assert len(gmac.initiator.integrity) == 36
    assert len(gmac.initiator.encryption) == 0


def test_a_further_key_exchange_starts_from_sk_d():
    keys = gcm_keys()
    mixed = keys.mix(Secret(b"kem"), b"Ni", b"Nr", SPI_I, SPI_R)
    seed = prf(Prf.HMAC_SHA2_384, keys.sk_d, b"kemNiNr")
    assert bytes(mixed.sk_d) == prf_plus(Prf.HMAC_SHA2_384, seed, b"NiNr" + SPI_I + SPI_R, 48)


def test_a_ppk_changes_the_keys_of_authentication_and_of_children_only():
    keys = gcm_keys()
    mixed = keys.with_ppk(Secret(b"ppk"))
    assert bytes(mixed.sk_d) == prf_plus(Prf.HMAC_SHA2_384, b"ppk", bytes(keys.sk_d), 48)
    assert bytes(mixed.sk_pi) == prf_plus(Prf.HMAC_SHA2_384, b"ppk", bytes(keys.sk_pi), 48)
    assert mixed.sk_pr != keys.sk_pr
    assert (mixed.sk_ei, mixed.sk_er) == (keys.sk_ei, keys.sk_er)


def test_an_established_ike_sa_keeps_sk_d_alone():
    keys = gcm_keys()
    sk_d = bytes(keys.sk_d)
    left = keys.only_sk_d()
    assert bytes(left.sk_d) == sk_d
    assert left.suite == keys.suite
    assert [len(k) for k in (left.sk_ai, left.sk_ar, left.sk_ei, left.sk_er, left.sk_pi, left.sk_pr)] == [0] * 6
    assert len(keys.sk_pi) == len(keys.sk_pr) == 0
    assert len(keys.sk_ei) == len(keys.sk_er) == 36


def test_resumption_starts_from_the_old_sk_d():
    keys = gcm_keys()
    resumed = IkeKeys.resume(GCM, keys.sk_d, b"Ni", b"Nr", SPI_I, SPI_R)
    seed = prf(Prf.HMAC_SHA2_384, keys.sk_d, b"ResumptionNiNr")
    assert bytes(resumed.sk_d) == prf_plus(Prf.HMAC_SHA2_384, seed, b"NiNr" + SPI_I + SPI_R, 48)


def test_keys_do_not_print_and_can_be_wiped():
    keys = gcm_keys()
    hexes = [bytes(key).hex() for key in (keys.sk_d, keys.sk_ei, keys.sk_pi)]
    child = keys.child(suite("aes256-sha256", ProtocolId.ESP), b"Ni", b"Nr")
    raw = [bytes(keys.sk_d), bytes(child.initiator.encryption)]
    for text in (repr(keys), repr(child)):
        assert not any(value in text for value in hexes)
        assert not any(repr(value)[2:-1] in text for value in raw)
    keys.wipe()
    assert len(keys.sk_d) == len(keys.sk_ei) == len(keys.sk_pr) == 0
