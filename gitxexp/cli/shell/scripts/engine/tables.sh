# -- what databases, settings and worktrees say --------------------------------------------------

query() {
    [ -f "$1" ] && command -v sqlite3 >/dev/null 2>&1 &&
        sqlite3 -readonly -init /dev/null "$1" "$2" 2>/dev/null
}

databases() {
    found=$(git config --get-all xexp.results.databases | tr , '\n')
    [ -n "$found" ] || found=$(awk '
        /^\[/ { on = /^\[results\]/ }
        on && /^databases *=/ { listed = 1; sub(/^[^=]*/, "") }
        listed {
            while (match($0, /"[^"]*"|\047[^\047]*\047|[]#]/)) {
                if (RLENGTH < 2) { if (substr($0, RSTART, 1) == "]") exit; else break }
                print substr($0, RSTART + 1, RLENGTH - 2)
                $0 = substr($0, RSTART + RLENGTH)
            }
        }' "$top/.xexp/config.toml" 2>/dev/null)
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
            # The name comes quoted from SQL: it may be anybody's, and sqlite3 can write files.
            query "$file" "SELECT '\"' || replace(m.name, '\"', '\"\"') || '\"'
                FROM sqlite_master m, pragma_table_info(m.name) c
                WHERE m.type = 'table' AND c.name = 'track_id'" | while IFS= read -r table; do
                query "$file" "SELECT track_id FROM $table GROUP BY 1 ORDER BY max(rowid) DESC"
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
    prefix_here
    newest=$(refs --format='%(refname:lstrip=2)' "refs/tags/${own}e[0-9]*" |
        sed -n 's|.*/||; /^e[0-9]*\.[0-9]*\.[0-9]*$/{p;q;}')
    # What is typed without the prefix is completed without it.
    case $cur in e*) own= ;; esac
    case $newest in '') say "${own}e0.1.0" 'the first'; return ;; esac
    printf '%s\n' "$newest" | awk -F'[e.]' -v own="${own}e" '{
        print own $2 "." $3 "." ($4 + 1) "\tnext patch (a rerun)"
        print own $2 "." ($3 + 1) ".0\tnext minor (other parameters or code)"
        print own ($2 + 1) ".0.0\tnext major (other data or architecture)"
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
