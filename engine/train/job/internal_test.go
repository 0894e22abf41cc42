package job

import (
	"context"

	"github.com/covey-network/covey/engine/train/data"
)

// OpenFitting opens the data of a job that has to fit a schema, for fuzzing.
func OpenFitting(ctx context.Context, j *Job, s *Schema) error {
	_, err := j.open(ctx, func(data.Bad) {}, openOptions{given: s})
	return err
}
