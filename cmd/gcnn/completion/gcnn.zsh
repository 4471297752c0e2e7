#compdef gcnn
# zsh completion for gcnn: gcnn completion zsh > "${fpath[1]}/_gcnn"
_gcnn() {
  local -a opts
  local cur=${words[CURRENT]}
  if [[ "$cur" == -* ]]; then
    opts=("${(@f)$(${words[1,CURRENT-1]} ${cur} --generate-bash-completion 2>/dev/null)}")
  else
    opts=("${(@f)$(${words[1,CURRENT-1]} --generate-bash-completion 2>/dev/null)}")
  fi
  if [[ "${opts[1]}" != "" ]]; then
    _describe 'values' opts
  else
    _files
  fi
}
if [[ "${funcstack[1]}" == "_gcnn" ]]; then
  _gcnn "$@"
else
  compdef _gcnn gcnn
fi
