#!/bin/sh
# The root is the same on every appliance and never changes. What tells this one from others is made once, on its data partition.
id=/sysroot/var/lib/sluice-identity/machine-id
if [ ! -s "$id" ]; then
  mkdir -p "${id%/*}"
  tr -d - </proc/sys/kernel/random/uuid >"$id.new" && mv "$id.new" "$id"
fi
mount --bind "$id" /sysroot/etc/machine-id
