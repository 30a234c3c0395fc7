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
    case $shorts in *"$NL$word$TAB"*)
        word=${shorts#*"$NL$word$TAB"}
        word=${word%%"$NL"*}
        case $word in *' '*) path=${word% *}; word=${word##* }; load ;; esac
        ;;
    esac
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
