/* SPDX-License-Identifier: Apache-2.0 */
/* caisson doctor: tries every wall by the same probes as the daemon's runner, and says what each of them means here. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto_json.h"
#include "base/ini.h"
#include "print.h"
#include "sandbox/cgroup.h"
#include "sandbox/probe.h"
#include "verbs.h"

enum { UID_BASE = 60710, ROLE_UIDS = 10 }; /* caisson.conf(5), UidBase= */

/* Also the exit status. */
enum verdict { FULL_STRENGTH = 0, LOWERED = 1, CANNOT_RUN = 2 };

struct patient {
    struct probe_who who;
    struct probe_results found;
    bool lowered; /* MinimumIsolation=lowered stands in caisson.conf */
    char groups[CGROUPS_MOST][CGROUP_PATH];
    unsigned group_count;
    bool no_groups; /* ControlGroup=none */
};

/* ── what caisson.conf says ──────────────────────────────────────────────────────────────────────────── */

static void add_group(struct patient *patient, const char *word)
{
    if (strcmp(word, "none") == 0)
        patient->no_groups = true;
    else if (patient->group_count < CGROUPS_MOST && strlen(word) < CGROUP_PATH)
        memcpy(patient->groups[patient->group_count++], word, strlen(word) + 1);
}

static void read_settings(const struct home *home, struct patient *patient)
{
    char value[INI_LINE], *rest;
    unsigned long base = UID_BASE;
    patient->lowered = home_setting(home, "Daemon", "MinimumIsolation", 0, value, sizeof value) &&
                       strcmp(value, "lowered") == 0;
    if (home_setting(home, "Daemon", "UidBase", 0, value, sizeof value)) base = strtoul(value, NULL, 10);
    patient->who.plugin_uid = (uid_t)base + ROLE_UIDS;
    for (unsigned i = 0; home_setting(home, "Daemon", "ControlGroup", i, value, sizeof value); i++) {
        rest = value;
        for (char *word; (word = strsep(&rest, " \t"));)
            if (*word) add_group(patient, word);
    }
}

/* ── rows that the runner does not need ──────────────────────────────────────────────────────────────── */

static struct probe_result *add_row(struct probe_results *found, const char *key, const char *name)
{
    if (found->count == PROBES_MOST) return NULL;
    struct probe_result *row = &found->rows[found->count++];
    *row = (struct probe_result){.key = key, .name = name, .need = PROBE_EXTRA, .state = PROBE_MISSING};
    return row;
}

/* Groups that caisson.conf names must work, or the daemon refuses to start. */
static void look_at_given_groups(const struct patient *patient, struct probe_result *row)
{
    struct cgroups groups = {0};
    struct err err = {0};
    bool good = true;
    row->need = PROBE_MUST;
    for (unsigned i = 0; good && i < patient->group_count; i++) good = cgroups_add(&groups, patient->groups[i], &err);
    if (good && cgroups_hold(&groups))
        row->state = PROBE_HOLDS;
    else
        snprintf(row->advice, sizeof row->advice, "%.220s: correct ControlGroup= in caisson.conf",
                 good ? "what is put into a control group is not bounded" : err.text);
    cgroups_close(&groups);
}

static void look_at_groups(struct patient *patient)
{
    char own[CGROUP_PATH];
    struct probe_result *row = add_row(&patient->found, "control_groups", "control groups around each connector");
    if (!row) return;
    if (patient->group_count) {
        look_at_given_groups(patient, row);
    } else if (patient->no_groups) {
        row->state = PROBE_NOT_NEEDED;
    } else if (cgroup_delegated(own)) {
        row->state = PROBE_HOLDS;
    } else {
        snprintf(
            row->advice, sizeof row->advice,
            "no control group was given away here; a service has one by Delegate=memory pids cpu in its systemd unit, "
            "others by ControlGroup= in caisson.conf; without, each process is bounded alone");
    }
}

static void look_at_certificates(struct patient *patient)
{
    static const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                          "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};
    struct probe_result *row = add_row(&patient->found, "certificates", "certificates for TLS");
    if (!row) return;
    for (size_t i = 0; i < sizeof bundles / sizeof *bundles; i++)
        if (access(bundles[i], R_OK) == 0) row->state = PROBE_HOLDS;
    if (row->state == PROBE_MISSING)
        snprintf(row->advice, sizeof row->advice, "install the package ca-certificates, or give connectors CAFile=");
}

/* ── the verdict ─────────────────────────────────────────────────────────────────────────────────────── */

static bool lacks(const struct patient *patient, enum probe_need need)
{
    for (unsigned i = 0; i < patient->found.count; i++)
        if (patient->found.rows[i].need == need && patient->found.rows[i].state == PROBE_MISSING) return true;
    return false;
}

static enum verdict judge(const struct patient *patient)
{
    if (lacks(patient, PROBE_MUST)) return CANNOT_RUN;
    return lacks(patient, PROBE_LOWERABLE) || patient->lowered ? LOWERED : FULL_STRENGTH;
}

/* Would caissond start here, as caisson.conf stands? */
static bool starts(const struct patient *patient)
{
    return !lacks(patient, PROBE_MUST) && (patient->lowered || !lacks(patient, PROBE_LOWERABLE));
}

static const char *in_words(const struct patient *patient)
{
    if (lacks(patient, PROBE_MUST)) return "caissond refuses to start here, and no setting of its own changes that.";
    if (!lacks(patient, PROBE_LOWERABLE))
        return patient->lowered ? "Every wall holds, but MinimumIsolation=lowered stands in caisson.conf: take it out. "
                                  "Until then the loss of a wall would be tolerated, and every record says so."
                                : "Every wall that is needed holds: connectors run at full strength.";
    return patient->lowered
               ? "caissond runs here with LOWERED walls around connectors, because MinimumIsolation=lowered "
                 "stands in caisson.conf. Every record says so."
               : "caissond refuses to start here until this is put right, or until MinimumIsolation=lowered "
                 "in caisson.conf says that connectors may run with weaker walls.";
}

/* ── telling ─────────────────────────────────────────────────────────────────────────────────────────── */

static const char *const needs[] = {[PROBE_MUST] = "must", [PROBE_LOWERABLE] = "full", [PROBE_EXTRA] = "extra"};
static const char *const states[] = {
    [PROBE_HOLDS] = "holds", [PROBE_MISSING] = "missing", [PROBE_NOT_NEEDED] = "not needed"};
static const char *const verdicts[] = {[FULL_STRENGTH] = "full", [LOWERED] = "lowered", [CANNOT_RUN] = "cannot run"};

static json_t *walls_of(const struct probe_results *found)
{
    json_t *walls = json_array();
    for (unsigned i = 0; i < found->count; i++) {
        const struct probe_result *row = &found->rows[i];
        json_t *wall = json_pack("{s:s,s:s,s:s,s:s}", "key", row->key, "wall", row->name, "state", states[row->state],
                                 "need", needs[row->need]);
        if (row->advice[0]) json_object_set_new(wall, "advice", json_string(row->advice));
        json_array_append_new(walls, wall);
    }
    return walls;
}

static json_t *settings_of(const struct patient *patient)
{
    static const char *const names[] = {"user.max_user_namespaces",
                                        "kernel.unprivileged_userns_clone",
                                        "kernel.apparmor_restrict_unprivileged_userns",
                                        "kernel.yama.ptrace_scope",
                                        "kernel.core_pattern",
                                        "fs.suid_dumpable",
                                        "kernel.seccomp.actions_avail"};
    char value[256];
    json_t *settings = json_object();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (probe_setting(patient->who.settings, names[i], value, sizeof value))
            json_object_set_new(settings, names[i], json_string(value));
    return settings;
}

static json_t *report_of(const struct patient *patient)
{
    return json_pack("{s:s,s:i,s:b,s:i,s:b,s:s,s:i,s:o,s:o}", "verdict", verdicts[judge(patient)], "status",
                     (int)judge(patient), "starts", starts(patient), "uid", (int)getuid(), "privileged",
                     patient->who.privileged, "minimum_isolation", patient->lowered ? "lowered" : "full",
                     "landlock_abi", patient->found.landlock_abi, "walls", walls_of(&patient->found), "settings",
                     settings_of(patient));
}

static void print_advice(const struct probe_results *found)
{
    for (unsigned i = 0; i < found->count; i++)
        if (found->rows[i].advice[0]) printf("%s%s: %s.\n", i ? "" : "\n", found->rows[i].name, found->rows[i].advice);
}

static void print_settings(const json_t *settings)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)settings, name, value) printf("%s=%s\n", name, json_string_value(value));
}

static void print_report(const struct patient *patient, const json_t *report)
{
    static const struct print_field fields[] = {{"WALL", "wall"}, {"STATE", "state"}, {"NEED", "need"}, {NULL, NULL}};
    printf("Tried as user %u, %s. Run it as the user who starts caissond.\n\n", getuid(),
           patient->who.privileged ? "with privileges" : "an ordinary user");
    print_rows(json_object_get(report, "walls"), fields, "");
    puts("");
    print_advice(&patient->found);
    print_settings(json_object_get(report, "settings"));
    printf("landlock: ABI %d\n\n%s\n", patient->found.landlock_abi, in_words(patient));
}

bool verb_doctor(struct cli *cli, struct err *err)
{
    static struct patient patient;
    patient.who.privileged = probe_privileged();
    read_settings(&cli->home, &patient);
    probe_walls(&patient.who, true, &patient.found);
    look_at_groups(&patient);
    look_at_certificates(&patient);
    JSON_AUTO *report = report_of(&patient);
    if (!report) return err_set(err, ERR_BUSY, "there is no memory");
    if (cli->json)
        print_json(report);
    else
        print_report(&patient, report);
    cli->status = judge(&patient);
    return true;
}
