package api

import (
	"context"

	"github.com/holdfast-mesh/holdfast/pkg/cli"
)

func (s *server) version(context.Context, *struct{}) (*view[cli.Version], error) {
	return &view[cli.Version]{cli.BuildVersion()}, nil
}
