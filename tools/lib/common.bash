# Shared by the bash tools: messages, the Debian release, and the mirror in use.
# Sourced, not run.

say() { printf '%s\n' "$*"; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Prints the release's codename; refuses what nobody has tried.
debian_codename() {
    local codename
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-unknown}")
    case $codename in
    bookworm | trixie) printf '%s\n' "$codename" ;;
    *) die "this tool knows Debian 12 (bookworm) and Debian 13 (trixie); this machine is '$codename'." \
        "Install the packages of tools/packages.txt in your own way and set CORDON_SETUP=skip." ;;
    esac
}

# Prints the base address of the archive that this system's apt uses for release $1,
# whatever format its sources are written in (apt itself parses them).
apt_mirror() {
    local uri
    uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 2>/dev/null |
        awk -v release="$1" '$2 == release && $3 == "main" { print $1; exit }')
    [ -n "$uri" ] || die "no apt source for '$1 main' in /etc/apt: cannot tell which mirror to use"
    printf '%s\n' "$uri"
}

# True if apt has the suite $1 among its sources.
apt_has_suite() {
    apt-get indextargets --format '$(RELEASE)' 'Created-By: Packages' 2>/dev/null |
        grep -qx -- "$1"
}

# Prints the keyring of Debian's archive.
archive_keyring() {
    local file
    for file in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
        if [ -e "$file" ]; then
            printf '%s\n' "$file"
            return
        fi
    done
    die "no Debian archive keyring: install debian-archive-keyring"
}
