/* Counts the calls by which a process can be seen from outside, and kills it at the one it is armed for.

   Preloaded, so that the process under test stays the real one: its C library, its SQLite, its sockets. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum { PWRITE, WRITE, FDATASYNC, FSYNC, SEND, RECV, CONNECT, FTRUNCATE, UNLINK, CALLS };

static atomic_long count[CALLS];
static long armed_call = -1, armed_at;

void shim_arm(long call, long at) {
  for (int i = 0; i < CALLS; i++) atomic_store(&count[i], 0);
  armed_call = call;
  armed_at = at;
}

long shim_count(long call) { return atomic_load(&count[call]); }

static void seen(long call) {
  if (atomic_fetch_add(&count[call], 1) + 1 == armed_at && call == armed_call) kill(getpid(), SIGKILL);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define SHIM(call, type, name, given, passed)          \
  type name given {                                    \
    static __typeof__(&name) real;                     \
    if (!real) real = REAL(name);                      \
    seen(call);                                        \
    return real passed;                                \
  }

SHIM(PWRITE, ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
SHIM(PWRITE, ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
SHIM(WRITE, ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
SHIM(FDATASYNC, int, fdatasync, (int fd), (fd))
SHIM(FSYNC, int, fsync, (int fd), (fd))
SHIM(SEND, ssize_t, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags))
SHIM(SEND, ssize_t, sendto,
     (int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length),
     (fd, data, size, flags, to, length))
SHIM(SEND, ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
SHIM(RECV, ssize_t, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
SHIM(CONNECT, int, connect, (int fd, const struct sockaddr *to, socklen_t length), (fd, to, length))
SHIM(FTRUNCATE, int, ftruncate, (int fd, off_t size), (fd, size))
SHIM(FTRUNCATE, int, ftruncate64, (int fd, off64_t size), (fd, size))
SHIM(UNLINK, int, unlink, (const char *path), (path))
