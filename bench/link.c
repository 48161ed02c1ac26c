/* A slow, lossy wire between two network namespaces: two tun devices, a queue each way.
 * link NAMESPACE DELAY_US RATE_BITS LOSS_PPM QUEUE_BYTES     (DELAY is one way; the near end is ours) */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 65536
#define FRAME 2048

struct packet { long long due; int size; unsigned char data[FRAME]; };
struct way { int from, to; long long free_at; unsigned head, tail; struct packet *ring; };

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int device(const char *name) {
    struct ifreq request;
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    memset(&request, 0, sizeof request);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) { perror(name); exit(1); }
    return fd;
}

static void take(struct way *w, long long delay, double rate, unsigned loss, long long queue) {
    unsigned char data[FRAME];
    for (int i = 0; i < 64; i++) {
        int size = read(w->from, data, sizeof data);
        if (size <= 0) return;
        long long at = now();
        if (loss && random() % 1000000 < loss) continue;
        if (w->free_at < at) w->free_at = at;
        if ((w->free_at - at) * rate / 8e9 > queue || w->head - w->tail >= SLOTS) continue; /* tail drop */
        w->free_at += (long long)(size * 8e9 / rate);
        struct packet *p = &w->ring[w->head++ % SLOTS];
        p->due = w->free_at + delay;
        p->size = size;
        memcpy(p->data, data, size);
    }
}

static long long give(struct way *w) {
    while (w->tail != w->head) {
        struct packet *p = &w->ring[w->tail % SLOTS];
        long long left = p->due - now();
        if (left > 0) return left;
        if (write(w->to, p->data, p->size) < 0) { /* the far end is gone or full: lost */ }
        w->tail++;
    }
    return 100000000;
}

int main(int count, char **word) {
    if (count != 6) return 2;
    char path[256];
    long long delay = atoll(word[2]) * 1000, queue = atoll(word[5]);
    double rate = atof(word[3]);
    unsigned loss = atoi(word[4]);
    int near = device("gprnear");
    snprintf(path, sizeof path, "/run/netns/%s", word[1]);
    int space = open(path, O_RDONLY);
    if (space < 0 || setns(space, CLONE_NEWNET) < 0) { perror(path); return 1; }
    int far = device("gprfar");
    struct way up = {near, far, 0, 0, 0, calloc(SLOTS, sizeof(struct packet))};
    struct way down = {far, near, 0, 0, 0, calloc(SLOTS, sizeof(struct packet))};
    srandom(1);
    puts("ready");
    fflush(stdout);
    for (;;) {
        long long a = give(&up), b = give(&down), left = a < b ? a : b;
        struct pollfd ends[2] = {{near, POLLIN, 0}, {far, POLLIN, 0}};
        struct timespec wait = {0, left > 999999999 ? 999999999 : left};
        ppoll(ends, 2, &wait, NULL);
        take(&up, delay, rate, loss, queue);
        take(&down, delay, rate, loss, queue);
    }
}
