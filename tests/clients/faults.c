/* A disk that fails on demand. Preloaded into a server, it intercepts calls to the C library.
 *
 * FAULTS names a file with one letter, which is read before every call:
 *   w  writes fail: no space is left        h  half of each write arrives, then no space is left
 *   e  writes fail: an I/O error            s  fsync fails
 *   anything else: no fault
 * Only files with FAULTS_IN in their path are affected, so that logs and responses are still written. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static volatile const char *told;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS");
    int file = path ? open(path, O_RDONLY) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED)
        told = page;
    if (file >= 0)
        close(file);
}

/* The fault to inject for this file now; 0 for none. */
static char fault(int file) {
    char link[64], path[4096];
    const char *in = getenv("FAULTS_IN");
    char now = told ? *told : 0;
    if (!now || !strchr("whes", now) || !in)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strstr(path, in) ? now : 0;
}

static ssize_t failed(int why) {
    errno = why;
    return -1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* A write with the current fault; `half` is the same write for half of the bytes. */
#define WRITE(file, length, whole, half) \
    switch (fault(file)) { \
    case 'w': return failed(ENOSPC); \
    case 'e': return failed(EIO); \
    case 'h': return length > 1 ? half : failed(ENOSPC); \
    default: return whole; \
    }

ssize_t write(int file, const void *bytes, size_t length) {
    WRITE(file, length, REAL(write)(file, bytes, length), REAL(write)(file, bytes, length / 2))
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    WRITE(file, length, REAL(pwrite)(file, bytes, length, at), REAL(pwrite)(file, bytes, length / 2, at))
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) {
    WRITE(file, length, REAL(pwrite64)(file, bytes, length, at), REAL(pwrite64)(file, bytes, length / 2, at))
}

int fsync(int file) { return fault(file) == 's' ? (int)failed(EIO) : REAL(fsync)(file); }

int fdatasync(int file) { return fault(file) == 's' ? (int)failed(EIO) : REAL(fdatasync)(file); }
