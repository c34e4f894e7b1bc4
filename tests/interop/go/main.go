// Scenarios with the stock RocketMQ client for Go against a broker that runs.
//
// One line for each scenario as it ends, "ok NAME" or "FAIL NAME why", and "N passed, N failed" at the end. They run
// side by side, because most of them wait for a delay of the protocol; each has topics and groups of its own.
package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"sort"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const (
	// How long one scenario may take; the longest waits for a retry and for a check of a transaction.
	limit = 150 * time.Second
	// How many run at a time.
	lanes = 8
)

// scenario is one named promise.
type scenario struct {
	name string
	run  func(*lab)
	// Why it does not apply to the broker as it is set up; empty when it does.
	skip string
}

// failure is what a check that does not hold panics with.
type failure struct{ why string }

func main() {
	rlog.SetLogLevel("fatal")
	if level := os.Getenv("CLIENT_LOG"); level != "" {
		rlog.SetLogLevel(level)
	}
	settings := fromEnvironment()
	var passed, failed, skipped int
	for result := range runAll(chosen(settings), settings) {
		switch {
		case result.scenario.skip != "":
			skipped++
			fmt.Printf("skip %s %s\n", result.scenario.name, result.scenario.skip)
		case result.why != "":
			failed++
			fmt.Printf("FAIL %s %s\n", result.scenario.name, result.why)
		default:
			passed++
			fmt.Printf("ok %s (%.1f s)\n", result.scenario.name, result.took.Seconds())
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

type result struct {
	scenario scenario
	why      string
	took     time.Duration
}

func chosen(settings settings) []scenario {
	all := [][]scenario{
		sending(), consuming(), ordering(), retrying(), transacting(), pulling(), asking(), administering(),
		guarded(settings), clocked(settings),
	}
	var chosen []scenario
	for _, some := range all {
		for _, s := range some {
			if settings.only.MatchString(s.name) {
				chosen = append(chosen, s)
			}
		}
	}
	return chosen
}

func runAll(scenarios []scenario, settings settings) <-chan result {
	results := make(chan result)
	waiting := make(chan scenario, len(scenarios))
	for _, s := range scenarios {
		waiting <- s
	}
	close(waiting)
	var group sync.WaitGroup
	for lane := 0; lane < lanes; lane++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for s := range waiting {
				results <- runOne(s, settings)
			}
		}()
	}
	go func() {
		group.Wait()
		close(results)
	}()
	return results
}

func runOne(s scenario, settings settings) result {
	if s.skip != "" {
		return result{scenario: s}
	}
	started := time.Now()
	ended := make(chan string, 1)
	lab := newLab(settings, s.name)
	go func() {
		defer func() {
			switch cause := recover().(type) {
			case nil:
				ended <- ""
			case failure:
				ended <- cause.why
			default:
				ended <- fmt.Sprintf("%v\n%s", cause, debug.Stack())
			}
		}()
		s.run(lab)
	}()
	why := ""
	select {
	case why = <-ended:
	case <-time.After(limit):
		why = fmt.Sprintf("not done within %v", limit)
	}
	lab.close()
	return result{s, why, time.Since(started)}
}

// settings is what the environment says about the broker; the suites' README has the table.
type settings struct {
	nameServer                 string
	tls                        bool
	user, secret               string
	limitedUser, limitedSecret string
	// The file that says how far the broker's clock is ahead; empty when it is not to be set.
	clock string
	only  *regexp.Regexp
}

func fromEnvironment() settings {
	only := os.Getenv("ONLY")
	if len(os.Args) > 1 {
		only = os.Args[1]
	}
	return settings{
		nameServer:    or(os.Getenv("NAMESRV_ADDR"), "127.0.0.1:9876"),
		tls:           os.Getenv("TLS") == "1",
		user:          os.Getenv("ACL_USER"),
		secret:        os.Getenv("ACL_SECRET"),
		limitedUser:   os.Getenv("ACL_LIMITED_USER"),
		limitedSecret: os.Getenv("ACL_LIMITED_SECRET"),
		clock:         os.Getenv("CLOCK"),
		only:          regexp.MustCompile(only),
	}
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// check ends the scenario unless the condition holds.
func check(holds bool, format string, arguments ...any) {
	if !holds {
		panic(failure{fmt.Sprintf(format, arguments...)})
	}
}

// must ends the scenario when there is an error.
func must(err error, what string) {
	check(err == nil, "%s: %v", what, err)
}

func equal[T comparable](wanted, got T, what string) {
	check(wanted == got, "%s: wanted %v, got %v", what, wanted, got)
}

// until polls the condition.
func until(patience time.Duration, what string, condition func() bool) {
	end := time.Now().Add(patience)
	for !condition() {
		check(time.Now().Before(end), "not within %v: %s", patience, what)
		time.Sleep(20 * time.Millisecond)
	}
}

func sorted(texts []string) []string {
	texts = append([]string(nil), texts...)
	sort.Strings(texts)
	return texts
}
