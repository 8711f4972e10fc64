/*
 * The control thread: everything that is not the path of a query. It starts and stops the reactors,
 * answers signals and reloads the configuration. It is the process's first thread.
 */
#ifndef WEIR_DAEMON_CONTROL_H
#define WEIR_DAEMON_CONTROL_H

#include "logging.h"
#include "weir/base/check.h"
#include "weir/conf/conf.h"

/* Runs until a signal stops the daemon. conf becomes control's, success or not; logging outlives
 * the call. The exit status of the process: EXIT_SUCCESS after a stop that was asked for. */
NODISCARD int control_run(struct conf *conf, struct logging *logging);

#endif
