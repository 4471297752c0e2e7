# bash completion for gcnn: source <(gcnn completion bash)
_gcnn() {
  local cur words
  cur="${COMP_WORDS[COMP_CWORD]}"
  words=("${COMP_WORDS[@]:0:COMP_CWORD}")
  if [[ "$cur" == -* ]]; then
    words+=("$cur")
  fi
  COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null | sed 's/:.*//')" -- "$cur"))
}
complete -o bashdefault -o default -F _gcnn gcnn
