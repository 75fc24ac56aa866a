/* SPDX-License-Identifier: Apache-2.0 */
/* Submissions: every name, length and time is checked before a byte is used. */
#include "submit.h"

#include <string.h>

/* The layout is public: docs/submit.md. */
#define AT(member, place) _Static_assert(offsetof(struct submission, member) == (place), #member " has its place")
AT(key_id, 16);
AT(workspace, 24);
AT(credential, 88);
AT(connector, 152);
AT(audience, 216);
AT(issued_at, 728);
AT(nonce, 736);
AT(field_count, 752);
AT(fields, 756);
AT(bytes, 1908);
AT(kind, 8052);
_Static_assert(sizeof(struct submission) == 8056 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "so has its end");

void submissions_init(struct submissions *submissions, uint64_t now_s)
{
    *submissions = (struct submissions){.not_before = now_s};
}

static bool same_text(const char *a, const char *b, size_t size)
{
    return memchr(a, '\0', size) && memchr(b, '\0', size) && strcmp(a, b) == 0;
}

/* Fields stand one behind the other, so that none can reach into another or outside. */
static bool fields_sound(const struct submission *submission)
{
    size_t used = 0;
    if (submission->field_count == 0 || submission->field_count > FRAME_FIELDS) return false;
    for (uint32_t i = 0; i < submission->field_count; i++) {
        const char *name = submission->fields[i].name;
        if (!name_in(name, NAME_BYTES) || submission->fields[i].offset != used ||
            submission->fields[i].length > sizeof submission->bytes - used)
            return false;
        used += submission->fields[i].length;
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(submission->fields[j].name, name) == 0) return false;
    }
    return true;
}

bool submission_check(const struct submission *submission, const struct msg_seal *message, struct err *err)
{
    if (memcmp(submission->magic, "caisson-submit1", sizeof submission->magic) != 0)
        return err_set(err, ERR_MALFORMED, "the submission is of another release");
    if (!name_in(submission->workspace, NAME_BYTES) || !name_in(submission->credential, NAME_BYTES) ||
        !name_in(submission->connector, NAME_BYTES) || !fields_sound(submission))
        return err_set(err, ERR_MALFORMED, "the submission is not well formed");
    if (!same_text(submission->workspace, message->workspace_name, NAME_BYTES) ||
        !same_text(submission->credential, message->credential_name, NAME_BYTES) ||
        !same_text(submission->connector, message->connector, NAME_BYTES))
        return err_set(
            err, ERR_BAD_INPUT,
            "the submission was sealed for another workspace, credential or connector than this request names");
    if (submission->kind != message->kind || submission->kind >= CREDENTIAL_KINDS)
        return err_set(err, ERR_BAD_INPUT,
                       "the submission was sealed as another kind of credential than this request names");
    if (!same_text(submission->audience, message->audience, AUDIENCE_MAX))
        return err_set(err, ERR_BAD_INPUT, "the submission was sealed for another audience than this request names");
    return true;
}

static void forget_old(struct submissions *submissions, uint64_t now_s)
{
    for (unsigned i = submissions->count; i-- > 0;)
        if (submissions->seen[i].until < now_s) submissions->seen[i] = submissions->seen[--submissions->count];
}

bool submission_fresh(struct submissions *submissions, const struct submission *submission, uint64_t now_s,
                      struct err *err)
{
    uint64_t issued = submission->issued_at;
    if (issued < submissions->not_before)
        return err_set(err, ERR_STATE, "the submission was sealed before the vault started: seal it again");
    if (issued > now_s + SUBMISSION_AHEAD_S)
        return err_set(err, ERR_BAD_INPUT, "the submission's time lies in the future: check this machine's clock");
    if (issued + SUBMISSION_AGE_S < now_s)
        return err_set(err, ERR_STATE, "the submission is older than ten minutes: seal it again");
    forget_old(submissions, now_s);
    for (unsigned i = 0; i < submissions->count; i++)
        if (memcmp(submissions->seen[i].nonce, submission->nonce, sizeof submission->nonce) == 0)
            return err_set(err, ERR_EXISTS, "this submission was accepted before: seal it again");
    if (submissions->count == SUBMISSIONS)
        return err_set(err, ERR_BUSY, "too many credentials were submitted within ten minutes: wait");
    submissions->seen[submissions->count].until = issued + SUBMISSION_AGE_S;
    memcpy(submissions->seen[submissions->count++].nonce, submission->nonce, sizeof submission->nonce);
    return true;
}
