#include <errno.h>

#include "engine.h"

int uring_new(struct loop **out, const struct loop_config *config)
{
    (void)out, (void)config;
    return -ENOSYS;
}
