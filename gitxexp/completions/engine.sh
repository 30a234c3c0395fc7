# What completes the words of `git xexp`: one POSIX script, run by `sh -c` from every shell, so that
# a TAB starts no Python. Usage: sh -c THIS sh MODE WORD..., WORDs from git (or git-xexp) to the
# cursor. MODE is plain (only what begins with the last word, no descriptions), full or fish.
# Prints a header (word|path, files wanted, prefix of the last word that values follow), then
# values, each with a description after a tab. fish shows what is printed as it comes, so for it
# there is no header: values have the prefix, and the exit code says which files are wanted: 0 none,
# else 10 for folders, 11 any, 12 databases, and 4 for each character of the prefix.
set -f
TAB='	'
NL='
'
mode=$1
shift
GIT_OPTIONAL_LOCKS=0
export GIT_OPTIONAL_LOCKS

@SPEC@

load() {
    spec_of "$path"
    verbs=' '
    default=
    IFS=$NL
    for line in $spec; do
        case $line in
        "v$TAB"*) line=${line#v"$TAB"}; verbs="$verbs${line%%"$TAB"*} " ;;
        "d$TAB"*) default=${line#d"$TAB"} ;;
        esac
    done
    # Options of the verb that a group means when none is given.
    if [ -n "$default" ]; then
        own=$spec
        spec_of "$path $default"
        usual=
        for line in $spec; do
            case $line in "o$TAB"*) case $own in *"$line"*) ;; *) usual="$usual$NL$line" ;; esac ;; esac
        done
        spec=$own$usual
    fi
    IFS=" $TAB$NL"
}

# Options that are its own are of the default verb, and no other can follow: $1 is one of them.
settle() {
    [ -n "$default" ] || return 0
    case $NL$own in
    *"${NL}o$TAB$1 "* | *"${NL}o$TAB$1$TAB"* | *"${NL}o$TAB"-?" $1$TAB"*) ;;
    *) path="$path $default"; load ;;
    esac
}

# takes=KIND of the value of option $1, or - where it takes none; a unique prefix is enough.
option() {
    takes=-
    exact=
    close=0
    IFS=$NL
    for line in $spec; do
        case $line in "o$TAB"*) ;; *) continue ;; esac
        line=${line#o"$TAB"}
        names=" ${line%%"$TAB"*} "
        rest=${line#*"$TAB"}
        case $names in
        *" $1 "*) takes=${rest%%"$TAB"*}; exact=1; break ;;
        *" $1"*) close=$((close + 1)); maybe=${rest%%"$TAB"*} ;;
        esac
    done
    IFS=" $TAB$NL"
    [ -n "$exact" ] || [ "$close" -ne 1 ] || case $1 in --*) takes=$maybe ;; esac
}

# The letters of -abc: takes is what the last one wants, others the value that is glued to it;
# known unless one is no option.
cluster() {
    known=1
    letters=${1#-}
    while [ -n "$letters" ]; do
        others=${letters#?}
        option "-${letters%"$others"}"
        [ -n "$exact" ] || known=
        [ "$takes" = - ] || return 0
        letters=$others
    done
}

say() {
    case $mode in
    plain) case $1 in "$cur"*) printf '%s\n' "$1" ;; esac ;;
    full) printf '%s\t%s\n' "$1" "$2" ;;
    *) printf '%s\t%s\n' "$prefix$1" "$2" ;;
    esac
}

pass() {
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        *"$TAB"*) say "${line%%"$TAB"*}" "${line#*"$TAB"}" ;;
        *) say "$line" "$1" ;;
        esac
    done
}

head_line() {
    if [ "$mode" != fish ]; then
        printf '%s\t%s\t%s\n' "$1" "$2" "$prefix"
        return
    fi
    case $2 in -) return ;; d) code=10 ;; '*') code=11 ;; *) code=12 ;; esac
    code=$((code + 4 * ${#prefix}))
}

# -- what there is to complete with ------------------------------------------------------------

# The highest version first, and by the suffix exp-NAME-vN after every eX.Y.Z. $last is exec where
# nothing comes after it: one process less.
last=
refs() { $last git -c versionsort.suffix=xp- for-each-ref --sort=-v:refname "$@" 2>/dev/null; }

# Versions, the newest first, and with $1 other tags and branches after them; git itself selects by
# the word.
revs() {
    case $cur in *[][*?\\]*) return ;; esac
    branches=$1
    set --
    [ -z "$branches" ] || {
        set -- "refs/heads/$cur*" "refs/heads/$cur*/**"
        [ -z "$cur" ] || set -- "refs/tags/$cur*" "refs/tags/$cur*/**" "$@" "refs/remotes/$cur*" \
            "refs/remotes/$cur*/**"
        case $cur in H*) case HEAD in "$cur"*) say HEAD '' ;; esac ;; esac
    }
    case $cur in
    '' | e) list 'refs/tags/e[0-9]*' 'refs/tags/exp-*' "$@" ;;
    e[0-9]* | exp-*) list "refs/tags/$cur*" "$@" ;;
    ex | exp) list 'refs/tags/exp-*' "$@" ;;
    *)
        # Whoever types so much of another name may mean a run.
        [ ! "${branches:+${cur#?}}" ] || run_names | pass run
        [ $# -eq 0 ] || list "$@"
        ;;
    esac
}

# asked=the first hundred of the refs with these short names, in full. (With --count git reads the
# objects of all refs all the same: 8 ms for 2,000, where asking for a hundred takes 2.)
first() {
    asked=
    number=0
    IFS=$NL
    for name in "$@"; do
        number=$((number + 1))
        [ "$number" -le 100 ] || break
        asked="$asked${NL}refs/tags/$name${NL}refs/heads/$name${NL}refs/remotes/$name"
    done
}

# Refs, and what the first hundred say. The others pass through no loop: there may be thousands.
list() {
    if [ "$mode" = plain ]; then
        last=exec
        refs --format='%(refname:lstrip=2)' "$@"
        return
    fi
    [ "$mode" = fish ] || prefix=
    case $cur in e*.*.*)
        refs --format="$prefix%(refname:lstrip=2)$TAB%(contents:subject)" "$@"
        return
        ;;
    esac
    IFS=$NL
    set -- $(refs --format='%(refname:lstrip=2)' "$@")
    first "$@"
    [ $# -eq 0 ] || refs --format="$prefix%(refname:lstrip=2)$TAB%(contents:subject)" $asked
    IFS=" $TAB$NL"
    [ $# -le 100 ] || { shift 100; printf "$prefix%s\\n" "$@"; }
}

# The messages of the newest experiments: their TOML names parameters, metrics, labels and runs.
bodies() {
    for pattern in 'refs/tags/e[0-9]*' 'refs/tags/exp-*'; do
        IFS=$NL
        set -- $(refs --format='%(refname:lstrip=2)' "$pattern")
        first "$@"
        [ $# -eq 0 ] || refs --format='%(contents:body)' $asked
        IFS=" $TAB$NL"
    done
}

run_names() { bodies | sed -n 's/^run = "\(.*\)"$/\1/p'; }

keys() {
    bodies | awk -v want="[$1]" '
        /^\[/ { on = ($0 == want); next }
        !on { next }
        /^"/ { name = substr($0, 2); sub(/" *=.*/, "", name); gsub(/\\"/, "\"", name) }
        /^[^"#]+=/ { name = $0; sub(/ *=.*/, "", name) }
        name != "" && !seen[name]++ { print name }
        { name = "" }'
}

labels() {
    {
        bodies | awk '
            /^labels = \[/ { on = 1 }
            /^\[/ { on = 0 }
            on {
                line = $0
                while (match(line, /"([^"\\]|\\.)*"/)) {
                    name = substr(line, RSTART + 1, RLENGTH - 2)
                    gsub(/\\"/, "\"", name); gsub(/\\\\/, "\\", name)
                    print name
                    line = substr(line, RSTART + RLENGTH)
                }
                if (line ~ /\]/) on = 0
            }'
        query "$top/.xexp/registry.db" 'SELECT DISTINCT label FROM labels'
    } | awk '!seen[$0]++'
}

query() {
    [ -f "$1" ] && command -v sqlite3 >/dev/null 2>&1 &&
        sqlite3 -readonly -init /dev/null "$1" "$2" 2>/dev/null
}

databases() {
    found=$(git config --get-all xexp.results.databases | tr , '\n')
    [ -n "$found" ] || found=$(sed -n '/^\[results\]/,/^\[[^r]/s/^databases *= *\[\(.*\)\].*/\1/p' \
        "$top/.xexp/config.toml" 2>/dev/null | tr , '\n' | sed 's/^ *"//; s/" *$//')
    [ -n "$found" ] || found="results/*.db$NL*.db"
    (
        cd "$top" || exit 0
        set +f
        IFS=$NL
        for file in $found; do [ ! -f "$file" ] || printf '%s\n' "$top/$file"; done
    )
}

runs() {
    {
        command -v sqlite3 >/dev/null 2>&1 && databases | while IFS= read -r file; do
            query "$file" "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c
                WHERE m.type = 'table' AND c.name = 'track_id'" | while IFS= read -r table; do
                query "$file" "SELECT track_id FROM \"$table\" GROUP BY 1 ORDER BY max(rowid) DESC"
            done
        done
        run_names
    } | awk '$0 != "" && !seen[$0]++'
}

# What is in the tables of the results databases, and of the files on the line.
in_tables() {
    command -v sqlite3 >/dev/null 2>&1 || return
    {
        [ -z "$top" ] || databases
        printf '%s' "$named"
    } | while IFS= read -r file; do query "$file" "$1"; done | awk '$0 != "" && !seen[$0]++'
}

table_columns() {
    in_tables "SELECT c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
}

# before=the values of a list with commas that are there already; what was found goes after them.
listed() {
    before=
    case $cur in *,*) before=${cur%,*}, ;; esac
    case ${cur#"$before"} in +*) before=$before+ ;; esac
    while IFS= read -r name; do say "$before$name" "$1"; done
}

# The versions that could be next.
next() {
    newest=$(refs --format='%(refname:lstrip=2)' 'refs/tags/e[0-9]*' |
        sed -n '/^e[0-9]*\.[0-9]*\.[0-9]*$/{p;q;}')
    case $newest in '') say e0.1.0 'the first'; return ;; esac
    printf '%s\n' "$newest" | awk -F'[e.]' '{
        print "e" $2 "." $3 "." ($4 + 1) "\tnext patch (a rerun)"
        print "e" $2 "." ($3 + 1) ".0\tnext minor (other parameters or code)"
        print "e" ($2 + 1) ".0.0\tnext major (other data or architecture)"
    }' | pass ''
}

# How many operations undo may take back, each with the oldest of them.
operations() {
    common=$(git rev-parse --git-common-dir 2>/dev/null) || return
    query "$common/xexp/oplog.db" "SELECT row_number() OVER (ORDER BY id DESC) || char(9)
        || verb || ' ' || replace(summary, char(10), ' ') FROM operations WHERE status = 'done'
        ORDER BY id DESC LIMIT 10"
}

unmerged() {
    git ls-files -u -z 2>/dev/null | tr '\0' '\n' | sed "s/^[^$TAB]*$TAB//" | while IFS= read -r name; do
        stem=${name%.dvc}
        case " @DATABASES@ " in *" ${stem##*.} "*) ;; *)
            case $name in *.dvc | dvc.lock | */dvc.lock) ;; *) continue ;; esac
            ;;
        esac
        printf '%s\n' "$name"
    done | awk '!seen[$0]++'
}

slots() {
    sed -n 's/^\[models\.\([^]]*\)\].*/\1/p' "$top/.xexp/config.toml" 2>/dev/null | tr -d '"'
}

worktrees() {
    common=$(git rev-parse --path-format=absolute --git-common-dir --git-dir 2>/dev/null) || return
    here=${common#*"$NL"}
    common=${common%%"$NL"*}
    wanted=$1
    set +f
    set --
    # The one that we stand in can be neither removed nor brought in.
    for note in "$common"/worktrees/*/xexp.json; do
        [ "$note" = "$here/xexp.json" ] || set -- "$@" "$note"
    done
    set -f
    [ $# -eq 0 ] ||
        sed -n 's/.*"name": "\([^"]*\)".*"kind": "'"$wanted"'".*/\1/p' "$@" 2>/dev/null
}

dvc_remotes() {
    sed -n "s/^.*\[.*remote \"\(.*\)\".*\]/\1/p" "$top/.dvc/config" "$top/.dvc/config.local" 2>/dev/null
}

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

# -- one kind of value -------------------------------------------------------------------------

values() {
    case $1 in
    label | run | slot | dvcremote | table | key | tablecolumn*)
        top=$(git rev-parse --show-toplevel 2>/dev/null)
        ;;
    esac
    case $1 in
    choice:*)
        head_line word -
        for name in ${1#choice:}; do say "$name" ''; done
        ;;
    version) head_line word -; revs '' ;;
    next) head_line word -; next ;;
    rev) head_line word -; revs branches ;;
    range)
        case $cur in *..*) prefix=$prefix${cur%%..*}..; cur=${cur#*..} ;; esac
        head_line word -
        revs branches
        ;;
    source)
        head_line word '@DATABASES@'
        worktrees worktree | pass worktree
        revs branches
        ;;
    path) head_line path -; paths ;;
    metric | param) head_line word -; keys "$1s" | pass "$1" ;;
    'metric=' | 'param=')
        head_line word -
        case $cur in *=*) ;; *) keys "${1%=}s" | sed 's/$/=/' | pass "${1%=}" ;; esac
        ;;
    column) head_line word -; { keys metrics; keys params; } | pass ''; columns ;;
    columns)
        head_line word -
        { keys metrics; keys params; printf '%s\n' $fields; } | listed ''
        ;;
    key) head_line word -; table_columns | listed column ;;
    tablecolumn) head_line word -; table_columns | pass column ;;
    'tablecolumn=')
        head_line word -
        case $cur in *=*) ;; *) table_columns | sed 's/$/=/' | pass column ;; esac
        ;;
    table)
        head_line word -
        in_tables "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'" |
            pass table
        ;;
    only)
        head_line word '*'
        for name in results data models; do say "$name" ''; done
        ;;
    side)
        head_line word -
        case $cur in *=*) say "${cur%%=*}=ours" ''; say "${cur%%=*}=theirs" '' ;; esac
        ;;
    operations) head_line word -; operations | pass '' ;;
    unmerged) head_line path -; unmerged | pass unmerged ;;
    experiment)
        head_line word -
        {
            refs --format='%(refname:lstrip=2)' 'refs/tags/exp-*' | sed -n 's/^exp-\(.*\)-v[0-9]*$/\1/p'
            worktrees worktree
        } | awk '!seen[$0]++' | pass experiment
        ;;
    label) head_line word -; labels | pass label ;;
    run) head_line word -; runs | pass run ;;
    slot) head_line word -; slots | pass 'model slot' ;;
    worktree)
        case $cur in */*) head_line word d ;; *) head_line word - ;; esac
        worktrees worktree | pass worktree
        ;;
    explored) head_line word -; worktrees explore | pass 'explored version' ;;
    branch)
        head_line word -
        case $cur in *[][*?\\]*) ;; *) list "refs/heads/$cur*" "refs/heads/$cur*/**" ;; esac
        ;;
    remote) head_line word -; git remote 2>/dev/null | pass 'git remote' ;;
    dvcremote) head_line word -; dvc_remotes | pass 'DVC remote' ;;
    dir) head_line word d ;;
    file) head_line word '*' ;;
    file:*) head_line word "${1#file:}" ;;
    *) head_line word - ;;
    esac
}

fields='version date label data text headline run commit config_hash tagger parent reason'
columns() { for name in $fields; do say "$name" ''; done; }

# -- the words on the line ---------------------------------------------------------------------

untilde() { case $1 in '~'/*) printf '%s\n' "$HOME/${1#??}" ;; *) printf '%s\n' "$1" ;; esac; }

# alias=what the git alias $1 puts after xexp, a word a line; fails where it is something else.
alias_of() {
    asked=$1
    for depth in 1 2 3 4; do
        alias=$(git config --get "alias.$asked" 2>/dev/null) || return
        alias=${alias#'!git '}
        case $alias in
        xexp) alias=; return ;;
        'xexp '*) alias=$(printf '%s\n' "${alias#xexp }" | xargs printf '%s\n' 2>/dev/null); return ;;
        *' '*) return 1 ;;
        esac
        asked=$alias
    done
    return 1
}

program=${1##*/}
case $program in
git-xexp) shift ;;
*)
    shift
    while [ $# -gt 1 ]; do
        case $1 in
        -C) [ -z "$2" ] || cd "$(untilde "$2")" 2>/dev/null; shift ;;
        --git-dir) GIT_DIR=$(untilde "$2"); export GIT_DIR; shift ;;
        --git-dir=*) GIT_DIR=$(untilde "${1#*=}"); export GIT_DIR ;;
        --work-tree) GIT_WORK_TREE=$(untilde "$2"); export GIT_WORK_TREE; shift ;;
        --work-tree=*) GIT_WORK_TREE=$(untilde "${1#*=}"); export GIT_WORK_TREE ;;
        -c | --namespace | --config-env) shift ;;
        -*) ;;
        *) break ;;
        esac
        shift
    done
    word=$1
    [ $# -eq 0 ] || shift
    if [ "$word" = xexp ]; then
        :
    elif alias_of "$word"; then
        IFS=$NL
        set -- $alias "$@"
        IFS=" $TAB$NL"
    elif [ "$program" != git ]; then
        set -- "$word" "$@"  # a shell alias or function of the user's that is `git xexp`
    else
        exit 1
    fi
    ;;
esac
[ $# -gt 0 ] || exit 1

path=
count=0
pending=
options=1
used=' '
named=
prefix=
code=0
load
while [ $# -gt 1 ]; do
    word=$1
    shift
    if [ -n "$pending" ]; then
        pending=
        continue
    fi
    if [ "$options" = 1 ]; then
        case $word in
        --)
            options=0
            case $spec in *"${TAB}rest"*) count=99 ;; esac
            continue
            ;;
        --*=*) used="$used${word%%=*} "; settle "${word%%=*}"; continue ;;
        --*)
            used="$used$word "
            settle "$word"
            option "$word"
            [ "$takes" = - ] || pending=$takes
            continue
            ;;
        -?*)
            used="$used$word "
            others=${word#-?}
            settle "${word%"$others"}"
            cluster "$word"
            [ "$takes" = - ] || [ -n "$others" ] || pending=$takes
            continue
            ;;
        esac
    fi
    case $verbs in
    *" $word "*)
        path="$path${path:+ }$word"
        load
        count=0
        ;;
    *)
        count=$((count + 1))
        [ "$count" -ne 1 ] || pos1=$word
        [ ! -f "$word" ] || named=$named$word$NL
        ;;
    esac
done
cur=$1

if [ -n "$pending" ]; then
    values "$pending"
    exit "$code"
fi
if [ "$options" = 1 ]; then
    case $cur in
    --*=*)
        option "${cur%%=*}"
        prefix=${cur%%=*}=
        cur=${cur#*=}
        values "$takes"
        exit "$code"
        ;;
    -[!-]?*)
        cluster "$cur"
        if [ "$takes" != - ]; then
            prefix=${cur%"$others"}
            cur=$others
            # git.fish has -h for every word: alone it would be put in, after the value.
            case $mode$takes in fishfile* | fishdir) ;; fish*) say "$cur" '' ;; esac
            values "$takes"
        else
            head_line word -
            [ -z "$known" ] || say "$cur" ''
        fi
        exit "$code"
        ;;
    -*)
        head_line word -
        IFS=$NL
        for line in $spec; do
            IFS=$TAB
            set -- $line
            [ "$1" = o ] || continue
            names=$2 kind=$3 many=$4 help=$5
            IFS=' '
            for name in $names; do
                case $used in *" $name "*) [ "$many" = many ] || continue 2 ;; esac
            done
            for name in $names; do
                case $name in
                --*) [ "$kind" = - ] || name=$name= ;;
                *) case $cur in --*) continue ;; esac ;;
                esac
                say "$name" "$help"
            done
        done
        exit "$code"
        ;;
    esac
fi
if [ "$verbs" != ' ' ]; then
    head_line word -
    [ "$count" -eq 0 ] || exit "$code"  # what is there is no verb
    IFS=$NL
    for line in $spec; do
        IFS=$TAB
        set -- $line
        [ "$1" != v ] || say "$2" "$3"
    done
    exit "$code"
fi
IFS=$NL
number=0
for line in $spec; do
    IFS=$TAB
    set -- $line
    [ "$1" = a ] || continue
    number=$((number + 1))
    kind=$2 many=$3
    if [ "$number" -gt "$count" ]; then
        IFS=" $TAB$NL"
        values "$2"
        exit "$code"
    fi
done
IFS=" $TAB$NL"
case ${many:-} in many | rest) values "$kind" ;; *) head_line word - ;; esac
exit "$code"
