package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// What a scrape says of one family, and how many series it costs.
type family struct {
	Name   string              `json:"name"`
	Type   string              `json:"type"`
	Labels map[string][]string `json:"labels"`
	Series int                 `json:"series"`
	// None, if it was not told.
	help *string
	// By their labels, without those that belong to a histogram.
	metrics map[string]*dto.Metric
}

// Reads a scrape with the parser of Prometheus itself, and lints it with promtool's library.
func lintScrape(text []byte) ([]*family, error) {
	families, err := parse(text)
	if err != nil {
		return nil, err
	}
	linted := make([]*dto.MetricFamily, 0, len(families))
	for _, it := range families {
		linted = append(linted, it.proto())
	}
	problems, err := promlint.NewWithMetricFamilies(linted).Lint()
	if err != nil {
		return nil, err
	}
	var all []error
	for _, problem := range problems {
		all = append(all, fmt.Errorf("%s: %s", problem.Metric, problem.Text))
	}
	return families, errors.Join(all...)
}

func parse(text []byte) ([]*family, error) {
	var families []*family
	parser := textparse.NewOpenMetricsParser(text, labels.NewSymbolTable())
	named := func(name string) *family {
		if len(families) > 0 && families[len(families)-1].Name == name {
			return families[len(families)-1]
		}
		next := &family{Name: name, Labels: map[string][]string{}, metrics: map[string]*dto.Metric{}}
		families = append(families, next)
		return next
	}
	for {
		entry, err := parser.Next()
		switch {
		case errors.Is(err, io.EOF):
			return families, nil
		case err != nil:
			return nil, err
		}
		switch entry {
		case textparse.EntryHelp:
			name, help := parser.Help()
			text := string(help)
			named(string(name)).help = &text
		case textparse.EntryType:
			name, kind := parser.Type()
			named(string(name)).Type = string(kind)
		case textparse.EntryUnit:
			name, _ := parser.Unit()
			named(string(name))
		case textparse.EntrySeries:
			var set labels.Labels
			parser.Labels(&set)
			name := set.Get(labels.MetricName)
			if len(families) == 0 || !families[len(families)-1].owns(name) {
				return nil, fmt.Errorf("%s: no family that was announced has this series", name)
			}
			families[len(families)-1].add(set)
		default:
			return nil, fmt.Errorf("an entry that SecretVault never writes: %v", entry)
		}
	}
}

// The endings of the series of a family.
var endings = map[string][]string{
	string(model.MetricTypeCounter):   {"_total"},
	string(model.MetricTypeGauge):     {""},
	string(model.MetricTypeHistogram): {"_bucket", "_sum", "_count"},
}

func (it *family) owns(series string) bool {
	ending, found := strings.CutPrefix(series, it.Name)
	return found && slices.Contains(endings[it.Type], ending)
}

func (it *family) add(set labels.Labels) {
	it.Series++
	var pairs []*dto.LabelPair
	set.Range(func(label labels.Label) {
		if label.Name == labels.MetricName || it.isOwn(label.Name) {
			return
		}
		pairs = append(pairs, &dto.LabelPair{Name: &label.Name, Value: &label.Value})
		if !slices.Contains(it.Labels[label.Name], label.Value) {
			it.Labels[label.Name] = append(it.Labels[label.Name], label.Value)
		}
	})
	key := labels.NewBuilder(set).Del(labels.MetricName, "le").Labels().String()
	if it.metrics[key] == nil {
		it.metrics[key] = &dto.Metric{Label: pairs}
	}
}

// Whether the label is the format's, not ours.
func (it *family) isOwn(label string) bool {
	return it.Type == string(model.MetricTypeHistogram) && label == "le"
}

// The family as promtool's library knows it from the older format, where a counter's name has the
// ending of its series.
func (it *family) proto() *dto.MetricFamily {
	name, kind := it.Name, dto.MetricType_UNTYPED
	switch it.Type {
	case string(model.MetricTypeCounter):
		name, kind = it.Name+"_total", dto.MetricType_COUNTER
	case string(model.MetricTypeGauge):
		kind = dto.MetricType_GAUGE
	case string(model.MetricTypeHistogram):
		kind = dto.MetricType_HISTOGRAM
	}
	proto := &dto.MetricFamily{Name: &name, Help: it.help, Type: &kind}
	for _, metric := range it.metrics {
		switch kind {
		case dto.MetricType_COUNTER:
			metric.Counter = &dto.Counter{}
		case dto.MetricType_GAUGE:
			metric.Gauge = &dto.Gauge{}
		case dto.MetricType_HISTOGRAM:
			metric.Histogram = &dto.Histogram{}
		}
		proto.Metric = append(proto.Metric, metric)
	}
	return proto
}
