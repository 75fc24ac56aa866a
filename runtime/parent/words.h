/* SPDX-License-Identifier: Apache-2.0 */
/* The shapes of words in caisson.conf. Those that a role will read are checked here too, so that a reload refuses the
 * whole file instead of leaving one role without its part. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Digits of that base only, at most UINT32_MAX. */
bool word_number(const char *text, unsigned base, uint32_t *number);
/* "192.0.2.1:80" or "[2001:db8::1]:80". */
bool word_endpoint(const char *text, struct sockaddr_storage *address, socklen_t *length);
bool word_address(const char *text);
/* An address, or an endpoint. */
bool word_nameserver(const char *text);
/* An address, or one with /BITS that says nothing beyond them. */
bool word_range(const char *text);
/* A host name of letters, digits and hyphens, not an address. */
bool word_host(const char *text, size_t length);
/* "none", or the absolute path of a control group */
bool word_group(const char *text);
/* "https://console.example.com" */
bool word_origin(const char *text);
