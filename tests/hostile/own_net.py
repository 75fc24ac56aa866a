#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Becomes the daemon (the command behind the first word) in a network of its own, where loopback carries ADDRESS: a
machine with a public address. The first word is a unix socket: there goes a server that listens on that address.

usage: own_net.py SOCKET ADDRESS COMMAND…
"""
import ctypes
import fcntl
import os
import socket
import struct
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFADDR, SIOCSIFFLAGS, UP = 0x8916, 0x8914, 0x1 | 0x40


def write(path, text):
    with open(path, "w", encoding="ascii") as out:
        out.write(text)


def leave():
    """Root needs no user namespace; anybody else keeps his own number in one."""
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare((CLONE_NEWUSER if uid else 0) | CLONE_NEWNET) < 0:
        sys.exit(f"no network of our own: {os.strerror(ctypes.get_errno())}")
    if uid:
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{uid} {uid} 1")
        write("/proc/self/gid_map", f"{gid} {gid} 1")


def carry(name, address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        inet = struct.pack("16sHH4s8x", name.encode(), socket.AF_INET, 0, socket.inet_aton(address))
        fcntl.ioctl(control, SIOCSIFADDR, inet)
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), UP))


def main(path, address, *command):
    leave()
    carry("lo", "127.0.0.1")
    carry("lo:1", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line, socket.create_server((address, 0)) as server:
        line.connect(path)
        socket.send_fds(line, [b"!"], [server.fileno()])
    os.execv(command[0], command)


main(*sys.argv[1:])
