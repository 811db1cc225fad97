/* SRTP's encryption of outgoing RTP with AES-GCM (RFC 3711, RFC 7714). See seal.c. */
#ifndef TOLLROOM_SEAL_H
#define TOLLROOM_SEAL_H

#include "gcm.h"

typedef struct sealer sealer;           /* the keys of one sender */
typedef struct seal_stream seal_stream; /* one SSRC of it: which packet indices were used */

/* From SRTP's master key (16 or 32 bytes) and salt (12). NULL: it is not possible here, or there is no memory. */
sealer *seal_open(const uint8_t *key, int key_bytes, const uint8_t *salt, gcm_means means);
void seal_close(sealer *with);

/* The stream of an SSRC: the same one for all who send under it. When all have closed it, its highest index is kept as long as
   the keys are, so that none is used again. NULL: no memory. */
seal_stream *seal_stream_open(sealer *with, uint32_t ssrc);
void seal_stream_close(sealer *with, seal_stream *stream);

/* Let the processor bring the keys near: a packet will soon be encrypted. */
void seal_fetch(const sealer *with);

/* Encrypt one packet: `packet` holds its header of `head` bytes, `payload` may be anywhere (also where it is to be written,
   behind the header); GCM_TAG_BYTES follow it. `index` is the packet's number without wrapping (RFC 3711 section 3.3.1).
   The bytes of the packet; -1, and nothing is written, for an index that was used before, is too old or is too large. */
int seal_packet(sealer *with, seal_stream *stream, int64_t index, uint8_t *packet, int head, const uint8_t *payload, int size);

#endif
