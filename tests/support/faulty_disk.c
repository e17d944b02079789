/* A disk that cannot be relied on, for one process: LD_PRELOAD.
 *
 * While the file FAULTY_WHILE exists, reads, writes and syncs of files whose path begins with FAULTY_UNDER fail with
 * EIO, FAULTY_PERCENT of them. With FAULTY_SYNC=lies, syncs there do nothing and say that all is well; with
 * FAULTY_UNLINK=lies, deletions.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static int is_under(int fd) {
    const char *prefix = getenv("FAULTY_UNDER");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = prefix ? readlink(link, path, sizeof path - 1) : -1;
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, prefix, strlen(prefix)) == 0;
}

static int is_failing(int fd) {
    static __thread unsigned seed;
    const char *percent = getenv("FAULTY_PERCENT"), *switched_on = getenv("FAULTY_WHILE");
    if (!percent || !switched_on) return 0;
    int before = errno;
    int on = is_under(fd) && access(switched_on, F_OK) == 0;
    errno = before;
    if (!on) return 0;
    if (seed == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        seed = (unsigned)now.tv_nsec ^ (unsigned)gettid();
    }
    if (rand_r(&seed) % 100 >= atoi(percent)) return 0;
    errno = EIO;
    return 1;
}

static int lies(const char *variable) {
    const char *value = getenv(variable);
    return value && strcmp(value, "lies") == 0;
}

static int is_lying(int fd) {
    return lies("FAULTY_SYNC") && is_under(fd);
}

#define REAL(type, name, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

ssize_t read(int fd, void *to, size_t count) {
    return is_failing(fd) ? -1 : REAL(ssize_t, "read", int, void *, size_t)(fd, to, count);
}
ssize_t write(int fd, const void *from, size_t count) {
    return is_failing(fd) ? -1 : REAL(ssize_t, "write", int, const void *, size_t)(fd, from, count);
}
ssize_t pread64(int fd, void *to, size_t count, off64_t at) {
    return is_failing(fd) ? -1 : REAL(ssize_t, "pread64", int, void *, size_t, off64_t)(fd, to, count, at);
}
ssize_t pread(int fd, void *to, size_t count, off_t at) { return pread64(fd, to, count, at); }
ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at) {
    return is_failing(fd) ? -1 : REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)(fd, from, count, at);
}
ssize_t pwrite(int fd, const void *from, size_t count, off_t at) { return pwrite64(fd, from, count, at); }
int fsync(int fd) {
    if (is_lying(fd)) return 0;
    return is_failing(fd) ? -1 : REAL(int, "fsync", int)(fd);
}
int fdatasync(int fd) {
    if (is_lying(fd)) return 0;
    return is_failing(fd) ? -1 : REAL(int, "fdatasync", int)(fd);
}
int unlink(const char *path) {
    const char *prefix = getenv("FAULTY_UNDER");
    if (lies("FAULTY_UNLINK") && prefix && strncmp(path, prefix, strlen(prefix)) == 0) return 0;
    return REAL(int, "unlink", const char *)(path);
}
