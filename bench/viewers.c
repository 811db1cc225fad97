/* The receiving half of many load viewers: counts RTP, samples it, and sends the feedback that a browser would.
 *
 * Python opens each connection (ICE, DTLS) and then hands the socket over; here packets are only counted, so that
 * hundreds of viewers fit on the core beside the server under test. Nobody waits for a packet: every TURN the caller has all
 * sockets read in one sweep, which takes several packets with each call, and arrival is the kernel's receive time. What is
 * not RTP, and one RTP packet in `sample_every`, goes back to Python. Only the clear part of SRTP is read (RFC 3711: the
 * header and its extensions are not encrypted). Feedback is encrypted by libsrtp's function, whose address Python hands over.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, PACKET = 1600, CONTROL = 64, STREAMS = 12, BATCHES_MAX = 8 };
enum { WINDOW = 1024, FEEDBACK = 512, NACKS = 16, NACK_ONE_IN = 200 };
static const int64_t FEEDBACK_NS = 100000000, REPORT_NS = 1000000000;
/* The round trip that reports make the server believe in: that of a near broadband line. Without one it would find none on a
 * veth, and Janus keeps no packet for retransmission until it has measured a millisecond. */
static const int64_t ROUND_TRIP_NS = 20000000;
enum { NOTHING, AUDIO, VIDEO, RETRANSMISSION };

struct stream {
    uint32_t ssrc;
    int64_t first, highest; /* sequence numbers that count on past 65535 */
    uint64_t received, repeated;
    uint32_t sender_report; /* the middle of its NTP time; 0: none yet */
    int64_t sender_report_ns;
    uint64_t seen[WINDOW / 64]; /* bit n % WINDOW: number n has come */
};

struct viewer {
    int fd, live, transport_seq_id;
    uint8_t kinds[128]; /* payload type to kind */
    uint32_t ssrc, random, video_ssrc;
    void *session; /* of libsrtp, the viewer's own direction */
    int64_t feedback_due_ns, report_due_ns;
    uint64_t feedback_sent;
    int streams;
    struct stream stream[STREAMS];
    uint64_t retransmitted;
    int64_t first_ns, last_ns;
    uint8_t feedback_count;
    int arrivals; /* of the current feedback interval, in arrival order */
    uint16_t arrival_seq[FEEDBACK];
    int64_t arrival_ns[FEEDBACK];
    int nacks;
    uint16_t nack[NACKS];
};

/* srtp_protect_rtcp: encrypts in place, 0 when it did. */
typedef int (*protect_rtcp)(void *session, void *packet, int *length);

struct sink {
    int count, capacity;
    uint32_t sample_every;
    protect_rtcp protect_rtcp;
    struct viewer **viewer;
    int64_t realtime_offset_ns;
    struct mmsghdr message[BATCH];
    struct iovec vector[BATCH];
    uint8_t packet[BATCH][PACKET];
    uint8_t control[BATCH][CONTROL];
};

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static uint8_t *put16(uint8_t *p, uint32_t value) { p[0] = value >> 8; p[1] = value; return p + 2; }
static uint8_t *put32(uint8_t *p, uint32_t value) { return put16(put16(p, value >> 16), value & 0xFFFF); }

static int64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

struct sink *sink_create(void *protect) {
    struct sink *sink = calloc(1, sizeof *sink);
    if (!sink) return NULL;
    sink->protect_rtcp = (protect_rtcp)protect;
    sink->sample_every = 64;
    for (int i = 0; i < BATCH; i++) {
        sink->vector[i] = (struct iovec){sink->packet[i], PACKET};
        sink->message[i].msg_hdr = (struct msghdr){.msg_iov = &sink->vector[i], .msg_iovlen = 1};
    }
    return sink;
}

void sink_sample(struct sink *sink, int every) { sink->sample_every = (uint32_t)every; }

void sink_destroy(struct sink *sink) {
    for (int i = 0; i < sink->count; i++) free(sink->viewer[i]);
    free(sink->viewer);
    free(sink);
}

/* A place that nobody has any more, else a new one; -1 without memory. */
static int place(struct sink *sink) {
    for (int i = 0; i < sink->count; i++)
        if (!sink->viewer[i]->live) return i;
    if (sink->count == sink->capacity) {
        int capacity = sink->capacity ? 2 * sink->capacity : 64;
        void *grown = realloc(sink->viewer, capacity * sizeof *sink->viewer);
        if (!grown) return -1;
        sink->viewer = grown;
        sink->capacity = capacity;
    }
    sink->viewer[sink->count] = calloc(1, sizeof **sink->viewer);
    return sink->viewer[sink->count] ? sink->count++ : -1;
}

/* The viewer's index; -1 when there is no memory or the socket will not do. Socket and session stay the caller's. */
int sink_add(struct sink *sink, int fd, void *session, int transport_seq_id, const uint8_t *kinds, uint32_t random) {
    int on = 1, index = place(sink);
    if (index < 0 || setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on)) return -1;
    struct viewer *viewer = sink->viewer[index];
    memset(viewer, 0, sizeof *viewer);
    viewer->fd = fd;
    viewer->session = session;
    viewer->live = 1;
    viewer->transport_seq_id = transport_seq_id;
    viewer->random = random | 1;
    viewer->ssrc = random >> 1 | 1;
    /* Each at a moment of its own, as viewers who came one by one. */
    viewer->feedback_due_ns = nanoseconds(CLOCK_MONOTONIC) + random % FEEDBACK_NS;
    viewer->report_due_ns = nanoseconds(CLOCK_MONOTONIC) + random % REPORT_NS;
    memcpy(viewer->kinds, kinds, 128);
    return index;
}

/* Before the socket is closed and the session goes. */
void sink_remove(struct sink *sink, int index) { sink->viewer[index]->live = 0; }

static struct stream *find_stream(struct viewer *viewer, uint32_t ssrc) {
    for (int i = 0; i < viewer->streams; i++)
        if (viewer->stream[i].ssrc == ssrc) return &viewer->stream[i];
    if (viewer->streams == STREAMS) return NULL;
    struct stream *stream = &viewer->stream[viewer->streams++];
    memset(stream, 0, sizeof *stream);
    stream->ssrc = ssrc;
    stream->first = stream->highest = -1;
    return stream;
}

static void forget(struct stream *stream, int64_t number) {
    stream->seen[number % WINDOW / 64] &= ~(1ULL << number % 64);
}

/* Count one packet; 0 when it came before (a retransmission under the stream's own SSRC). */
static int count_packet(struct stream *stream, uint16_t seq) {
    if (stream->highest < 0) stream->first = stream->highest = 65536 + seq;
    int64_t number = stream->highest + (int16_t)(seq - (uint16_t)stream->highest);
    if (number > stream->highest) {
        int64_t from = number - stream->highest > WINDOW ? number - WINDOW : stream->highest;
        for (int64_t n = from + 1; n <= number; n++) forget(stream, n);
        stream->highest = number;
    } else if (number < stream->first || stream->highest - number >= WINDOW) {
        return 0;
    }
    uint64_t bit = 1ULL << number % 64, *word = &stream->seen[number % WINDOW / 64];
    if (*word & bit) { stream->repeated++; return 0; }
    *word |= bit;
    stream->received++;
    return 1;
}

/* RFC 8285 one-byte header: the value of the transport-wide sequence number, -1 when there is none. */
static int transport_seq(const uint8_t *p, int size, int id) {
    int at = 12 + 4 * (p[0] & 15);
    if (!(p[0] & 16) || at + 4 > size || get16(p + at) != 0xBEDE) return -1;
    int end = at + 4 + 4 * get16(p + at + 2);
    if (end > size) return -1;
    for (at += 4; at < end;) {
        if (!p[at]) { at++; continue; }
        int length = (p[at] & 15) + 1;
        if (p[at] >> 4 == id && length == 2 && at + 2 < end) return get16(p + at + 1);
        at += 1 + length;
    }
    return -1;
}

static uint32_t next_random(struct viewer *viewer) { /* xorshift32 */
    uint32_t x = viewer->random;
    x ^= x << 13, x ^= x >> 17, x ^= x << 5;
    return viewer->random = x;
}

static void note_video(struct viewer *viewer, uint32_t ssrc, uint16_t seq) {
    viewer->video_ssrc = viewer->video_ssrc ? viewer->video_ssrc : ssrc;
    /* A packet that did come is asked for again: the server's work is the same, and nothing has to be lost. */
    if (ssrc == viewer->video_ssrc && viewer->nacks < NACKS && next_random(viewer) % NACK_ONE_IN == 0)
        viewer->nack[viewer->nacks++] = seq;
}

/* 1: Python wants to see this one. */
static int take_rtp(struct sink *sink, struct viewer *viewer, const uint8_t *p, int size, int64_t now_ns) {
    int kind = viewer->kinds[p[1] & 127];
    if (viewer->transport_seq_id && viewer->arrivals < FEEDBACK) {
        int seq = transport_seq(p, size, viewer->transport_seq_id);
        if (seq >= 0) {
            viewer->arrival_seq[viewer->arrivals] = (uint16_t)seq;
            viewer->arrival_ns[viewer->arrivals++] = now_ns;
        }
    }
    viewer->last_ns = now_ns;
    if (!viewer->first_ns) viewer->first_ns = now_ns;
    if (kind == RETRANSMISSION) { viewer->retransmitted++; return 0; }
    if (kind == NOTHING) return 0;
    struct stream *stream = find_stream(viewer, get32(p + 8));
    if (!stream || !count_packet(stream, get16(p + 2))) return 0;
    if (kind == VIDEO) note_video(viewer, stream->ssrc, get16(p + 2));
    /* Drawn, not counted off: every nth packet might be the same one of each frame. */
    return next_random(viewer) % sink->sample_every == 0;
}

static int64_t arrival(struct sink *sink, struct msghdr *header) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(c), sizeof at);
            return at.tv_sec * 1000000000LL + at.tv_nsec - sink->realtime_offset_ns;
        }
    return nanoseconds(CLOCK_MONOTONIC);
}

static int is_rtp(const uint8_t *p, int size) {
    return size >= 12 && p[0] > 127 && p[0] < 192 && !(p[1] > 191 && p[1] < 224);
}

/* One call's worth of packets; `used` grows by the records written. The number of packets read. */
static int drain_batch(struct sink *sink, int index, uint8_t *out, int room, int *used) {
    struct viewer *viewer = sink->viewer[index];
    for (int i = 0; i < BATCH; i++) {
        sink->message[i].msg_hdr.msg_control = sink->control[i];
        sink->message[i].msg_hdr.msg_controllen = CONTROL;
    }
    int got = recvmmsg(viewer->fd, sink->message, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < got; i++) {
        int size = (int)sink->message[i].msg_len;
        int64_t now_ns = arrival(sink, &sink->message[i].msg_hdr);
        if (is_rtp(sink->packet[i], size) && !take_rtp(sink, viewer, sink->packet[i], size, now_ns)) continue;
        if (*used + 16 + size > room) continue;
        int32_t head[2] = {index, size};
        memcpy(out + *used, head, 8);
        memcpy(out + *used + 8, &now_ns, 8);
        memcpy(out + *used + 16, sink->packet[i], size);
        *used += 16 + size;
    }
    return got;
}

/* Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01) of what came since the last call; 0 when
 * nothing did. Numbers between the lowest and the highest are told as received with a two-byte delta, or as lost. `out`: 1500 bytes. */
int sink_feedback(struct sink *sink, int index, uint8_t *out) {
    struct viewer *viewer = sink->viewer[index];
    if (!viewer->arrivals) return 0;
    uint16_t base = viewer->arrival_seq[0];
    for (int i = 1; i < viewer->arrivals; i++)
        if ((int16_t)(viewer->arrival_seq[i] - base) < 0) base = viewer->arrival_seq[i];
    int64_t at[FEEDBACK] = {0};
    int status = 0;
    for (int i = 0; i < viewer->arrivals; i++) {
        int n = (uint16_t)(viewer->arrival_seq[i] - base);
        if (n >= FEEDBACK) continue;
        at[n] = viewer->arrival_ns[i];
        if (n >= status) status = n + 1;
    }
    viewer->arrivals = 0;
    int64_t reference = 0;
    for (int n = 0; !reference; n++) reference = at[n] / 64000000;
    uint8_t *p = put32(put32(out + 4, viewer->ssrc), viewer->video_ssrc);
    p = put16(put16(p, base), status);
    p = put32(p, (uint32_t)(reference & 0xFFFFFF) << 8 | viewer->feedback_count++);
    for (int n = 0; n < status; n += 7) { /* vectors of seven two-bit symbols, all of them 2 (large delta) or 0 */
        uint32_t chunk = 0xC000;
        for (int i = 0; i < 7; i++)
            if (n + i < status && at[n + i]) chunk |= 2u << (12 - 2 * i);
        p = put16(p, chunk);
    }
    int64_t ticks = reference * 256; /* of 250 microseconds */
    for (int n = 0; n < status; n++) {
        if (!at[n]) continue;
        int64_t now = at[n] / 250000;
        p = put16(p, (uint32_t)((now - ticks) & 0xFFFF));
        ticks = now;
    }
    int pad = (int)(-(p - out) & 3);
    for (int i = 0; i < pad; i++) *p++ = i == pad - 1 ? (uint8_t)pad : 0;
    out[0] = 0x80 | (pad ? 0x20 : 0) | 15;
    out[1] = 205;
    put16(out + 2, (uint32_t)((p - out) / 4 - 1));
    return (int)(p - out);
}

/* A sender report came (RFC 3550 section 6.4.1); `middle`: of its NTP time. Its streams' reports tell the server the round trip. */
void sink_heard(struct sink *sink, int index, uint32_t ssrc, uint32_t middle, int64_t arrival_ns) {
    struct stream *stream = find_stream(sink->viewer[index], ssrc);
    if (!stream) return;
    stream->sender_report = middle;
    stream->sender_report_ns = arrival_ns;
}

/* Since the last sender report, less the round trip, in units of 1/65536 s. */
static uint32_t report_delay(const struct stream *stream) {
    int64_t ns = nanoseconds(CLOCK_MONOTONIC) - stream->sender_report_ns - ROUND_TRIP_NS;
    return stream->sender_report && ns > 0 ? (uint32_t)(ns * 65536 / 1000000000) : 0;
}

/* A receiver report (RFC 3550 section 6.4.2) on one stream, without loss. A browser reports on each stream by itself. */
static uint8_t *write_report(uint8_t *out, uint32_t ssrc, const struct stream *stream) {
    uint8_t *p = put32(put32(out + 4, ssrc), stream->ssrc);
    p = put32(put32(p, 0), (uint32_t)(stream->highest - 65536));
    p = put32(put32(put32(p, 0), stream->sender_report), report_delay(stream));
    out[0] = 0x81;
    out[1] = 201;
    put16(out + 2, 7);
    return p;
}

/* A receiver report and a generic NACK (RFC 4585 section 6.2.1) for what was drawn since the last call; 0 when nothing was.
 * Together, because not every server offers reduced-size RTCP. */
int sink_nack(struct sink *sink, int index, uint8_t *out) {
    struct viewer *viewer = sink->viewer[index];
    struct stream *stream = viewer->nacks ? find_stream(viewer, viewer->video_ssrc) : NULL;
    if (!stream || stream->highest < 0) return 0;
    uint8_t *nack = write_report(out, viewer->ssrc, stream);
    uint8_t *p = put32(put32(nack + 4, viewer->ssrc), viewer->video_ssrc);
    for (int i = 0; i < viewer->nacks; i++) p = put16(put16(p, viewer->nack[i]), 0);
    viewer->nacks = 0;
    nack[0] = 0x81;
    nack[1] = 205;
    put16(nack + 2, (uint32_t)((p - nack) / 4 - 1));
    return (int)(p - out);
}

/* A receiver report on the nth stream; 0 when there is none. */
int sink_report(struct sink *sink, int index, int n, uint8_t *out) {
    struct viewer *viewer = sink->viewer[index];
    if (n >= viewer->streams || viewer->stream[n].highest < 0) return 0;
    return (int)(write_report(out, viewer->ssrc, &viewer->stream[n]) - out);
}

static void send_rtcp(struct sink *sink, struct viewer *viewer, uint8_t *packet, int length) {
    if (!length || sink->protect_rtcp(viewer->session, packet, &length)) return;
    viewer->feedback_sent++;
    send(viewer->fd, packet, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL); /* may be lost, as any datagram */
}

/* What a browser would send by now: reports on each stream every second, transport-wide feedback every 100 ms, NACKs at once. */
static void send_due(struct sink *sink, int index, int64_t now_ns) {
    struct viewer *viewer = sink->viewer[index];
    uint8_t packet[PACKET];
    if (now_ns >= viewer->report_due_ns) {
        viewer->report_due_ns += REPORT_NS * (1 + (now_ns - viewer->report_due_ns) / REPORT_NS);
        for (int n = 0; n < viewer->streams; n++) send_rtcp(sink, viewer, packet, sink_report(sink, index, n, packet));
    }
    if (now_ns >= viewer->feedback_due_ns) {
        viewer->feedback_due_ns += FEEDBACK_NS * (1 + (now_ns - viewer->feedback_due_ns) / FEEDBACK_NS);
        send_rtcp(sink, viewer, packet, sink_feedback(sink, index, packet));
    }
    if (viewer->nacks) send_rtcp(sink, viewer, packet, sink_nack(sink, index, packet));
}

/* One turn over all sockets, and the feedback that is due. Writes records {int32 index, int32 size, int64 arrival_ns
 * (CLOCK_MONOTONIC), bytes} and returns their length; what does not fit in `room` is dropped. */
int sink_turn(struct sink *sink, uint8_t *out, int room) {
    int used = 0;
    int64_t now_ns = nanoseconds(CLOCK_MONOTONIC);
    sink->realtime_offset_ns = nanoseconds(CLOCK_REALTIME) - now_ns;
    for (int index = 0; index < sink->count; index++) {
        if (!sink->viewer[index]->live) continue;
        for (int n = 0; n < BATCHES_MAX && drain_batch(sink, index, out, room, &used) == BATCH; n++);
        if (sink->protect_rtcp) send_due(sink, index, now_ns);
    }
    return used;
}

/* Begin a new window. A stream's next number is expected from now on, so what is lost at the seam is seen. */
void sink_reset(struct sink *sink) {
    for (int i = 0; i < sink->count; i++) {
        struct viewer *viewer = sink->viewer[i];
        viewer->retransmitted = viewer->feedback_sent = 0;
        for (int s = 0; s < viewer->streams; s++) {
            struct stream *stream = &viewer->stream[s];
            if (stream->highest >= 0) stream->first = stream->highest + 1;
            stream->received = stream->repeated = 0;
        }
    }
}

/* Of all live viewers since the reset: received, expected, repeated, retransmitted, streams, feedback sent. */
void sink_counts(struct sink *sink, uint64_t *out) {
    memset(out, 0, 6 * sizeof *out);
    for (int i = 0; i < sink->count; i++) {
        struct viewer *viewer = sink->viewer[i];
        if (!viewer->live) continue;
        out[3] += viewer->retransmitted;
        out[5] += viewer->feedback_sent;
        for (int s = 0; s < viewer->streams; s++) {
            if (!viewer->stream[s].received) continue;
            out[4]++;
            out[0] += viewer->stream[s].received;
            out[1] += (uint64_t)(viewer->stream[s].highest - viewer->stream[s].first + 1);
            out[2] += viewer->stream[s].repeated;
        }
    }
}

/* When the viewer's first and last RTP packets came (CLOCK_MONOTONIC, ns; 0: none yet). */
void sink_times(struct sink *sink, int index, int64_t *out) {
    out[0] = sink->viewer[index]->first_ns;
    out[1] = sink->viewer[index]->last_ns;
}
