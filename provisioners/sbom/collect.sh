# Prints what is installed below the directory $1, in sections: a line with the byte 1 and the section's name, then its lines. Needs no
# more than a POSIX shell; what cannot be read is no part of the answer, what fails has a section `failed`. A function as a whole, so
# that no command reads the rest of this text as its input.
list() {
	LC_ALL=C
	export LC_ALL
	root=${1%/}
	section() { printf '\001%s\n' "$1"; }

	section os-release
	cat "$root/etc/os-release" 2>/dev/null || cat "$root/usr/lib/os-release" 2>/dev/null
	section kernel
	[ -n "$root" ] || uname -srm

	if [ -r "$root/var/lib/dpkg/status" ] && command -v dpkg-query >/dev/null; then
		section dpkg
		dpkg-query --admindir="$root/var/lib/dpkg" -W \
			-f='${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\t${Maintainer}\n' ||
			{ section failed; echo dpkg-query; }
		section copyright
		grep -H '^License:' "$root"/usr/share/doc/*/copyright 2>/dev/null
	fi

	if { [ -d "$root/var/lib/rpm" ] || [ -d "$root/usr/lib/sysimage/rpm" ]; } && command -v rpm >/dev/null; then
		section rpm
		rpm --root "${root:-/}" -qa \
			--qf '%{NAME}\t%|EPOCH?{%{EPOCH}}|\t%{VERSION}-%{RELEASE}\t%{ARCH}\t%|SOURCERPM?{%{SOURCERPM}}|\t%|LICENSE?{%{LICENSE}}|\t%|VENDOR?{%{VENDOR}}|\n' ||
			{ section failed; echo rpm; }
	fi

	for installed in "$root/lib/apk/db/installed" "$root/usr/lib/apk/db/installed"; do
		[ -r "$installed" ] && [ ! -h "${installed%/apk/*}" ] || continue
		section apk
		grep -E '^[PVALom]:|^$' "$installed"
	done

	# Of language packages those that the distribution did not install: its own are listed above.
	if [ -n "$root" ]; then
		set -- "$root"
	else
		set -- /usr/local /usr/lib/node_modules /opt /srv /root/.local /home
	fi
	section python
	find "$@" -xdev -type f -size -1024k -path '*.dist-info/METADATA' -exec sh -c \
		'for file; do printf "\002%s\n" "$file"; sed "/^.\{0,1\}$/q" "$file"; done' sh {} + 2>/dev/null
	section npm
	find "$@" -xdev -type f -size -1024k -path '*/node_modules/*/package.json' -exec sh -c \
		'for file; do printf "\002%s\n" "$file"; cat "$file"; echo; done' sh {} + 2>/dev/null
	section end
}
