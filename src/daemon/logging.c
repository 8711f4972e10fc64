/*
 * A level can be shifted with -v and -q; errors are always written.
 */
#include "logging.h"

static enum log_level level_of(const struct logging *l, const struct conf *conf)
{
    int level = LOG_LEVEL_INFO;

    switch (conf->weir.log_level) {
    case CONF_LOG_DEBUG:
        level = LOG_LEVEL_DEBUG;
        break;
    case CONF_LOG_INFO:
        level = LOG_LEVEL_INFO;
        break;
    case CONF_LOG_WARNING:
        level = LOG_LEVEL_WARNING;
        break;
    case CONF_LOG_ERROR:
        level = LOG_LEVEL_ERROR;
        break;
    }
    level += l->quieter;
    if (level < LOG_LEVEL_DEBUG)
        return LOG_LEVEL_DEBUG;
    return level > LOG_LEVEL_ERROR ? LOG_LEVEL_ERROR : (enum log_level)level;
}

int logging_init(struct logging *l, const struct conf *conf, int quieter)
{
    int fd;
    int error = log_file_open(conf->weir.logfile, &fd);

    if (error < 0)
        return error;
    *l = (struct logging){.quieter = quieter};
    log_file_init(&l->file, fd);

    struct log_config config = {
        .sink = &l->file.sink,
        .level = level_of(l, conf),
        .ring_size = LOG_RING_SIZE,
    };

    error = log_new(&l->log, &config);
    if (error == 0)
        error = log_attach(l->log, "control");
    if (error < 0) {
        log_free(l->log);
        log_file_fini(&l->file);
    }
    return error;
}

void logging_fini(struct logging *l)
{
    log_detach();
    log_free(l->log);
    log_file_fini(&l->file);
}

int logging_apply(struct logging *l, const struct conf *conf)
{
    int fd;
    int error = log_file_open(conf->weir.logfile, &fd);

    log_set_level(l->log, level_of(l, conf));
    if (error == 0)
        log_file_change(&l->file, fd);
    return error;
}
