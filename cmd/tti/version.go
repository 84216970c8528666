package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tti-llm/tti/cmd/tti/buildinfo"
	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/kernels"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version and how this program was built",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return write(cmd.OutOrStdout(), version())
		},
	}
}

func version() string {
	var text strings.Builder
	fmt.Fprintf(&text, "tti %s, file format %s\n", buildinfo.Version(), format.Specification)
	if info, ok := debug.ReadBuildInfo(); ok {
		writeBuild(&text, info)
	}
	writeKernels(&text)
	return text.String()
}

// writeKernels says which kernels would run here, and why.
func writeKernels(text *strings.Builder) {
	set, err := kernels.FromEnvironment()
	if err != nil {
		fmt.Fprintf(text, "kernels  %v\n", err)
	} else {
		fmt.Fprintf(text, "kernels  %s\n", set.Name())
	}
	fmt.Fprintf(text, "CPU      %s\n", strings.Join(kernels.Features(), " "))
}

// writeBuild says what the program was built from.
func writeBuild(text *strings.Builder, info *debug.BuildInfo) {
	fmt.Fprintf(text, "module   %s\n", info.Main.Path)
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if revision := settings["vcs.revision"]; revision != "" {
		if settings["vcs.modified"] == "true" {
			revision += ", modified"
		}
		fmt.Fprintf(text, "source   %s (%s)\n", revision, settings["vcs.time"])
	}
	fmt.Fprintf(text, "built    %s for %s/%s\n", info.GoVersion, runtime.GOOS, runtime.GOARCH)
}
