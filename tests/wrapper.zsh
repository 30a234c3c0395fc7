#compdef git
# Stands in for the zsh wrapper of git's contrib/completion, by what that one is known to do: it
# takes git's options off with _arguments, puts the words back without their position, cuts the
# word at its last = or :, and calls _git_VERB, a bash function, in ksh emulation.
_git () {
    local _ret=1 cur cword prev state curcontext=$curcontext
    local -a orig_words
    typeset -A opt_args
    orig_words=(${words[@]})
    _arguments -C '--git-dir=-[repository]: :_directories' '-C[folder]: :_directories' \
        '(-): :->command' '(-)*:: :->arg' && return
    case $state in
    command) compadd -- commit tag && _ret=0 ;;
    arg)
        local command=$words[1]
        words=(${orig_words[@]})
        compset -P '*[=:]'
        (( $+functions[_git_$command] )) && emulate ksh -c _git_$command
        ;;
    esac
    return _ret
}
_git
