package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/convert/cache"
)

// cacheList is the object of list --json.
type cacheList struct {
	Directory string        `json:"directory"`
	Models    []cache.Model `json:"models"`
}

func newList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "Show which models of the hub are in the cache",
		Long: `Show the models of the HuggingFace hub that are in the user's cache directory, ready to run: revision, commit, mode,
size, and when each was last used. A revision without a name is an earlier commit of one. The downloads that they were made
from are in HuggingFace's own cache, which is not shown.`,
		Example: `  tti list
  tti list --json | jq -r '.models[].path'`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := cache.User()
			if err != nil {
				return err
			}
			models, err := store.Models()
			if err != nil {
				return err
			}
			found := cacheList{store.Directory, append([]cache.Model{}, models...)}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), found)
			}
			if len(models) == 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "tti: no models in %s; \"tti pull\" and \"tti run\" with the id of one bring it there\n", printable(store.Directory))
				return nil
			}
			return write(cmd.OutOrStdout(), found.String())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// String returns the table of a human reader.
func (l cacheList) String() string {
	var text strings.Builder
	table := newTable(&text, 0)
	fmt.Fprintln(table, "model\trevision\tcommit\tmode\tsize\tlast used")
	total := int64(0)
	for _, m := range l.Models {
		total += m.Bytes
		revision := "-"
		if len(m.Revisions) > 0 {
			revision = strings.Join(m.Revisions, ", ")
		}
		fmt.Fprintf(table, "%s\t%s\t%.7s\t%s\t%s\t%s\n", m.ID, printable(revision), m.Commit, printable(m.Mode), humanSize(m.Bytes), m.Used.Local().Format(time.DateTime))
	}
	table.Flush()
	fmt.Fprintf(&text, "\n%s, %s in %s\n", counted(len(l.Models), "file"), humanSize(total), printable(l.Directory))
	return text.String()
}
