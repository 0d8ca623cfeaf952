package processtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// JSON sends body, if it is not nil, and reads the answer into into, if that is not nil. headers are names and values in turn.
// An answer other than 2xx is an error that holds the answer.
func JSON(ctx context.Context, method, address string, body, into any, headers ...string) error {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(payload))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %s: %w", method, address, res.Status, err)
	case res.StatusCode/100 != 2:
		return fmt.Errorf("%s %s: %s %s", method, address, res.Status, answer)
	case into == nil:
		return nil
	}
	return json.Unmarshal(answer, into)
}
