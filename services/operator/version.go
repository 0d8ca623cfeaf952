package operator

import (
	"runtime/debug"

	"github.com/spf13/cobra"

	"quittance.internal/libs/platform/natsstream"
)

// build is what the binary knows of itself.
type build struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	// Time is the commit's, RFC 3339; "" where the build recorded none.
	Time string `json:"time,omitempty"`
	// Modified says that the work tree differed from the commit.
	Modified bool `json:"modified,omitempty"`
	// Schema is the layout of streams that this version declares.
	Schema int `json:"schema"`
}

func thisBuild() build {
	b := build{Version: "dev", Schema: natsstream.Schema}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Version = s.Value[:min(12, len(s.Value))]
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Long:    "Prints the commit that this program was built from and the layout of streams it declares.\n\n" + exitCodeHelp,
		Example: "  quotectl version -o json",
		Args:    exact(),
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			v := view{document: b, table: table{columns: []string{"VERSION", "GO", "SCHEMA", "COMMITTED"}}}
			name := b.Version
			if b.Modified {
				name += "+changes"
			}
			v.table.add(name, b.Go, number(b.Schema), dash(b.Time))
			return a.show(v)
		},
	}
}
