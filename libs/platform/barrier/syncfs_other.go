//go:build !linux

package barrier

import (
	"errors"
	"os"
)

func fits(string) error { return errors.New("a barrier needs Linux (syncfs)") }

func syncfs(*os.File) error { return errors.ErrUnsupported }
