package job

import (
	"context"

	"github.com/covey-network/covey/engine/train/data"
)

// TokensOf returns the ids that a job trains with for a text of its table.
func TokensOf(j *Job, text string) ([]int, error) {
	t, err := j.tokenizer()
	if err != nil {
		return nil, err
	}
	return t.Encode(text)
}

// OpenFitting opens the data of a job that has to fit a schema, for fuzzing.
func OpenFitting(ctx context.Context, j *Job, s *Schema) error {
	_, err := j.open(ctx, func(data.Bad) {}, openOptions{given: s})
	return err
}
