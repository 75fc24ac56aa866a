#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every SDK header compiles alone and without a warning, as strict C11 and as C++11 and newer; so does a connector
# that is written in C++. Usage: headers.sh INCLUDE
set -eu
include=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
compiled=0

compile() { # source, then the compiler and its options
    source=$1
    shift
    command -v "$1" >/dev/null || { echo "there is no $1"; exit 1; }
    "$@" -Wall -Wextra -Wpedantic -Werror -I"$include" -fsyntax-only "$source"
    compiled=$((compiled + 1))
}

for header in connector http mail testing; do
    printf '#include <caisson/%s.h>\nint main(void) { return 0; }\n' $header >"$folder/one.c"
    cp "$folder/one.c" "$folder/one.cc"
    for compiler in gcc clang; do compile "$folder/one.c" $compiler -std=c11 -Wshadow -Wstrict-prototypes; done
    for compiler in g++ clang++; do
        for standard in c++11 c++17 c++20; do compile "$folder/one.cc" $compiler -std=$standard; done
    done
done
cat >"$folder/hello.cc" <<'END'
#include <caisson/http.h>
#include <caisson/mail.h>
static int greet(csn_call *call)
{
    csn_http_request request = csn_http_request();
    csn_http_response response = csn_http_response();
    request.size = sizeof request;
    response.size = sizeof response;
    request.url = csn_input(call, "/url");
    int got = csn_http(call, &request, &response);
    return csn_http_success(got, &response) ? csn_ok(call) : csn_http_fail(call, got, &response, "it");
}
CSN_CONNECTOR("hello", "1.0.0", {"greet", greet});
END
for compiler in g++ clang++; do compile "$folder/hello.cc" $compiler -std=c++11; done
echo "$compiled compilations"
