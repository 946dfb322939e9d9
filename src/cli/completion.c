/*
 * The scripts that bring completion to shells. They know no command: they hand the words before the
 * cursor to `hatsize __complete` (complete.c says what comes back) and show what it says.
 */

#include "cli/cli_internal.h"

/* Bash parts words at "=", so they are put together again first. */
static const char bash[] =
    "# bash completion for hatsize; made by `hatsize completion bash`\n"
    "_hatsize() {\n"
    "    local words=() word line kind=none i\n"
    "    for ((i = 1; i <= COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        if ((i > 1)) && [[ $word == \"=\" || ${COMP_WORDS[i - 1]} == \"=\" ]] &&\n"
    "            [[ ${words[-1]} == --* ]]; then\n"
    "            words[-1]+=$word\n"
    "        else\n"
    "            words+=(\"$word\")\n"
    "        fi\n"
    "    done\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r line; do\n"
    "        if [[ $line == :* ]]; then\n"
    "            kind=${line#:}\n"
    "            continue\n"
    "        fi\n"
    "        line=${line%%$'\\t'*}\n"
    "        [[ ${words[-1]} == --*=* ]] && line=${line#--*=}\n"
    "        printf -v line %q \"$line\"\n"
    "        COMPREPLY+=(\"$line\")\n"
    "    done < <(\"${COMP_WORDS[0]}\" __complete -- \"${words[@]}\" 2>/dev/null)\n"
    "    case $kind in\n"
    "    files) compopt -o filenames -o default 2>/dev/null ;;\n"
    "    dirs) compopt -o dirnames 2>/dev/null ;;\n"
    "    esac\n"
    "    return 0\n"
    "}\n"
    "complete -F _hatsize hatsize\n";

static const char zsh[] =
    "#compdef hatsize\n"
    "# zsh completion for hatsize; made by `hatsize completion zsh`\n"
    "_hatsize() {\n"
    "    local -a pairs\n"
    "    local line word kind=none\n"
    "    for line in \"${(@f)$(\"${words[1]}\" __complete -- \"${(@)words[2,CURRENT]}\" "
    "2>/dev/null)}\"; do\n"
    "        if [[ $line == :* ]]; then\n"
    "            kind=${line#:}\n"
    "            continue\n"
    "        fi\n"
    "        word=${line%%$'\\t'*}\n"
    "        pairs+=(\"${word//:/\\\\:}${${line#$word}/$'\\t'/:}\")\n"
    "    done\n"
    "    (( $#pairs )) && _describe -t values value pairs\n"
    "    case $kind in\n"
    "    files) _files ;;\n"
    "    dirs) _files -/ ;;\n"
    "    esac\n"
    "}\n"
    "if [[ ${funcstack[1]} == _hatsize ]]; then\n"
    "    _hatsize \"$@\"\n"
    "else\n"
    "    compdef _hatsize hatsize\n"
    "fi\n";

static const char fish[] =
    "# fish completion for hatsize; made by `hatsize completion fish`\n"
    "function __hatsize_complete\n"
    "    set -l words (commandline -opc)\n"
    "    set -l last (commandline -ct)\n"
    "    set -l out ($words[1] __complete -- $words[2..-1] \"$last\" 2>/dev/null)\n"
    "    for line in $out\n"
    "        string match -q ':*' -- $line; or echo -- $line\n"
    "    end\n"
    "    switch \"$out[-1]\"\n"
    "        case ':files'\n"
    "            __fish_complete_path \"$last\"\n"
    "        case ':dirs'\n"
    "            __fish_complete_directories \"$last\"\n"
    "    end\n"
    "end\n"
    "complete -c hatsize -f -a '(__hatsize_complete)'\n";

/* Before 7.3 an empty argument is lost unless it is spelled \"\". */
static const char powershell[] =
    "# PowerShell completion for hatsize; made by `hatsize completion powershell`\n"
    "Register-ArgumentCompleter -Native -CommandName hatsize -ScriptBlock {\n"
    "    param($wordToComplete, $commandAst, $cursorPosition)\n"
    "    $program = $commandAst.CommandElements[0].Extent.Text\n"
    "    $words = @($commandAst.CommandElements | Select-Object -Skip 1 |\n"
    "        Where-Object { $_.Extent.StartOffset -lt $cursorPosition } |\n"
    "        ForEach-Object { $_.Extent.Text })\n"
    "    if ($wordToComplete -eq '') {\n"
    "        $words += if ($PSVersionTable.PSVersion -ge [version]'7.3') { '' } else { '\"\"' }\n"
    "    }\n"
    "    & $program __complete '--' @words 2>$null | Where-Object { $_ -notmatch '^:' } |\n"
    "        ForEach-Object {\n"
    "            $value, $help = $_ -split \"`t\", 2\n"
    "            if (-not $help) { $help = $value }\n"
    "            [System.Management.Automation.CompletionResult]::new(\n"
    "                $value, $value, 'ParameterValue', $help)\n"
    "        }\n"
    "}\n";

int cmd_completion(struct cli *cli)
{
    static const struct {
        const char *shell;
        const char *script;
    } scripts[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}, {"powershell", powershell}};
    struct str shell = cli->args.n_operands > 0 ? cli->args.operands[0] : STR_NONE;

    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        if (!str_eq(shell, str_from(scripts[i].shell)))
            continue;
        (void)fputs(scripts[i].script, cli->out);
        return 0;
    }
    return cli_fail(cli, "completion for which shell? bash, zsh, fish or powershell, as in: source "
                         "<(hatsize completion bash)");
}
