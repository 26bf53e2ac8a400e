"""Intel's ipsec-mb: hand-written assembly, used where the library and the processor have it.

1. At import a manager is made for this processor; without AES-NI the import fails with the reason.
2. `create` expands the key once for an SA and direction.
3. Per packet direct calls: `seal_gcm` / `open_gcm`, `seal_gmac` / `open_gmac` where nothing is ciphered (AH too),
   `seal_chacha` / `open_chacha`.
"""

from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from fastesp.engine.aead cimport *
from fastesp.engine.hints cimport store32
from fastesp.engine.ipsecmb cimport *
from fastesp.engine.openssl cimport CRYPTO_memcmp, OPENSSL_cleanse

cdef enum:
    STEP = 32

cdef struct suite_t:
    # What every context begins with, whatever its cipher.
    uint8_t salt[4]
    uint8_t icv_length
    uint8_t esn
    uint8_t ah                  # GMAC: what is covered begins with the outer IP header

cdef struct gcm_t:
    gcm_key_data key            # 64-byte aligned, as the whole is
    aes_gcm_enc_dec_t function
    # GMAC's three, called for a packet one after the other.
    aes_gmac_init_t init
    aes_gmac_update_t update
    aes_gmac_finalize_t finalize
    suite_t suite

cdef struct chacha_t:
    uint8_t key[32]
    suite_t suite

cdef IMB_MGR* manager = alloc_mb_mgr(0)
cdef IMB_ARCH architecture = IMB_ARCH_NONE
if manager == NULL:
    raise ImportError("ipsec-mb cannot allocate its manager")
init_mb_mgr_auto(manager, &architecture)
if imb_get_errno(manager) != 0:
    raise ImportError(f"ipsec-mb refuses this machine: {imb_get_strerror(imb_get_errno(manager)).decode()}")
if not manager.features & IMB_FEATURE_AESNI or not manager.features & IMB_FEATURE_PCLMULQDQ:
    raise ImportError("ipsec-mb: this processor has no AES-NI and PCLMULQDQ")


# ---- keys, once an SA ------------------------------------------------------------------------------------------


cdef void* open_state() noexcept nogil:
    return NULL


cdef void close_state(void* state) noexcept nogil:
    pass


cdef bint create(void* state, const request_t* request, crypt_t* crypt) noexcept nogil:
    if request.ah:
        return (
            AUTH_AES_128_GMAC <= request.integrity <= AUTH_AES_256_GMAC
            and create_gmac(request.integrity_key, request.integrity_key_length, request, crypt)
        )
    if request.integrity != AUTH_NONE:
        return False
    if request.encryption == ENCR_NULL_AUTH_AES_GMAC:
        return create_gmac(request.key, request.key_length, request, crypt)
    if request.encryption == ENCR_CHACHA20_POLY1305:
        return create_chacha(request, crypt)
    return create_gcm(request, crypt)


cdef inline void set_suite(suite_t* suite, const uint8_t* salt, uint8_t icv_length, const request_t* request) noexcept nogil:
    memcpy(suite.salt, salt, 4)
    suite.icv_length = icv_length
    suite.esn = request.esn
    suite.ah = request.ah


cdef bint create_gcm(const request_t* request, crypt_t* crypt) noexcept nogil:
    cdef gcm_t* context
    cdef uint8_t icv_length
    if request.encryption == ENCR_AES_GCM_16:
        icv_length = 16
    elif request.encryption == ENCR_AES_GCM_12:
        icv_length = 12
    elif request.encryption == ENCR_AES_GCM_8:
        icv_length = 8
    else:
        return False
    context = expanded(request.key, request.key_length, request.sealing)
    if context == NULL:
        return False
    set_suite(&context.suite, request.key + request.key_length - 4, icv_length, request)
    crypt.context = context
    crypt.run = seal_gcm if request.sealing else open_gcm
    crypt.destroy = destroy_gcm
    crypt.lines = sizeof(gcm_t) // 64
    return True


cdef bint create_gmac(
    const uint8_t* key, uint32_t key_length, const request_t* request, crypt_t* crypt
) noexcept nogil:
    cdef gcm_t* context = expanded(key, key_length, request.sealing)
    if context == NULL:
        return False
    set_suite(&context.suite, key + key_length - 4, 16, request)
    crypt.context = context
    crypt.run = seal_gmac if request.sealing else open_gmac
    crypt.destroy = destroy_gcm
    crypt.lines = sizeof(gcm_t) // 64
    return True


cdef gcm_t* expanded(const uint8_t* key, uint32_t key_length, bint sealing) noexcept nogil:
    """A context with the key schedule, and the functions for a key of this length (a salt of 4 bytes is part of it);
    NULL where there are none, or no memory."""
    cdef gcm_t* context
    if key_length != 20 and key_length != 28 and key_length != 36:
        return NULL
    if posix_memalign(<void**>&context, 64, sizeof(gcm_t)) != 0:
        return NULL
    memset(context, 0, sizeof(gcm_t))
    if key_length == 20:
        manager.gcm128_pre(key, &context.key)
        context.function = manager.gcm128_enc if sealing else manager.gcm128_dec
        context.init, context.update = manager.gmac128_init, manager.gmac128_update
        context.finalize = manager.gmac128_finalize
    elif key_length == 28:
        manager.gcm192_pre(key, &context.key)
        context.function = manager.gcm192_enc if sealing else manager.gcm192_dec
        context.init, context.update = manager.gmac192_init, manager.gmac192_update
        context.finalize = manager.gmac192_finalize
    else:
        manager.gcm256_pre(key, &context.key)
        context.function = manager.gcm256_enc if sealing else manager.gcm256_dec
        context.init, context.update = manager.gmac256_init, manager.gmac256_update
        context.finalize = manager.gmac256_finalize
    return context


cdef void destroy_gcm(void* context) noexcept nogil:
    OPENSSL_cleanse(context, sizeof(gcm_t))
    free(context)


cdef bint create_chacha(const request_t* request, crypt_t* crypt) noexcept nogil:
    cdef chacha_t* context
    if request.key_length != 36 or posix_memalign(<void**>&context, 64, sizeof(chacha_t)) != 0:
        return False
    memcpy(context.key, request.key, 32)
    set_suite(&context.suite, request.key + 32, 16, request)
    crypt.context = context
    crypt.run = seal_chacha if request.sealing else open_chacha
    crypt.destroy = destroy_chacha
    crypt.lines = 1
    return True


cdef void destroy_chacha(void* context) noexcept nogil:
    OPENSSL_cleanse(context, sizeof(chacha_t))
    free(context)


# ---- packets: what a call takes beside the text ------------------------------------------------------------------


cdef struct prepared_t:
    # Written for a whole step before the first is read: a load that spans fresh stores would have to wait for them.
    uint8_t nonce[16]
    uint8_t aad[16]
    uint8_t tag[16]
    uint64_t aad_length


cdef inline void prepare(const job_t* job, const suite_t* suite, prepared_t* prepared) noexcept nogil:
    """Nonce of salt and explicit IV; SPI and sequence number (RFC 4106 sections 4 and 5, RFC 7634 section 2)."""
    memcpy(prepared.nonce, suite.salt, 4)
    memcpy(prepared.nonce + 4, job.iv, 8)
    prepared.aad_length = 8
    if suite.esn:
        memcpy(prepared.aad, job.head, 4)
        store32(prepared.aad + 4, job.sequence_high)
        memcpy(prepared.aad + 8, job.head + 4, 4)
        prepared.aad_length = 12
    else:
        memcpy(prepared.aad, job.head, 8)


cdef inline uint32_t prepare_step(job_t* jobs, uint32_t count, prepared_t* prepared) noexcept nogil:
    """The first of ``count`` jobs of GCM contexts, at most STEP of them; how many."""
    cdef uint32_t i
    cdef uint32_t step = min(count, <uint32_t>STEP)
    for i in range(step):
        prepare(&jobs[i], &(<const gcm_t*>jobs[i].context).suite, &prepared[i])
    return step


# ---- packets: GCM ----------------------------------------------------------------------------------------------


cdef void seal_gcm(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i, step
    cdef job_t* job
    cdef const gcm_t* context
    cdef gcm_context_data scratch
    cdef prepared_t prepared[STEP]
    while count:
        step = prepare_step(jobs, count, prepared)
        for i in range(step):
            job = &jobs[i]
            context = <const gcm_t*>job.context
            context.function(
                &context.key, &scratch, job.text, job.text, job.length, prepared[i].nonce, prepared[i].aad,
                prepared[i].aad_length, job.icv, context.suite.icv_length)
            job.ok = True
        jobs += step
        count -= step


cdef void open_gcm(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i, step
    cdef job_t* job
    cdef const gcm_t* context
    cdef gcm_context_data scratch
    cdef prepared_t prepared[STEP]
    while count:
        step = prepare_step(jobs, count, prepared)
        for i in range(step):
            job = &jobs[i]
            context = <const gcm_t*>job.context
            context.function(
                &context.key, &scratch, job.text, job.text, job.length, prepared[i].nonce, prepared[i].aad,
                prepared[i].aad_length, prepared[i].tag, context.suite.icv_length)
            job.ok = CRYPTO_memcmp(prepared[i].tag, job.icv, context.suite.icv_length) == 0
        jobs += step
        count -= step


# ---- packets: GMAC (RFC 4543) ----------------------------------------------------------------------------------


cdef inline void gmac(const job_t* job, const prepared_t* prepared, uint8_t* tag) noexcept nogil:
    """ESP's SPI, sequence number, IV and text; AH's whole packet, then ESN's upper half, which `prepare` put at aad[4]."""
    cdef const gcm_t* context = <const gcm_t*>job.context
    cdef gcm_context_data scratch
    context.init(&context.key, &scratch, prepared.nonce, 12)
    if context.suite.ah:
        context.update(&context.key, &scratch, job.head, job.length)
        if context.suite.esn:
            context.update(&context.key, &scratch, prepared.aad + 4, 4)
    elif context.suite.esn:
        context.update(&context.key, &scratch, prepared.aad, 12)
        context.update(&context.key, &scratch, job.iv, <size_t>(job.text - job.iv) + job.length)
    else:
        context.update(&context.key, &scratch, job.head, <size_t>(job.text - job.head) + job.length)
    context.finalize(&context.key, &scratch, tag, context.suite.icv_length)


cdef void seal_gmac(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i, step
    cdef prepared_t prepared[STEP]
    while count:
        step = prepare_step(jobs, count, prepared)
        for i in range(step):
            gmac(&jobs[i], &prepared[i], jobs[i].icv)
            jobs[i].ok = True
        jobs += step
        count -= step


cdef void open_gmac(job_t* jobs, uint32_t count) noexcept nogil:
    """Computed as the sender did, and compared."""
    cdef uint32_t i, step
    cdef prepared_t prepared[STEP]
    while count:
        step = prepare_step(jobs, count, prepared)
        for i in range(step):
            gmac(&jobs[i], &prepared[i], prepared[i].tag)
            jobs[i].ok = CRYPTO_memcmp(prepared[i].tag, jobs[i].icv, 16) == 0
        jobs += step
        count -= step


# ---- packets: ChaCha20-Poly1305 (RFC 7634) ---------------------------------------------------------------------


cdef void seal_chacha(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef job_t* job
    cdef const chacha_t* context
    cdef chacha20_poly1305_context_data scratch
    cdef prepared_t prepared
    for i in range(count):
        job = &jobs[i]
        context = <const chacha_t*>job.context
        prepare(job, &context.suite, &prepared)
        manager.chacha20_poly1305_init(context.key, &scratch, prepared.nonce, prepared.aad, prepared.aad_length)
        manager.chacha20_poly1305_enc_update(context.key, &scratch, job.text, job.text, job.length)
        manager.chacha20_poly1305_finalize(&scratch, job.icv, 16)
        job.ok = True
    OPENSSL_cleanse(&scratch, sizeof(scratch))


cdef void open_chacha(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef job_t* job
    cdef const chacha_t* context
    cdef chacha20_poly1305_context_data scratch
    cdef prepared_t prepared
    for i in range(count):
        job = &jobs[i]
        context = <const chacha_t*>job.context
        prepare(job, &context.suite, &prepared)
        manager.chacha20_poly1305_init(context.key, &scratch, prepared.nonce, prepared.aad, prepared.aad_length)
        manager.chacha20_poly1305_dec_update(context.key, &scratch, job.text, job.text, job.length)
        manager.chacha20_poly1305_finalize(&scratch, prepared.tag, 16)
        job.ok = CRYPTO_memcmp(prepared.tag, job.icv, 16) == 0
    OPENSSL_cleanse(&scratch, sizeof(scratch))


cdef provider_t provider
provider.open = open_state
provider.close = close_state
provider.create = create

VERSION = imb_get_version_str().decode()
TABLE = PyCapsule_New(&provider, "fastesp.engine.provider", NULL)
