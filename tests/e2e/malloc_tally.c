/*
 * Counts how often each thread of a program asks for memory. The program does not know: LD_PRELOAD
 * names this library, and MALLOC_TALLY a file of TALLIES entries, all zero, that whoever wants to
 * know maps or reads. Threads beyond the last entry share it.
 *
 * It counts, and lets glibc's own functions do the work. Any thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TALLIES 256

struct tally {
    _Atomic int64_t thread;
    _Atomic uint64_t n_calls;
};

/* Nobody can hand a preloaded library its state: it is the process's. Set before main(). */
static struct tally *tallies;
static _Atomic unsigned n_threads;
static _Thread_local struct tally *own __attribute__((tls_model("initial-exec")));

/* NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): names of glibc */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
/* NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming) */

__attribute__((constructor)) static void open_tallies(void)
{
    const char *path = getenv("MALLOC_TALLY"); /* NOLINT(concurrency-mt-unsafe): no threads yet */
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        abort();
    tallies = mmap(NULL, TALLIES * sizeof(*tallies), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (tallies == MAP_FAILED)
        abort();
    close(fd);
}

static void find_own(void)
{
    unsigned i = atomic_fetch_add_explicit(&n_threads, 1, memory_order_relaxed);

    own = &tallies[i < TALLIES ? i : TALLIES - 1];
    atomic_store_explicit(&own->thread, gettid(), memory_order_relaxed);
}

static void count(void)
{
    if (tallies == NULL)
        return;
    if (own == NULL)
        find_own();
    atomic_fetch_add_explicit(&own->n_calls, 1, memory_order_relaxed);
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): glibc uses reserved names */
void *malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    count();
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    count();
    return __libc_realloc(p, size);
}

void *memalign(size_t alignment, size_t size)
{
    count();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    count();

    void *p = __libc_memalign(alignment, size);

    if (p == NULL)
        return ENOMEM;
    *out = p;
    return 0;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
