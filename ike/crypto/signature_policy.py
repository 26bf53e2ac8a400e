"""Which keys and signatures are good enough: the constraints that swanctl.conf's ``auth`` may carry.

``pubkey-sha256-sha384``, ``rsa-3072-sha256``, ``ecdsa-384``, ``rsa/pss-sha256``, ``rsa-2048-ecdsa-256``; words behind
``ike:`` speak of the AUTH payload alone, the others of certificates too.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from ..errors import LocalError
from ..wire.constants import SignatureHash

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey

HASH_WORDS: Mapping[str, SignatureHash] = {
    "sha1": SignatureHash.SHA1,
    "sha256": SignatureHash.SHA2_256,
    "sha384": SignatureHash.SHA2_384,
    "sha512": SignatureHash.SHA2_512,
    "identity": SignatureHash.IDENTITY,
}
HASH_NAMES: Mapping[int, str] = {number: word for word, number in HASH_WORDS.items()}

_KEY_WORDS = ("pubkey", "rsa", "rsa/pss", "ecdsa", "ed25519", "ed448")
_LEAST_RSA_BITS = 2048
_LEAST_ECDSA_BITS = 224


@dataclass(frozen=True, slots=True)
class KeyRule:
    """One kind of key that is allowed: ``rsa``, ``ecdsa``, ``ed25519``, ``ed448``, or ``pubkey`` for any of them.

    ``bits`` is the least length, 0 for what is usual; ``hashes`` empty allows all but SHA-1. ``pss`` wants RSASSA-PSS.
    """

    kind: str
    bits: int = 0
    hashes: tuple[SignatureHash, ...] = ()
    pss: bool = False

    def takes(self, kind: str) -> bool:
        """Whether the rule speaks of such keys."""
        return self.kind in ("pubkey", kind)


@dataclass(frozen=True, slots=True)
class SignaturePolicy:
    """Rules for the AUTH payload (``ike``) and for certificates (``chain``); without rules any strong key will do."""

    chain: tuple[KeyRule, ...] = ()
    ike: tuple[KeyRule, ...] = ()
    text: str = ""

    @classmethod
    def parse(cls, text: str) -> SignaturePolicy:
        """Read the words of ``auth``. Raises :class:`LocalError` ``bad-auth-constraint`` that names the word."""
        chain: list[KeyRule] = []
        ike: list[KeyRule] = []
        # A bare list of hashes speaks of keys of any kind.
        rules = chain
        rule = KeyRule("pubkey")
        started = False
        for token in filter(None, text.lower().split("-")):
            word = token.removeprefix("ike:")
            if word in _KEY_WORDS or word != token:
                if started:
                    rules.append(rule)
                rules = ike if word != token else rules
                rule = KeyRule("rsa" if word == "rsa/pss" else word, pss=word == "rsa/pss")
                if word not in _KEY_WORDS:
                    raise _bad(text, token, _KEY_WORDS)
            elif word.isascii() and word.isdigit() and len(word) <= 5:
                rule = KeyRule(rule.kind, int(word), rule.hashes, rule.pss)
            elif word in HASH_WORDS:
                rule = KeyRule(rule.kind, rule.bits, (*rule.hashes, HASH_WORDS[word]), rule.pss)
            else:
                raise _bad(text, token, (*_KEY_WORDS, *HASH_WORDS))
            started = True
        if started:
            rules.append(rule)
        return cls(tuple(chain), tuple(ike), text)

    @property
    def for_auth(self) -> tuple[KeyRule, ...]:
        """The rules for AUTH payloads: those for certificates serve where there are none of its own."""
        return self.ike or self.chain

    def refuse_key(self, key: PublicKey) -> str:
        """Why a certificate's key is not good enough; empty if it is."""
        kind, bits = key_kind(key), key_bits(key)
        least = {"rsa": _LEAST_RSA_BITS, "ecdsa": _LEAST_ECDSA_BITS}.get(kind, 0)
        rules = [rule for rule in self.chain if rule.takes(kind)]
        if self.chain and not rules:
            return f"it is an {kind.upper()} key, and '{self.text}' allows none"
        wanted = min((rule.bits for rule in rules), default=0) or least
        if bits < wanted:
            return f"its {kind.upper()} key has {bits} bits, at least {wanted} are asked for"
        return ""

    def allows_chain_hash(self, kind: str, number: int) -> bool:
        """Whether a CA with such a key may have signed a certificate with that hash."""
        return _allows(self.chain, kind, number, pss=None)

    def allows_auth(self, kind: str, number: int, *, pss: bool) -> bool:
        """Whether an AUTH payload may be signed so."""
        return _allows(self.for_auth, kind, number, pss=pss)


ANY_SIGNATURE = SignaturePolicy()


def _allows(rules: tuple[KeyRule, ...], kind: str, number: int, *, pss: bool | None) -> bool:
    if not rules:
        return number != SignatureHash.SHA1
    for rule in rules:
        if not rule.takes(kind) or (rule.pss and pss is False):
            continue
        if number in rule.hashes or (not rule.hashes and number != SignatureHash.SHA1):
            return True
        if number == SignatureHash.IDENTITY:
            # Ed25519 and Ed448 bring their own hash, which no list of hashes means to exclude.
            return True
    return False


def key_kind(key: PublicKey) -> str:
    """The word for a key's kind."""
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "ecdsa"
    return "ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "ed448"


def key_bits(key: PublicKey) -> int:
    """The length of a key in bits."""
    if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return key.key_size
    return 256 if isinstance(key, ed25519.Ed25519PublicKey) else 456


def _bad(text: str, token: str, words: tuple[str, ...]) -> LocalError:
    near = difflib.get_close_matches(token.removeprefix("ike:"), words, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "known are: " + ", ".join(words)
    return LocalError(
        "bad-auth-constraint",
        f"auth '{text}': unknown constraint '{token}' ({hint})",
        hint=hint,
        fields={"auth": text, "token": token},
    )
