# -- paths at the version on the line ----------------------------------------------------------

# The commit that $1 names: a revision, a worktree experiment, or HEAD.
commit_of() {
    for name in "$1" "exp/$1"; do
        git rev-parse --verify --quiet --end-of-options "$name^{commit}" 2>/dev/null && return
    done
}

paths() {
    rev=$(commit_of "${pos1:-HEAD}") || return
    [ -n "$rev" ] || return
    case $cur in */*) dir=${cur%/*}/ ;; *) dir= ;; esac
    here=$(git rev-parse --show-prefix 2>/dev/null)
    below "$dir" "$here"
    [ -z "$here" ] || below "$dir" ''
}

# What is in folder $1 of the commit, read from folder $2 of the repository; folders end in /.
below() {
    at=$(printf '%s' "$2$1" | awk '{
        n = split($0, part, "/"); m = 0
        for (i = 1; i < n; i++)
            if (part[i] == "..") { if (m > 0) m--; else { print "//"; exit } }
            else if (part[i] != "." && part[i] != "") kept[++m] = part[i]
        for (i = 1; i <= m; i++) printf "%s/", kept[i]
    }')
    [ "$at" != // ] || return
    {
        git ls-tree -z --full-tree "$rev" ${at:+"$at"} 2>/dev/null | tr '\0' '\n' | sed -n \
            -e "s/^[0-9]* tree [0-9a-f]*$TAB\(.*\)/\1\//p" -e "s/^[0-9]* blob [0-9a-f]*$TAB//p"
        outputs | manifests
    } | cut_to "$at" | awk '
        !seen[$0]++ { name[++n] = $0 }
        END {
            for (i = 1; i <= n; i++) {
                stem = name[i]
                if (sub(/\.dvc$/, "", stem) && (stem in seen || stem "/" in seen)) continue
                print name[i]
            }
        }' | while IFS= read -r name; do say "$1$name" file; done
}

# The next part of each path below folder $1.
cut_to() {
    at=$1 awk 'BEGIN { at = ENVIRON["at"]; n = length(at) }
        substr($0, 1, n) == at && length($0) > n {
            rest = substr($0, n + 1)
            if (i = index(rest, "/")) rest = substr(rest, 1, i)
            if (rest !~ /^(\.git|\.dvc)ignore$/) print rest
        }'
}

# "hash path" of every DVC output of the commit; hash is - where none is known.
outputs() {
    git ls-tree -r -z --full-tree "$rev" | tr '\0' '\n' |
        sed -n "s/^[0-9]* blob \([0-9a-f]*\)$TAB\(.*\.dvc\)$/\1 \2/p; s/^[0-9]* blob \([0-9a-f]*\)$TAB\(.*dvc\.lock\)$/\1 \2/p" |
        git cat-file --batch='>>> %(rest)' 2>/dev/null | awk '
        function text(s) {
            sub(/^[^:]*: */, "", s)
            if (s ~ /^".*"$/) { s = substr(s, 2, length(s) - 2); gsub(/\\"/, "\"", s) }
            if (s ~ /^\047.*\047$/) { s = substr(s, 2, length(s) - 2); gsub(/\047\047/, "\047", s) }
            return s
        }
        function flush() { if (path != "") print (hash == "" ? "-" : hash), base path; path = hash = "" }
        /^>>> / {
            flush(); outs = 0; file = substr($0, 5); base = file
            if (!sub(/[^\/]*$/, "", base)) base = ""
            next
        }
        /^ *wdir:/ { wdir = text($0); if (wdir != "." && file ~ /\.dvc$/) base = base wdir "/"; next }
        /^ *outs:/ { flush(); outs = 1; next }
        /^ *(deps|params|cmd|meta|md5|hash|desc):/ && !/^ *- / && file ~ /\.lock$/ && !/^      / { flush(); outs = 0 }
        /^ *deps:/ { flush(); outs = 0 }
        outs && /^ *- / { flush(); sub(/- /, "  ") }
        outs && /^ *path:/ { path = text($0) }
        outs && /^ *md5:/ { hash = text($0) }
        END { flush() }'
}

# The paths of outputs, with those inside a folder where its manifest is in the cache.
manifests() {
    cache=
    while read -r hash path; do
        case $hash in
        *.dir)
            printf '%s\n' "$path/"
            case $at in "$path"/*) ;; *) continue ;; esac
            [ -n "$cache" ] || cache=$(cache_folder)
            part=${hash%"${hash#??}"}
            for file in "$cache/files/md5/$part/${hash#??}" "$cache/$part/${hash#??}"; do
                [ ! -f "$file" ] || members "$path" <"$file"
            done
            ;;
        *) printf '%s\n' "$path" ;;
        esac
    done
}

# The files that a manifest lists, below folder $1: the strings are JSON's, which are ASCII. In the C
# locale %c is a byte.
members() {
    folder=$1 LC_ALL=C awk '
        function hex(s,  i, n) {
            for (i = 1; i <= 4; i++)
                n = 16 * n + index("0123456789abcdef", tolower(substr(s, i, 1))) - 1
            return n
        }
        function utf8(n) {
            if (n < 128) return sprintf("%c", n)
            if (n < 2048) return sprintf("%c%c", 192 + int(n / 64), 128 + n % 64)
            if (n < 65536)
                return sprintf("%c%c%c", 224 + int(n / 4096), 128 + int(n / 64) % 64, 128 + n % 64)
            return sprintf("%c%c%c%c", 240 + int(n / 262144), 128 + int(n / 4096) % 64, \
                128 + int(n / 64) % 64, 128 + n % 64)
        }
        function plain(s,  out, at, n, c) {
            while (at = index(s, "\\")) {
                c = substr(s, at + 1, 1)
                out = out substr(s, 1, at - 1)
                s = substr(s, at + 2)
                if (c != "u") { out = out c; continue }
                n = hex(s)
                s = substr(s, 5)
                if (n >= 55296 && n < 56320) { n = 65536 + (n - 55296) * 1024 + hex(substr(s, 3)) - 56320; s = substr(s, 7) }
                out = out utf8(n)
            }
            return out s
        }
        {
            count = split($0, part, /"relpath": "/)
            for (i = 2; i <= count; i++) {
                match(part[i], /^([^"\\]|\\.)*/)
                print ENVIRON["folder"] "/" plain(substr(part[i], 1, RLENGTH))
            }
        }'
}

cache_folder() {
    local_dir=$(sed -n 's/^ *dir *= *//p' "$top/.dvc/config.local" 2>/dev/null | head -n 1)
    case $local_dir in
    /*) printf '%s\n' "$local_dir" ;;
    *) printf '%s\n' "$(git rev-parse --path-format=absolute --git-common-dir)/../.dvc/cache" ;;
    esac
}
