"""The key schedule: SKEYSEED, the seven keys of an IKE SA, and the keys of its CHILD_SAs.

RFC 7296 sections 2.14, 2.17 and 2.18; several key exchanges: RFC 9370 section 2.2.4; PPK: RFC 8784 section 3;
resumption: RFC 5723 section 5.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..wire.constants import Integ, Prf, TransformType
from ..wire.payloads import Transform
from .prf import prf, prf_plus
from .secret import Secret
from .transforms import PRF, encr_key_size, integ_key_size


@dataclass(frozen=True, slots=True)
class ChildHalf:
    """Keys of one direction of a CHILD_SA. ``encryption`` ends with the salt; ``integrity`` is empty for an AEAD."""

    encryption: Secret
    integrity: Secret


@dataclass(frozen=True, slots=True)
class ChildKeys:
    """Both directions, named after who initiated the exchange that made them (RFC 7296 section 2.17)."""

    initiator: ChildHalf
    """What the initiator of the exchange sends with."""
    responder: ChildHalf

    def outbound(self, *, initiator: bool) -> ChildHalf:
        """What we send with."""
        return self.initiator if initiator else self.responder

    def inbound(self, *, initiator: bool) -> ChildHalf:
        """What we receive with."""
        return self.responder if initiator else self.initiator


@dataclass(frozen=True, slots=True)
class IkeKeys:
    """SK_d, SK_a, SK_e and SK_p of an IKE SA. ``suite`` is the one they belong to; its PRF makes all further keys."""

    suite: tuple[Transform, ...]
    sk_d: Secret
    sk_ai: Secret
    sk_ar: Secret
    sk_ei: Secret
    sk_er: Secret
    sk_pi: Secret
    sk_pr: Secret

    @classmethod
    def derive(
        cls, suite: Sequence[Transform], shared: Secret, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes
    ) -> IkeKeys:
        """From the secret of IKE_SA_INIT's key exchange and the nonces (RFC 7296 section 2.14)."""
        number = prf_of(suite)
        key = ni + nr
        if number in (Prf.AES128_XCBC, Prf.AES128_CMAC):
            # These two count as of fixed key length here: 64 bits from each nonce.
            half = PRF[number].key // 2
            key = ni[:half] + nr[:half]
        return cls._expand(suite, prf(number, key, bytes(shared)), ni, nr, spi_i, spi_r)

    def rekey(
        self,
        suite: Sequence[Transform],
        shared: Secret,
        ni: bytes,
        nr: bytes,
        spi_i: bytes,
        spi_r: bytes,
        additional: Iterable[Secret] = (),
    ) -> IkeKeys:
        """Keys of the IKE SA that replaces this one (RFC 7296 section 2.18).

        The old SA's PRF makes SKEYSEED, the new one's the keys. ``additional`` are the secrets of the IKE_FOLLOWUP_KE
        exchanges in their order (RFC 9370 section 2.2.4).
        """
        data = bytes(shared) + ni + nr + b"".join(map(bytes, additional))
        return self._expand(suite, prf(prf_of(self.suite), self.sk_d, data), ni, nr, spi_i, spi_r)

    def mix(self, shared: Secret, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes) -> IkeKeys:
        """Keys after one more key exchange in IKE_INTERMEDIATE (RFC 9370 section 2.2.2)."""
        return self._expand(
            self.suite, prf(prf_of(self.suite), self.sk_d, bytes(shared) + ni + nr), ni, nr, spi_i, spi_r
        )

    @classmethod
    def resume(
        cls, suite: Sequence[Transform], sk_d: Secret, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes
    ) -> IkeKeys:
        """Keys of the IKE SA that a ticket brings back; ``sk_d`` is the old one's (RFC 5723 section 5.1)."""
        return cls._expand(suite, prf(prf_of(suite), sk_d, b"Resumption" + ni + nr), ni, nr, spi_i, spi_r)

    def with_ppk(self, ppk: Secret) -> IkeKeys:
        """The same with a post-quantum pre-shared key mixed into SK_d, SK_pi and SK_pr (RFC 8784 section 3)."""
        number = prf_of(self.suite)

        def mixed(key: Secret) -> Secret:
            return Secret(prf_plus(number, ppk, bytes(key), len(key)))

        return IkeKeys(
            self.suite,
            mixed(self.sk_d),
            self.sk_ai,
            self.sk_ar,
            self.sk_ei,
            self.sk_er,
            mixed(self.sk_pi),
            mixed(self.sk_pr),
        )

    def child(
        self,
        suite: Sequence[Transform],
        ni: bytes,
        nr: bytes,
        shared: Secret | None = None,
        additional: Iterable[Secret] = (),
    ) -> ChildKeys:
        """Keys of a CHILD_SA (RFC 7296 section 2.17); see :func:`child_keys`."""
        return child_keys(prf_of(self.suite), self.sk_d, suite, ni, nr, shared, additional)

    def only_sk_d(self) -> IkeKeys:
        """What an IKE SA keeps once both sides are authenticated. SK_p is overwritten; the envelopes have the rest."""
        self.sk_pi.wipe()
        self.sk_pr.wipe()
        return IkeKeys(self.suite, self.sk_d, *(_NO_KEY,) * 6)

    def wipe(self) -> None:
        """Overwrite all seven."""
        for key in (self.sk_d, self.sk_ai, self.sk_ar, self.sk_ei, self.sk_er, self.sk_pi, self.sk_pr):
            key.wipe()

    @classmethod
    def _expand(
        cls, suite: Sequence[Transform], skeyseed: bytes, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes
    ) -> IkeKeys:
        number = prf_of(suite)
        size_d = PRF[number].key
        size_a = integ_key_size(_of(suite, TransformType.INTEG))
        size_e = encr_key_size(_the(suite, TransformType.ENCR))
        sizes = (size_d, size_a, size_a, size_e, size_e, size_d, size_d)
        stream = prf_plus(number, skeyseed, ni + nr + spi_i + spi_r, sum(sizes))
        return cls(tuple(suite), *_cut(stream, sizes))


_NO_KEY = Secret(b"")


def child_keys(
    prf_number: int,
    sk_d: Secret,
    suite: Sequence[Transform],
    ni: bytes,
    nr: bytes,
    shared: Secret | None = None,
    additional: Iterable[Secret] = (),
) -> ChildKeys:
    """KEYMAT of a CHILD_SA, cut as RFC 7296 section 2.17 says: the initiator's direction first, encryption first.

    ``prf_number`` and ``sk_d`` are the IKE SA's; the nonces are those of the exchange that makes the CHILD_SA.
    ``shared`` is the secret of its own key exchange (PFS), ``additional`` those of IKE_FOLLOWUP_KE exchanges
    (RFC 9370 section 2.2.4).
    """
    cipher = _of(suite, TransformType.ENCR)
    size_e = encr_key_size(cipher) if cipher is not None else 0
    size_a = integ_key_size(_of(suite, TransformType.INTEG))
    fresh = b"" if shared is None else bytes(shared)
    seed = fresh + ni + nr + b"".join(map(bytes, additional))
    sizes = (size_e, size_a, size_e, size_a)
    parts = _cut(prf_plus(prf_number, sk_d, seed, sum(sizes)), sizes)
    return ChildKeys(ChildHalf(parts[0], parts[1]), ChildHalf(parts[2], parts[3]))


def prf_of(suite: Sequence[Transform]) -> int:
    """The number of a suite's PRF. ``ValueError`` where it has none, as an ESP suite does not."""
    return _the(suite, TransformType.PRF).id


def _the(suite: Sequence[Transform], kind: TransformType) -> Transform:
    transform = _of(suite, kind)
    if transform is None:
        raise ValueError(f"the suite has no transform of type {kind.name}")
    return transform


def _of(suite: Sequence[Transform], kind: TransformType) -> Transform | None:
    return next((t for t in suite if t.type == kind and not (kind == TransformType.INTEG and t.id == Integ.NONE)), None)


def _cut(stream: bytes, sizes: Sequence[int]) -> list[Secret]:
    parts: list[Secret] = []
    start = 0
    for size in sizes:
        parts.append(Secret(stream[start : start + size]))
        start += size
    return parts
