// metrics-lint judges what SecretVault tells Prometheus, with the libraries of promtool and of the
// Prometheus Operator: promtool itself lints only the older text format, and compiles the clients of
// every cloud.
//
//	metrics-lint scrape            a scrape in the text format of OpenMetrics
//	metrics-lint manifests         what `helm template` prints
//	metrics-lint alerts TESTS      the same, with the tests of its alerts
//
// It reads standard input, prints what it found there as JSON, and each problem to standard error.
// It fails if there is one.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var found any
	switch {
	case len(arguments) == 1 && arguments[0] == "scrape":
		found, err = lintScrape(input)
	case len(arguments) == 1 && arguments[0] == "manifests":
		found, err = lintManifests(input)
	case len(arguments) == 2 && arguments[0] == "alerts":
		found, err = testAlerts(input, arguments[1])
	default:
		return errors.New("usage: metrics-lint scrape|manifests|alerts TESTS")
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}
