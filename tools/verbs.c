/* SPDX-License-Identifier: Apache-2.0 */
/* The table of verbs. Rows of one family stand together. */
#include "verbs.h"

/* a row a line, as far as it goes: */
/* clang-format off */
#define END                                                                                                            \
    {                                                                                                                  \
        NULL, NULL, NULL, false                                                                                        \
    }

static const struct cli_option workspace[] = {{"workspace", "NAME", "The workspace; default when absent", false}, END};

static const struct cli_option init[] = {
    {"provider", "NAME",
     "Who keeps the other half of the master key: passphrase, systemd, transit, aws-kms or pkcs11; file, for the whole key "
     "in one file, when absent",
     false},
    {"keys", "KEY=VALUE", "A setting of [Keys] for a new caisson.conf", true},
    END};

static const struct cli_option rotate_key[] = {
    {"workspace", "NAME", "The workspace; default when absent", false},
    {"from", "FILE",
     "For provider: a caisson.conf whose [Keys] opens the half that is stored, where caisson.conf says another one now",
     false},
    END};

static const struct cli_option recovery[] = {
    {"recipient", "AGE1", "Who may open it: the public half of a key of age that is kept offline", true},
    {"from", "FILE", "As for key rotate provider", false},
    END};

static const struct cli_option backup[] = {
    {"to", "FILE", "FILE.audit.age and FILE.vault.age are made", false},
    {"recipient", "AGE1", "Who may open it: the public half of a key of age", true},
    END};

static const struct cli_option restore[] = {
    {"identity", "FILE", "The key of age that opens the backup", false},
    {"recovery", "FILE", "The key of age that opens the master key in it; without it keys/master.key must be there", false},
    END};

static const struct cli_option freeze[] = {
    {"now", NULL, "End running calls too, instead of letting them finish", false}, END};

static const struct cli_option enable[] = {
    {"as", "NAME", "What callers will call it; one connector may be enabled several times", false},
    {"set", "KEY=VALUE", "A setting", true},
    {"egress", "RULE",
     "A host that it may reach, scheme://host:port; \"none\" for no host; when absent, what was granted before, else "
     "what the manifest asks for where that names concrete hosts and TLS",
     true},
    {"ranges", "CIDR", "A special-purpose address range that its hosts may be in: 10.0.0.0/8, loopback, private", true},
    {"any-host", NULL, "Let --egress use * as host or port", false},
    {"ca", "FILE", "Certificates to trust instead of the system's, PEM", false},
    {"workspaces", "NAME", "A workspace that may use it; * for all; default when absent", true},
    {"isolation", "MODE",
     "call: one process, one call; lease: a process serves further calls of one workspace and "
     "credential, and a hostile connector then sees all of those",
     false},
    {"capture", "WHAT",
     "none, input, reply or \"input reply\": what of its calls is kept, sealed, beside the log; none when absent", false},
    {"grant", "KEY=VALUE", "Another setting of the drop-in's [Grant], such as MemoryMax=64M or Spares=2", true},
    {"yes", NULL, "Do not ask", false},
    END};

static const struct cli_option connector_test[] = {
    {"set", "KEY=VALUE", "A setting", true},
    {"field", "FIELD=@FILE",
     "A field of the credential; one that the manifest calls not secret may stand here as FIELD=VALUE", true},
    {"peer", "HOST:PORT",
     "A host that it may dial, for real; HOST:PORT=ADDRESS:PORT leads to another place instead; all others are refused",
     true},
    {"ca", "FILE", "Certificates to trust instead of the system's, PEM", false},
    END};

static const struct cli_option credential_set[] = {
    {"connector", "NAME", "The connector that it is for; needed for a new credential", false},
    {"workspace", "NAME", "The workspace; default when absent", false},
    {"audience", "HOST", "A host that it may be used towards; any that the connector reaches when absent", true},
    {"kind", "KIND",
     "fields: given to the connector as they are; oauth2: a client, whose access tokens the daemon fetches", false},
    END};

static const struct cli_option credential_import[] = {
    {"format", "FORMAT",
     "What the file holds: fernet, tokens of Fernet; aes-gcm, JSON envelopes of AES-256-GCM and a key derivation",
     false},
    {"connector", "NAME", "The connector that the credentials are for", false},
    {"key", "@FILE",
     "Fernet keys in base64url, one a line, of which each token names its own by its signature; or the key of an "
     "envelope without kdf, in base64; - for standard input; asked for when absent",
     false},
    {"passphrase", "@FILE", "The passphrase of the envelopes; - for standard input; asked for when absent", false},
    {"name", "NAME", "What an item without a name is called; several get NAME-1, NAME-2 and so on", false},
    {"field", "FIELD", "The field that all of an item becomes; the only one that there is when absent", false},
    {"map", "MEMBER=FIELD", "An item is a JSON object, and this member of it becomes this field", true},
    {"audience", "HOST", "A host that they may be used towards; any that the connector reaches when absent", true},
    {"workspace", "NAME", "The workspace; default when absent", false},
    {"ttl", "SECONDS", "Refuse Fernet tokens that are older; their age does not count when absent", false},
    {"replace", NULL, "Store a new version of a credential that is there already, instead of refusing it", false},
    {"dry-run", NULL, "Open everything and say what would be stored, but store nothing", false},
    END};

static const struct cli_option credential_list[] = {{"workspace", "NAME", "The workspace; default when absent", false},
                                                    {"connector", "NAME", "Only for this connector", false},
                                                    END};

static const struct cli_option lease_list[] = {
    {"workspace", "NAME", "The workspace; default when absent", false},
    {"connector", "NAME", "Only of this connector", false},
    {"credential", "NAME", "Only with this credential", false},
    {"call", "ID", "Only this call's", false},
    END};

static const struct cli_option lease_revoke[] = {
    {"workspace", "NAME", "All of this workspace; default when something else is named", false},
    {"connector", "NAME", "All of this connector", false},
    {"credential", "NAME", "All that hold this credential", false},
    {"call", "ID", "This call's", false},
    {"reason", "TEXT", "Why; kept in the record", false},
    END};

static const struct cli_option call[] = {
    {"input", "JSON", "The input: JSON, @FILE, or - for standard input; {} when absent", false},
    {"credential", "NAME", "The credential to use", false},
    {"key", "KEY", "Idempotency key: the same key and input never send twice", false},
    {"workspace", "NAME", "The workspace; default when absent", false},
    {"timeout", "MS", "Milliseconds until the call is given up", false},
    {"subject", "WHO", "A person that the call is about; what the log keeps of them can then be found and erased",
     true},
    END};

static const struct cli_option calls_list[] = {
    {"workspace", "NAME", "The workspace; default when absent", false},
    {"connector", "NAME", "Only of this connector", false},
    {"class", "CLASS", "Only with this outcome: ok, rejected, retryable, crashed and so on", false},
    {"limit", "COUNT", "At most so many, the newest first; 50 when absent", false},
    {"before", "ID", "Only calls older than this one", false},
    END};

static const struct cli_option reason[] = {{"reason", "TEXT", "Why; kept in the record", false}, END};

static const struct cli_option tail[] = {
    {"limit", "COUNT", "So many entries; 20 when absent", false}, {"from", "INDEX", "From this entry on", false}, END};

static const struct cli_option verify[] = {
    {"vkey", "KEY", "Begin with this verifier key, the log's first, in place of the one in keys/log.pub", false},
    {"state", "FILE", "Remember there how far the log was verified", false},
    {"checkpoint", "FILE", "A checkpoint that was kept elsewhere: the log must continue it", false},
    {"epoch", "NUMBER", "Verify the log of an earlier epoch, which was put aside when another followed it", false},
    {"new-epoch", NULL, "Accept that another log follows the one that was verified last", false},
    {"full", NULL, "Check every old signature, personal value, row of the call table and index as well", false},
    END};

#define COSIGNED {"cosigned", NULL, "With the newest checkpoint that a witness has cosigned, in place of the newest", false}

static const struct cli_option checkpoint[] = {COSIGNED, END};

static const struct cli_option prove[] = {
    {"index", "N", "The entry with this number", false},
    {"call", "ID", "The outcome of this call's last attempt; its intent where it has no outcome", false},
    {"attempt", "N", "With --call: of this attempt", false},
    {"kind", "KIND", "With --call: intent or outcome", false},
    COSIGNED,
    {"output", "FILE", "A new file; standard output when absent", false},
    END};

static const struct cli_option consistency[] = {
    COSIGNED, {"output", "FILE", "A new file; standard output when absent", false}, END};

static const struct cli_option export[] = {
    {"format", "FORMAT", "tiles, rolls, ndjson, ocsf or cef; ndjson when absent", false},
    {"range", "A-B", "Entries from A to B only; with ocsf and cef, calls that ended there", false},
    {"personal", NULL, "With who called; erasing a person later does not reach such a copy", false},
    COSIGNED,
    {"output", "PATH", "A new file, or the folder for tiles and rolls; standard output when absent", false},
    {"subject", "WHO", "Instead: everything about one person, by address, number or name; this is recorded", false},
    {"workspace", "NAME", "With --subject: the workspace; default when absent", false},
    END};

static const struct cli_option erase[] = {
    {"subject", "WHO", "The person: an e-mail address, a phone number, or what the calls named them", false},
    {"authority", "TEXT", "Who ordered it and why; kept in the record, so name no person there", false},
    {"workspace", "NAME", "The workspace; default when absent", false},
    END};

static const struct cli_option payload[] = {
    {"attempt", "N", "Of this attempt; the last one when absent", false},
    {"input", NULL, "Only the input, byte for byte", false},
    {"reply", NULL, "Only the connector's reply, byte for byte", false},
    END};

static const struct cli_option prune[] = {
    {"before", "DATE", "Only of entries older than this: 2026-01-31, or 2026-01-31T12:00:00Z", false},
    {"archive", "FILE", "Where they are written first; a new file, not among the daemon's own", false},
    {"hashes", NULL, "The second step, years later: of entries whose bodies are pruned, drop rows and hashes too", false},
    {"details", NULL, "Archive what stands beside the log as well, such as who called", false},
    {"vkey", "KEY", "Trust this verifier key in place of keys/log.pub", false},
    {"state", "FILE", "Remember there how far the log was verified", false},
    END};

static const struct cli_option hold[] = {
    {"workspace", "NAME", "The workspace; default when absent", false},
    {"from", "ID", "The first call that is held; the whole workspace when absent", false},
    {"to", "ID", "The last call that is held", false},
    {"reason", "TEXT", "Who wants it kept, or no longer, and why; kept in the record", false},
    END};

static const struct cli_option token[] = {
    {"role", "ROLE", "viewer, invoker, operator, admin or auditor; invoker when absent", false},
    {"workspace", "NAME", "The workspace that it is bound to; default when absent", false},
    {"connector", "NAME", "A connector that it is for; all when absent", true},
    {"action", "NAME", "An action that it is for; all when absent", true},
    {"expires", "TIME", "How long it is good for: 12h, 30d; 90d when absent", false},
    END};

const struct cli_verb cli_verbs[] = {
    {"init", NULL, "", 0, 0, verb_init,
     "Makes the home folder, its configuration and its keys. What is there already is left as it is.", init},
    {"status", NULL, "", 0, 0, verb_status, "Says whether the daemon runs and how its parts are.", NULL},
    {"doctor", NULL, "", 0, 0, verb_doctor,
     "Tries every wall on this machine, for the user who asks, and says what to do about those that do not hold. The "
     "exit status is 0 when all hold, 1 when connectors can only run with MinimumIsolation=lowered, 2 when they cannot "
     "run.",
     NULL},
    {"reload", NULL, "", 0, 0, verb_reload, "Has the daemon read caisson.conf and plugins.d again.", NULL},
    {"freeze", NULL, "", 0, 0, verb_freeze,
     "Stops all calls at once. Running ones finish, new ones are refused, until caisson thaw.", freeze},
    {"thaw", NULL, "", 0, 0, verb_thaw, "Lets calls run again after a freeze.", NULL},
    {"plugin", "list", "", 0, 0, verb_plugin_list, "Lists the connectors that drop-ins name, and their state.", NULL},
    {"plugin", "inspect", "NAME", 1, 1, verb_plugin_inspect,
     "Says in plain words what a connector asks for. NAME is a folder among the plugins, or an absolute path.", NULL},
    {"plugin", "enable", "NAME", 1, 1, verb_plugin_enable,
     "Shows what a connector asks for, pins its files and lets it be called. For one that is enabled already, shows "
     "what "
     "changed and keeps what it was granted, but for the options that are given. Where one of them is wrong, nothing "
     "is changed.",
     enable},
    {"plugin", "disable", "NAME", 1, 1, verb_plugin_disable,
     "Takes a connector out of service. Its drop-in stays, with Enabled=no.", NULL},
    {"plugin", "verify", "[NAME]", 0, 1, verb_plugin_verify,
     "Compares the files of connectors with the digests that were approved.", NULL},
    {"connector", "test", "PLUGIN.so [MANIFEST] [ACTION INPUT.json]...", 1, CLI_ARGUMENTS, verb_connector_test,
     "Runs a connector inside the daemon's walls, without a daemon, and prints its answers. Says in words which system "
     "calls it was refused and what to do instead. INPUT.json is a file, - or a JSON object; the manifest is the "
     "manifest.json beside the object when none is named; without an action the connector is only loaded.",
     connector_test},
    {"credential", "set", "NAME [FIELD=@FILE | FIELD=- | FIELD | FIELD=VALUE]...", 1, 17, verb_credential_set,
     "Stores a credential, sealed to the vault's key before it leaves this command. A field's value comes from a file, "
     "from standard input, from a prompt, or, if it is not secret, from the command line; one line break at the end of "
     "a file is not part of it. Required fields that are not named are asked for.",
     credential_set},
    {"credential", "rotate", "NAME [FIELD=@FILE | FIELD=- | FIELD | FIELD=VALUE]...", 1, 17, verb_credential_rotate,
     "Stores a new version of a credential that is there, for the same connector and audience and of the same kind.", workspace},
    {"credential", "import", "FILE", 1, 1, verb_credential_import,
     "Stores what another system sealed: opens each item of FILE, or of standard input for -, in locked memory, and "
     "seals it "
     "to the vault's key at once. Items are one token or envelope, one a line, a JSON array of them, or an object that "
     "names them. One that fails does not stop the others; the exit status is then that of the first.",
     credential_import},
    {"credential", "list", "", 0, 0, verb_credential_list, "Lists credentials; never their values.", credential_list},
    {"credential", "show", "NAME", 1, 1, verb_credential_show, "Shows what is known of a credential; never its values.",
     workspace},
    {"credential", "remove", "NAME", 1, 1, verb_credential_remove,
     "Destroys a credential, and ends the calls that were begun with it.", workspace},
    {"key", "status", "", 0, 0, verb_key_status,
     "Shows the versions of the master key and of the workspaces' keys, and what a rotation has left to do.", NULL},
    {"key", "rotate", "WHAT [NAME]", 1, 2, verb_key_rotate,
     "Replaces a key while calls run. WHAT is master, workspace (NAME; default when absent), credential "
     "(NAME) or provider (its half of the master key is wrapped anew, by the provider that caisson.conf names now). A "
     "rotation that was cut off goes on by itself; the same command waits for its end.",
     rotate_key},
    {"key", "check", "", 0, 0, verb_key_check,
     "Asks the key provider whether it still opens its half of the master key, and whether its own key has a newer version.",
     NULL},
    {"key", "recovery", "", 0, 0, verb_key_recovery,
     "Keeps a copy of the master key that only an offline key of age opens. Backups carry it. This is recorded.", recovery},
    {"backup", NULL, "", 0, 0, verb_backup,
     "Copies the databases of a running daemon into two encrypted files, the log apart from the credentials.", backup},
    {"restore", NULL, "FILE", 1, 1, verb_restore,
     "Puts FILE.audit.age and FILE.vault.age into a home folder that has no data.", restore},
    {"credential", "vkey", "", 0, 0, verb_credential_vkey,
     "Prints the key of the vault's identity: with it a page checks which key it seals a credential to.", NULL},
    {"lease", "list", "", 0, 0, verb_lease_list,
     "Lists what runs, waits for a worker, or waits as a leased worker for its next call.", lease_list},
    {"lease", "revoke", "", 0, 0, verb_lease_revoke,
     "Ends running calls and leased workers at once: all that the options name together. It is recorded first. New "
     "calls may begin: remove or rotate the credential, or disable the connector, to keep them from it.",
     lease_revoke},
    {"call", NULL, "CONNECTOR ACTION", 2, 2, verb_call,
     "Calls a connector and prints its answer. The exit status tells the outcome.", call},
    {"calls", "list", "", 0, 0, verb_calls_list, "Lists calls, the newest first.", calls_list},
    {"calls", "show", "ID", 1, 1, verb_calls_show, "Shows one call and its attempts.", NULL},
    {"calls", "retry", "ID", 1, 1, verb_calls_retry,
     "Lets a call be sent once more under its key, although it may have been sent already. This is recorded. A key that is "
     "forgotten, or a later call's by now, is not released.",
     reason},
    {"calls", "cancel", "ID", 1, 1, verb_calls_cancel, "Ends a running call.", reason},
    {"audit", "tail", "", 0, 0, verb_audit_tail, "Shows the newest entries of the log.", tail},
    {"audit", "verify", "", 0, 0, verb_audit_verify,
     "Recomputes the whole log from its files and compares it with what was signed and seen before. Names the first "
     "bad "
     "entry.",
     verify},
    {"audit", "checkpoint", "", 0, 0, verb_audit_checkpoint, "Prints the newest signed checkpoint.", checkpoint},
    {"audit", "push", "", 0, 0, verb_audit_push,
     "Pushes the newest checkpoint to the places in [Push] of caisson.conf that have not got it, and shows what they took.",
     NULL},
    {"audit", "prove", "", 0, 0, verb_audit_prove,
     "Writes the proof that an entry stands in the signed log, as a C2SP tlog-proof that carries the entry. "
     "caisson-verify proof checks it.",
     prove},
    {"audit", "consistency", "OLD [NEW]", 1, 2, verb_audit_consistency,
     "Writes the proof that the log was only added to since OLD. OLD is a size or a file with a checkpoint, NEW a size "
     "that was signed; the newest when absent. caisson-verify consistency checks it, and witnesses take it as it is.",
     consistency},
    {"audit", "export", "", 0, 0, verb_audit_export,
     "Writes the log for other software: C2SP tlog-tiles for verifiers, JSON lines, or events for a SIEM. The folder "
     "or "
     "file must not lie among connectors or the daemon's own files.",
     export},
    {"audit", "vkey", "", 0, 0, verb_audit_vkey,
     "Prints the key with which verifying the log begins; after it, on standard error, the one that signs now.", NULL},
    {"audit", "roll", "", 0, 0, verb_audit_roll,
     "Replaces the key that signs the log by a new one, and destroys the old one. The daemon does this by itself every "
     "RollHours=.",
     NULL},
    {"audit", "epoch", "", 0, 0, verb_audit_epoch,
     "Lets calls run again after a new epoch of the log has begun, or a witness knew another log. This is recorded.", reason},
    {"audit", "erase", "", 0, 0, verb_audit_erase,
     "Destroys the key that opens what the log kept of a person, and the ciphertext. Every proof stays. This is "
     "recorded.",
     erase},
    {"audit", "payload", "ID", 1, 1, verb_audit_payload,
     "Shows the input and the reply of a call, where Capture= in the connector's drop-in has them kept, and only if they are "
     "those that the log's record commits to. This is recorded before they are opened.",
     payload},
    {"audit", "prune", "", 0, 0, verb_audit_prune,
     "Verifies the log, writes old entries' bodies into an archive, records that, and then takes them out of the log. "
     "Every proof stays; with --hashes, the proofs about entries that are younger.",
     prune},
    {"audit", "hold", "add | list | remove ID", 1, 2, verb_audit_hold,
     "Keeps calls from being pruned and their people from being erased, while a hold covers them. This is recorded.",
     hold},
    {"token", "create", "NAME", 1, 1, verb_token_create, "Makes a token for callers over TCP. It is shown once.",
     token},
    {"token", "list", "", 0, 0, verb_token_list, "Lists tokens; never their text.", workspace},
    {"token", "revoke", "ID", 1, 1, verb_token_revoke, "Ends a token at once.", NULL},
    {"workspace", "create", "NAME", 1, 1, verb_workspace_create, "Makes a workspace.", NULL},
    {"workspace", "list", "", 0, 0, verb_workspace_list, "Lists the workspaces.", NULL},
    {"completion", NULL, "bash", 1, 1, verb_completion, "Prints completion for a shell: eval it or keep it as a file.",
     NULL},
    {NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
