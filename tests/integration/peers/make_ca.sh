#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes an authority and certificates for tests in FOLDER, once.
# usage: make_ca.sh FOLDER NAME…
#   ca.pem                     trust this one
#   server.pem server.key      good for every NAME (and for 127.0.0.1)
#   wrong.pem wrong.key        from the same authority, for another name
#   expired.pem expired.key    from the same authority, for every NAME, out of date since years
#   self.pem self.key          for every NAME, signed by nobody but itself
#   other-ca.pem               an authority that signed none of them
set -eu
[ $# -ge 2 ] || { sed -n '4,10s/^# *//p' "$0" >&2; exit 2; }
folder=$1
shift
[ ! -f "$folder/made" ] || exit 0
mkdir -p "$folder"
cd "$folder"
names=IP:127.0.0.1
for name in "$@"; do names="$names,DNS:$name"; done

request() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "$@" 2>/dev/null; }

authority() { # FILE TITLE
    request -x509 -days 3650 -keyout "$1.key" -out "$1.pem" -subj "/CN=$2" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

# `openssl ca` is the one command of OpenSSL 3.0 that can date a certificate back.
certificate() { # FILE NAMES [FROM UNTIL]
    request -keyout "$1.key" -out "$1.csr" -subj "/CN=test server"
    : >"$1.index"
    cat >"$1.conf" <<END
[ca]
default_ca = one
[one]
database = $1.index
new_certs_dir = .
rand_serial = yes
default_md = sha256
default_days = 3650
policy = any
x509_extensions = server
unique_subject = no
[any]
commonName = supplied
[server]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = $2
END
    dates=
    [ $# -lt 4 ] || dates="-startdate $3 -enddate $4"
    # shellcheck disable=SC2086 # two options with their values
    openssl ca -batch -notext -config "$1.conf" -cert ca.pem -keyfile ca.key -in "$1.csr" -out "$1.pem" $dates 2>/dev/null
    rm -f "$1.csr" "$1.conf" "$1".index*
}

authority ca "Caisson test authority"
authority other-ca "Another test authority"
certificate server "$names"
certificate wrong DNS:wrong.example
certificate expired "$names" 20200101000000Z 20200201000000Z
request -x509 -days 3650 -keyout self.key -out self.pem -subj "/CN=test server" -addext "subjectAltName=$names"
rm -f [0-9A-F]*.pem
: >made
