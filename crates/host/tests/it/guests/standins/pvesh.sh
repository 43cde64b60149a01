#!/bin/sh
# A stand-in for `pvesh`, which only knows `set /pools` (pve-manager 9, `API2/Pool.pm` `update_pool`), and changes the line of the
# pool in user.cfg as PVE does. It stands as usr/bin/pvesh below the directory that is the host of a test.
PATH=/usr/bin:/bin
set -eu
root=${0%/usr/bin/*}
users=$root/etc/pve/user.cfg
die() { echo "$1" >&2; exit 255; }

printf 'pvesh' >> "$root/standin/calls"
printf ' %s' "$@" >> "$root/standin/calls"
echo >> "$root/standin/calls"
test "$1 $2" = "set /pools" || die "no such resource '$2'"
shift 2
pool=
vmid=
while test $# -gt 0; do
  test $# -ge 2 || die "Option $1 requires an argument"
  case $1 in
    --poolid) pool=$2 ;;
    --vms) vmid=$2 ;;
    --comment | --storage | --allow-move | --delete) die "not expected here: $1" ;;
    *) die "Unknown option: ${1#--}" ;;
  esac
  shift 2
done
test -e "$root/standin/poolless" && die "update pools failed: got timeout"
grep -q "^pool:$pool:" "$users" || die "update pools failed: pool '$pool' does not exist"
grep -Eq "^pool:[^:]*:[^:]*:([0-9,]*,)?$vmid(,[0-9,]*)?:" "$users" && die "update pools failed: VM $vmid is already a pool member"
sed -i -E "s/^(pool:$pool:[^:]*:)([0-9,]+):/\\1\\2,$vmid:/; s/^(pool:$pool:[^:]*:):/\\1$vmid:/" "$users"
