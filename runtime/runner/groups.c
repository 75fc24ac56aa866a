/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups of cells, where the daemon was given some: what all processes of one connector may use together. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "runner.h"

enum {
    CELL_MB = 96,      /* the cell itself, with its helpers and certificates */
    WORKER_MB = 32,    /* of a worker, beside what it may ask for */
    GROUP_SPARE = 8,   /* processes: the cell, and workers that are dead but not reaped */
    GROUP_WEIGHT = 50, /* of the processor, to the daemon's 100 */
    USUAL_MB = 64      /* as in limits.c */
};

/* In the file: folders that must work, or "none"; found: the daemon's own, which systemd gave it. */
bool groups_open(struct runner *runner, const json_t *config, struct err *err)
{
    const json_t *path;
    const char *found = json_string_value(json_object_get(config, "control_group_found"));
    char words[64];
    size_t i;
    json_array_foreach(json_object_get(config, "control_groups"), i, path)
    {
        if (strcmp(json_string_value(path), "none") == 0) continue;
        if (!cgroups_add(&runner->groups, json_string_value(path), err)) return err_in(err, "ControlGroup=");
    }
    struct err why = {0};
    if (found && !cgroups_add(&runner->groups, found, &why)) log_failure("control-group", &why);
    cgroups_words(runner->groups.kinds, words, sizeof words);
    log_event(LOG_LEVEL_INFO, "control-groups", log_text("bound", words[0] ? words : "nothing"));
    return true;
}

static void name_of(const struct runner *runner, const struct home *home, char name[32])
{
    snprintf(name, 32, "cell-%u", (unsigned)(home - runner->homes));
}

static struct cgroup_limits limits_of(const struct entry *entry)
{
    uint64_t workers = (entry->limits.concurrency ? entry->limits.concurrency : WORKERS_EACH) + entry->lease.spares + 1;
    uint64_t each = (entry->limits.memory_mb ? entry->limits.memory_mb : USUAL_MB) + WORKER_MB;
    return (struct cgroup_limits){
        .memory = (CELL_MB + workers * each) << 20, .pids = workers + GROUP_SPARE, .weight = GROUP_WEIGHT};
}

bool groups_bound(struct runner *runner, const struct home *home, struct err *err)
{
    struct cgroup_limits limits = limits_of(home->entry);
    char name[32];
    name_of(runner, home, name);
    return cgroups_put(&runner->groups, name, &limits, home->cell, err);
}

void groups_free(struct runner *runner, const struct home *home)
{
    char name[32];
    name_of(runner, home, name);
    cgroups_drop(&runner->groups, name);
}
