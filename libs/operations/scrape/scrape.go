// Package scrape reads the figures of one of our services from its admin address, once.
//
// It knows the text format as far as our services write it, keeps nothing and judges nothing; check and doctor do. Whoever
// wants figures over time runs Prometheus.
package scrape

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	timeout = 3 * time.Second
	maxBody = 4 << 20
)

// Sample is one figure.
type Sample struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// Samples are all figures of a service.
type Samples []Sample

// Of returns the samples of one name.
func (s Samples) Of(name string) []Sample {
	var found []Sample
	for _, x := range s {
		if x.Name == name {
			found = append(found, x)
		}
	}
	return found
}

// Page is what a service told at one time.
type Page struct {
	Samples
	// Clock is the service's own clock, in whole seconds; zero where it does not tell.
	Clock time.Time
}

// Read asks an admin address, such as http://127.0.0.1:9100, for /metrics. It takes three seconds at most.
func Read(ctx context.Context, adminURL string) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, adminURL+"/metrics", http.NoBody)
	if err != nil {
		return Page{}, fmt.Errorf("read metrics: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return Page{}, fmt.Errorf("read metrics: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return Page{}, fmt.Errorf("read metrics of %s: it answers %s", adminURL, res.Status)
	}
	samples, err := Parse(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return Page{}, err
	}
	clock, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		clock = time.Time{}
	}
	return Page{samples, clock}, nil
}

// Parse reads the text format of Prometheus.
func Parse(r io.Reader) (Samples, error) {
	var all Samples
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		s, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("read metrics: %q: %w", line, err)
		}
		all = append(all, s)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	return all, nil
}

// parseLine reads name{label="value",…} value.
func parseLine(line string) (Sample, error) {
	s := Sample{Labels: map[string]string{}}
	end := strings.IndexAny(line, "{ ")
	if end <= 0 {
		return s, fmt.Errorf("no value")
	}
	s.Name = line[:end]
	rest := line[end:]
	if strings.HasPrefix(rest, "{") {
		rest = rest[1:]
		for !strings.HasPrefix(rest, "}") {
			name, after, ok := strings.Cut(rest, "=")
			if !ok {
				return s, fmt.Errorf("a label without a value")
			}
			quoted, err := strconv.QuotedPrefix(after)
			if err != nil {
				return s, fmt.Errorf("label %s: %w", name, err)
			}
			value, err := strconv.Unquote(quoted)
			if err != nil {
				return s, fmt.Errorf("label %s: %w", name, err)
			}
			s.Labels[strings.TrimLeft(name, ", ")] = value
			rest = strings.TrimLeft(after[len(quoted):], ", ")
		}
		rest = rest[1:]
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return s, fmt.Errorf("no value")
	}
	var err error
	s.Value, err = strconv.ParseFloat(fields[0], 64)
	return s, err
}
