# Shared by the bash tools: messages, the Debian release, and the mirror in use.
# Sourced, not run.

say() { printf '%s\n' "$*"; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Prints where fetched packages are kept; it is made.
cache_folder() {
    local folder=${CORDON_CACHE:-${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}}
    [ -n "$folder" ] || die "neither HOME nor CORDON_CACHE is set: set CORDON_CACHE to a folder for packages"
    [ -n "${CORDON_CACHE:-}" ] || folder=$folder/cordon
    mkdir -p "$folder" 2>/dev/null && [ -w "$folder" ] ||
        die "$folder cannot be written: set CORDON_CACHE to a folder for packages"
    printf '%s\n' "$folder"
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

# Prints "URI SUITE COMPONENT" for each source of Debian itself that apt has here. apt parses
# its own sources; whose they are stands in its lists, which are read into a temporary
# folder if the machine has none yet.
debian_sources() {
    local lists=$1
    apt-get ${lists:+-o Dir::State::lists="$lists"} indextargets \
        --format '$(ORIGIN)/$(LABEL) $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 2>/dev/null | sed -n 's|^Debian/Debian ||p'
}

# Prints the base address of the archive that this system's apt uses for release $1.
apt_mirror() {
    local sources lists
    sources=$(debian_sources '')
    if [ -z "$sources" ]; then
        lists=$(mktemp -d)
        chmod 755 "$lists" && mkdir "$lists/partial"
        apt-get -q=2 -o Dir::State::lists="$lists" -o APT::Sandbox::User= update >/dev/null 2>&1 || true
        sources=$(debian_sources "$lists")
        rm -rf "$lists"
    fi
    awk -v release="$1" '$2 == release && $3 == "main" { print $1; found = 1; exit }
        END { exit !found }' <<<"$sources" ||
        die "apt has no source for Debian's '$1 main' here: cannot tell which mirror to use"
}

# True if some apt source here names the suite $1.
apt_has_suite() {
    grep -rqs -- "^[^#]*\\b$1\\b" /etc/apt/sources.list /etc/apt/sources.list.d/
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
