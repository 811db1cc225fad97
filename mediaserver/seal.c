/* SRTP's encryption of outgoing RTP with AES-GCM: RFC 3711, RFC 7714.

   A server that sends each packet to hundreds spends more in what surrounds AES than in AES: finding the stream, moving a window,
   making a cipher ready, for each packet anew. Here keys are expanded once per sender, the stream is at hand, and the payload is
   read from where it was received and written encrypted to where it is sent from. Packets come out as libsrtp makes them. */
#include "seal.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 1024 /* REPLAY_WINDOW in transport.py: how far behind the highest a packet that was not sent yet may be sent */
#define INDEX_MAX ((int64_t)1 << 48)

struct sealer {
    gcm_key *key;
    uint8_t salt[GCM_IV_BYTES];
    seal_stream *streams;
};

struct seal_stream {
    uint32_t ssrc;
    int users;
    int64_t highest; /* -1 before the first */
    seal_stream *next;
    uint64_t used[WINDOW / 64]; /* by index modulo WINDOW; only while somebody uses the stream */
};

/* --- keys --- */

/* RFC 3711 section 4.3.3 with a master salt of 96 bits (RFC 7714 section 11), to which zeros are added. */
static void derive(const gcm_key *master, const uint8_t *salt, uint8_t label, uint8_t *out, int size)
{
    for (int at = 0; at < size; at += 16) {
        uint8_t block[16] = {[15] = (uint8_t)(at / 16)};
        memcpy(block, salt, GCM_IV_BYTES);
        block[7] ^= label;
        gcm_block(master, block);
        memcpy(out + at, block, (size_t)(size - at < 16 ? size - at : 16));
        explicit_bzero(block, sizeof block);
    }
}

sealer *seal_open(const uint8_t *key, int key_bytes, const uint8_t *salt, gcm_means means)
{
    uint8_t session[32];
    gcm_key *master = gcm_open(key, key_bytes, means);
    sealer *made = master == NULL ? NULL : calloc(1, sizeof *made);
    if (made != NULL) {
        derive(master, salt, 0x00, session, key_bytes);
        derive(master, salt, 0x02, made->salt, GCM_IV_BYTES);
        made->key = gcm_open(session, key_bytes, means);
        explicit_bzero(session, sizeof session);
    }
    gcm_close(master);
    if (made != NULL && made->key == NULL) {
        seal_close(made);
        made = NULL;
    }
    return made;
}

void seal_close(sealer *with)
{
    if (with == NULL)
        return;
    while (with->streams != NULL) {
        seal_stream *stream = with->streams;
        with->streams = stream->next;
        free(stream);
    }
    gcm_close(with->key);
    explicit_bzero(with, sizeof *with);
    free(with);
}

/* --- streams --- */

static seal_stream **place_of(sealer *with, uint32_t ssrc)
{
    seal_stream **at = &with->streams;
    while (*at != NULL && (*at)->ssrc != ssrc)
        at = &(*at)->next;
    return at;
}

seal_stream *seal_stream_open(sealer *with, uint32_t ssrc)
{
    seal_stream **at = place_of(with, ssrc);
    seal_stream *stream = *at;
    if (stream == NULL || stream->users == 0) {
        int is_new = stream == NULL;
        stream = realloc(stream, sizeof *stream);
        if (stream == NULL)
            return NULL;
        if (is_new)
            *stream = (seal_stream){.ssrc = ssrc, .highest = -1};
        else /* which ones were used is forgotten: it goes on behind the highest */
            memset(stream->used, 0xFF, sizeof stream->used);
        *at = stream;
    }
    stream->users++;
    return stream;
}

void seal_stream_close(sealer *with, seal_stream *stream)
{
    seal_stream **at = place_of(with, stream->ssrc);
    if (--stream->users == 0) {
        stream = realloc(stream, offsetof(seal_stream, used));
        *at = stream == NULL ? *at : stream;
    }
}

/* Under GCM a second packet of the same index would give the key away: each is used once (RFC 7714 section 8.1). */
static int claimed(seal_stream *stream, int64_t index)
{
    uint64_t bit = (uint64_t)1 << (index & 63);
    uint64_t *word = &stream->used[(index & (WINDOW - 1)) / 64];
    if (index < 0 || index >= INDEX_MAX || index <= stream->highest - WINDOW)
        return 0;
    if (index > stream->highest) {
        if (index - stream->highest >= WINDOW)
            memset(stream->used, 0, sizeof stream->used);
        else
            for (int64_t at = stream->highest + 1; at <= index; at++)
                stream->used[(at & (WINDOW - 1)) / 64] &= ~((uint64_t)1 << (at & 63));
        stream->highest = index;
    } else if (*word & bit) {
        return 0;
    }
    *word |= bit;
    return 1;
}

/* --- packets --- */

void seal_fetch(const sealer *with)
{
    gcm_fetch(with->key);
}

int seal_packet(sealer *with, seal_stream *stream, int64_t index, uint8_t *packet, int head, const uint8_t *payload, int size)
{
    uint8_t iv[GCM_IV_BYTES]; /* RFC 7714 section 8.1: two zeros, SSRC, rollover counter, sequence number; and the salt */
    if (!claimed(stream, index))
        return -1;
    memcpy(iv, with->salt, sizeof iv);
    for (int at = 0; at < 4; at++)
        iv[2 + at] ^= (uint8_t)(stream->ssrc >> (24 - 8 * at));
    for (int at = 0; at < 6; at++)
        iv[6 + at] ^= (uint8_t)(index >> (40 - 8 * at));
    gcm_seal(with->key, iv, packet, head, payload, size);
    return head + size + GCM_TAG_BYTES;
}
