package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootHelp = `Run a broker of objects, or call objects of one, over mutual TLS.

Commands:
  serve       run a daemon; with --dev, one that needs nothing else
  call        call a method of an object; arguments and result are JSON
  whoami      show who you are to a daemon
  probe       check that a daemon is alive, for containers and scripts
  status      show a daemon's own view of itself
  who         list the connections of a daemon
  incidents   list what a daemon has denied and ended
  explain     say why a connection or a call is refused, or show an incident in full
  metrics     print a daemon's figures in the Prometheus text format
  gen         write Go code for an interface: proxy, object and policy
  completion  print a completion script for your shell

Clients show the certificate of --cert, --key and --ca, or of PYROSSL_CERT,
PYROSSL_KEY and PYROSSL_CA_CERT (in PYROSSL_CERTDIR), or else the development
certificate in ./pki that "broker serve --dev" makes.

URIs: PYROSSL://HOST:PORT/OBJECT; the port is 7766 unless said.
Data goes to stdout, everything else to stderr.

Exit codes: 0 done, also after a clean shutdown; 1 failed, or calls were cut off
by a shutdown; 2 wrong usage; 3 denied: the daemon refused the call or the
connection, or its certificate is not the one expected.

Signals to serve: INT and TERM finish the calls in flight, then exit 0; a second
one exits at once; HUP reads certificates, lists and policy again.`

const rootExample = `  broker serve --dev
  broker call PYROSSL://localhost:7766/bank Deposit '"alice"' 100`

const helpTemplate = `{{with .Long}}{{. | trimTrailingWhitespaces}}

{{end}}Usage:
  {{.UseLine}}
{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}
Example:
{{.Example}}
`

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:     "broker COMMAND",
		Long:    rootHelp,
		Example: rootExample,
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return wrongUsage("see: broker help", "no command")
			}
			hint := "see: broker help"
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "did you mean: broker " + strings.Join(near, ", or broker ")
			}
			return wrongUsage(hint, "unknown command %q", args[0])
		},
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		DisableFlagsInUseLine:      true,
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetHelpTemplate(helpTemplate)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return wrongUsage("see: "+c.CommandPath()+" --help", "%w", err)
	})
	root.AddCommand(a.serveCommand(), a.callCommand(), a.whoamiCommand(), a.probeCommand(), a.statusCommand(), a.whoCommand(), a.incidentsCommand(),
		a.explainCommand(), a.metricsCommand(), a.namesCommand(), a.genCommand(), a.completionCommand())
	root.SetHelpCommand(helpCommand(root))
	for _, c := range append(root.Commands(), root) {
		c.DisableFlagsInUseLine = true
		c.Flags().SortFlags = false
		c.Flags().BoolP("help", "h", false, "show this")
	}
	return root
}

// helpCommand is cobra's, but for the error about a command that does not exist.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "help about a command",
		Long:    "Show the help of a command, or the list of commands.",
		Example: "  broker help call",
		Args:    wantArgs(0, 1),
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
			for _, sub := range root.Commands() {
				if len(args) == 0 {
					names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			target, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return wrongUsage("see: broker help", "unknown command %q", args[0])
			}
			return target.Help()
		},
	}
}

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion " + strings.Join(shells, "|"),
		Short: "print a completion script for your shell",
		Long: `Print a script that completes broker's commands and flags in your shell.

bash        source <(broker completion bash)
zsh         source <(broker completion zsh)
fish        broker completion fish | source
powershell  broker completion powershell | Out-String | Invoke-Expression

Put the line for your shell into its start file to have it in every new shell.`,
		Example:           "  source <(broker completion bash)",
		ValidArgs:         shells,
		ValidArgsFunction: cobra.FixedCompletions(shells, cobra.ShellCompDirectiveNoFileComp),
		Args:              wantArgs(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			root := c.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.stdout, true)
			case "zsh":
				return root.GenZshCompletion(a.stdout)
			case "fish":
				return root.GenFishCompletion(a.stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.stdout)
			}
			return wrongUsage(fmt.Sprintf("one of %s", strings.Join(shells, ", ")), "unknown shell %q", args[0])
		},
	}
}
