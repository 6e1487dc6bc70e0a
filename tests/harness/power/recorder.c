/* Records what a program does to the files under a folder, for a replayer that rebuilds what a power cut would leave.
 *
 * Loaded with LD_PRELOAD. POWER_ROOT is the folder, POWER_LOG the record, POWER_FAIL_SYNC (optional) the number, from 1, of the
 * sync call that fails with EIO without reaching the disk; with POWER_FAIL_SYNC_KILLS the program dies right there. One lock is
 * held over each call and its record, so that the order of the records is the order of the calls; a sync is recorded when it is
 * done. One record is one write to a file opened O_APPEND:
 *
 *   op (1 byte)  inode (8)  a (8)  length (8)  payload (length)           all numbers little-endian
 *   O open: a = 1 if it made the file, payload = path      W write: a = offset, payload = data
 *   T set size: a = size                                   S sync done      X sync failed
 *   D folder synced: payload = path                        M folder made: payload = path
 *   U unlinked: payload = path                             R renamed, L linked: payload = old path, NUL, new path
 *   A acknowledged: payload = text (written by the test)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1;
static long syncs, fail_sync;

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("POWER_ROOT"), *file = getenv("POWER_LOG"), *fail = getenv("POWER_FAIL_SYNC");
    if (!folder || !file || !realpath(folder, root)) return;
    root_length = strlen(root);
    fail_sync = fail ? atol(fail) : 0;
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

static int inside(const char *path) {
    return log_fd >= 0 && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

/* Path of an open descriptor, if it is under the folder and still has a name. */
static int path_of(int fd, char *path) {
    char link[64];
    if (log_fd < 0 || fd < 0 || fd == log_fd) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return inside(path);
}

/* Absolute path of a name given to a call. */
static int path_at(int dir, const char *name, char *path) {
    char base[PATH_MAX];
    if (log_fd < 0 || !name) return 0;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        if (dir == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return 0;
        } else if (!path_of(dir, base)) {
            return 0;
        }
        size_t length = strlen(base);
        if (length + strlen(name) + 2 > PATH_MAX) return 0;
        memcpy(path, base, length);
        path[length] = '/';
        strcpy(path + length + 1, name);
    }
    return inside(path);
}

static uint64_t inode_of(int fd) {
    struct stat about;
    return fstat(fd, &about) == 0 ? about.st_ino : 0;
}

static void record(char op, uint64_t inode, uint64_t a, const void *payload, uint64_t length) {
    unsigned char head[25];
    head[0] = (unsigned char)op;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &a, 8);
    memcpy(head + 17, &length, 8);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)payload, length}};
    if (syscall(SYS_writev, log_fd, parts, 2) != (long)(sizeof head + length)) abort();
}

static int tracked(int fd, char *path) {
    struct stat about;
    return path_of(fd, path) && fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
}

#define LOCKED(type, call)                     \
    int saved;                                 \
    pthread_mutex_lock(&lock);                 \
    type result = (call);                      \
    saved = errno;
#define UNLOCK                                 \
    pthread_mutex_unlock(&lock);               \
    errno = saved;                             \
    return result;

static int open_recorded(int dir, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int ours = (flags & O_TMPFILE) != O_TMPFILE && path_at(dir, name, path);
    if (!ours) return (int)syscall(SYS_openat, dir, name, flags | O_LARGEFILE, mode);
    int existed = access(path, F_OK) == 0;
    LOCKED(int, (int)syscall(SYS_openat, dir, name, flags | O_LARGEFILE, mode))
    struct stat about;
    if (result >= 0 && fstat(result, &about) == 0 && S_ISREG(about.st_mode)) {
        if (!existed || (flags & O_CREAT)) record('O', about.st_ino, !existed, path, strlen(path));
        if (existed && (flags & O_TRUNC)) record('T', about.st_ino, 0, "", 0);
    }
    UNLOCK
}

#define MODE                                              \
    mode_t mode = 0;                                      \
    if (flags & (O_CREAT | O_TMPFILE)) {                  \
        va_list list;                                     \
        va_start(list, flags);                            \
        mode = va_arg(list, mode_t);                      \
        va_end(list);                                     \
    }
int open(const char *name, int flags, ...) { MODE return open_recorded(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE return open_recorded(AT_FDCWD, name, flags, mode); }
int openat(int dir, const char *name, int flags, ...) { MODE return open_recorded(dir, name, flags, mode); }
int openat64(int dir, const char *name, int flags, ...) { MODE return open_recorded(dir, name, flags, mode); }
int creat(const char *name, mode_t mode) { return open_recorded(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return creat(name, mode); }

ssize_t write(int fd, const void *data, size_t length) {
    char path[PATH_MAX];
    if (!tracked(fd, path)) return syscall(SYS_write, fd, data, length);
    LOCKED(ssize_t, syscall(SYS_write, fd, data, length))
    /* The position after the call is right with and without O_APPEND. */
    if (result > 0) record('W', inode_of(fd), (uint64_t)(lseek(fd, 0, SEEK_CUR) - result), data, (uint64_t)result);
    UNLOCK
}

static ssize_t pwrite_recorded(int fd, const void *data, size_t length, off64_t offset) {
    char path[PATH_MAX];
    if (!tracked(fd, path)) return syscall(SYS_pwrite64, fd, data, length, offset);
    LOCKED(ssize_t, syscall(SYS_pwrite64, fd, data, length, offset))
    if (result > 0) record('W', inode_of(fd), (uint64_t)offset, data, (uint64_t)result);
    UNLOCK
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite_recorded(fd, data, length, offset); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return pwrite_recorded(fd, data, length, offset); }

/* Vectors go piece by piece: a short count is a legal answer, and a crash may fall between the pieces anyway. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    if (!tracked(fd, path)) return syscall(SYS_writev, fd, parts, count);
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len) return write(fd, parts[i].iov_base, parts[i].iov_len);
    return 0;
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    char path[PATH_MAX];
    if (!tracked(fd, path)) return syscall(SYS_pwritev, fd, parts, count, offset, 0);
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len) return pwrite_recorded(fd, parts[i].iov_base, parts[i].iov_len, offset);
    return 0;
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return pwritev(fd, parts, count, offset); }

int ftruncate(int fd, off_t size) {
    char path[PATH_MAX];
    if (!tracked(fd, path)) return (int)syscall(SYS_ftruncate, fd, size);
    LOCKED(int, (int)syscall(SYS_ftruncate, fd, size))
    if (result == 0) record('T', inode_of(fd), (uint64_t)size, "", 0);
    UNLOCK
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

int truncate(const char *name, off_t size) {
    int fd = open_recorded(AT_FDCWD, name, O_WRONLY, 0);
    if (fd < 0) return -1;
    int result = ftruncate(fd, size), saved = errno;
    close(fd);
    errno = saved;
    return result;
}
int truncate64(const char *name, off64_t size) { return truncate(name, size); }

/* Space given in advance shows only as a size. */
static int allocate(int fd, int mode, off64_t offset, off64_t length) {
    char path[PATH_MAX];
    if (!tracked(fd, path)) return (int)syscall(SYS_fallocate, fd, mode, offset, length);
    struct stat before, after;
    LOCKED(int, (fstat(fd, &before), (int)syscall(SYS_fallocate, fd, mode, offset, length)))
    if (result == 0 && fstat(fd, &after) == 0 && after.st_size != before.st_size)
        record('T', after.st_ino, (uint64_t)after.st_size, "", 0);
    UNLOCK
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return allocate(fd, mode, offset, length); }
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return allocate(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) { return allocate(fd, 0, offset, length) == 0 ? 0 : errno; }
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return posix_fallocate(fd, offset, length); }

static int sync_recorded(int fd, long call) {
    char path[PATH_MAX];
    struct stat about;
    if (!path_of(fd, path) || fstat(fd, &about) != 0) return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    int result, saved;
    if (S_ISREG(about.st_mode) && ++syncs == fail_sync) {
        record('X', about.st_ino, 0, "", 0);
        if (getenv("POWER_FAIL_SYNC_KILLS")) kill(getpid(), SIGKILL);
        result = -1;
        saved = EIO;
    } else {
        result = (int)syscall(call, fd);
        saved = errno;
        if (result == 0 && S_ISDIR(about.st_mode)) record('D', about.st_ino, 0, path, strlen(path));
        if (result == 0 && S_ISREG(about.st_mode)) record('S', about.st_ino, 0, "", 0);
    }
    UNLOCK
}
int fsync(int fd) { return sync_recorded(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_recorded(fd, SYS_fdatasync); }

int unlinkat(int dir, const char *name, int flags) {
    char path[PATH_MAX];
    if (!path_at(dir, name, path)) return (int)syscall(SYS_unlinkat, dir, name, flags);
    LOCKED(int, (int)syscall(SYS_unlinkat, dir, name, flags))
    if (result == 0) record('U', 0, 0, path, strlen(path));
    UNLOCK
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) { return unlink(name) == 0 || (errno == EISDIR && rmdir(name) == 0) ? 0 : -1; }

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char both[2 * PATH_MAX], to_path[PATH_MAX];
    int ours = path_at(from_dir, from, both), target = path_at(to_dir, to, to_path);
    if (!ours || !target) return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    LOCKED(int, (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags))
    if (result == 0) {
        size_t old = strlen(both) + 1, length = strlen(to_path);
        memcpy(both + old, to_path, length);
        record('R', 0, 0, both, old + length);
    }
    UNLOCK
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renameat2(from_dir, from, to_dir, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char both[2 * PATH_MAX], to_path[PATH_MAX];
    int ours = path_at(from_dir, from, both), target = path_at(to_dir, to, to_path);
    if (!ours || !target) return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    LOCKED(int, (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags))
    if (result == 0) {
        size_t old = strlen(both) + 1, length = strlen(to_path);
        memcpy(both + old, to_path, length);
        record('L', 0, 0, both, old + length);
    }
    UNLOCK
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int mkdirat(int dir, const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (!path_at(dir, name, path)) return (int)syscall(SYS_mkdirat, dir, name, mode);
    LOCKED(int, (int)syscall(SYS_mkdirat, dir, name, mode))
    if (result == 0) record('M', 0, 0, path, strlen(path));
    UNLOCK
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

/* Copies inside the kernel would go unseen: whoever asks is told to read and write. */
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t length, unsigned flags) {
    char path[PATH_MAX];
    if (!tracked(out, path)) return syscall(SYS_copy_file_range, in, in_at, out, out_at, length, flags);
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t length) {
    char path[PATH_MAX];
    if (!tracked(out, path)) return syscall(SYS_sendfile, out, in, at, length);
    errno = EINVAL;
    return -1;
}
ssize_t sendfile(int out, int in, off_t *at, size_t length) { return sendfile64(out, in, at, length); }
