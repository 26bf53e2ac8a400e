"""Intel's ipsec-mb: hand-written assembly, used where the library and the processor have it.

1. At import a manager is made for this processor; without AES-NI the import fails with the reason.
2. `create` expands the key once for an SA and direction.
3. Per packet one direct call: `seal_gcm` / `open_gcm`.
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

cdef struct gcm_t:
    gcm_key_data key            # 64-byte aligned, as the whole is
    aes_gcm_enc_dec_t function
    uint8_t salt[4]
    uint8_t icv_length
    uint8_t esn

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
    if request.ah or request.integrity != AUTH_NONE:
        return False
    return create_gcm(request, crypt)


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
    if posix_memalign(<void**>&context, 64, sizeof(gcm_t)) != 0:
        return False
    memset(context, 0, sizeof(gcm_t))
    if request.key_length == 20:
        manager.gcm128_pre(request.key, &context.key)
        context.function = manager.gcm128_enc if request.sealing else manager.gcm128_dec
    elif request.key_length == 28:
        manager.gcm192_pre(request.key, &context.key)
        context.function = manager.gcm192_enc if request.sealing else manager.gcm192_dec
    elif request.key_length == 36:
        manager.gcm256_pre(request.key, &context.key)
        context.function = manager.gcm256_enc if request.sealing else manager.gcm256_dec
    else:
        free(context)
        return False
    memcpy(context.salt, request.key + request.key_length - 4, 4)
    context.icv_length = icv_length
    context.esn = request.esn
    crypt.context = context
    crypt.run = seal_gcm if request.sealing else open_gcm
    crypt.destroy = destroy_gcm
    crypt.lines = sizeof(gcm_t) // 64
    return True


cdef void destroy_gcm(void* context) noexcept nogil:
    OPENSSL_cleanse(context, sizeof(gcm_t))
    free(context)


# ---- packets: GCM ----------------------------------------------------------------------------------------------


cdef struct prepared_t:
    # Written for a whole step before the first is read: a load that spans fresh stores would have to wait for them.
    uint8_t nonce[16]
    uint8_t aad[16]
    uint8_t tag[16]
    uint64_t aad_length


cdef inline void prepare_gcm(const job_t* job, prepared_t* prepared) noexcept nogil:
    """Nonce of salt and explicit IV; SPI and sequence number (RFC 4106 sections 4 and 5)."""
    cdef const gcm_t* context = <const gcm_t*>job.context
    memcpy(prepared.nonce, context.salt, 4)
    memcpy(prepared.nonce + 4, job.iv, 8)
    prepared.aad_length = 8
    if context.esn:
        memcpy(prepared.aad, job.head, 4)
        store32(prepared.aad + 4, job.sequence_high)
        memcpy(prepared.aad + 8, job.head + 4, 4)
        prepared.aad_length = 12
    else:
        memcpy(prepared.aad, job.head, 8)


cdef void seal_gcm(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef job_t* job
    cdef const gcm_t* context
    cdef gcm_context_data scratch
    cdef prepared_t prepared[STEP]
    while count:
        for i in range(min(count, <uint32_t>STEP)):
            prepare_gcm(&jobs[i], &prepared[i])
        for i in range(min(count, <uint32_t>STEP)):
            job = &jobs[i]
            context = <const gcm_t*>job.context
            context.function(
                &context.key, &scratch, job.text, job.text, job.length, prepared[i].nonce, prepared[i].aad,
                prepared[i].aad_length, job.icv, context.icv_length)
            job.ok = True
        jobs += min(count, <uint32_t>STEP)
        count -= min(count, <uint32_t>STEP)


cdef void open_gcm(job_t* jobs, uint32_t count) noexcept nogil:
    cdef uint32_t i
    cdef job_t* job
    cdef const gcm_t* context
    cdef gcm_context_data scratch
    cdef prepared_t prepared[STEP]
    while count:
        for i in range(min(count, <uint32_t>STEP)):
            prepare_gcm(&jobs[i], &prepared[i])
        for i in range(min(count, <uint32_t>STEP)):
            job = &jobs[i]
            context = <const gcm_t*>job.context
            context.function(
                &context.key, &scratch, job.text, job.text, job.length, prepared[i].nonce, prepared[i].aad,
                prepared[i].aad_length, prepared[i].tag, context.icv_length)
            job.ok = CRYPTO_memcmp(prepared[i].tag, job.icv, context.icv_length) == 0
        jobs += min(count, <uint32_t>STEP)
        count -= min(count, <uint32_t>STEP)


cdef provider_t provider
provider.open = open_state
provider.close = close_state
provider.create = create

VERSION = imb_get_version_str().decode()
TABLE = PyCapsule_New(&provider, "fastesp.engine.provider", NULL)
