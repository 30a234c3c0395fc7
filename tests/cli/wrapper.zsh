#compdef git
# Stands in for the zsh wrapper of git's contrib/completion where that is not installed, by what it
# is known to do (the same in git 2.39 and 2.55): it takes git's options off with _arguments, knows
# no -C, puts the words back without their position, looks an alias up, and calls _git_VERB, a bash
# function, in ksh emulation.
_git () {
    local _ret=1 cur cword prev state command curcontext=$curcontext
    local -a orig_words expansion
    typeset -A opt_args
    orig_words=(${words[@]})
    _arguments -C '--git-dir=-[repository]: :_directories' \
        '(-): :->command' '(-)*:: :->arg' && return
    case $state in
    command) compadd -- $(git --list-cmds=main,others,alias) && _ret=0 ;;
    arg)
        command=$words[1]
        words=(${orig_words[@]})
        if (( ! $+functions[_git_$command] )); then
            expansion=($(git config "alias.$command"))
            command=$expansion[1] words[1]=$command
        fi
        (( $+functions[_git_$command] )) && emulate ksh -c _git_$command
        ;;
    esac
    return _ret
}
_git
