/* AES-GCM (NIST SP 800-38D) by the processor's own instructions; sealing only.

     narrow_gcm   with AES-NI and PCLMULQDQ, 8 blocks at a time
     wide_gcm     the same with VAES and AVX-512, 16 blocks at a time

   GHASH is computed on blocks with their bytes reversed and with a hash key multiplied by x beforehand, so that a product
   needs no shift (S. Gueron, M. Kounavis, "Intel Carry-Less Multiplication Instruction and its Usage for Computing the GCM
   Mode"). A run of n blocks is multiplied by H^n to H^1, and the sum is reduced once.

   Nothing takes longer for one key or text than for another of its size: no table is looked up, no branch taken by a secret. */
#include "gcm.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define RUN 16 /* blocks that are multiplied before one reduction, at most */
#define NARROW __attribute__((target("aes,pclmul,ssse3,sse4.1")))
#define WIDE __attribute__((target("aes,pclmul,ssse3,sse4.1,vaes,vpclmulqdq,avx512f,avx512bw,avx512vl")))

typedef struct {
    __m128i round[15];
    int rounds;
} aes_key;

struct gcm_key {
    aes_key aes;
    gcm_means means;
    __m128i powers[2 * RUN]; /* H^16 to H^1, then zeros, so that a short run may be read as a long one */
};

gcm_means gcm_best(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("aes") || !__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1"))
        return GCM_NONE;
    if (__builtin_cpu_supports("vaes") && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl"))
        return GCM_AVX512;
    return GCM_AESNI;
}

/* --- AES (FIPS 197) --- */

/* SubWord in the lowest word, RotWord of it in the next. */
static NARROW __m128i substituted(uint32_t word)
{
    return _mm_aeskeygenassist_si128(_mm_set1_epi32((int)word), 0);
}

static NARROW void expand(aes_key *key, const uint8_t *bytes, int count)
{
    uint32_t words[60], factor = 1;
    int own = count / 4;
    key->rounds = own + 6;
    memcpy(words, bytes, (size_t)count);
    for (int at = own; at < 4 * (key->rounds + 1); at++) {
        uint32_t word = words[at - 1];
        if (at % own == 0) {
            word = (uint32_t)_mm_extract_epi32(substituted(word), 1) ^ factor;
            factor = factor << 1 ^ (factor & 0x80 ? 0x11B : 0);
        } else if (own == 8 && at % own == 4) {
            word = (uint32_t)_mm_extract_epi32(substituted(word), 0);
        }
        words[at] = words[at - own] ^ word;
    }
    memcpy(key->round, words, 16 * (size_t)(key->rounds + 1));
    explicit_bzero(words, sizeof words);
}

static inline NARROW __m128i encrypted(const aes_key *key, __m128i block)
{
    block = _mm_xor_si128(block, key->round[0]);
    for (int round = 1; round < key->rounds; round++)
        block = _mm_aesenc_si128(block, key->round[round]);
    return _mm_aesenclast_si128(block, key->round[key->rounds]);
}

/* --- GHASH --- */

typedef struct {
    __m128i low, middle, high;
} product;

static inline NARROW __m128i reversed(__m128i block)
{
    return _mm_shuffle_epi8(block, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

static inline NARROW void multiply(product *sum, __m128i one, __m128i other)
{
    sum->low = _mm_xor_si128(sum->low, _mm_clmulepi64_si128(one, other, 0x00));
    sum->middle = _mm_xor_si128(sum->middle, _mm_clmulepi64_si128(one, other, 0x01));
    sum->middle = _mm_xor_si128(sum->middle, _mm_clmulepi64_si128(one, other, 0x10));
    sum->high = _mm_xor_si128(sum->high, _mm_clmulepi64_si128(one, other, 0x11));
}

/* Modulo x^128 + x^7 + x^2 + x + 1, 64 bits at a time from below. */
static inline NARROW __m128i reduced(product sum)
{
    const __m128i polynomial = _mm_set_epi64x(0, (long long)0xC200000000000000);
    __m128i folded = _mm_xor_si128(_mm_shuffle_epi32(sum.low, 0x4E), _mm_clmulepi64_si128(polynomial, sum.low, 0x00));
    sum.middle = _mm_xor_si128(sum.middle, folded);
    folded = _mm_xor_si128(_mm_shuffle_epi32(sum.middle, 0x4E), _mm_clmulepi64_si128(polynomial, sum.middle, 0x00));
    return _mm_xor_si128(sum.high, folded);
}

static NARROW void set_hash_key(gcm_key *with)
{
    __m128i key = reversed(encrypted(&with->aes, _mm_setzero_si128()));
    uint64_t low = (uint64_t)_mm_extract_epi64(key, 0), high = (uint64_t)_mm_extract_epi64(key, 1);
    uint64_t carried = 0 - (high >> 63);
    key = _mm_set_epi64x((long long)((high << 1 | low >> 63) ^ (carried & 0xC200000000000000)),
                         (long long)(low << 1 ^ (carried & 1)));
    __m128i power = with->powers[RUN - 1] = key;
    for (int at = RUN - 2; at >= 0; at--) {
        product sum = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
        multiply(&sum, power, key);
        with->powers[at] = power = reduced(sum);
    }
}

/* The block of the two lengths ends the hash; encrypted under the first counter, that is the tag. */
static inline NARROW __m128i tag(const gcm_key *with, __m128i state, int head, int size, __m128i first_counter)
{
    product sum = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    multiply(&sum, _mm_xor_si128(state, _mm_set_epi64x(8LL * head, 8LL * size)), with->powers[RUN - 1]);
    return _mm_xor_si128(reversed(reduced(sum)), encrypted(&with->aes, first_counter));
}

/* --- with AES-NI: 8 blocks at a time --- */

#define NARROW_BYTES 128

/* At most NARROW_BYTES more; they are padded with zeros to whole blocks. */
static inline NARROW __m128i narrow_hash(const gcm_key *with, __m128i state, const uint8_t *data, int size)
{
    uint8_t padded[NARROW_BYTES];
    int blocks = (size + 15) / 16;
    product sum = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    if (size % 16) {
        memset(padded + 16 * (blocks - 1), 0, 16);
        data = memcpy(padded, data, (size_t)size);
    }
    for (int at = 0; at < blocks; at++) {
        __m128i block = reversed(_mm_loadu_si128((const __m128i *)data + at));
        multiply(&sum, at ? block : _mm_xor_si128(block, state), with->powers[RUN - blocks + at]);
    }
    return reduced(sum);
}

static NARROW void narrow_gcm(const gcm_key *with, __m128i iv, uint8_t *packet, int head, const uint8_t *payload, int size)
{
    const aes_key *key = &with->aes;
    const __m128i one = _mm_set_epi32(0, 0, 0, 1);
    __m128i counter = reversed(iv), state = _mm_setzero_si128(), blocks[8];
    uint8_t *out = packet + head, padded[NARROW_BYTES];
    for (int at = 0; at < head; at += NARROW_BYTES)
        state = narrow_hash(with, state, packet + at, head - at < NARROW_BYTES ? head - at : NARROW_BYTES);
    for (int at = 0; at < size; at += NARROW_BYTES) {
        int part = size - at < NARROW_BYTES ? size - at : NARROW_BYTES;
        const uint8_t *in = payload + at;
        uint8_t *to = out + at;
        if (part < NARROW_BYTES) {
            memset(padded, 0, sizeof padded);
            in = to = memcpy(padded, in, (size_t)part);
        }
        for (int n = 0; n < 8; n++) {
            counter = _mm_add_epi32(counter, one);
            blocks[n] = _mm_xor_si128(reversed(counter), key->round[0]);
        }
        for (int round = 1; round < key->rounds; round++)
            for (int n = 0; n < 8; n++)
                blocks[n] = _mm_aesenc_si128(blocks[n], key->round[round]);
        for (int n = 0; n < 8; n++) {
            blocks[n] = _mm_aesenclast_si128(blocks[n], key->round[key->rounds]);
            blocks[n] = _mm_xor_si128(blocks[n], _mm_loadu_si128((const __m128i *)in + n));
            _mm_storeu_si128((__m128i *)to + n, blocks[n]);
        }
        if (part < NARROW_BYTES)
            memcpy(out + at, padded, (size_t)part);
        state = narrow_hash(with, state, out + at, part);
    }
    _mm_storeu_si128((__m128i *)(out + size), tag(with, state, head, size, iv));
}

/* --- with AVX-512: 16 blocks at a time, in four registers; what is beyond the end is masked --- */

#define WIDE_BYTES 256
#define WIDE_MASK(left) ((left) >= 64 ? ~0ULL : (left) > 0 ? ~0ULL >> (64 - (left)) : 0)

typedef struct {
    __m512i low, middle, high;
} wide_product;

static inline WIDE __m512i wide_reversed(__m512i blocks)
{
    return _mm512_shuffle_epi8(
        blocks, _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
}

static inline WIDE void wide_multiply(wide_product *sum, __m512i some, __m512i others)
{
    const int all = 0x96; /* a ^ b ^ c */
    sum->low = _mm512_xor_si512(sum->low, _mm512_clmulepi64_epi128(some, others, 0x00));
    sum->middle = _mm512_ternarylogic_epi32(sum->middle, _mm512_clmulepi64_epi128(some, others, 0x01),
                                            _mm512_clmulepi64_epi128(some, others, 0x10), all);
    sum->high = _mm512_xor_si512(sum->high, _mm512_clmulepi64_epi128(some, others, 0x11));
}

static inline WIDE __m128i folded(__m512i four)
{
    __m256i two = _mm256_xor_si256(_mm512_castsi512_si256(four), _mm512_extracti64x4_epi64(four, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
}

/* At most WIDE_BYTES more, which are in `data`, zeros behind the end. */
static inline WIDE __m128i wide_hash(const gcm_key *with, __m128i state, const __m512i data[4], int size)
{
    const __m128i *powers = with->powers + RUN - (size + 15) / 16;
    wide_product sum = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    for (int n = 0; n < 4; n++) {
        __m512i blocks = wide_reversed(data[n]);
        if (n == 0)
            blocks = _mm512_xor_si512(blocks, _mm512_zextsi128_si512(state));
        wide_multiply(&sum, blocks, _mm512_loadu_si512(powers + 4 * n));
    }
    return reduced((product){folded(sum.low), folded(sum.middle), folded(sum.high)});
}

static WIDE void wide_gcm(const gcm_key *with, __m128i iv, uint8_t *packet, int head, const uint8_t *payload, int size)
{
    const aes_key *key = &with->aes;
    const __m512i four = _mm512_broadcast_i32x4(_mm_set_epi32(0, 0, 0, 4));
    __m512i counters = _mm512_broadcast_i32x4(reversed(iv)), blocks[4];
    __m128i state = _mm_setzero_si128();
    uint8_t *out = packet + head;
    counters = _mm512_add_epi32(counters, _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1));
    for (int at = 0; at < head; at += WIDE_BYTES) {
        for (int n = 0; n < 4; n++)
            blocks[n] = _mm512_maskz_loadu_epi8(WIDE_MASK(head - at - 64 * n), packet + at + 64 * n);
        state = wide_hash(with, state, blocks, head - at < WIDE_BYTES ? head - at : WIDE_BYTES);
    }
    for (int at = 0; at < size; at += WIDE_BYTES) {
        for (int n = 0; n < 4; n++) {
            blocks[n] = _mm512_xor_si512(wide_reversed(counters), _mm512_broadcast_i32x4(key->round[0]));
            counters = _mm512_add_epi32(counters, four);
        }
        for (int round = 1; round < key->rounds; round++)
            for (int n = 0; n < 4; n++)
                blocks[n] = _mm512_aesenc_epi128(blocks[n], _mm512_broadcast_i32x4(key->round[round]));
        for (int n = 0; n < 4; n++) {
            __mmask64 mask = WIDE_MASK(size - at - 64 * n);
            blocks[n] = _mm512_aesenclast_epi128(blocks[n], _mm512_broadcast_i32x4(key->round[key->rounds]));
            blocks[n] = _mm512_maskz_mov_epi8(
                mask, _mm512_xor_si512(blocks[n], _mm512_maskz_loadu_epi8(mask, payload + at + 64 * n)));
            _mm512_mask_storeu_epi8(out + at + 64 * n, mask, blocks[n]);
        }
        state = wide_hash(with, state, blocks, size - at < WIDE_BYTES ? size - at : WIDE_BYTES);
    }
    _mm_storeu_si128((__m128i *)(out + size), tag(with, state, head, size, iv));
}

/* --- what others call --- */

gcm_key *gcm_open(const uint8_t *key, int key_bytes, gcm_means means)
{
    const size_t bytes = (sizeof(gcm_key) + 63) / 64 * 64;
    gcm_key *made = NULL;
    if (means != GCM_NONE && means <= gcm_best() && (key_bytes == 16 || key_bytes == 32))
        made = aligned_alloc(64, bytes);
    if (made == NULL)
        return NULL;
    memset(made, 0, bytes);
    made->means = means;
    expand(&made->aes, key, key_bytes);
    set_hash_key(made);
    return made;
}

void gcm_close(gcm_key *with)
{
    if (with != NULL)
        explicit_bzero(with, sizeof *with);
    free(with);
}

void gcm_fetch(const gcm_key *with)
{
    for (size_t at = 0; at < sizeof *with; at += 64)
        __builtin_prefetch((const char *)with + at);
}

NARROW void gcm_block(const gcm_key *with, uint8_t block[16])
{
    _mm_storeu_si128((__m128i *)block, encrypted(&with->aes, _mm_loadu_si128((const __m128i *)block)));
}

void gcm_seal(const gcm_key *with, const uint8_t *iv, uint8_t *packet, int head, const uint8_t *payload, int size)
{
    uint8_t block[16] = {[15] = 1}; /* the first counter (section 7.1) */
    __m128i first;
    memcpy(block, iv, GCM_IV_BYTES);
    memcpy(&first, block, sizeof first);
    (with->means == GCM_AVX512 ? wide_gcm : narrow_gcm)(with, first, packet, head, payload, size);
}

#else /* another machine, another compiler: nobody gets a key */

gcm_means gcm_best(void)
{
    return GCM_NONE;
}

gcm_key *gcm_open(const uint8_t *key, int key_bytes, gcm_means means)
{
    (void)key, (void)key_bytes, (void)means;
    return NULL;
}

void gcm_close(gcm_key *with)
{
    (void)with;
}

void gcm_fetch(const gcm_key *with)
{
    (void)with;
}

void gcm_block(const gcm_key *with, uint8_t block[16])
{
    (void)with, (void)block;
}

void gcm_seal(const gcm_key *with, const uint8_t *iv, uint8_t *packet, int head, const uint8_t *payload, int size)
{
    (void)with, (void)iv, (void)packet, (void)head, (void)payload, (void)size;
}

#endif
