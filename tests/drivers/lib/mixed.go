// Package mixed is what the programs of Go share: the workers, their random choices and the report.
// README.md of the folder above says what each operation does.
package mixed

import (
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const grace = 20 * time.Second

// Connections is the number of workers.
var Connections = number("WEIR_CONNECTIONS")

// Worker runs one operation at a time. Those of the pool have the numbers from half of all on.
type Worker struct {
	Number   int
	Sequence int
	Schema   string
	IsPooled bool
	Random   *rand.Rand
	doing    atomic.Value
}

// Operation panics if something else happens than it expects.
type Operation struct {
	Kind string
	Do   func(*Worker)
}

type run struct {
	operations []Operation
	drawn      []int
	counts     []atomic.Int64
	workers    []*Worker
	deadline   time.Time
	lock       sync.Mutex
	unexpected []string
}

func number(name string) int {
	value, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		panic(fmt.Sprintf("%s: %v", name, err))
	}
	return value
}

func newWorker(n int) *Worker {
	w := &Worker{Number: n, Schema: fmt.Sprintf("s%d", n%4), IsPooled: n >= Connections/2,
		Random: rand.New(rand.NewSource(int64(number("WEIR_SEED")*1000 + n)))}
	if w.IsPooled {
		w.Schema = "s0"
	}
	w.doing.Store("")
	return w
}

// Next is a number that this worker has not used yet.
func (w *Worker) Next() int {
	w.Sequence++
	return w.Sequence
}

// Short is a random time below 20 ms.
func (w *Worker) Short() time.Duration {
	return time.Duration(w.Random.Intn(20000)) * time.Microsecond
}

// Must panics on any error.
func Must(err error) {
	if err != nil {
		panic(fmt.Sprintf("%v (%T)", err, err))
	}
}

// Equal panics if something else came than was wanted.
func Equal(found, wanted any) {
	if !reflect.DeepEqual(found, wanted) {
		panic(fmt.Sprintf("%.500v came instead of %.500v", found, wanted))
	}
}

// Repeat calls f after a delay and every 500 ms from then on, until what it returns is called, which
// waits for the last call to end.
func Repeat(delay time.Duration, f func()) func() {
	ended, left := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		for pause := delay; ; pause = 500 * time.Millisecond {
			select {
			case <-ended:
				return
			case <-time.After(pause):
				f()
			}
		}
	}()
	return func() {
		close(ended)
		<-left
	}
}

func (r *run) failed(text string) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.unexpected = append(r.unexpected, text)
}

// choose tells each operation once, then draws one.
func (r *run) choose(w *Worker, nth int) int {
	if nth < len(r.operations) {
		return (w.Number + nth) % len(r.operations)
	}
	return r.drawn[w.Random.Intn(len(r.drawn))]
}

func (r *run) work(w *Worker, begin, end func(*Worker)) {
	defer func() {
		if problem := recover(); problem != nil {
			r.failed(fmt.Sprintf("connection %d, %v: %v\n%s", w.Number, w.doing.Load(), problem, debug.Stack()))
		}
		w.doing.Store("")
	}()
	w.doing.Store("begin")
	begin(w)
	for nth := 0; time.Now().Before(r.deadline); nth++ {
		index := r.choose(w, nth)
		w.doing.Store(r.operations[index].Kind)
		r.operations[index].Do(w)
		r.counts[index].Add(1)
	}
	w.doing.Store("end")
	end(w)
}

func (r *run) tell() {
	for i := range r.operations {
		fmt.Println(r.operations[i].Kind, r.counts[i].Load())
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	for _, text := range r.unexpected {
		fmt.Println("unexpected:", text)
	}
	if len(r.unexpected) > 0 {
		os.Exit(1)
	}
}

func (r *run) stuck() {
	for _, w := range r.workers {
		if w.doing.Load() != "" {
			r.failed(fmt.Sprintf("connection %d is stuck in %v", w.Number, w.doing.Load()))
		}
	}
	r.tell()
}

// Run gives each worker a goroutine. It ends the process if something was unexpected.
func Run(operations []Operation, begin, end func(*Worker)) {
	seconds := time.Duration(number("WEIR_SECONDS")) * time.Second
	r := &run{operations: operations, counts: make([]atomic.Int64, len(operations)), deadline: time.Now().Add(seconds)}
	for _, word := range strings.Fields(os.Getenv("WEIR_MIX")) {
		kind, weight, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(weight)
		Must(err)
		for i := range operations {
			for ; operations[i].Kind == kind && n > 0; n-- {
				r.drawn = append(r.drawn, i)
			}
		}
	}
	for n := range Connections {
		r.workers = append(r.workers, newWorker(n))
	}
	watchdog := time.AfterFunc(seconds+grace, r.stuck)
	var all sync.WaitGroup
	for _, w := range r.workers {
		all.Add(1)
		go func() {
			defer all.Done()
			r.work(w, begin, end)
		}()
	}
	all.Wait()
	watchdog.Stop()
	r.tell()
}
