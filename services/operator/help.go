package operator

import (
	"github.com/spf13/cobra"
)

// addHelp gives cobra's own commands, help and completion, what all of ours have: examples, exit codes, and errors that say
// what to type.
func addHelp(root *cobra.Command) {
	root.SetHelpCommand(&cobra.Command{
		Use:     "help [command]",
		Short:   "Show the help of a command",
		Long:    "Shows the help of a command, as the command does with --help.\n\n" + exitCodeHelp,
		Example: "  quotectl help replay plan",
		Args:    cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			if of, rest, err := cmd.Root().Find(args); err == nil && len(rest) == 0 {
				for _, sub := range of.Commands() {
					names = append(names, sub.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil {
				return usage(cmd.Root(), "%w", err)
			}
			if len(rest) > 0 {
				return group(of, rest)
			}
			return of.Help()
		},
	})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Long = "Prints a script that completes quotectl's commands, flags and their words in a shell.\n\n" + exitCodeHelp
		cmd.Example = "  source <(quotectl completion bash)\n  quotectl completion zsh > \"${fpath[1]}/_quotectl\""
		cmd.Args, cmd.RunE = cobra.ArbitraryArgs, group
		for _, shell := range cmd.Commands() {
			shell.Long += "\n" + exitCodeHelp
			shell.Example = "  quotectl completion " + shell.Name() + " > completion." + shell.Name()
			shell.Args = exact()
		}
	}
}
