/* SPDX-License-Identifier: Apache-2.0 */
/* Walking from the pinned key to the one in use (docs/audit-format.md, "Keys that roll"). */
#include "audit_signers.h"

#include <string.h>

static bool of_this_log(const struct audit_signers *signers, const char *vkey, uint8_t key[KEY_BYTES], struct err *err)
{
    char name[128];
    if (!vkey_parse(vkey, name, key, err) || strcmp(name, signers->origin) != 0)
        return err_set(err, ERR_DAMAGED, "it names a key that is none of this log's");
    return true;
}

bool audit_signers_entry(struct audit_signers *signers, const struct body *body, uint64_t index, struct err *err)
{
    uint8_t old[KEY_BYTES], new[KEY_BYTES];
    const uint32_t needed = BODY_OLD | BODY_NEW | BODY_SIGN;
    if ((body->seen & needed) != needed) return err_set(err, ERR_DAMAGED, "it does not name both keys");
    if (!of_this_log(signers, body->old, old, err) || !of_this_log(signers, body->new, new, err)) return false;
    if (signers->due || memcmp(old, signers->key, KEY_BYTES) != 0)
        return err_set(err, ERR_DAMAGED, "it replaces another key than the one whose turn it was");
    /* An entry is the ledger's word; that the new key is the vault's own is the old key's. */
    if (!roll_vouched(body->old, body->new, body->sign, old))
        return err_set(err, ERR_DAMAGED, "the old key did not sign for the new one");
    memcpy(signers->next, new, KEY_BYTES);
    signers->due = index + 1;
    return true;
}

bool audit_signers_note(struct audit_signers *signers, const char *bytes, size_t length, const struct audit_note *note,
                        bool must, bool *looked, struct err *err)
{
    bool roll = signers->due && signers->due == note->size;
    if (signers->due && !roll)
        return err_set(err, ERR_DAMAGED, "the checkpoint of size %llu is missing, with which the log's key hands over",
                       (unsigned long long)signers->due);
    *looked = must || roll;
    if (*looked && !note_signed(bytes, length, note, signers->origin, signers->key, err)) return false;
    if (!roll) return true;
    memcpy(signers->key, signers->next, KEY_BYTES);
    signers->due = 0;
    signers->rolls++;
    return true;
}

bool audit_signers_may(const struct audit_signers *signers, const uint8_t key[KEY_BYTES])
{
    return memcmp(key, signers->key, KEY_BYTES) == 0 || (signers->due && memcmp(key, signers->next, KEY_BYTES) == 0);
}
