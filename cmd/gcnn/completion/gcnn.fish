# fish completion for gcnn: gcnn completion fish > ~/.config/fish/completions/gcnn.fish
function __gcnn_complete
    set -l words (commandline -opc)
    set -l cur (commandline -ct)
    if string match -q -- '-*' $cur
        set -a words $cur
    end
    command $words --generate-bash-completion 2>/dev/null | string replace ':' \t
end
complete -c gcnn -a '(__gcnn_complete)'
