/* What the kernel alone takes to send a call's packets: no reading, no rewriting, no encryption, only the sends.
 *
 *   floor receive ADDRESS PORT VIEWERS SECONDS
 *   floor send FROM TO PORT VIEWERS SECONDS PACKETS BYTES single|joined|connected|zerocopy|threads
 *
 * `send` sends 30 frames a second of PACKETS x BYTES to every viewer, each with bytes of its own, and prints the CPU time
 * of this process in nanoseconds (what the kernel does in softirq context on its time included), the packets, and the
 * longest and the mean time of one frame. single: a message for each packet; joined: UDP_SEGMENT, one message for
 * each viewer and frame; connected: joined, by a connected socket for each viewer; zerocopy: joined with MSG_ZEROCOPY;
 * threads: joined, from the same socket, half of the viewers by a second thread on a core of its own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif

enum { BATCH = 64, PACKET_MAX = 1600, FRAMES_A_SECOND = 30, VIEWERS_MAX = 4096, BUFFER = 4 << 20 };

static void check(int good, const char *what) {
    if (good) return;
    perror(what);
    exit(1);
}

static int64_t now_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void sleep_until(int64_t when_ns) {
    struct timespec when = {when_ns / 1000000000LL, when_ns % 1000000000LL};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR) {}
}

static struct sockaddr_in address_of(const char *text, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    check(inet_pton(AF_INET, text, &address.sin_addr) == 1, text);
    return address;
}

static int open_socket(struct sockaddr_in own) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = BUFFER, yes = 1;
    check(fd >= 0, "socket");
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
    check(bind(fd, (struct sockaddr *)&own, sizeof own) == 0, "bind");
    return fd;
}

/* Every 20 ms all that has come is taken, as bench/viewers.c does. Prints how many packets came. */
static int receive(const char *address, int port, int viewers, int seconds) {
    static uint8_t packet[BATCH][PACKET_MAX];
    static struct iovec vector[BATCH];
    static struct mmsghdr message[BATCH];
    static int fd[VIEWERS_MAX];
    for (int i = 0; i < viewers; i++) fd[i] = open_socket(address_of(address, port + i));
    for (int i = 0; i < BATCH; i++) {
        vector[i] = (struct iovec){packet[i], PACKET_MAX};
        message[i].msg_hdr = (struct msghdr){.msg_iov = &vector[i], .msg_iovlen = 1};
    }
    printf("ready\n");
    fflush(stdout);
    uint64_t received = 0;
    int64_t due = now_ns(CLOCK_MONOTONIC), end = due + (seconds + 1) * 1000000000LL;
    for (; due < end; due += 20000000) {
        sleep_until(due);
        for (int i = 0; i < viewers; i++)
            for (int got = BATCH; got == BATCH;) {
                got = recvmmsg(fd[i], message, BATCH, 0, NULL);
                if (got > 0) received += (uint64_t)got;
            }
    }
    printf("%llu\n", (unsigned long long)received);
    return 0;
}

/* What one thread sends: to the viewers from `first` to before `end`. */
struct part {
    struct sender *sender;
    int first, end;
    struct iovec vector[BATCH];
    struct mmsghdr message[BATCH];
    uint64_t sent, refused;
};

struct sender {
    int viewers, packets, bytes, joined, connected, flags, threads, ended;
    int fd[VIEWERS_MAX];
    struct sockaddr_in to[VIEWERS_MAX];
    uint8_t *bytes_of;
    struct part part[2];
    pthread_barrier_t begin, done;
};

static void flush(struct part *part, int fd, int count) {
    for (int done = 0; done < count;) {
        int sent = sendmmsg(fd, part->message + done, (unsigned)(count - done), part->sender->flags);
        if (sent > 0) { done += sent; continue; }
        part->refused += (uint64_t)(count - done);
        return;
    }
}

/* What the kernel says of pages that it has let go: taken, or they fill the socket's own memory. */
static void take_completions(int fd) {
    char control[256];
    for (;;) {
        struct msghdr message = {.msg_control = control, .msg_controllen = sizeof control};
        if (recvmsg(fd, &message, MSG_ERRQUEUE) < 0) return;
    }
}

static void send_part(struct part *part) {
    struct sender *s = part->sender;
    int per_message = s->joined ? s->packets : 1, count = 0, of_viewer = s->packets / per_message;
    for (int viewer = part->first; viewer < part->end; viewer++) {
        for (int i = 0; i < of_viewer; i++) {
            size_t length = (size_t)(per_message * s->bytes);
            part->vector[count] = (struct iovec){s->bytes_of + ((size_t)viewer * (size_t)of_viewer + (size_t)i) * length, length};
            part->message[count].msg_hdr = (struct msghdr){.msg_iov = &part->vector[count], .msg_iovlen = 1};
            if (!s->connected) {
                part->message[count].msg_hdr.msg_name = &s->to[viewer];
                part->message[count].msg_hdr.msg_namelen = sizeof s->to[viewer];
            }
            if (++count == BATCH || s->connected) { flush(part, s->fd[s->connected ? viewer : 0], count); count = 0; }
        }
        part->sent += (uint64_t)s->packets;
    }
    if (count) flush(part, s->fd[0], count);
    if (s->flags & MSG_ZEROCOPY) take_completions(s->fd[0]);
}

/* Left to itself the kernel wakes the second thread on the core of the first, which waits for it. */
static void stay_on(int core) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    check(pthread_setaffinity_np(pthread_self(), sizeof cores, &cores) == 0, "two cores are needed");
}

static void *second_thread(void *of) {
    struct sender *s = of;
    stay_on(1);
    for (;;) {
        pthread_barrier_wait(&s->begin);
        if (s->ended) return NULL;
        send_part(&s->part[1]);
        pthread_barrier_wait(&s->done);
    }
}

/* To everybody; returns when the last of it has been handed over. */
static void send_frame(struct sender *s) {
    if (s->threads > 1) pthread_barrier_wait(&s->begin);
    send_part(&s->part[0]);
    if (s->threads > 1) pthread_barrier_wait(&s->done);
}

static void open_sender(struct sender *s, const char *from, const char *to, int port) {
    int yes = 1;
    for (int i = 0; i < s->viewers; i++) {
        s->to[i] = address_of(to, port + i);
        if (i > 0 && !s->connected) continue;
        int fd = s->fd[i] = open_socket(address_of(from, 8444));
        if (s->connected) check(connect(fd, (struct sockaddr *)&s->to[i], sizeof s->to[i]) == 0, "connect");
        if (s->joined) check(setsockopt(fd, SOL_UDP, UDP_SEGMENT, &s->bytes, sizeof s->bytes) == 0, "UDP_SEGMENT");
        if (s->flags & MSG_ZEROCOPY) check(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &yes, sizeof yes) == 0, "SO_ZEROCOPY");
    }
    size_t size = (size_t)s->viewers * (size_t)s->packets * (size_t)s->bytes;
    s->bytes_of = malloc(size);
    check(s->bytes_of != NULL, "malloc");
    memset(s->bytes_of, 0x5A, size);
    int half = s->viewers / s->threads;
    s->part[0] = (struct part){.sender = s, .end = half};
    s->part[1] = (struct part){.sender = s, .first = half, .end = s->viewers};
}

static int64_t cpu_ns(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000LL + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000LL;
}

static int send_all(struct sender *s, int seconds) {
    pthread_t second;
    if (s->threads > 1) {
        stay_on(0);
        pthread_barrier_init(&s->begin, NULL, 2);
        pthread_barrier_init(&s->done, NULL, 2);
        check(pthread_create(&second, NULL, second_thread, s) == 0, "thread");
    }
    int64_t start = now_ns(CLOCK_MONOTONIC), cpu = cpu_ns(), longest = 0, total = 0;
    int frames = seconds * FRAMES_A_SECOND;
    for (int frame = 0; frame < frames; frame++) {
        sleep_until(start + frame * (1000000000LL / FRAMES_A_SECOND));
        int64_t began = now_ns(CLOCK_MONOTONIC);
        send_frame(s);
        int64_t took = now_ns(CLOCK_MONOTONIC) - began;
        total += took;
        if (took > longest) longest = took;
    }
    printf("{\"cpu_ns\": %lld, \"packets\": %llu, \"refused\": %llu, \"frame_ns_mean\": %lld, \"frame_ns_max\": %lld}\n",
           (long long)(cpu_ns() - cpu), (unsigned long long)(s->part[0].sent + s->part[1].sent),
           (unsigned long long)(s->part[0].refused + s->part[1].refused), (long long)(total / frames), (long long)longest);
    s->ended = 1;
    if (s->threads > 1) {
        pthread_barrier_wait(&s->begin);
        pthread_join(second, NULL);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 6 && !strcmp(argv[1], "receive")) return receive(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
    if (argc != 10 || strcmp(argv[1], "send")) return 2;
    static struct sender s;
    s.viewers = atoi(argv[5]);
    s.packets = atoi(argv[7]);
    s.bytes = atoi(argv[8]);
    s.connected = !strcmp(argv[9], "connected");
    s.flags = strcmp(argv[9], "zerocopy") ? 0 : MSG_ZEROCOPY;
    s.joined = strcmp(argv[9], "single") != 0;
    s.threads = strcmp(argv[9], "threads") ? 1 : 2;
    check(s.viewers <= VIEWERS_MAX && s.bytes <= PACKET_MAX, "too many");
    open_sender(&s, argv[2], argv[3], atoi(argv[4]));
    return send_all(&s, atoi(argv[6]));
}
