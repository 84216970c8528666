package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/convert/cache"
	"github.com/tti-llm/tti/convert/hub"
)

func newPull() *cobra.Command {
	var modes modeFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "pull ID",
		Short: "Bring a model of the hub into the cache, or up to date",
		Long: `Download a model of the HuggingFace hub and convert it into a .tti file in the user's cache directory, where all commands find
it by its id: org/name, org/name@revision or the address of its page. What is there is brought up to date: other commands stay with the commit that
a revision stood for when it was first asked for. A download that was broken off goes on where it ended.

Downloads go to HuggingFace's own cache; HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean to its programs.`,
		Example: `  tti pull Qwen/Qwen3-0.6B
  tti pull https://huggingface.co/Qwen/Qwen3-0.6B --mode int4`,
		Args:              exactly("ID"),
		ValidArgsFunction: completeCached,
		RunE: cancellable(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			options, err := modes.options(cmd)
			if err != nil {
				return err
			}
			r, err := parseID(args[0])
			if err != nil {
				return about(args[0], err)
			}
			before := knownCommit(r)
			found, err := fromCache(ctx, cmd, r, options, true)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), found)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: commit %.7s is in the cache as %s, %s%s\n", r, found.Commit, found.Mode, humanSize(found.Bytes), formerly(r, before, found.Commit))
			return nil
		}),
	}
	modes.registerMode(cmd, "how weight matrices are encoded, as tti convert --mode has it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// knownCommit returns what a revision stands for in the cache, "" if that is not known.
func knownCommit(r hub.Reference) string {
	store, err := cache.User()
	if err != nil {
		return ""
	}
	commit, err := store.Commit(r)
	if err != nil {
		return ""
	}
	return commit
}

// formerly tells of the commit that a revision stood for before.
func formerly(r hub.Reference, before, now string) string {
	if before == "" || before == now {
		return ""
	}
	return fmt.Sprintf("; it was %.7s, which \"tti rm %s@%.7[1]s\" removes", before, r.Repository)
}
