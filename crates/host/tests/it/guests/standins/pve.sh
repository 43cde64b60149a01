#!/bin/sh
# A stand-in for `pct` and `qm`. It takes what PVE documents (options.txt) and refuses anything else, and writes the
# configurations that PVE writes. It stands as usr/sbin/pct and usr/sbin/qm below the directory that is the host of a test.
PATH=/usr/bin:/bin
set -eu
root=${0%/usr/sbin/*}
program=${0##*/}
options=$root/standin/options.txt
die() { echo "$1" >&2; exit 255; }

printf '%s' "$program" >> "$root/standin/calls"
printf ' %s' "$@" >> "$root/standin/calls"
echo >> "$root/standin/calls"
test "$(env | grep -v -e '^PWD=' -e '^OLDPWD=' -e '^PATH=' -e '^SHLVL=' -e '^_=' | wc -l)" -eq 0 || die "the environment is not empty"

# Whether a value looks like what is documented for an option; `net0` is `net[n]` there.
check() {
  general=$(echo "$2" | sed -E 's/^(dev|mp|net|unused)[0-9]+$/\1[n]/')
  pattern=$(awk -v p="$program" -v c="$1" -v o="$general" '$1 == p && $2 == c && $3 == o { sub(/^[^ ]+ [^ ]+ [^ ]+ /, ""); print }' "$options")
  test -n "$pattern" || die "Unknown option: $2"
  test "$(printf '%s\n' "$3" | wc -l)" -eq 1 || die "400 Parameter verification failed. $2: more than one line"
  test ${#3} -le 8192 || die "400 Parameter verification failed. $2: value may only be 8192 characters long"
  printf '%s\n' "$3" | grep -Eqx -e "$pattern" || die "400 Parameter verification failed. $2: invalid format - $3"
}

vmid=${2:-}
echo "$vmid" | grep -Eqx '[1-9][0-9]{2,8}' || die "400 Parameter verification failed. vmid: invalid format"
case $program in
  pct) config=$root/etc/pve/lxc/$vmid.conf; lock=$root/run/lock/lxc/pve-config-$vmid.lock ;;
  qm) config=$root/etc/pve/qemu-server/$vmid.conf; lock=$root/run/lock/qemu-server/lock-$vmid.conf ;;
esac

put() {
  umask 027
  cat > "$config.tmp.$$"
  chmod 0640 "$config.tmp.$$"
  mv "$config.tmp.$$" "$config"
}

case "$program $1" in
"pct unlock" | "qm unlock")
  test $# -eq 2 || die "400 too many arguments"
  test -e "$root/standin/fail" && die "ipcc_send_rec failed: Connection refused"
  exec 9>> "$lock"
  flock -n 9 || die "can't lock file '$lock' - got timeout"
  test -e "$config" || die "Configuration file '$config' does not exist"
  grep -q '^lock: ' "$config" || test "$program" = qm || die "no lock found trying to remove any lock"
  test -e "$root/standin/idle" || { grep -v '^lock: ' "$config" || true; } | put
  ;;
"pct create")
  template=$3
  echo "$template" | grep -Eqx '[a-zA-Z][a-zA-Z0-9._-]*:vztmpl/[^/[:space:]]+' || die "400 ostemplate: invalid format - $template"
  shift 3
  values=
  description=
  while test $# -gt 0; do
    case $1 in --*) name=${1#--} ;; -*) name=${1#-} ;; *) die "400 too many arguments" ;; esac
    test $# -ge 2 || die "Option $name requires an argument"
    check create "$name" "$2"
    case $name in
      description) description=$2 ;;
      start | pool | storage | force | unique | restore | bwlimit | password) ;;
      rootfs) values="${values}rootfs: ${2%%:*}:vm-$vmid-disk-0,size=${2##*:}G
" ;;
      net*) values="$values$name: $(echo "$2" | sed 's/,ip=/,hwaddr=BC:24:11:00:00:01,ip=/'),type=veth
" ;;
      *) values="$values$name: $2
" ;;
    esac
    shift 2
  done
  test -e "$root/standin/fail" && die "unable to create CT $vmid - volume '$template' does not exist"
  ls "$root"/etc/pve/nodes/*/*/"$vmid.conf" > /dev/null 2>&1 && die "CT $vmid already exists on node 'pve'"
  echo "lock: create" | put
  test -e "$root/standin/cut" && exit 255
  features=$(cat "$root/standin/features" 2> /dev/null || true)
  test -z "$features" || values=$(echo "$values" | sed "s/^features: .*/features: $features/")
  {
    printf '%s\n' "$description" | sed -e 's/%/%25/g' -e 's/:/%3A/g' -e 's/^/#/'
    printf '%s\narch: amd64\nostype: debian\n' "$values" | grep -v '^$' | LC_ALL=C sort
  } | put
  ;;
*) die "ERROR: unknown command '$program $1'" ;;
esac
