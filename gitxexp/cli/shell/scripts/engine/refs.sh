# -- what refs and the messages of tags say -----------------------------------------------------

# The highest version first, and by the suffix exp-NAME-vN after every eX.Y.Z. $last is exec where
# nothing comes after it: one process less.
last=
less=
others=
refs() { $last git -c versionsort.suffix=xp- for-each-ref --sort=-v:refname "$@" 2>/dev/null; }

# own=what the versions of the project around this folder begin with: [tag] prefix of the nearest settings
# that have one.
prefix_here() {
    own=
    place=$PWD
    while [ -n "$place" ]; do
        [ ! -f "$place/.xexp/config.toml" ] || own=$(sed -n \
            '/^\[tag\]/,/^\[/s/^ *prefix *= *["'\'']\([^"'\'']*\)["'\''].*/\1/p' "$place/.xexp/config.toml")
        [ -z "$own" ] && [ ! -e "$place/.git" ] || break
        place=${place%/*}
    done
}

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
    prefix_here
    rest=$cur
    case $cur in "$own"?*) rest=${cur#"$own"} ;; *) case $own in "$cur"*) rest= ;; esac ;; esac
    # A project's own versions may be named without its prefix.
    case $own$rest in
    "$cur" | "$own") ;;
    *)
        case $rest in e*) (less=$own; list "refs/tags/$own$rest*") ;; esac
        [ $# -eq 0 ] || list "$@"
        return
        ;;
    esac
    case $rest in
    '' | e) list "refs/tags/${own}e[0-9]*" "refs/tags/${own}exp-*" "$@" ;;
    e[0-9]* | exp-*) list "refs/tags/$own$rest*" "$@" ;;
    ex | exp) list "refs/tags/${own}exp-*" "$@" ;;
    *)
        [ -n "$branches" ] || case $cur in */ | */e*) set -- "refs/tags/$cur*" ;; esac
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
        asked="$asked${NL}refs/tags/$less$name"
        [ -z "$others" ] || asked="$asked${NL}refs/heads/$name${NL}refs/remotes/$name"
    done
}

# Refs, and what the first hundred say. The others pass through no loop: there may be thousands.
list() {
    short='%(refname:lstrip=2)'
    case $less in ?*/?*) less= ;; ?*) short='%(refname:lstrip=3)' ;; esac
    if [ "$mode" = plain ]; then
        last=exec
        refs --format="$short" "$@"
        return
    fi
    [ "$mode" = fish ] || prefix=
    case $cur in e*.*.*)
        refs --format="$prefix$short$TAB%(contents:subject)" "$@"
        return
        ;;
    esac
    case "$*" in *refs/heads/* | *refs/remotes/*) others=yes ;; *) others= ;; esac
    IFS=$NL
    set -- $(refs --format="$short" "$@")
    first "$@"
    [ $# -eq 0 ] || refs --format="$prefix$short$TAB%(contents:subject)" $asked
    IFS=" $TAB$NL"
    [ $# -le 100 ] || { shift 100; printf "$prefix%s\\n" "$@"; }
}

# The messages of the newest experiments: their TOML names parameters, metrics, labels and runs.
bodies() {
    prefix_here
    for pattern in "refs/tags/${own}e[0-9]*" "refs/tags/${own}exp-*"; do
        IFS=$NL
        set -- $(refs --format='%(refname:lstrip=2)' "$pattern")
        first "$@"
        [ $# -eq 0 ] || refs --format='%(contents:body)' $asked
        IFS=" $TAB$NL"
    done
}

# TOML has strings in " with escapes, and in ' as they are.
run_names() { bodies | sed -n 's/^run = "\(.*\)"$/\1/p; s/^run = '"'\\(.*\\)'"'$/\1/p'; }

keys() {
    bodies | awk -v want="[$1]" '
        /^\[/ { on = ($0 == want); next }
        !on { next }
        /^"/ { name = substr($0, 2); sub(/" *=.*/, "", name); gsub(/\\"/, "\"", name) }
        /^\047/ { name = substr($0, 2); sub(/\047 *=.*/, "", name) }
        /^[^"\047#]+=/ { name = $0; sub(/ *=.*/, "", name) }
        name != "" && !seen[name]++ { print name }
        { name = "" }'
}

# The parameters of params.yaml, nested ones with dots: those of block mappings.
file_params() {
    [ ! -f "$top/params.yaml" ] || awk '
        !/^ *[A-Za-z_][A-Za-z0-9_.-]*:( |$)/ { next }
        {
            match($0, /^ */)
            indent = RLENGTH
            name = rest = substr($0, indent + 1)
            sub(/:.*/, "", name)
            sub(/^[^:]*: */, "", rest)
            sub(/^#.*/, "", rest)
            while (depth && indents[depth] >= indent) depth--
            if (depth) name = names[depth] "." name
            if (rest != "") { print name; next }
            indents[++depth] = indent
            names[depth] = name
        }' "$top/params.yaml"
}

labels() {
    {
        bodies | awk '
            /^labels = \[/ { on = 1 }
            /^\[/ { on = 0 }
            on {
                line = $0
                while (match(line, /"([^"\\]|\\.)*"|\047[^\047]*\047/)) {
                    name = substr(line, RSTART + 1, RLENGTH - 2)
                    if (substr(line, RSTART, 1) == "\"") {
                        gsub(/\\"/, "\"", name); gsub(/\\\\/, "\\", name)
                    }
                    print name
                    line = substr(line, RSTART + RLENGTH)
                }
                if (line ~ /\]/) on = 0
            }'
        query "$top/.xexp/registry.db" 'SELECT DISTINCT label FROM labels'
    } | awk '!seen[$0]++'
}
