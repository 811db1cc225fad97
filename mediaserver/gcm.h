/* AES-GCM by the processor's own instructions; sealing only. See gcm.c. */
#ifndef TOLLROOM_GCM_H
#define TOLLROOM_GCM_H

#include <stdint.h>

#define GCM_IV_BYTES 12
#define GCM_TAG_BYTES 16

/* What a machine can do; a later one includes those before it. */
typedef enum { GCM_NONE, GCM_AESNI, GCM_AVX512 } gcm_means;

typedef struct gcm_key gcm_key;

gcm_means gcm_best(void);

/* A key of 16 or 32 bytes. NULL: not possible here, or no memory. */
gcm_key *gcm_open(const uint8_t *key, int key_bytes, gcm_means means);
void gcm_close(gcm_key *with);

/* Let the processor bring the key near. */
void gcm_fetch(const gcm_key *with);

/* One block of AES, in place. */
void gcm_block(const gcm_key *with, uint8_t block[16]);

/* `packet` holds `head` bytes that are authenticated; `size` bytes from `payload` are written encrypted behind them, then
   GCM_TAG_BYTES. The payload may already be where it is to be written; else the two must not overlap. */
void gcm_seal(const gcm_key *with, const uint8_t *iv, uint8_t *packet, int head, const uint8_t *payload, int size);

#endif
