#include "front.h"

#include <string.h>

#include "weir/base/arena.h"
#include "wire.h"

struct loop *front_loop(const char *engine)
{
    static const struct arena_config chunks = {.chunk_size = 65536, .n_chunks = 4096};
    struct loop_config config = {.engine = LOOP_ENGINE_URING};
    struct loop *l;
    int error = arena_new(&config.arena, &chunks);

    if (strcmp(engine, "epoll") == 0)
        config.engine = LOOP_ENGINE_EPOLL;
    else if (strcmp(engine, "io_uring-6.1") == 0)
        config.profile_6_1 = true;
    else if (strcmp(engine, "io_uring") != 0)
        die("no engine is called %s", engine);
    if (error == 0)
        error = loop_new(&l, &config);
    if (error != 0)
        die("no loop: %s", strerror(-error));
    return l;
}

void front_run(struct loop *l, const char *place, struct loop_listener *listener)
{
    int error;

    listener->fd = listen_at(place);
    error = loop_listen(l, listener);
    if (error == 0)
        error = loop_run(l);
    die("the loop ended: %s", strerror(-error));
}
