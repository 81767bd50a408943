/* OpenSSL's EVP on 4 MiB in memory, one line `cipher direction bytes-per-second` for each; CPU time.
 *
 * XTS in the flash's units of 128 bytes, the key set once: `xts-128` with the same IV for each unit,
 * as `openssl speed -bytes 128` does it, and `xts-128-iv` with the IV of each unit, without which the
 * result is of no use. The bytes are not reversed, which the chips and espseal do, so OpenSSL has
 * less to do. ECB in one call is the bound: nothing but AES.
 */
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LEN = 4 << 20, UNIT = 128, RUNS = 40 };

static unsigned char data[LEN];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void must(int ok)
{
    if (ok != 1)
        abort();
}

static void xts(EVP_CIPHER_CTX *ctx)
{
    int n;
    for (uint32_t at = 0; at < LEN; at += UNIT)
        must(EVP_CipherUpdate(ctx, data + at, &n, data + at, UNIT));
}

static void xts_iv(EVP_CIPHER_CTX *ctx)
{
    unsigned char iv[16] = {0};
    int n;
    for (uint32_t at = 0; at < LEN; at += UNIT) {
        uint32_t address = 0x10000 + at;
        memcpy(iv, &address, 4);
        must(EVP_CipherInit_ex(ctx, NULL, NULL, NULL, iv, -1));
        must(EVP_CipherUpdate(ctx, data + at, &n, data + at, UNIT));
    }
}

static void ecb(EVP_CIPHER_CTX *ctx)
{
    int n;
    must(EVP_CipherUpdate(ctx, data, &n, data, LEN));
}

static void measure(const char *name, const EVP_CIPHER *cipher, int encrypt, void (*work)(EVP_CIPHER_CTX *))
{
    unsigned char key[64], iv[16] = {0};
    double best = 1e9;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    for (int i = 0; i < 64; i++)
        key[i] = i * 7 + 1; /* XTS refuses equal halves */
    must(EVP_CipherInit_ex(ctx, cipher, NULL, key, iv, encrypt));
    /* Every new IV would set it again, which takes longer than the unit; XTS does not pad. */
    if (work == ecb)
        must(EVP_CIPHER_CTX_set_padding(ctx, 0));
    for (int run = 0; run < RUNS; run++) {
        double started = now(), took;
        work(ctx);
        took = now() - started;
        if (took < best)
            best = took;
    }
    EVP_CIPHER_CTX_free(ctx);
    printf("%s %s %.0f\n", name, encrypt ? "encrypt" : "decrypt", LEN / best);
}

int main(void)
{
    for (int encrypt = 1; encrypt >= 0; encrypt--) {
        measure("xts-128", EVP_aes_128_xts(), encrypt, xts);
        measure("xts-256", EVP_aes_256_xts(), encrypt, xts);
        measure("xts-128-iv", EVP_aes_128_xts(), encrypt, xts_iv);
        measure("xts-256-iv", EVP_aes_256_xts(), encrypt, xts_iv);
        measure("aes-256-ecb", EVP_aes_256_ecb(), encrypt, ecb);
    }
    return 0;
}
