/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes that python3-cryptography made: "battery staple" under the passphrase "correct horse". Costs are low, so
 * that the test is short. */
#pragma once

static const char *const envelopes[] = {
    "{\"kdf\":{\"name\":\"PBKDF2\",\"salt\":\"e+JcbjR4G4lRY7fC0+E6zQ==\",\"params\":{\"iterations\":1000,"
    "\"hash\":\"SHA-256\"}},\"cipher\":{\"iv\":\"dgqv+pjeK5Cx0T6d\"},\"ct\":\"aZ2pFSeMVNs35IHs0ecLQE9t9dA"
    "olkzm2PQxZGlm\"}",
    "{\"kdf\":{\"name\":\"PBKDF2\",\"salt\":\"7SxX38Kv7Rf/fi9RCb7Ls6bhaPdcMP/hSpE8Hy/FHE8V+w1zkuN11fIH7Ib"
    "Q1aFctiezI9U+WKlziD7haqaX+Q==\",\"params\":{\"iterations\":1000,\"hash\":\"SHA-512\"}},\"cipher\":{"
    "\"iv\":\"m7zqUmk3AbcCFdjB\"},\"aad\":\"b2YgdGhhdCBzeXN0ZW0=\",\"ct\":\"rNfK7NCfhpgs5MkNCDM=\",\"tag\""
    ":\"RKRMJxwQwaZUF+KXb9KjnA==\"}",
    "{\"kdf\":{\"name\":\"scrypt\",\"salt\":\"/0BXZKTo5i6h94tAv1dAH7S+k8pYayV+CREeOZUek6Y=\",\"params\":{"
    "\"N\":1024,\"r\":8,\"p\":2}},\"cipher\":{\"iv\":\"tLy7Jm54ovC5icTW\"},\"aad\":\"b2YgdGhhdCBzeXN0ZW0="
    "\",\"ct\":\"zEq+KBoP/MZl83WQ10BG/+HKpf/2am7E01tc5h50\"}",
    "{\"kdf\":{\"name\":\"argon2id\",\"salt\":\"O8gSXzbAu3oVrmkFSNKhsA==\",\"params\":{\"m\":64,\"t\":2,"
    "\"p\":1}},\"cipher\":{\"iv\":\"V4/rwisHlEB4BLp8\"},\"ct\":\"NQsX2a9L0gaizHTISMnVioM4CYiL9BilMQDmlFpy"
    "\"}",
};
