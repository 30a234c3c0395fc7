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
    shorts=$NL
    default=
    IFS=$NL
    for line in $spec; do
        case $line in
        "v$TAB"*) line=${line#v"$TAB"}; verbs="$verbs${line%%"$TAB"*} " ;;
        "s$TAB"*) shorts="$shorts${line#s"$TAB"}$NL" ;;
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
