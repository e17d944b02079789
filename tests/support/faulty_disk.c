/* A disk that cannot be relied on, for one process: LD_PRELOAD.
 *
 * While the file FAULTY_WHILE exists, reads, writes and syncs of files whose path begins with FAULTY_UNDER fail with
 * EIO, FAULTY_PERCENT of them. With FAULTY_SYNC=lies, syncs there do nothing and say that all is well; with
 * FAULTY_UNLINK=lies, deletions.
 *
 * With FAULTY_SLOW (KB a second) the disk there is slow, for all processes that name the same FAULTY_QUEUE, a file.
 * What is written waits in memory until its file is synced, or until there are more than FAULTY_CACHE KB of it; then
 * the disk does it, one after the other, and whoever gave it that waits.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

/* Shared by all processes that use the slow disk. */
struct disk {
    int64_t done_at;       /* When it will have done everything that it was given: nanoseconds. */
    int64_t waiting[1024]; /* Bytes of a file that it was not given yet; by inode. */
};

static struct disk *slow_disk(void) {
    static struct disk *shared;
    struct disk *disk = __atomic_load_n(&shared, __ATOMIC_ACQUIRE);
    const char *queue = getenv("FAULTY_QUEUE");
    if (disk || !queue) return disk;
    int fd = open(queue, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *disk) != 0) abort();
    disk = mmap(NULL, sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (disk == MAP_FAILED) abort();
    __atomic_store_n(&shared, disk, __ATOMIC_RELEASE);
    return disk;
}

/* Gives the disk so many bytes to do, and waits until it has done them. */
static void wait_for(struct disk *disk, int64_t bytes) {
    int64_t takes = bytes * (1000000000 / atoll(getenv("FAULTY_SLOW"))) / 1024, then, done;
    do {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        int64_t now = time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
        then = __atomic_load_n(&disk->done_at, __ATOMIC_SEQ_CST);
        done = (then > now ? then : now) + takes;
    } while (!__atomic_compare_exchange_n(&disk->done_at, &then, done, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    struct timespec until = {done / 1000000000, done % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) continue;
}

/* So many bytes were written to the file, which is synced then if `sync`. */
static void is_slow(int fd, ssize_t bytes, int sync) {
    struct disk *disk = getenv("FAULTY_SLOW") ? slow_disk() : NULL;
    int before = errno;
    struct stat file;
    if (disk && bytes >= 0 && is_under(fd) && fstat(fd, &file) == 0) {
        const char *cache = getenv("FAULTY_CACHE");
        int64_t *waiting = &disk->waiting[file.st_ino % 1024];
        int64_t now = __atomic_add_fetch(waiting, bytes, __ATOMIC_SEQ_CST);
        if (sync || now > (cache ? atoll(cache) * 1024 : 0))
            wait_for(disk, __atomic_exchange_n(waiting, 0, __ATOMIC_SEQ_CST));
    }
    errno = before;
}

#define REAL(type, name, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))

ssize_t read(int fd, void *to, size_t count) {
    return is_failing(fd) ? -1 : REAL(ssize_t, "read", int, void *, size_t)(fd, to, count);
}
ssize_t write(int fd, const void *from, size_t count) {
    if (is_failing(fd)) return -1;
    ssize_t done = REAL(ssize_t, "write", int, const void *, size_t)(fd, from, count);
    is_slow(fd, done, 0);
    return done;
}
ssize_t pread64(int fd, void *to, size_t count, off64_t at) {
    return is_failing(fd) ? -1 : REAL(ssize_t, "pread64", int, void *, size_t, off64_t)(fd, to, count, at);
}
ssize_t pread(int fd, void *to, size_t count, off_t at) { return pread64(fd, to, count, at); }
ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at) {
    if (is_failing(fd)) return -1;
    ssize_t done = REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t)(fd, from, count, at);
    is_slow(fd, done, 0);
    return done;
}
ssize_t pwrite(int fd, const void *from, size_t count, off_t at) { return pwrite64(fd, from, count, at); }
int fsync(int fd) {
    if (is_lying(fd)) return 0;
    if (is_failing(fd)) return -1;
    is_slow(fd, 0, 1);
    return REAL(int, "fsync", int)(fd);
}
int fdatasync(int fd) {
    if (is_lying(fd)) return 0;
    if (is_failing(fd)) return -1;
    is_slow(fd, 0, 1);
    return REAL(int, "fdatasync", int)(fd);
}
int unlink(const char *path) {
    const char *prefix = getenv("FAULTY_UNDER");
    if (lies("FAULTY_UNLINK") && prefix && strncmp(path, prefix, strlen(prefix)) == 0) return 0;
    return REAL(int, "unlink", const char *)(path);
}
