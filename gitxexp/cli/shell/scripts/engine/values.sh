# -- one kind of value -------------------------------------------------------------------------

values() {
    case $1 in
    label | run | slot | dvcremote | table | key | tablecolumn* | 'param=')
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
        case $cur in
        *=*) ;;
        *)
            {
                [ "$1" = 'metric=' ] || file_params
                keys "${1%=}s"
            } | awk '!seen[$0]++ { print $0 "=" }' | pass "${1%=}"
            ;;
        esac
        ;;
    plotted) head_line word -; { keys metrics; keys params; } | pass '' ;;
    along) head_line word -; { printf 'step\nversion\ndate\n'; keys params; } | pass '' ;;
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
            prefix_here
            refs --format='%(refname:lstrip=2)' "refs/tags/${own}exp-*" |
                sed -n "s|^${own}exp-\(.*\)-v[0-9]*\$|\1|p"
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
