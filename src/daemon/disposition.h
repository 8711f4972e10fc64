/*
 * What each signal does to the process, settled by main before there is a second thread. The
 * signals that control handles are blocked in every thread, so that none of them ever interrupts a
 * thread in the middle of something.
 */
#ifndef WEIR_DAEMON_DISPOSITION_H
#define WEIR_DAEMON_DISPOSITION_H

#include <signal.h>

#include "weir/base/check.h"

/* HUP, TERM and INT: they come to control as events. */
sigset_t disposition_caught(void);

/* Before the first thread is made: threads inherit the mask. 0 or -errno. */
NODISCARD int disposition_init(void);

#endif
