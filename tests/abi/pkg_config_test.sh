#!/bin/sh
# pkg_config_test.sh BUILD_DIRECTORY SOURCE [FLAG...]: whether what pkg-config says is enough to build SOURCE, a worker in C, and whether
# the result, started by nobody, says so.
set -eu
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
PKG_CONFIG_PATH=$1/meson-uninstalled
export PKG_CONFIG_PATH
build=$1 source=$2
shift 2
# shellcheck disable=SC2046
cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror "$@" -o "$directory/worker" "$source" $(pkg-config --cflags --libs warder)
LD_LIBRARY_PATH=$build/src/client
export LD_LIBRARY_PATH
unset WARDER_SOCKET
if "$directory/worker" 2> "$directory/words"; then exit 1; fi
grep -q 'not started by warderd' "$directory/words"
