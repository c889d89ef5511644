package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	strict "sigs.k8s.io/yaml"
)

// One moment of a cluster, and the alerts that fire then: no others.
type moment struct {
	Name string `json:"name"`
	// A sample each minute, in the notation of promtool's tests of rules.
	Series []string `json:"series"`
	Fires  []string `json:"fires"`
}

// Evaluates the alerts of manifests with the engine of Prometheus. Each must fire in one of the
// moments at least, and there must be one in which nothing does.
func testAlerts(manifests []byte, file string) (any, error) {
	it, err := lintManifests(manifests)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var moments []moment
	if err := strict.UnmarshalStrict(text, &moments); err != nil {
		return nil, err
	}
	fired, quiet, all := map[string]int{}, false, []error(nil)
	for _, moment := range moments {
		firing, err := moment.firing(it.groups)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", moment.Name, err)
		}
		if got, want := strings.Join(firing, " "), strings.Join(moment.Fires, " "); got != want {
			all = append(all, fmt.Errorf("%s: what fires is [%s], not [%s]", moment.Name, got, want))
		}
		quiet = quiet || len(firing) == 0
		for _, alert := range firing {
			fired[alert]++
		}
	}
	for _, group := range it.groups {
		for _, rule := range group.Rules {
			if fired[rule.Alert] == 0 {
				all = append(all, fmt.Errorf("alert %s fires in no test", rule.Alert))
			}
		}
	}
	if !quiet {
		all = append(all, errors.New("there is no test in which nothing fires"))
	}
	return fired, errors.Join(all...)
}

func (it *moment) firing(groups []rulefmt.RuleGroup) ([]string, error) {
	stored, end, err := load(it.Series)
	if err != nil {
		return nil, err
	}
	var firing []string
	for _, group := range groups {
		for _, rule := range group.Rules {
			fires, err := fires(rule, stored, end)
			if err != nil {
				return nil, fmt.Errorf("alert %s: %w", rule.Alert, err)
			}
			if fires {
				firing = append(firing, rule.Alert)
			}
		}
	}
	return firing, nil
}

// Whether a rule fires at the end: its expression has had a result for as long as the rule says.
func fires(rule rulefmt.Rule, stored storage.Queryable, end time.Duration) (bool, error) {
	for at := end - time.Duration(rule.For); at <= end; at += step {
		asked, err := engine.NewInstantQuery(context.Background(), stored, nil, rule.Expr, time.Unix(0, 0).Add(at))
		if err != nil {
			return false, err
		}
		result := asked.Exec(context.Background())
		vector, err := result.Vector()
		if err != nil {
			return false, err
		}
		asked.Close()
		if len(vector) == 0 {
			return false, nil
		}
	}
	return true, nil
}

// The series of one moment.
type series []storage.Series

func load(texts []string) (storage.Queryable, time.Duration, error) {
	var all series
	var end time.Duration
	for _, text := range texts {
		named, values, err := promqlParser.ParseSeriesDesc(text)
		if err != nil {
			return nil, 0, err
		}
		var samples []chunks.Sample
		for minute, value := range values {
			if value.Omitted {
				continue
			}
			at := time.Duration(minute) * step
			end = max(end, at)
			samples = append(samples, sample{at.Milliseconds(), value.Value})
		}
		all = append(all, storage.NewListSeries(named, samples))
	}
	queryable := storage.QueryableFunc(func(int64, int64) (storage.Querier, error) { return all, nil })
	return queryable, end, nil
}

func (it series) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	selected := &selection{at: -1}
	for _, one := range it {
		if matches(one.Labels(), matchers) {
			selected.series = append(selected.series, one)
		}
	}
	return selected
}

func matches(set labels.Labels, matchers []*labels.Matcher) bool {
	for _, matcher := range matchers {
		if !matcher.Matches(set.Get(matcher.Name)) {
			return false
		}
	}
	return true
}

func (series) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (series) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (series) Close() error { return nil }

// What one selector found.
type selection struct {
	series []storage.Series
	at     int
}

func (it *selection) Next() bool                     { it.at++; return it.at < len(it.series) }
func (it *selection) At() storage.Series             { return it.series[it.at] }
func (*selection) Err() error                        { return nil }
func (*selection) Warnings() annotations.Annotations { return nil }

type sample struct {
	at    int64
	value float64
}

func (it sample) T() int64                   { return it.at }
func (sample) ST() int64                     { return 0 }
func (it sample) F() float64                 { return it.value }
func (sample) H() *histogram.Histogram       { return nil }
func (sample) FH() *histogram.FloatHistogram { return nil }
func (sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (it sample) Copy() chunks.Sample        { return it }

const step = time.Minute

var engine = promql.NewEngine(promql.EngineOpts{
	MaxSamples:           1_000_000,
	Timeout:              time.Minute,
	EnableAtModifier:     true,
	EnableNegativeOffset: true,
	Parser:               promqlParser,
})
