package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"
	strict "sigs.k8s.io/yaml"
)

// What the chart's manifests have to do with metrics.
type found struct {
	// "ServiceMonitor secretvault-operator".
	Objects []string `json:"objects"`
	Targets []target `json:"targets"`
	Queries []query  `json:"queries"`
	groups  []rulefmt.RuleGroup
}

// What a monitor scrapes.
type target struct {
	Kind     string `json:"kind"`
	Selector string `json:"selector"`
	Port     string `json:"port"`
}

// One expression, and what it asks for.
type query struct {
	Place     string     `json:"place"`
	Expr      string     `json:"expr"`
	Selectors []selector `json:"selectors"`
	// The labels that it groups by.
	Grouping []string `json:"grouping"`
}

type selector struct {
	Name     string    `json:"name"`
	Matchers []matcher `json:"matchers"`
}

// The values that a matcher names: none, if it is no list of them.
type matcher struct {
	Label  string   `json:"label"`
	Values []string `json:"values"`
}

var promqlParser = parser.NewParser(parser.Options{})

// Reads manifests as the Prometheus Operator, Prometheus and Grafana would.
func lintManifests(manifests []byte) (*found, error) {
	it, all := &found{}, []error(nil)
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return it, errors.Join(all...)
		}
		if err != nil {
			return nil, err
		}
		if err := it.read(document); err != nil {
			all = append(all, err)
		}
	}
}

func (it *found) read(document []byte) error {
	var head struct {
		Kind     string
		Metadata struct {
			Name   string
			Labels map[string]string
		}
	}
	if err := strict.Unmarshal(document, &head); err != nil {
		return err
	}
	place, err := head.Kind+" "+head.Metadata.Name, error(nil)
	switch {
	case head.Kind == monitoring.ServiceMonitorsKind:
		var monitor monitoring.ServiceMonitor
		err = strict.UnmarshalStrict(document, &monitor)
		for _, endpoint := range monitor.Spec.Endpoints {
			it.target(head.Kind, monitor.Spec.Selector, endpoint.Port)
		}
	case head.Kind == monitoring.PodMonitorsKind:
		var monitor monitoring.PodMonitor
		err = strict.UnmarshalStrict(document, &monitor)
		for _, endpoint := range monitor.Spec.PodMetricsEndpoints {
			it.target(head.Kind, monitor.Spec.Selector, ptr.Deref(endpoint.Port, ""))
		}
	case head.Kind == monitoring.PrometheusRuleKind:
		err = it.readRules(document)
	case head.Kind == "ConfigMap" && strings.HasSuffix(head.Metadata.Name, "-dashboard"):
		err = it.readDashboards(document)
	default:
		return nil
	}
	it.Objects = append(it.Objects, place)
	if err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	return nil
}

func (it *found) target(kind string, selector meta.LabelSelector, port string) {
	it.Targets = append(it.Targets, target{kind, meta.FormatLabelSelector(&selector), port})
}

func (it *found) readRules(document []byte) error {
	var rule monitoring.PrometheusRule
	if err := strict.UnmarshalStrict(document, &rule); err != nil {
		return err
	}
	// Its specification is a file of rules.
	file, err := strict.Marshal(rule.Spec)
	if err != nil {
		return err
	}
	groups, all := rulefmt.Parse(file, false, model.UTF8Validation, promqlParser, slog.Default())
	if len(all) > 0 {
		return errors.Join(all...)
	}
	it.groups = append(it.groups, groups.Groups...)
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			if err := it.ask("alert "+rule.Alert+rule.Record, rule.Expr); err != nil {
				all = append(all, err)
			}
		}
	}
	return errors.Join(all...)
}

type dashboard struct {
	Title  string
	UID    string
	Panels []panel
}

type panel struct {
	ID      int
	Title   string
	Type    string
	Targets []struct{ Expr, RefID string }
	Panels  []panel
}

func (it *found) readDashboards(document []byte) error {
	var config struct{ Data map[string]string }
	if err := strict.Unmarshal(document, &config); err != nil {
		return err
	}
	if len(config.Data) == 0 {
		return errors.New("no dashboard")
	}
	for name, text := range config.Data {
		var board dashboard
		if err := json.Unmarshal([]byte(text), &board); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if board.Title == "" || board.UID == "" || len(board.Panels) == 0 {
			return fmt.Errorf("%s: a dashboard has a title, a uid and panels", name)
		}
		if err := it.readPanels(board.Panels, map[int]bool{}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (it *found) readPanels(panels []panel, known map[int]bool) error {
	for _, panel := range panels {
		if panel.ID == 0 || known[panel.ID] {
			return fmt.Errorf("panel %q: its id is missing or another's", panel.Title)
		}
		known[panel.ID] = true
		if panel.Type != "row" && len(panel.Targets) == 0 {
			return fmt.Errorf("panel %q: it asks for nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			if err := it.ask("panel "+panel.Title, variables.Replace(target.Expr)); err != nil {
				return err
			}
		}
		if err := it.readPanels(panel.Panels, known); err != nil {
			return err
		}
	}
	return nil
}

// What Grafana puts in for its own variables.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$__range", "6h")

func (it *found) ask(place, text string) error {
	parsed, err := promqlParser.ParseExpr(text)
	if err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	one := query{Place: place, Expr: text}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch node := node.(type) {
		case *parser.VectorSelector:
			one.Selectors = append(one.Selectors, selected(node))
		case *parser.AggregateExpr:
			one.Grouping = append(one.Grouping, node.Grouping...)
		}
		return nil
	})
	it.Queries = append(it.Queries, one)
	return nil
}

func selected(node *parser.VectorSelector) selector {
	one := selector{Name: node.Name, Matchers: []matcher{}}
	for _, it := range node.LabelMatchers {
		if it.Name == labels.MetricName {
			continue
		}
		values := []string{it.Value}
		if it.Type == labels.MatchRegexp || it.Type == labels.MatchNotRegexp {
			values = it.SetMatches()
		}
		one.Matchers = append(one.Matchers, matcher{Label: it.Name, Values: values})
	}
	return one
}
