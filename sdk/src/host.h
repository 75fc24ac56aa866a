/* SPDX-License-Identifier: Apache-2.0 */
/* One test, and the services that it offers to the connector. */
#ifndef CAISSON_HOST_H
#define CAISSON_HOST_H

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

#include "caisson/testing.h"
#include "harness.h"

struct csn_test {
    void *library;
    const struct csn_connector *connector;
    json_t *manifest, *settings, *secrets, *input, *answer;
    json_t *fields;  /* names given to the action that runs; borrowed */
    json_t *strings; /* what was handed out in this run */
    struct peers peers;
    bool lease;
    int deadline_ms;
    int64_t clock;
    struct timespec start;
    char *log, *seen, problem[512], text[4096];
    size_t log_size;
    FILE *log_stream;
    struct csn_test_result result;
    char *peer_problem, *answer_text;
};

extern const struct csn_services host_services;
/* JSON text of a value. Lives until the next run. */
const char *host_dump(struct csn_test *test, const json_t *value);

#endif
