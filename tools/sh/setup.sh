# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2034,SC2154
# Shared by ./start and ./check: installs what is missing and builds. Sourced; expects $root, the checkout's folder.

# One line per need: command or pkg-config module that proves it, then the Debian package that brings it.
need_build='
cmd:cc gcc
cmd:meson meson
cmd:ninja ninja-build
cmd:pkg-config pkg-config
cmd:scdoc scdoc
pc:libseccomp libseccomp-dev
pc:libsodium libsodium-dev
pc:libcurl libcurl4-openssl-dev
pc:libcrypto libssl-dev
pc:jansson libjansson-dev
pc:sqlite3 libsqlite3-dev
pc:libmicrohttpd libmicrohttpd-dev
pc:libcares libc-ares-dev
pc:p11-kit-1 libp11-kit-dev
file:/usr/include/linux/landlock.h linux-libc-dev
'
need_demo='
cmd:openssl openssl
cmd:curl curl
file:/etc/ssl/certs/ca-certificates.crt ca-certificates
py:aiosmtpd python3-aiosmtpd
py:aiohttp python3-aiohttp
'
need_test='
pc:cmocka libcmocka-dev
cmd:g++ g++
cmd:clang clang
file:/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.fuzzer-x86_64.a libclang-rt-14-dev
cmd:sqlite3 sqlite3
cmd:strace strace
cmd:shellcheck shellcheck
cmd:codespell codespell
cmd:ctags universal-ctags
cmd:abidiff abigail-tools
cmd:promtool prometheus
cmd:chromium chromium
cmd:setpriv util-linux
cmd:git git
cmd:go golang-go
file:/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog/tlog.go golang-golang-x-mod-dev
cmd:age age
cmd:systemd-analyze systemd
cmd:minisign minisign
cmd:signify-openbsd signify-openbsd
cmd:softhsm2-util softhsm2
py:cryptography python3-cryptography
'

need_lint='
cmd:clang-tidy clang-tidy
cmd:cppcheck cppcheck
'

say() {
    printf '\033[1m%s\033[0m\n' "$*" >&2
}

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

have_need() {
    case $1 in
    cmd:*) command -v "${1#cmd:}" >/dev/null 2>&1 ;;
    pc:*) command -v pkg-config >/dev/null 2>&1 && pkg-config --exists "${1#pc:}" ;;
    file:*) [ -e "${1#file:}" ] ;;
    py:*) /usr/bin/python3 -c "import ${1#py:}" >/dev/null 2>&1 ;;
    esac
}

# missing_packages LIST: prints the packages whose proof is absent.
missing_packages() {
    printf '%s\n' "$1" | while read -r proof package; do
        [ -z "$proof" ] || have_need "$proof" || printf '%s\n' "$package"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# install_packages PACKAGE…: with apt, as root or by sudo; says what to do where neither is possible.
install_packages() {
    [ $# -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ] && ! { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }; then
        die "These packages are missing: $*
Ask an administrator to run: apt-get install $*"
    fi
    say "Installing: $*"
    as_root apt-get update -q >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >&2
}

# need LIST…: installs what the lists ask for and is not there.
need() {
    packages=$(for list in "$@"; do missing_packages "$list"; done | sort -u)
    # shellcheck disable=SC2086 # one word is one package
    install_packages $packages
}

# Node comes with npm or not at all: Debian's npm conflicts with a Node that is not Debian's.
need_node() {
    command -v npm >/dev/null 2>&1 && return 0
    if command -v node >/dev/null 2>&1 && [ ! -e /usr/share/doc/nodejs ]; then
        die "Node is there without npm: install npm for it, then run this again."
    fi
    install_packages nodejs npm
}

# build NAME TARGET MESON-OPTIONS…: configures build/NAME once and builds this target of it.
build() {
    name=$1
    target=$2
    shift 2
    if [ ! -f "$root/build/$name/build.ninja" ]; then
        say "Configuring build/$name"
        meson setup "$root/build/$name" "$root" "$@" >&2 || die "Configuring build/$name failed; the reason stands above."
    fi
    say "Building build/$name"
    ninja -C "$root/build/$name" "$target" >&2 || die "Building build/$name failed; the reason stands above."
}
