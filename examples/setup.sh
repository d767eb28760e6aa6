# shellcheck shell=sh disable=SC2034
# Shared by quickstart.sh and tests/run.sh: what gilder needs on a fresh Debian or Ubuntu machine. Source it.
# Sets nothing up twice: only missing Debian packages are installed, and the venv is kept.

say() { printf '%s\n' "$*" >&2; }

fail() {
	say "error: $1"
	[ -z "${2:-}" ] || say "  hint: $2"
	exit 1
}

# need_root PROGRAM: mounting disks and entering chroots is root's work.
need_root() {
	[ "$(id -u)" -eq 0 ] || fail "$1 must run as root: it mounts disks and enters chroots" "use: sudo sh $1"
}

# need_no_azure PROGRAM: a cloud on this machine would stand in the way of the real one.
need_no_azure() {
	[ "${LOCALARM_ON_AZURE:-}" != 1 ] || return 0
	tag=$(cat /sys/class/dmi/id/chassis_asset_tag 2>/dev/null) || return 0
	# That of every Azure VM.
	[ "$tag" = 7783-7084-3265-9085-8269-3286-77 ] || return 0
	fail "this is an Azure VM, and $1 builds on a cloud of its own, which would stand in the way of the real one" \
		"README.md says how to build in Azure; where nothing else uses that (on a CI machine): LOCALARM_ON_AZURE=1 sh $1"
}

# need_packages NAME...: install those Debian packages that are missing.
need_packages() {
	command -v dpkg-query >/dev/null || fail "this is neither Debian nor Ubuntu" "install these by hand: $*"
	missing=
	for package in "$@"; do
		state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
		[ "$state" = installed ] || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	say "installing Debian packages:$missing"
	log=$(mktemp)
	# A package list may be missing or old: fetch it once, then install.
	# shellcheck disable=SC2086 # a list of words
	{ apt_get "$log" update -q && apt_get "$log" install -q -y --no-install-recommends $missing; } ||
		logged_failure "$log" "apt-get could not install:$missing"
	rm -f "$log"
}

# apt_get FILE ARGUMENTS...: apt-get with its output in FILE. Who else installs packages (on a machine's first boot, cloud-init
# and unattended-upgrades do) is waited for; apt's own option for that does not hold for the package lists.
apt_get() {
	said=$1
	shift
	waited=0
	until LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive apt-get "$@" >"$said" 2>&1; do
		{ [ "$waited" -lt 300 ] && grep -q 'Could not get lock' "$said"; } || return 1
		[ "$waited" -gt 0 ] || say "somebody else installs packages, waiting for up to five minutes:" \
			"$(sed -n 's/.*Could not get lock/lock/p' "$said" | head -n 1)"
		sleep 5
		waited=$((waited + 5))
	done
}

# want_packages NAME...: install those Debian packages that this release has; tests that use the others skip, and say so.
want_packages() {
	update=$(mktemp)
	for package in "$@"; do
		# The lists may be missing on a fresh machine; without them nothing seems to be there.
		has_candidate "$package" || apt_get "$update" update -q || :
		if has_candidate "$package"; then
			need_packages "$package"
		else
			say "apt has no package $package here: the tests that use it are skipped"
		fi
	done
	rm -f "$update"
}

# has_candidate PACKAGE: whether apt can install it. It may know a name that others mention, and have nothing for it.
has_candidate() {
	apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'
}

# find_python: sets $python to one that gilder runs on, and $stamp to what a venv with that is made from.
find_python() {
	python=
	for candidate in python3 python3.13 python3.12 python3.11; do
		if "$candidate" -c 'import sys, venv, ensurepip; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
			python=$candidate
			break
		fi
	done
	[ -n "$python" ] || fail "no Python 3.11 or later with venv was found" "install python3 and python3-venv"
	stamp=$(cksum <pyproject.toml)@$(pwd)@$("$python" -c 'import sys; print(sys.version.replace(chr(10), " "))')
}

# need_venv FOLDER REQUIREMENT: a venv with gilder from this checkout, made again only when pyproject.toml changed.
need_venv() {
	find_python
	notes=$1/.made-from # its first line tells what the venv was made from, each other one what was installed into it
	log=$(mktemp)
	if ! [ -x "$1/bin/python" ] || [ "$(sed -n 1p "$notes" 2>/dev/null)" != "$stamp" ]; then
		say "making the venv $1"
		rm -f "$notes"
		logged "$log" "the venv $1 could not be made" "$python" -m venv --clear "$1"
		printf '%s\n' "$stamp" >"$notes"
	fi
	if ! grep -qxF -e "$2" -e "$2[test]" "$notes"; then # with the extra, all the rest is there too
		say "installing gilder into $1"
		logged "$log" "gilder could not be installed into $1" "$1/bin/python" -m pip install --disable-pip-version-check -q -e "$2"
		printf '%s\n' "$2" >>"$notes"
	fi
	rm -f "$log"
}

# logged FILE ERROR PROGRAM...: run it with its output in FILE; when it fails, show the end of that and fail with ERROR.
logged() {
	file=$1
	error=$2
	shift 2
	"$@" >"$file" 2>&1 || logged_failure "$file" "$error"
}

# logged_failure FILE ERROR: show the end of what a program said, and fail.
logged_failure() {
	tail -n 20 "$1" >&2
	rm -f "$1"
	fail "$2" "see the lines above"
}

# What chroot builds use, and what the embedded cloud makes its images with.
GILDER_PACKAGES="python3 python3-venv util-linux mount fdisk e2fsprogs mmdebstrap debian-archive-keyring busybox-static dosfstools mtools"
