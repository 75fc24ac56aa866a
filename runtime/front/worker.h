/* SPDX-License-Identifier: Apache-2.0 */
/* The worker as the front sees it: two channels, one call frame in, log and reply frames out. */
#pragma once

#include <stdbool.h>

struct front;
struct call;

/* Asks the runner for the front's ends. false: there is no worker; the call's class and reason say why. */
bool worker_take(struct front *front, struct call *call);
/* Sends the call and reads until the reply, a fault, the end of the worker or the deadline. */
void worker_run(struct front *front, struct call *call);
/* Gives up the channels and lets the runner end the worker. */
void worker_done(struct front *front, struct call *call);
