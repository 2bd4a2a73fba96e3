package main

import "github.com/spf13/cobra"

// addCommands adds every command to the root, in the order of the help.
func addCommands(root *cobra.Command, global *globalFlags) {
	cobra.EnableCommandSorting = false
	root.AddCommand(
		newServeCommand(global),
		newPostCommand(global),
		newEventsCommand(global),
		newListenCommand(global),
		newExplainCommand(global),
		newDeadCommand(global),
		newQuarantineCommand(global),
		newHeldCommand(global),
		newPauseCommand(global),
		newResumeCommand(global),
		newAuditCommand(global),
		newKeysCommand(global),
		newEncryptionCommand(global),
		newPurgeCommand(global),
		newBackfillCommand(global),
		newMCPCommand(global),
		newCanaryCommand(global),
		newStatusCommand(global),
		newAlertsCommand(global),
		newHealthCommand(global),
		newQueueCommand(global),
		newBenchCommand(),
		newTortureCommand(),
		newDeployCommand(),
		newDestroyCommand(),
		newConfigCommand(global),
		newVersionCommand(),
	)
}
