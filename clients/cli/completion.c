#include <stdio.h>
#include <string.h>

#include "clients/cli/commands.h"
#include "clients/cli/output.h"

static const struct cli_option options[1];

const struct cli_spec completion_spec = {
    .name = "completion",
    .synopsis = "bash|zsh|fish",
    .summary = "Print a completion script for a shell.",
    .options = options,
    .option_count = 0,
    .examples = "  sluice completion bash > ~/.local/share/bash-completion/completions/sluice\n"
                "  sluice completion zsh > \"${fpath[1]}/_sluice\"\n"
                "  sluice completion fish > ~/.config/fish/completions/sluice.fish\n",
};

/* ---- bash ----------------------------------------------------------------------------------------------- */

static void bash_words(const struct cli_spec *spec)
{
    const struct cli_option *option;
    for (size_t i = 0; (option = cli_option_at(spec, i)); i++)
        printf(option->letter ? " --%s -%c" : " --%s", option->name, option->letter);
}

static void bash_choices(const struct cli_spec *spec)
{
    const struct cli_option *option;
    for (size_t i = 0; (option = cli_option_at(spec, i)); i++)
        if (option->choices)
            printf("        %s:--%s) words='%s' ;;\n", spec->name, option->name, option->choices);
}

static void print_bash(void)
{
    printf("_sluice() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
           "    case ${COMP_WORDS[1]}:$prev in\n");
    for (size_t i = 0; i < command_count; i++)
        bash_choices(commands[i].spec);
    printf("        completion:*) words='bash zsh fish' ;;\n    esac\n"
           "    if [[ $COMP_CWORD == 1 ]]; then\n        words='--help --version");
    for (size_t i = 0; i < command_count; i++)
        printf(" %s", commands[i].name);
    printf("'\n    elif [[ -z $words ]]; then\n        case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < command_count; i++) {
        printf("        %s) words='", commands[i].name);
        bash_words(commands[i].spec);
        printf("' ;;\n");
    }
    printf("        esac\n    fi\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
           "}\ncomplete -o default -F _sluice sluice\n");
}

/* ---- zsh ------------------------------------------------------------------------------------------------ */

/* Inside single quotes and square brackets of _arguments: both kinds of delimiters are left out. */
static void print_plain(const char *text)
{
    for (; *text; text++)
        if (!strchr("'[]:\\", *text))
            putchar(*text);
}

static void zsh_option(const struct cli_option *option)
{
    printf("                '--%s[", option->name);
    print_plain(option->help);
    printf("]");
    if (option->arg)
        printf(":%s:", option->arg);
    if (option->choices)
        printf("(%s)", option->choices);
    printf("' \\\n");
}

static void print_zsh(void)
{
    printf("#compdef sluice\n_sluice() {\n    if (( CURRENT == 2 )); then\n        local -a commands=(\n");
    for (size_t i = 0; i < command_count; i++) {
        printf("            '%s:", commands[i].name);
        print_plain(commands[i].summary);
        printf("'\n");
    }
    printf("        )\n        _describe command commands\n        return\n    fi\n"
           "    local command=${words[2]}\n    (( CURRENT-- ))\n    shift words\n    case $command in\n");
    for (size_t i = 0; i < command_count; i++) {
        const struct cli_option *option;
        printf("        %s)\n            _arguments \\\n", commands[i].name);
        for (size_t k = 0; (option = cli_option_at(commands[i].spec, k)); k++)
            zsh_option(option);
        printf("                '*: :%s' ;;\n",
               strcmp(commands[i].name, "completion") == 0 ? "(bash zsh fish)" : "_files");
    }
    printf("    esac\n}\n_sluice \"$@\"\n");
}

/* ---- fish ----------------------------------------------------------------------------------------------- */

static void fish_option(const char *command, const struct cli_option *option)
{
    printf("complete -c sluice -n '__fish_seen_subcommand_from %s' -l %s", command, option->name);
    if (option->letter)
        printf(" -s %c", option->letter);
    if (option->arg)
        printf(" -x");
    if (option->choices)
        printf(" -a '%s'", option->choices);
    printf(" -d '");
    print_plain(option->help);
    printf("'\n");
}

static void print_fish(void)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &commands[i];
        printf("complete -c sluice -f -n __fish_use_subcommand -a %s -d '", command->name);
        print_plain(command->summary);
        printf("'\n");
        const struct cli_option *option;
        for (size_t k = 0; command->spec && (option = cli_option_at(command->spec, k)); k++)
            fish_option(command->name, option);
    }
    printf("complete -c sluice -f -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n");
}

/* --------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*print)(void);
} shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};

int cmd_completion(int argc, char **argv)
{
    int exit_code;
    if (!cli_parse(&completion_spec, &argc, &argv, NULL, &exit_code))
        return exit_code;
    for (size_t i = 0; argc == 1 && i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(argv[0], shells[i].name) != 0)
            continue;
        shells[i].print();
        return output_finish();
    }
    return cli_usage_error(&completion_spec, "for which shell: bash, zsh or fish?");
}
