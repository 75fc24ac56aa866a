/* SPDX-License-Identifier: Apache-2.0 */
/* c-ares inside the role's event loop. */
#include "resolver.h"

#include <ares.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { TRY_MS = 1500, TRIES = 3 };

/* ── sockets ───────────────────────────────────────────────────────────────────────────────────────── */

static void socket_ready(struct role *role, int fd, uint32_t events, void *context)
{
    struct resolver *resolver = context;
    bool broken = events & (EPOLLERR | EPOLLHUP);
    ares_process_fd(resolver->channel, (events & EPOLLIN) || broken ? fd : ARES_SOCKET_BAD,
                    (events & EPOLLOUT) ? fd : ARES_SOCKET_BAD);
}

static void socket_state(void *context, ares_socket_t fd, int readable, int writable)
{
    struct resolver *resolver = context;
    uint32_t events = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0);
    if (events)
        role_watch(resolver->role, fd, events, socket_ready, resolver);
    else
        role_unwatch(resolver->role, fd);
}

/* ── life ──────────────────────────────────────────────────────────────────────────────────────────── */

bool resolver_open(struct resolver *resolver, struct role *role, const struct config *config, struct err *err)
{
    struct ares_options options = {.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
                                   .timeout = TRY_MS,
                                   .tries = TRIES,
                                   .lookups = (char *)"b",
                                   .ndomains = 0,
                                   .sock_state_cb = socket_state,
                                   .sock_state_cb_data = resolver};
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB |
               ARES_OPT_NOROTATE | ARES_OPT_DOMAINS | ARES_OPT_NDOTS;
    ares_channel channel;
    *resolver = (struct resolver){.role = role, .config = config};
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
        ares_init_options(&channel, &options, mask) != ARES_SUCCESS)
        return err_set(err, ERR_INTERNAL, "the name resolver does not start");
    resolver->channel = channel;
    ares_set_servers_ports_csv(channel, ""); /* whatever c-ares found by itself */
    return true;
}

void resolver_close(struct resolver *resolver)
{
    if (!resolver->channel) return;
    ares_destroy(resolver->channel); /* every question's answer comes now */
    resolver->channel = NULL;
    resolver_turn(resolver);
    ares_library_cleanup();
}

/* ── questions ─────────────────────────────────────────────────────────────────────────────────────── */

static void finish(struct resolver *resolver, struct lookup *lookup, enum lookup_state state, const char *problem)
{
    lookup->state = state;
    lookup->problem = problem;
    lookup->next = resolver->finished;
    resolver->finished = lookup;
}

/* What c-ares calls back with: the lookup and whose it is. */
struct question {
    struct resolver *resolver;
    struct lookup *lookup;
    struct question *next; /* of those that are to be asked again */
    char name[FRAME_HOST];
};

static const char *problem_of(int status)
{
    switch (status) {
    case ARES_ENODATA:
    case ARES_ENOTFOUND: return "there is no such name";
    case ARES_ETIMEOUT: return "the nameservers did not answer in time";
    case ARES_ECONNREFUSED: return "no nameserver can be reached";
    case ARES_ESERVFAIL: return "the nameserver failed to find the name";
    default: return "the nameserver's answer cannot be used";
    }
}

static void answered(void *context, int status, int timeouts, struct ares_addrinfo *found)
{
    struct question *question = context;
    struct lookup *lookup = question->lookup;
    struct resolver *resolver = question->resolver;
    resolver->running--;
    if (status == ARES_ECANCELLED) { /* by resolver_servers() only */
        question->next = resolver->again;
        resolver->again = question;
        return;
    }
    free(question);
    for (struct ares_addrinfo_node *node = found ? found->nodes : NULL; node; node = node->ai_next)
        if (lookup->count < LOOKUP_ADDRESSES && address_from(node->ai_addr, &lookup->addresses[lookup->count]))
            lookup->count++;
    if (found) ares_freeaddrinfo(found);
    finish(resolver, lookup, lookup->count ? LOOKUP_FOUND : LOOKUP_FAILED,
           problem_of(status == ARES_SUCCESS ? ARES_ENODATA : status));
}

static bool ask_hosts(const struct config *config, const struct name *name, struct lookup *lookup)
{
    for (unsigned i = 0; i < config->host_count; i++)
        if (strcmp(config->hosts[i].name.text, name->text) == 0 && lookup->count < LOOKUP_ADDRESSES)
            lookup->addresses[lookup->count++] = config->hosts[i].address;
    return lookup->count > 0;
}

/* Takes the question. */
static void ask_servers(struct resolver *resolver, struct question *question)
{
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};
    if (!resolver->servers[0]) {
        finish(resolver, question->lookup, LOOKUP_FAILED, "no nameserver is known: set [Resolver] Nameservers=");
        free(question);
        return;
    }
    resolver->running++;
    ares_getaddrinfo(resolver->channel, question->name, NULL, &hints, answered, question);
    role_wake_at(resolver->role, resolver_tick(resolver));
}

static void ask_dns(struct resolver *resolver, const struct name *name, struct lookup *lookup)
{
    struct question *question = malloc(sizeof *question);
    if (!question) {
        finish(resolver, lookup, LOOKUP_FAILED, "there is no memory for the question");
        return;
    }
    *question = (struct question){.resolver = resolver, .lookup = lookup};
    memcpy(question->name, name->text, sizeof question->name);
    ask_servers(resolver, question);
}

/* Questions that run are asked again: the old servers may be dead, and as long as somebody asks, there is no moment
 * without one. */
void resolver_servers(struct resolver *resolver, const char *servers)
{
    char wanted[SERVERS_TEXT] = "";
    memcpy(wanted, servers, strnlen(servers, sizeof wanted - 1));
    if (strcmp(resolver->servers, wanted) == 0) return;
    ares_cancel(resolver->channel);
    if (ares_set_servers_ports_csv(resolver->channel, wanted) == ARES_SUCCESS)
        memcpy(resolver->servers, wanted, sizeof resolver->servers);
    while (resolver->again) {
        struct question *question = resolver->again;
        resolver->again = question->next;
        ask_servers(resolver, question);
    }
}

struct lookup *resolver_ask(struct resolver *resolver, const struct name *name, void (*done)(void *), void *context)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup) return NULL;
    lookup->done = done;
    lookup->context = context;
    if (name->kind == NAME_ADDRESS) {
        lookup->count = address_parse(name->text, &lookup->addresses[0]);
        finish(resolver, lookup, lookup->count ? LOOKUP_FOUND : LOOKUP_FAILED, "it is not an address");
    } else if (ask_hosts(resolver->config, name, lookup)) {
        finish(resolver, lookup, LOOKUP_FOUND, NULL);
    } else {
        ask_dns(resolver, name, lookup);
    }
    return lookup;
}

void resolver_drop(struct lookup *lookup)
{
    if (lookup) lookup->dropped = true;
}

void resolver_turn(struct resolver *resolver)
{
    while (resolver->finished) {
        struct lookup *lookup = resolver->finished;
        resolver->finished = lookup->next;
        if (!lookup->dropped) lookup->done(lookup->context);
        free(lookup);
    }
}

uint64_t resolver_tick(struct resolver *resolver)
{
    if (!resolver->running) return 0;
    struct timeval most = {.tv_sec = 5}, left;
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    if (!resolver->running) return 0;
    struct timeval *next = ares_timeout(resolver->channel, &most, &left);
    return clock_now() + (uint64_t)next->tv_sec * CLOCK_S + (uint64_t)next->tv_usec * 1000 + CLOCK_MS;
}
