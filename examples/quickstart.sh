#!/bin/sh
# Builds a real Debian 13 image on the cloud embedded in gilder: on a fresh Debian >= 12 or Ubuntu >= 24.04, as root.
# Installs what is missing, and leaves no daemon, mount or loop device behind. Run it again: the base image is kept.
set -eu
cd "$(dirname "$0")/.."
. examples/setup.sh

need_root examples/quickstart.sh
need_no_azure examples/quickstart.sh
# shellcheck disable=SC2086 # a list of words
need_packages $GILDER_PACKAGES
venv=${GILDER_VENV:-.venv}
need_venv "$venv" .

say "building examples/quickstart.json on the embedded cloud"
result=$(mktemp)
trap 'rm -f "$result"' EXIT
"$venv/bin/gilder" build --cloud local "$@" examples/quickstart.json >"$result" || {
	cat "$result"
	fail "the build failed" "what is above says why; where a log is named, it has the rest"
}
cat "$result"

image=$(sed -n 's/^ *\(\/subscriptions\/.*\/images\/.*\)$/\1/p' "$result" | tail -n 1)
[ -n "$image" ] || fail "the build said that it succeeded, but named no image"
name=${image##*/}
cat <<END

Images on the embedded cloud:
$("$venv/bin/localarm" images)

To look inside this one:
  $venv/bin/localarm export $name /var/tmp/$name.raw
  loop=\$(losetup --find --show /var/tmp/$name.raw) && partx --add \$loop
  mount -o ro \${loop}p1 /mnt && cat /mnt/etc/os-release && ls -l /mnt/usr/bin/hello
  umount /mnt && partx --delete \$loop && losetup --detach \$loop && rm /var/tmp/$name.raw
END
