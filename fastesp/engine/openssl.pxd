"""What the engine calls of OpenSSL's libcrypto. Declarations only."""

from libc.stdint cimport uint8_t

cdef extern from "openssl/crypto.h" nogil:
    void OPENSSL_cleanse(void* data, size_t length) noexcept
    int CRYPTO_memcmp(const void* a, const void* b, size_t length) noexcept
    const char* OpenSSL_version(int what) noexcept
    enum:
        OPENSSL_VERSION

cdef extern from "openssl/rand.h" nogil:
    int RAND_bytes(unsigned char* data, int length) noexcept

cdef extern from "openssl/core.h" nogil:
    struct ossl_param_st:
        pass
    ctypedef ossl_param_st OSSL_PARAM

cdef extern from "openssl/params.h" nogil:
    OSSL_PARAM OSSL_PARAM_construct_octet_string(const char* key, void* data, size_t size) noexcept
    OSSL_PARAM OSSL_PARAM_construct_utf8_string(const char* key, char* data, size_t size) noexcept
    OSSL_PARAM OSSL_PARAM_construct_end() noexcept

cdef extern from "openssl/evp.h" nogil:
    ctypedef struct EVP_CIPHER
    ctypedef struct EVP_CIPHER_CTX
    ctypedef struct EVP_MAC
    ctypedef struct EVP_MAC_CTX
    ctypedef struct OSSL_LIB_CTX

    EVP_CIPHER* EVP_CIPHER_fetch(OSSL_LIB_CTX* library, const char* name, const char* properties) noexcept
    EVP_CIPHER_CTX* EVP_CIPHER_CTX_new() noexcept
    void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX* context) noexcept
    int EVP_CIPHER_CTX_set_padding(EVP_CIPHER_CTX* context, int padding) noexcept
    int EVP_CIPHER_CTX_get_params(EVP_CIPHER_CTX* context, OSSL_PARAM* params) noexcept
    int EVP_CIPHER_CTX_set_params(EVP_CIPHER_CTX* context, const OSSL_PARAM* params) noexcept
    int EVP_CipherInit_ex2(
        EVP_CIPHER_CTX* context, const EVP_CIPHER* cipher, const unsigned char* key, const unsigned char* iv,
        int encrypting, const OSSL_PARAM* params) noexcept
    int EVP_CipherUpdate(
        EVP_CIPHER_CTX* context, unsigned char* out, int* written, const unsigned char* data, int length) noexcept
    int EVP_EncryptInit_ex2(
        EVP_CIPHER_CTX* context, const EVP_CIPHER* cipher, const unsigned char* key, const unsigned char* iv,
        const OSSL_PARAM* params) noexcept
    int EVP_DecryptInit_ex2(
        EVP_CIPHER_CTX* context, const EVP_CIPHER* cipher, const unsigned char* key, const unsigned char* iv,
        const OSSL_PARAM* params) noexcept
    int EVP_EncryptUpdate(
        EVP_CIPHER_CTX* context, unsigned char* out, int* written, const unsigned char* data, int length) noexcept
    int EVP_DecryptUpdate(
        EVP_CIPHER_CTX* context, unsigned char* out, int* written, const unsigned char* data, int length) noexcept
    int EVP_EncryptFinal_ex(EVP_CIPHER_CTX* context, unsigned char* out, int* written) noexcept
    int EVP_DecryptFinal_ex(EVP_CIPHER_CTX* context, unsigned char* out, int* written) noexcept

    EVP_MAC* EVP_MAC_fetch(OSSL_LIB_CTX* library, const char* name, const char* properties) noexcept
    EVP_MAC_CTX* EVP_MAC_CTX_new(EVP_MAC* mac) noexcept
    void EVP_MAC_CTX_free(EVP_MAC_CTX* context) noexcept
    int EVP_MAC_init(EVP_MAC_CTX* context, const unsigned char* key, size_t length, const OSSL_PARAM* params) noexcept
    int EVP_MAC_update(EVP_MAC_CTX* context, const unsigned char* data, size_t length) noexcept
    int EVP_MAC_final(EVP_MAC_CTX* context, unsigned char* out, size_t* written, size_t room) noexcept
