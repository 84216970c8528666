package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/convert/cache"
	"github.com/tti-llm/tti/convert/hub"
)

func newRemove() *cobra.Command {
	var modes modeFlags
	cmd := &cobra.Command{
		Use:   "rm ID...",
		Short: "Remove models of the hub from the cache",
		Long: `Remove the .tti files of models of the HuggingFace hub from the user's cache directory: of all revisions, or of that in
ID@revision, and in all modes, or in that of --mode. The downloads stay in HuggingFace's own cache, whose
programs may need them.

Processes that run a model keep it until they end; on Windows, where an open file cannot be removed, it stays and the exit code is 1.
A model that is being converted is not removed.`,
		Example: `  tti rm Qwen/Qwen3-0.6B
  tti rm Qwen/Qwen3-0.6B --mode int4
  tti rm Qwen/Qwen3-0.6B@c1899de`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no models given, want at least one ID")
			}
			return nil
		},
		ValidArgsFunction: completeCached,
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := cache.User()
			if err != nil {
				return err
			}
			var failed severalErrors
			for _, name := range args {
				if err := remove(cmd, store, name, modes.mode.value); err != nil {
					failed = append(failed, about(name, err))
				}
			}
			if len(failed) > 0 {
				return failed
			}
			return nil
		},
	}
	modes.registerMode(cmd, "remove this mode alone")
	modes.mode.value, cmd.Flags().Lookup("mode").DefValue = "", ""
	return cmd
}

// remove removes a model of the hub and tells of it.
func remove(cmd *cobra.Command, store cache.Cache, name, mode string) error {
	r, err := parseID(name)
	if err != nil {
		return err
	}
	removed, err := store.Remove(r, mode)
	for _, m := range removed {
		fmt.Fprintf(cmd.ErrOrStderr(), "removed %s %s, %s\n", printable(named(m)), printable(m.Mode), humanSize(m.Bytes))
	}
	switch {
	case errors.Is(err, cache.ErrAbsent):
		return fmt.Errorf("%w; \"tti list\" shows what is", err)
	case errors.Is(err, cache.ErrBusy):
		return fmt.Errorf("%w, and nothing was removed", err)
	case err != nil:
		return err
	case len(removed) == 0:
		fmt.Fprintf(cmd.ErrOrStderr(), "removed what a conversion of %s had left that was broken off\n", r)
	}
	noteDownload(cmd, r)
	return nil
}

// noteDownload says where the files are that a model was made from.
func noteDownload(cmd *cobra.Command, r hub.Reference) {
	client, err := hub.FromEnvironment()
	if err != nil {
		return
	}
	if folder, err := client.Folder(r); err == nil {
		if _, err := os.Stat(folder); err == nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "what was downloaded stays in HuggingFace's cache, %s\n", printable(folder))
		}
	}
}
