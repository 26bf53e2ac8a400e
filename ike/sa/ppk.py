"""Agreeing on a post-quantum preshared key, and mixing it into the keys of the IKE SA (RFC 8784 section 3).

It is for whoever authenticates first: the first AUTH of either side is made with the mixed SK_pi or SK_pr, and from
that exchange on SK_d is mixed too, so that every CHILD_SA and every replacement descends from it. What seals messages
stays as it is. With IKE_INTERMEDIATE it is the keys after its last exchange that are mixed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..auth.ppk import find, named, pull_ppk_id, push_ppk_id, score
from ..config import AuthRound, Connection
from ..credentials import SharedKey
from ..crypto.keys import IkeKeys
from ..errors import LocalError, PeerError
from ..records import Failure, Refused, failure_of
from ..wire.constants import NotifyType
from ..wire.message import Message
from ..wire.payloads import AuthPayload, NotifyPayload, Payload
from . import proof
from .features import Feature

if TYPE_CHECKING:
    from .ike_sa import IkeSa


# IKE_SA_INIT.


def announce(sa: IkeSa) -> list[Payload]:
    """The initiator has a PPK for this connection. Raises :class:`LocalError` where it must have one, and has not."""
    if _our_key(sa) is not None:
        return [NotifyPayload(NotifyType.USE_PPK)]
    if sa.settings.ppk_required:
        raise _missing(sa)
    return []


def answer(sa: IkeSa, request: Message) -> list[Payload]:
    """The responder has some too; which one is meant it hears in IKE_AUTH."""
    setup = sa.in_setup
    setup.ppk_agreed = request.notify(NotifyType.USE_PPK) is not None and bool(sa.core.credentials.ppks())
    return [NotifyPayload(NotifyType.USE_PPK)] if setup.ppk_agreed else []


def agree(sa: IkeSa, response: Message, now: float) -> None:
    """Whether the responder takes part. Raises :class:`Refused` where it must: a better answer may come for a while."""
    said = response.notify(NotifyType.USE_PPK) is not None
    sa.in_setup.ppk_agreed = said and _our_key(sa) is not None
    if sa.settings.ppk_required and not said:
        failure = Failure(
            code="ppk-unsupported",
            summary="the peer has no post-quantum preshared keys, the connection requires one",
            hint="give the peer the PPK, or set ppk_required = no",
            mismatch=NotifyType.USE_PPK.name,
            keys=("ppk_required",),
        )
        sa.suspect(failure, now)
        raise Refused(failure)


def _missing(sa: IkeSa) -> LocalError:
    wanted = sa.settings.ppk_id
    return LocalError(
        "no-ppk",
        f"connection {sa.settings.name!r} requires a post-quantum preshared key, and "
        + (f"there is none for {wanted}" if wanted is not None else "ppk_id names none"),
        hint=f"add a secrets.ppk section with id = {wanted}" if wanted is not None else "set ppk_id",
    )


def _our_key(sa: IkeSa) -> SharedKey | None:
    """The initiator's key: a pattern names none, it is for responders."""
    wanted = sa.settings.ppk_id
    if wanted is None or wanted.has_wildcards:
        return None
    return find(sa.core.credentials.ppks(), wanted.data)


def adopt(sa: IkeSa) -> None:
    """Both sides have the PPK: the mixed keys are the IKE SA's from now on. Nothing changes where none is used."""
    setup = sa.in_setup
    before, mixed, setup.mixed_keys = sa.keys, setup.mixed_keys, None
    if before is not None and mixed is not None:
        sa.keys = mixed
        sa.features |= Feature.PPK
        for key in (before.sk_d, before.sk_pi, before.sk_pr):
            key.wipe()


# IKE_AUTH, the initiator.


def begin(sa: IkeSa) -> IkeKeys | None:
    """The mixed keys that its first AUTH is made with; ``None`` where no PPK was agreed on.

    Raises :class:`LocalError` where it must have one, and has it no more.
    """
    setup, key = sa.in_setup, _our_key(sa)
    if not setup.ppk_agreed or key is None or sa.keys is None:
        if sa.settings.ppk_required:
            raise _missing(sa)
        return None
    setup.mixed_keys = sa.keys.with_ppk(key.secret)
    return setup.mixed_keys


def identity(sa: IkeSa) -> Payload:
    """PPK_IDENTITY: which key it is."""
    wanted = sa.settings.ppk_id
    if wanted is None:
        raise RuntimeError("no PPK was agreed on")
    return NotifyPayload(NotifyType.PPK_IDENTITY, push_ppk_id(wanted))


def conclude(sa: IkeSa, response: Message) -> None:
    """The responder's first AUTH is there: it says whether it used the PPK. Raises :class:`Refused` where it must."""
    if sa.in_setup.mixed_keys is None:
        return
    if response.notify(NotifyType.PPK_IDENTITY) is not None:
        adopt(sa)
    elif sa.settings.ppk_required:
        raise Refused(
            Failure(
                code="ppk-unused",
                summary=f"the peer answers without the post-quantum preshared key {sa.settings.ppk_id}",
                hint="the peer breaks RFC 8784 section 3: it was given no other proof to check",
                mismatch=NotifyType.PPK_IDENTITY.name,
                keys=("ppk_required",),
            ),
            NotifyType.AUTHENTICATION_FAILED,
        )
    else:
        sa.in_setup.mixed_keys = None


# IKE_AUTH, the responder.


def choose(sa: IkeSa, request: Message, auth: AuthPayload) -> AuthPayload:
    """The proof to check: AUTH, with ``mixed_keys`` where it was made with a PPK, else what NO_PPK_AUTH holds.

    Raises :class:`Refused` where the connection requires a PPK, where it wants another one (strongSwan refuses that
    even if it is optional: a key that was named is meant), and where the peer leaves no way without.
    """
    connection, notify = sa.settings, request.notify(NotifyType.PPK_IDENTITY)
    if not sa.in_setup.ppk_agreed or notify is None:
        if connection.ppk_required:
            raise Refused(_unnamed(sa), NotifyType.AUTHENTICATION_FAILED)
        return auth
    name = pull_ppk_id(notify.data)
    if name is not None and connection.ppk_id is not None and not score(name, connection.ppk_id):
        raise Refused(_another(sa, name), NotifyType.AUTHENTICATION_FAILED)
    key = find(sa.core.credentials.ppks(), name) if name is not None else None
    if key is not None and sa.keys is not None:
        sa.in_setup.mixed_keys = sa.keys.with_ppk(key.secret)
        return auth
    without = request.notify(NotifyType.NO_PPK_AUTH)
    if connection.ppk_required or without is None:
        raise Refused(_unknown(name), NotifyType.AUTHENTICATION_FAILED)
    return AuthPayload(auth.method, without.data)


def accept(sa: IkeSa) -> list[Payload]:
    """PPK_IDENTITY without data in the first response: it was used."""
    return [NotifyPayload(NotifyType.PPK_IDENTITY)] if Feature.PPK in sa.features else []


def suits(sa: IkeSa, candidate: Connection) -> bool:
    """Whether what the first round made of PPKs is what ``candidate`` wants too, which a later round leads to."""
    request = sa.in_setup.rounds.request
    if Feature.PPK not in sa.features or request is None:
        return not candidate.ppk_required
    notify = request.notify(NotifyType.PPK_IDENTITY)
    name = pull_ppk_id(notify.data) if notify is not None else None
    return name is not None and (candidate.ppk_id is None or score(name, candidate.ppk_id) > 0)


# What does not fit.


def explained(sa: IkeSa, section: AuthRound, request: Message, error: PeerError) -> PeerError | None:
    """Why a proof that was made with a PPK is not good: the PPK, if the proof without it is; else either may be.

    ``None`` where no PPK was used, or it has nothing to do with it.
    """
    without, auth = request.notify(NotifyType.NO_PPK_AUTH), request.one(AuthPayload)
    if sa.in_setup.mixed_keys is None or sa.keys is None or auth is None or error.code not in _UNPROVEN:
        return None
    plain_is_good = False
    if without is not None:
        try:
            proof.verify(sa, section, request, AuthPayload(auth.method, without.data), sa.keys)
        except PeerError:
            pass
        else:
            plain_is_good = True
    return Refused(_mismatch(sa, request, failure_of(error), surely=plain_is_good), NotifyType.AUTHENTICATION_FAILED)


_UNPROVEN = frozenset({"auth-psk-mismatch", "auth-null-mismatch", "signature-invalid"})


def _mismatch(sa: IkeSa, request: Message, failure: Failure, *, surely: bool) -> Failure:
    notify = request.notify(NotifyType.PPK_IDENTITY)
    name = pull_ppk_id(notify.data) if notify is not None else None
    key = find(sa.core.credentials.ppks(), name) if name is not None else None
    said = str(named(name)) if name is not None else ""
    if not surely:
        hint = f"{failure.hint}. The post-quantum preshared key {said} may differ instead"
        return replace(failure, summary=f"{failure.summary}, or its PPK {said} is another one", hint=hint)
    return Failure(
        code="ppk-mismatch",
        summary=f"the post-quantum preshared key {said} of {sa.remote_id} is not the one that we have",
        hint=f"give both sides one and the same secret for {said}",
        offered=(said,),
        allowed=(said,),
        mismatch="the secrets differ",
        where=f"{key.where}: secret" if key is not None and key.where else "secrets.ppk: secret",
    )


def _unnamed(sa: IkeSa) -> Failure:
    return Failure(
        code="ppk-unsupported",
        summary=f"{sa.remote_id} uses no post-quantum preshared key, the connection requires one",
        hint="set ppk_id on the peer and give it the secret, or set ppk_required = no",
        allowed=(f"ppk_id = {sa.settings.ppk_id or '%any'}",),
        mismatch=NotifyType.PPK_IDENTITY.name,
        keys=("ppk_required",),
    )


def _another(sa: IkeSa, name: bytes) -> Failure:
    return Failure(
        code="ppk-id-mismatch",
        summary=f"{sa.remote_id} uses the post-quantum preshared key {named(name)}, not {sa.settings.ppk_id}",
        hint="make ppk_id what the peer's ppk_id is; a pattern such as *.example.org stands for several",
        offered=(str(named(name)),),
        allowed=(str(sa.settings.ppk_id),),
        mismatch="PPK_ID",
        keys=("ppk_id",),
    )


def _unknown(name: bytes | None) -> Failure:
    said = str(named(name)) if name is not None else "a name of a kind that is not known"
    return Failure(
        code="no-ppk",
        summary=f"there is no post-quantum preshared key for {said}, and one is required",
        hint=f"add a secrets.ppk section with id = {said}" if name is not None else "give the key a plain name",
        offered=(said,),
        mismatch="no secret has that id",
        where=f"secrets.ppk: id = {said}" if name is not None else "",
        keys=("ppk_id",),
    )
