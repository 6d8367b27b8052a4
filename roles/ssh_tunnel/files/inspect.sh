#!/bin/sh
# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Print the state of a bastion that the role ssh_tunnel depends on, and change nothing. It is one script, since a module for each question
# takes ten times as long. Each line is a name and a value in base64; plugins/filter/sshd_config.py reads them.
#     inspect.sh SSHD CONFIG DROP_IN KEYS HOME USER GROUP LOGIN PUBLIC_KEY
set -eu
sshd=$1 config=$2 drop_in=$3 keys=$4 home=$5 user=$6 group=$7 login=$8 public_key=$9

print() {
    printf '%s %s\n' "$1" "$(printf '%s' "$2" | base64 | tr -d '\n')"
}

print_file() {
    if [ ! -e "$2" ]; then return; fi
    if content=$(base64 "$2" 2>&1); then
        printf '%s %s\n' "$1" "$(printf '%s' "$content" | tr -d '\n')"
    else
        print unreadable "$content"
    fi
}

print_entry() {
    status=0
    entry=$(getent "$1" "$2") || status=$?
    case $status in
        0) print "$1" "$entry" ;;
        # There is no such entry.
        2) ;;
        *) exit "$status" ;;
    esac
}

# sshd asks for all circumstances of a login that a Match may depend on.
effective_config() {
    "$sshd" -T -f "$config" -C "user=$1,host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport=22"
}

# Warnings are no part of the configuration.
print_effective_config() {
    if text=$(effective_config "$2" 2>/dev/null); then
        print "$1" "$text"
    else
        print invalid "$(effective_config "$2" 2>&1 >/dev/null || true)"
    fi
}

# The administrator is whoever has become root by sudo, or else whoever has logged in.
login=${SUDO_USER:-$login}
print login "$login"

if [ ! -x "$sshd" ]; then
    print missing "$sshd"
elif ! complaint=$("$sshd" -t -f "$config" 2>&1); then
    print invalid "$complaint"
else
    print_effective_config root_config root
    print_effective_config login_config "$login"
    print_effective_config user_config "$user"
fi

print_file config "$config"
print_file drop_in "$drop_in"
print_file keys "$keys"
if [ -e "$home" ]; then print home "$home"; fi
if [ -d "$(dirname "$drop_in")" ]; then print folder "$drop_in"; fi
print_entry passwd "$user"
print_entry group "$group"
if fingerprint=$(printf '%s\n' "$public_key" | ssh-keygen -l -f - 2>/dev/null); then print fingerprint "$fingerprint"; fi
